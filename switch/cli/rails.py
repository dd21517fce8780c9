"""The mock rails: serve one, list them, and tell a running one how to misbehave."""

import asyncio
import json as json_module
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters import RAILS
from adapters.kit.control import control
from adapters.kit.module import SimulatorOptions
from switch.cli.options import Json
from switch.cli.output import error_line, print_json, table
from switch.errors import InvalidValue, RailUnavailable
from switch.garbage import collect_briefly
from switch.limits import RAIL_MESSAGE_VALID_MS

__all__ = ["app"]

app = typer.Typer(help="The mock rails.", no_args_is_help=True)
Control = Annotated[str, typer.Option("--control", help="host:port of the simulator's control socket")]
RailName = Annotated[str, typer.Argument(help="see `bayswitch rail list`")]


def _known(name: str) -> str:
    if name not in RAILS:
        raise typer.BadParameter(f"no rail {name!r}; there are {', '.join(RAILS)}")
    return name


@app.command("list")
def list_all(json: Json = False) -> None:
    """The rails, their assets and addresses."""
    rows = [
        {
            "rail": name,
            "title": rail.title,
            "place": rail.place.name,
            "assets": [asset.name for asset in rail.assets],
            "schemes": [scheme.name for scheme in rail.schemes],
            "institution": rail.institution,
        }
        for name, rail in RAILS.items()
    ]
    if json:
        print_json(rows)
        return
    cells = [[" ".join(value) if isinstance(value, list) else value for value in row.values()] for row in rows]
    table("", list(rows[0]), cells)


@app.command()
def serve(
    name: RailName,
    port: Annotated[int, typer.Option(help="0 = a free one")] = 0,
    control_port: Annotated[int, typer.Option(help="0 = a free one")] = 0,
    host: Annotated[str, typer.Option(help="loopback is meant")] = "127.0.0.1",
    keys_dir: Annotated[Path, typer.Option(help="key pairs, shared with the switch in a sandbox")] = Path(
        "bayswitch-data/keys"
    ),
    seed: Annotated[Path | None, typer.Option(help="accounts (TOML); default: the rail's own")] = None,
    institution: Annotated[str, typer.Option(help="the switch's code on this rail; default: the rail's own")] = "",
    signing: Annotated[bool, typer.Option(help="off only for load tests")] = True,
    message_valid_ms: Annotated[int, typer.Option(help="older messages are refused")] = RAIL_MESSAGE_VALID_MS,
    json: Json = False,
) -> None:
    """Run one mock rail until SIGTERM or Ctrl-C."""
    rail = RAILS[_known(name)]
    options = SimulatorOptions(
        host, port, control_port, institution or rail.institution, keys_dir / name, seed, signing, message_valid_ms
    )
    asyncio.run(_serve(name, options, json))


async def _serve(name: str, options: SimulatorOptions, json: bool) -> None:
    simulator = RAILS[name].make_simulator(options)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await simulator.start()
    collect_briefly()
    try:
        ready = {
            "rail": name,
            "address": f"{options.host}:{simulator.port}",
            "control": f"{options.host}:{simulator.control_port}",
        }
        line = json_module.dumps(ready) if json else " ".join(f"{key} {value}" for key, value in ready.items())
        print(line, flush=True)
        await stopping.wait()
    finally:
        await simulator.close()


@app.command()
def fault(
    fault: Annotated[str, typer.Argument(help="slow:500, silent, refuse:CODE …; `clear` ends all, `list` shows them")],
    where: Control,
    count: Annotated[int, typer.Option(help="how many messages; 0 = until cleared")] = 0,
    per_mille: Annotated[int, typer.Option(help="probability")] = 1000,
    seed: Annotated[int, typer.Option(help="of the probability")] = 0,
    on: Annotated[str, typer.Option(help="prepare, enquire or any")] = "prepare",
) -> None:
    """Tell a running mock rail to misbehave."""
    if fault in ("clear", "list"):
        print_json(_ask(where, "clear" if fault == "clear" else "faults"))
    else:
        print_json(_ask(where, "fault", fault=fault, count=count, per_mille=per_mille, seed=seed, on=on))


@app.command()
def payments(
    where: Control,
    after: Annotated[int, typer.Option(help="from this place")] = 0,
    count: Annotated[int, typer.Option(help="at most")] = 1000,
    json: Json = False,
) -> None:
    """What the rail's own books say of every UETR it saw."""
    found = _ask(where, "payments", after=after, count=count)
    if json:
        print_json(found)
        return
    table("", ("uetr", "status", "minor units", "asset", "code"), found["payments"], right=("minor units",))


def _ask(where: str, call: str, **arguments: Any) -> dict[str, Any]:
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter("--control is host:port")
    try:
        return dict(asyncio.run(control(host, int(port), call, **arguments)))
    except RailUnavailable as error:
        error_line(str(error))
        sys.exit(4)
    except InvalidValue as error:
        error_line(f"{error.rule}: {error}")
        sys.exit(2)
