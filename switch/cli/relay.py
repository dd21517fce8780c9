"""The relay in a process of its own; the switch then runs with BAYSWITCH_RUN_RELAY=false."""

import asyncio
import json as json_module
from typing import Annotated, Any, Final, NamedTuple

import typer

from switch.app import SystemClock, run, run_works
from switch.app.watching import watched_beside
from switch.cli.options import ConfigFile, Json, settings_of
from switch.cli.stores import broker_of, opened_store
from switch.events import KafkaSink, Relay, require_topics, topics_of
from switch.settings import Settings
from switch.store import Store

__all__ = ["command"]

_LOOK_SECONDS: Final = 0.05


class _Works(NamedTuple):
    """What this process runs."""

    relay: Relay
    settler: None = None
    announcer: None = None


def command(
    config: ConfigFile = None,
    until_empty: Annotated[bool, typer.Option(help="end when the outbox is empty; otherwise by SIGTERM")] = False,
    json: Json = False,
) -> None:
    """Publish the outbox until SIGTERM or Ctrl-C. Several may run: one has the lease of a shard, the others stand by.

    With --json the first line of output says in JSON what runs and where, the last one what it did.
    """
    settings = settings_of(config)
    run(_relay(settings, until_empty, json), settings)


async def _relay(settings: Settings, until_empty: bool, json: bool) -> None:
    bootstrap, topic = broker_of(settings, ": events stay in the outbox"), topics_of(settings).payment
    async with opened_store(settings) as store:
        if settings.production:
            await require_topics(settings)
        clock = SystemClock()
        relay = Relay(store.payments, KafkaSink(bootstrap, topic, create=not settings.production), clock)
        async with watched_beside(settings, clock, store, _Works(relay)) as admin:
            ready = {
                "relay": relay.holder,
                "shards": store.payments.shards,
                "admin": admin,
                "store": store.durability.server,
                "kafka": bootstrap,
                "topic": topic.name,
            }
            if until_empty:
                _say(ready, json)
                await _until_empty(relay, store)
            else:
                await run_works([("the relay", relay.run)], lambda: _say(ready, json))
        _say({"published": relay.published_total, "last_error": relay.last_error}, json)


async def _until_empty(relay: Relay, store: Store) -> None:
    running = asyncio.create_task(relay.run())
    try:
        while (await store.payments.outbox_depth())[0]:  # noqa: ASYNC110 what is awaited is in another process
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _say(found: dict[str, Any], json: bool) -> None:
    print(json_module.dumps(found) if json else "  ".join(f"{key} {value}" for key, value in found.items()), flush=True)
