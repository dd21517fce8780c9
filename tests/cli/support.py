"""The command line in this process: arguments in; exit code, standard output and standard error out."""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from switch.cli import main
from switch.cli.client import CallFailed
from switch.cli.sandbox import Sandbox, load_scenario

__all__ = ["Cli", "Ran", "enrol", "until"]

WAIT_S_MAX = 60
POLL_S = 0.02
REPEATS_MAX = 5
# What the switch says to repeat when its store has not answered in a second: where a machine stands still, it has not.
REPEAT = "STORE_UNAVAILABLE"


class Ran(NamedTuple):
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Runs `bayswitch <arguments>` with this environment and nothing else of ours.

    What is to be repeated is, as the switch says; but not a payment, whose repeat with other ids is another one.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("BAYSWITCH_")},
            **(environment or {}),
        }

    def __call__(self, *arguments: str, **environment: str) -> Ran:
        ran = self._once(*arguments, **environment)
        for _ in range(REPEATS_MAX):
            if "pay" in arguments or ran.code != 4 or REPEAT not in ran.err:
                break
            ran = self._once(*arguments, **environment)
        return ran

    def _once(self, *arguments: str, **environment: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        kept_argv, kept_environment = sys.argv, dict(os.environ)
        code = 0
        try:
            sys.argv = ["bayswitch", *arguments]
            _become({**self.environment, **environment})
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            sys.argv = kept_argv
            _become(kept_environment)
        assert "Traceback" not in err.getvalue()
        return Ran(code, out.getvalue(), err.getvalue())


def _become(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def enrol(sandbox: Sandbox) -> None:
    """The demo's participants and rates; repeated as the switch says."""

    def enrolled() -> bool:
        try:
            sandbox.enrol(load_scenario())
        except CallFailed as error:
            assert error.reason == REPEAT, error  # noqa: PT017 - any other is a fault
            return False
        return True

    until(enrolled, "the participants have joined")


def until(reached: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so. Fails after WAIT_S_MAX."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not reached():
        assert time.monotonic() < deadline, f"not in {WAIT_S_MAX} s: {what}"
        time.sleep(POLL_S)
