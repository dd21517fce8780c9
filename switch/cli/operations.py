"""What an operator does: serve, look at open payments, read the catalogue and the settings."""

import asyncio
import contextlib
import json as json_module
import logging
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters import wire
from switch import __version__, routing
from switch.app import Switch, SystemClock, connect_rails, recovery_times, run
from switch.app import check as check_settings
from switch.app import serve as serve_switch
from switch.app.workers import WorkerNotReady, obey, supervise
from switch.cli.options import ConfigFile, Json, settings_of
from switch.cli.output import error_line, print_json, say, table
from switch.cli.participants import positions
from switch.cli.stores import opened_store
from switch.domain.payment import Payment
from switch.engine.recovery import settle
from switch.errors import REASONS, RailError
from switch.limits import ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX, RECOVERY_SCAN_COUNT
from switch.settings import Settings, load_settings, shown

__all__ = ["config_app", "positions", "reasons", "recover", "serve", "version"]

config_app = typer.Typer(help="The settings.", no_args_is_help=True)
_LIBRARIES = ("grpcio", "protobuf", "redis", "hiredis", "msgpack", "aiokafka", "uvloop")


def serve(
    config: ConfigFile = None,
    workers: Annotated[int | None, typer.Option(help="processes that share the port; else the setting")] = None,
    worker: Annotated[int | None, typer.Option(hidden=True, help="which of them: a supervisor says it")] = None,
    json: Json = False,
) -> None:
    """Run the switch until SIGTERM or Ctrl-C.

    Then: NOT_SERVING, running calls end, exit 0. SIGHUP reads the rules again. Of several workers, one that ends is
    replaced, and SIGUSR2 restarts all, one after the other. With --json the first line of output says in JSON what runs
    and where.
    """
    settings = load_settings(file=config, workers=workers)[0]
    if worker is not None:
        _serve_as(worker, settings)
    elif settings.workers == 1:
        run(serve_switch(settings, lambda switch: _announce(_ready(switch), json)), settings)
    else:
        _serve_all(config, settings, json)


def _serve_all(config: Path | None, settings: Settings, json: bool) -> None:
    """Several workers, each this command again, and their supervisor in this process."""
    command = [sys.executable, "-m", "switch", "serve", *(["--config", str(config)] if config else []), "--worker"]
    try:
        run(supervise(settings, lambda number: [*command, str(number)], lambda ready: _announce(ready, json)), settings)
    except WorkerNotReady as error:
        error_line(str(error))
        sys.exit(error.code)


def _serve_as(worker: int, settings: Settings) -> None:
    """One of several, under the supervisor that started it. Every line it logs says which one it is."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s %(name)s worker {worker}: %(message)s"))

    def ready(switch: Switch) -> None:
        with contextlib.suppress(BrokenPipeError):  # the supervisor is gone already: heard at once
            _announce(_ready(switch), json=True)
        obey(switch)

    run(serve_switch(settings, ready), settings)


def _ready(switch: Switch) -> dict[str, Any]:
    """What runs, and where."""
    settings = switch.settings
    assert switch.durability is not None
    host = f"[{settings.listen_host}]" if ":" in settings.listen_host else settings.listen_host
    return {
        "address": f"{host}:{switch.port}",
        "workers": settings.workers,
        "admin": f"{settings.admin_host}:{switch.admin_port}" if switch.admin_port else "none",
        "callers": "name themselves (demo)" if settings.demo_identity else "by certificate",
        "store": switch.durability.server,
        "promise": switch.durability.promise,
        "rails": sorted(settings.rails),
        "signing": settings.rail_signing,
        "kafka": settings.kafka_bootstrap or "none: events stay in the outbox",
        "routing": _twin(routing.COMPILED),
        "codecs": _twin(wire.COMPILED),
    }


def _announce(ready: Mapping[str, Any], json: bool) -> None:
    if json:
        print(json_module.dumps(ready), flush=True)
        return
    for key, value in ready.items():
        say(f"{key:<9}{_text(value)}")
    sys.stdout.flush()


def recover(
    config: ConfigFile = None,
    ask: Annotated[bool, typer.Option(help="enquire now; otherwise only list")] = False,
    json: Json = False,
) -> None:
    """Open payments whose budget has passed, oldest first; with --ask the rails are asked about each, once.

    Safe beside a serving switch, which asks by itself all the time: only an answer ends a payment, and only once.
    Exit code: 0 nothing is open, 5 something still is.
    """
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
            "answer": answer,
        }
        for payment, answer in found
    ]
    if json:
        print_json(rows)
    else:
        columns = ("uetr", "participant", "rail", "state", "age ms", "reason", "answer")
        table("open payments", columns, [list(row.values()) for row in rows], right=("age ms",))
    sys.exit(5 if any(not payment.state.final for payment, _ in found) else 0)


async def _recover(settings: Settings, ask: bool) -> list[tuple[Payment, str]]:
    """Overdue payments as they are now, and what the rail said about each: "" when it was not asked."""
    async with opened_store(settings) as store:
        clock = SystemClock()
        found = await store.payments.overdue(clock.now_ms(), RECOVERY_SCAN_COUNT)
        if not ask or not found:
            return [(payment, "") for payment in found]
        rails = connect_rails(settings)
        budget = asyncio.Semaphore(ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX)

        async def asked(payment: Payment) -> tuple[Payment, str]:
            async with budget:
                try:
                    ended = await settle(payment, store.payments, rails, clock, recovery_times(settings))
                    answer = "ended" if ended else "not final yet"
                except RailError as error:
                    answer = f"no answer: {error}"
            now = await store.payments.get(payment.hold.participant, payment.hold.uetr)
            return now or payment, answer

        try:
            await asyncio.gather(*(rail.start() for rail in rails.values()))
            return await asyncio.gather(*(asked(payment) for payment in found))
        finally:
            await asyncio.gather(*(rail.close() for rail in rails.values()))


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
        fold=("what to do",),
    )


@config_app.command("check")
def check(config: ConfigFile = None) -> None:
    """Read settings and rules as `serve` would, opening nothing; exit 2 with the setting to change."""
    settings = settings_of(config)
    rules = check_settings(settings)
    say(f"settings are right; {len(rules.corridors)} corridors")
    unreached = sorted({corridor.rail for corridor in rules.corridors} - settings.rails.keys())
    if unreached:
        say(f"no address for {', '.join(unreached)}: payments over it end with RAIL_UNAVAILABLE; see the setting rails")


@config_app.command("show")
def show(config: ConfigFile = None, json: Json = False) -> None:
    """Every setting, its value and where it came from; secrets masked."""
    settings, origins = load_settings(file=config)
    rows = [
        {"setting": key, "value": shown(settings, key), "from": origins[key]} for key in type(settings).model_fields
    ]
    if json:
        print_json(rows)
        return
    cells = [(row["setting"], _text(row["value"]), row["from"]) for row in rows]
    table("settings", ("setting", "value", "from"), cells, fold=("value", "from"))
    if not settings.rail_signing:
        say("rail_signing is off: messages to the rails carry no signature; for load tests only")
    if settings.demo_identity:
        say("demo_identity is on: callers name themselves; for a sandbox on loopback only")


def _text(value: Any) -> str:
    """A value as its environment variable would have it."""
    if isinstance(value, str) or value is None:
        return value or ""
    return json_module.dumps(value, ensure_ascii=False)


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
            say(f"{key:<10} {value}")


async def _durability(settings: Settings) -> Any:
    async with opened_store(settings) as store:
        return await store.payments.durability()


def _twin(compiled: bool) -> str:
    return "compiled" if compiled else "plain Python"
