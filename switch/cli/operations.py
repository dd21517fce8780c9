"""What an operator does: serve, look at events and open payments, read the catalogue and the settings."""

import asyncio
import json as json_module
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as version_of
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from adapters import RAILS, wire
from switch import __version__, routing
from switch.app import Switch, SystemClock, connect_rails, connect_store, recovery_times, run
from switch.app import serve as serve_switch
from switch.cli.options import ConfigFile, Json, settings_of
from switch.cli.output import console, print_json, table
from switch.cli.participants import positions
from switch.domain.payment import Payment
from switch.domain.settlement import SettlementFact
from switch.engine.recovery import settle
from switch.errors import REASONS
from switch.events import tail
from switch.limits import RECOVERY_SCAN_COUNT, RELAY_BATCH_COUNT
from switch.rules import load_rules
from switch.settings import Settings, load_settings
from switch.store import Store

__all__ = ["config_app", "register"]

config_app = typer.Typer(help="The settings.", no_args_is_help=True)
_LIBRARIES = ("grpcio", "protobuf", "redis", "hiredis", "msgpack", "aiokafka", "uvloop")


def register(app: typer.Typer) -> None:
    """Put the commands into the application."""
    for command in (serve, positions, events, recover, reasons, version):
        app.command()(command)


def serve(config: ConfigFile = None, json: Json = False) -> None:
    """Run the switch until SIGTERM or Ctrl-C: NOT_SERVING, running calls end, exit 0. SIGHUP reads the rules again."""
    settings = settings_of(config)

    def say(switch: Switch) -> None:
        assert switch.durability is not None
        ready = {
            "address": f"{settings.listen_host}:{switch.port}",
            "store": switch.durability.server,
            "promise": switch.durability.promise,
            "rails": sorted(settings.rails),
            "signing": settings.rail_signing,
            "kafka": settings.kafka_bootstrap or "none: events stay in the outbox",
            "routing": _twin(routing.COMPILED),
            "codecs": _twin(wire.COMPILED),
        }
        print(
            json_module.dumps(ready) if json else "\n".join(f"{key:<9}{value}" for key, value in ready.items()),
            flush=True,
        )

    run(serve_switch(settings, say), settings)


def events(
    config: ConfigFile = None,
    topic: Annotated[bool, typer.Option(help="read the Kafka topic; otherwise what waits in the outbox")] = False,
    json: Json = False,
) -> None:
    """Final payments as settlement consumers read them."""
    settings = settings_of(config)
    facts = run(_topic(settings) if topic else _outbox(settings), settings)
    if json:
        print_json([_plain_fact(fact) for fact in facts])
        return
    table(
        "topic" if topic else "outbox",
        ("debtor agent", "seq", "uetr", "state", "rail", "entries"),
        (
            (fact.debtor_agent, fact.sequence, fact.uetr, fact.state.name, fact.rail, len(fact.entries))
            for fact in facts
        ),
        right=("seq", "entries"),
    )


async def _topic(settings: Settings) -> list[SettlementFact]:
    return [record.fact async for record in tail(settings.kafka_bootstrap, follow=False)]


async def _outbox(settings: Settings) -> list[SettlementFact]:
    async with _store(settings) as store:
        return [
            entry.fact
            for shard in range(store.payments.shards)
            for entry in await store.payments.outbox_read(shard, RELAY_BATCH_COUNT)
        ]


def _plain_fact(fact: SettlementFact) -> dict[str, Any]:
    plain = fact._asdict()
    plain["state"] = fact.state.name
    plain["entries"] = [
        {"participant": entry.participant, "asset": entry.asset.name, "amount_minor": entry.amount_minor}
        for entry in fact.entries
    ]
    return plain


def recover(
    config: ConfigFile = None,
    ask: Annotated[bool, typer.Option(help="enquire now; otherwise only list")] = False,
    json: Json = False,
) -> None:
    """Open payments whose budget has passed, oldest first; with --ask the rails are asked about each, once."""
    settings = settings_of(config)
    found = run(_recover(settings, ask), settings)
    now_ms = SystemClock().now_ms()
    rows = [
        {
            "uetr": payment.hold.uetr,
            "participant": payment.hold.participant,
            "rail": payment.hold.rail,
            "state": payment.state.name,
            "age_ms": now_ms - payment.hold.prepared_time_ms,
            "reason": payment.history[-1].reason,
        }
        for payment in found
    ]
    if json:
        print_json(rows)
    else:
        table(
            "open payments",
            ("uetr", "participant", "rail", "state", "age ms", "reason"),
            [list(row.values()) for row in rows],
        )
    sys.exit(5 if any(not payment.state.final for payment in found) else 0)


async def _recover(settings: Settings, ask: bool) -> list[Payment]:
    async with _store(settings) as store:
        store_payments, clock = store.payments, SystemClock()
        found = await store_payments.overdue(clock.now_ms(), RECOVERY_SCAN_COUNT)
        if not ask or not found:
            return found
        rails = connect_rails(settings)
        await asyncio.gather(*(rail.start() for rail in rails.values()))
        try:
            times = recovery_times(settings)
            await asyncio.gather(*(settle(payment, store_payments, rails, clock, times) for payment in found))
        finally:
            await asyncio.gather(*(rail.close() for rail in rails.values()))
        return [await store_payments.get(payment.hold.participant, payment.hold.uetr) or payment for payment in found]


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    store = await connect_store(settings)
    try:
        yield store
    finally:
        await store.close()


def reasons(json: Json = False) -> None:
    """The catalogue: every reason a call or a payment can be refused for, and what to do."""
    rows = [
        {
            "reason": reason.name,
            "grpc": reason.grpc,
            "iso": reason.iso,
            "retry": reason.retry.value,
            "ask_status": reason.ask_status,
            "retry_after_ms": reason.retry_after_ms,
            "advice": reason.advice,
        }
        for reason in REASONS.values()
    ]
    if json:
        print_json(rows)
        return
    table(
        "",
        ("reason", "gRPC", "ISO", "retry?", "ask status?", "what to do"),
        (
            (row["reason"], row["grpc"], row["iso"], row["retry"], "yes" if row["ask_status"] else "-", row["advice"])
            for row in rows
        ),
    )


@config_app.command("check")
def check(config: ConfigFile = None) -> None:
    """Read settings and rules; exit 2 with the setting to change when something is wrong."""
    settings = settings_of(config)
    rules = load_rules(settings.rules_dir)
    connect_rails(settings)
    missing = sorted({corridor.rail for corridor in rules.corridors} - set(RAILS))
    if missing:
        console.print(f"corridors name rails that do not exist: {', '.join(missing)}")
        sys.exit(2)
    console.print(f"settings are right; {len(rules.corridors)} corridors")


@config_app.command("show")
def show(config: ConfigFile = None, json: Json = False) -> None:
    """Every setting, its value and where it came from; secrets masked."""
    settings, origins = load_settings(file=config)
    rows = [
        {"setting": key, "value": _masked(getattr(settings, key)), "from": origins[key]}
        for key in type(settings).model_fields
    ]
    if json:
        print_json(rows)
        return
    table("", ("setting", "value", "from"), [list(row.values()) for row in rows])
    if not settings.rail_signing:
        console.print("rail_signing is off: messages to the rails carry no signature; for load tests only")


def _masked(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return "" if value is None else str(value)


def version(
    config: ConfigFile = None,
    server: Annotated[bool, typer.Option(help="ask the store, too")] = False,
    json: Json = False,
) -> None:
    """What runs: compiled or plain, library versions, and with --server the store's durability."""
    found: dict[str, Any] = {
        "bayswitch": __version__,
        "python": platform.python_version(),
        "routing": _twin(routing.COMPILED),
        "codecs": _twin(wire.COMPILED),
    }
    found.update({name: version_of(name) for name in _LIBRARIES})
    if server:
        settings = settings_of(config)
        durability = run(_durability(settings), settings)
        found["store"] = durability.server
        found["promise"] = durability.promise
    if json:
        print_json(found)
    else:
        for key, value in found.items():
            console.print(f"{key:<10} {value}", markup=False)


async def _durability(settings: Settings) -> Any:
    async with _store(settings) as store:
        return await store.payments.durability()


def _twin(compiled: bool) -> str:
    return "compiled" if compiled else "plain Python"
