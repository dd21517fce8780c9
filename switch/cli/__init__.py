"""The command line: `bayswitch …`. It parses and calls; what it calls is elsewhere."""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer

from switch.cli.client import CallFailed
from switch.cli.options import where
from switch.cli.output import NotAsItShouldBe, error_line
from switch.errors import BayswitchError, ConfigError, InvalidValue, Refused, anatomy

__all__ = ["application", "main"]

_HELP: Final = """Bayswitch: a payment switch between the payment systems of the Greater Bay Area.

Exit codes: 0 done; 1 a payment ended ABORTED, or what was checked is not as it should be; 2 the command line or a
setting is wrong; 3 refused, the reason is printed; 4 unavailable, the same command may be repeated; 5 IN_DOUBT or
still open, ask again; 70 a fault of ours; 130 Ctrl-C.
"""
_FAULT, _INTERRUPTED = 70, 130
_LOG = logging.getLogger("bayswitch.cli")

# command | where it is: a function, or a group of commands
_COMMANDS: Final = {
    "pay": "payments:pay",
    "quote": "payments:quote",
    "get": "payments:get",
    "payments": "payments:payments",
    "watch": "payments:watch",
    "check-route": "payments:check_route",
    "serve": "operations:serve",
    "positions": "operations:positions",
    "recover": "operations:recover",
    "reasons": "operations:reasons",
    "version": "operations:version",
    "demo": "demo:command",
    "reconcile": "reconcile:command",
    "rebuild": "settling:rebuild",
    "status": "status:command",
    "settler": "settling:settler",
    "relay": "relay:command",
    "participants": "participants:app",
    "rail": "rails:app",
    "config": "operations:config_app",
    "windows": "windows:app",
    "events": "events:app",
    "topics": "topics:app",
    "dlq": "dlq:app",
}


def application(words: Sequence[str] = ()) -> typer.Typer:
    """The command that `words` begin with; all commands when it is none. A rail does not load what the switch needs."""
    named = _named(words)
    app = typer.Typer(
        name="bayswitch",
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(where)
    for name in [named] if named in _COMMANDS else _COMMANDS:
        module, _, attribute = _COMMANDS[name].partition(":")
        found = getattr(import_module(f"switch.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def _named(words: Sequence[str]) -> str:
    """The first word that is neither an option nor its value: every option before a command takes one."""
    value = False
    for word in words:
        if not value and not word.startswith("-"):
            return word
        value = not value and "=" not in word
    return ""


def main() -> None:
    """Entry point: every error ends in one line and an exit code, never in a traceback."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    try:
        application(sys.argv[1:])(prog_name="bayswitch")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the edge: a traceback may quote what was typed, names and numbers
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    """Say in one line what went wrong, and the code it ends with."""
    if isinstance(error, CallFailed):
        error_line(str(error))
        return error.exit_code
    if isinstance(error, NotAsItShouldBe):
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
