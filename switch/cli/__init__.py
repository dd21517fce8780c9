"""The command line: `bayswitch …`. It parses and calls; what it calls is elsewhere."""

import logging
import sys
from typing import Final

import typer

from switch.cli import (
    demo,
    dlq,
    events,
    operations,
    participants,
    payments,
    rails,
    reconcile,
    relay,
    settling,
    status,
    topics,
    windows,
)
from switch.cli.client import CallFailed
from switch.cli.demo_settlement import Unsettled
from switch.cli.options import where
from switch.cli.output import error_line
from switch.errors import BayswitchError, ConfigError, InvalidValue, Refused, anatomy

__all__ = ["app", "main"]

_HELP: Final = """Bayswitch: a payment switch between the payment systems of the Greater Bay Area.

Exit codes: 0 done; 1 a payment ended ABORTED, or what was checked is not as it should be; 2 the command line or a
setting is wrong; 3 refused, the reason is printed; 4 unavailable, the same command may be repeated; 5 IN_DOUBT or
still open, ask again; 70 a fault of ours; 130 Ctrl-C.
"""
_FAULT, _INTERRUPTED = 70, 130
_LOG = logging.getLogger("bayswitch.cli")

app = typer.Typer(
    name="bayswitch",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
payments.register(app)
operations.register(app)
app.add_typer(participants.app, name="participants")
app.add_typer(rails.app, name="rail")
app.add_typer(operations.config_app, name="config")
app.command("demo")(demo.command)
app.command("reconcile")(reconcile.command)
app.command("rebuild")(settling.rebuild)
app.command("status")(status.command)
app.command("settler")(settling.settler)
for command in (settling.verify, settling.gaps, settling.excuse):
    windows.app.command()(command)
app.add_typer(windows.app, name="windows")
app.add_typer(events.app, name="events")
app.add_typer(topics.app, name="topics")
app.add_typer(dlq.app, name="dlq")
app.command("relay")(relay.command)
app.callback()(where)


def main() -> None:
    """Entry point: every error ends in one line and an exit code, never in a traceback."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    try:
        app(prog_name="bayswitch")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the edge: a traceback may quote what was typed, names and numbers
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    """Say in one line what went wrong, and the code it ends with."""
    if isinstance(error, CallFailed):
        error_line(str(error))
        return error.exit_code
    if isinstance(error, demo.DemoFailed | Unsettled):
        error_line(str(error))
        return 1
    if isinstance(error, ConfigError | InvalidValue):
        error_line(str(error))
        return 2
    if isinstance(error, Refused):
        error_line(str(error))
        return 3
    if isinstance(error, BayswitchError):
        error_line(f"{type(error).__name__}: {error}")
        return 4
    _LOG.error("%s", anatomy(error))
    error_line(f"a fault of ours: {type(error).__name__}; where it happened is in the log above")
    return _FAULT
