"""The command line: `bayswitch …`. It parses and calls; what it calls is elsewhere.

Exit codes: 0 done; 1 the payment ended ABORTED, or a check found something wrong; 2 the command line or a setting is
wrong; 3 refused (the reason is printed); 4 unavailable, repeat the same command; 5 IN_DOUBT or still PREPARED, ask again.
"""

import logging
import sys

import typer

from switch.cli import demo, operations, participants, payments, rails
from switch.cli.client import CallFailed
from switch.cli.options import where
from switch.cli.output import error_line
from switch.errors import BayswitchError, ConfigError

__all__ = ["app", "main"]

app = typer.Typer(name="bayswitch", help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
payments.register(app)
operations.register(app)
app.add_typer(participants.app, name="participants")
app.add_typer(rails.app, name="rail")
app.add_typer(operations.config_app, name="config")
app.command("demo")(demo.command)
app.callback()(where)


def main() -> None:
    """Entry point: errors of ours end in one line and an exit code, never in a traceback."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    try:
        app()
    except CallFailed as failure:
        error_line(str(failure))
        sys.exit(failure.exit_code)
    except ConfigError as error:
        error_line(str(error))
        sys.exit(2)
    except BayswitchError as error:
        error_line(f"{type(error).__name__}: {error}")
        sys.exit(4)
