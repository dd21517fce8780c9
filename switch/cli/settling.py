"""Settlement from the operator's shell, beside the services: the settler's own process, the proof, the rebuild, gaps."""

import json as json_module
import sys
from typing import Annotated, Any

import typer

from switch.app import SystemClock, check, connect_archive, run, run_works
from switch.app.settlement import Settling
from switch.app.watching import watched_beside
from switch.cli.options import ConfigFile, Json, settings_of
from switch.cli.output import error_line, print_json, say, table
from switch.cli.stores import broker_of, opened_books, opened_store
from switch.engine.register_copy import RegisterCopy
from switch.events.log import KafkaLog
from switch.events.rebuild import Rebuilt
from switch.events.rebuild import rebuild as rebuild_from_log
from switch.events.replay import Finding, latest_windows, replay
from switch.events.replay import verify as verify_windows
from switch.settings import Settings

__all__ = ["excuse", "gaps", "rebuild", "settler", "verify"]

_WHY_CHARS_MAX = 140


def settler(config: ConfigFile = None, json: Json = False) -> None:
    """Run the settler until SIGTERM or Ctrl-C: the log becomes windows, positions and the archive.

    For a process of its own; the switch then runs with BAYSWITCH_RUN_SETTLER=false. Several may run: they share the log.
    """
    settings = settings_of(config)
    run(_settler(settings, json), settings)


async def _settler(settings: Settings, json: bool) -> None:
    broker_of(settings)
    rules = check(settings)
    async with opened_books(settings) as (store, archive):
        clock = SystemClock()
        settling = Settling(settings, rules, store, archive, clock)
        await settling.check_topics()
        works = settling.settling()
        async with watched_beside(settings, clock, store, settling) as admin:
            ready = {
                "settles": sorted(rules.arrangements),
                "admin": admin,
                "kafka": settings.kafka_bootstrap,
                "store": store.durability.server,
            }
            line = json_module.dumps(ready) if json else "  ".join(f"{key} {value}" for key, value in ready.items())
            await run_works(works, lambda: print(line, flush=True))


def verify(config: ConfigFile = None, json: Json = False) -> None:
    """Prove every seal from the topics: figures, digests over every event, and the chain. Exit 1: something differs.

    Reads the whole log and writes nothing; needs no store.
    """
    settings = settings_of(config)
    sealed, events, found = run(_verify(settings), settings)
    if json:
        print_json({"sealed": sealed, "events": events, "findings": [each._asdict() for each in found]})
    else:
        for each in found:
            error_line(f"{each.window_id}: {each.what}")
        say(
            f"{sealed} sealed windows over {events} events: {'as sealed' if not found else f'{len(found)} differences'}"
        )
    sys.exit(1 if found else 0)


async def _verify(settings: Settings) -> tuple[int, int, list[Finding]]:
    rules, archive = check(settings), connect_archive(settings)
    try:
        async with KafkaLog(broker_of(settings)) as log:
            announced = latest_windows(await log.announcements())
            replayed = await replay(log, archive, announced, list(rules.arrangements.values()))
    finally:
        await archive.close()
    sealed = sum(1 for window in announced.values() if window.seal)
    return sealed, replayed.accepted, verify_windows(announced, replayed.windows)


def rebuild(config: ConfigFile = None, json: Json = False) -> None:
    """Put back into a store that lost its data what the log and the archive know. Stop switch, relay and settler before.

    Outcomes of payments, positions, use of caps and person limits, sequences, windows, the register. Safe to repeat. What
    ran when the store was lost, and what was answered and not yet published, is gone: `bayswitch reconcile` names it.
    """
    settings = settings_of(config)
    register, differing, made = run(_rebuild(settings), settings)
    found: dict[str, Any] = {
        "participants": register,
        "payments": made.payments,
        "events": made.replayed.accepted,
        "windows": len(made.replayed.windows) if made.settlement else 0,
        "transfers": made.transfers,
    }
    if json:
        print_json(found)
    else:
        for key, value in found.items():
            say(f"{key:<13}{value} put back" if key != "events" else f"{key:<13}{value} read")
    for participant in differing:
        error_line(f"{participant} is registered with other data than the archive's copy; it stays as it is")


async def _rebuild(settings: Settings) -> tuple[int, list[str], Rebuilt]:
    rules = check(settings)
    async with opened_books(settings) as (store, archive):
        register, differing = await RegisterCopy(store.participants, archive, SystemClock()).put_back()
        async with KafkaLog(broker_of(settings)) as log:
            arrangements = list(rules.arrangements.values())
            made = await rebuild_from_log(log, archive, store.payments, store.settlements, arrangements)
    return register, differing, made


def gaps(config: ConfigFile = None, json: Json = False) -> None:
    """Events that never came, by debtor agent and sequence: while there is one, no window closes. Exit 1: there is."""
    settings = settings_of(config)
    found = run(_gaps(settings), settings)
    rows = [{"debtor_agent": agent, "sequence": sequence} for agent, sequence in found]
    if json:
        print_json(rows)
    elif rows:
        table("missing events", ("debtor agent", "sequence"), found, right=("sequence",))
        say("see `bayswitch dlq list`; what is lost for good: `bayswitch windows excuse`")
    else:
        say("no event is missing")
    sys.exit(1 if found else 0)


async def _gaps(settings: Settings) -> list[tuple[str, int]]:
    async with opened_store(settings) as store:
        return await store.settlements.gaps()


def excuse(
    debtor_agent: Annotated[str, typer.Argument(help="whose event never came")],
    sequence: Annotated[int, typer.Argument(min=1, help="its number")],
    why: Annotated[str, typer.Option("--why", help="reason, for the record")],
    actor: Annotated[str, typer.Option("--by", help="who decides, for the record")],
    config: ConfigFile = None,
) -> None:
    """Declare a missing event lost for good, for the record: it no longer keeps windows open. Exit 1: it is not missing."""
    if not 0 < len(why.strip()) <= _WHY_CHARS_MAX:
        raise typer.BadParameter(f"--why: 1 to {_WHY_CHARS_MAX} characters")
    settings = settings_of(config)
    done = run(_excuse(settings, debtor_agent, sequence, actor, why.strip()), settings)
    say(f"{debtor_agent} {sequence}: " + ("excused" if done else "is not missing"))
    sys.exit(0 if done else 1)


async def _excuse(settings: Settings, debtor_agent: str, sequence: int, actor: str, why: str) -> bool:
    async with opened_store(settings) as store:
        return await store.settlements.excuse(debtor_agent, sequence, actor, why, SystemClock().now_ms())
