"""Loaded into a pytest run (`-p tests.planted.witness`): writes down how each test ended, and at which line it failed.

It also looks where our modules came from: a run that tested another checkout than its own proves nothing.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

__all__ = ["REPORT", "Ended", "ended"]

REPORT: Final = "PLANTED_REPORT"  # the environment variable with the path of the report
_OURS: Final = ("switch", "adapters", "bayswitch", "deploy", "loadtest", "tests")
_ASSERTED: Final = re.compile(r"(AssertionError|assert |Failed: DID NOT RAISE)")


class Ended(NamedTuple):
    """How one test ended. `asserted`: by an assertion of the test, not by a fall somewhere on the way."""

    outcome: str  # passed, failed; error: before or after the test itself
    asserted: bool = False
    place: str = ""  # file:line
    line: str = ""  # the line of the test that failed
    said: str = ""  # what pytest says of it


_ended: dict[str, Ended] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        _ended[report.nodeid] = _failed(report) if report.failed else Ended(report.outcome)
    elif report.failed:
        _ended[report.nodeid] = _failed(report)._replace(outcome="error")


def _failed(report: pytest.TestReport) -> Ended:
    """From the last frame of the traceback: its line begins with ">", what pytest says of it with "E"."""
    lines = report.longreprtext.splitlines()
    marked = [number for number, line in enumerate(lines) if line.startswith(">")]
    begin = marked[-1] if marked else 0
    line = lines[begin].removeprefix(">").strip() if marked else ""
    words = [line[1:].strip() for line in lines[begin:] if line.startswith("E ")]
    said = " | ".join(
        words[: 1 + (len(words) > 1 and "assert " not in words[0])]
    )  # words of the test, then the figures
    place = next((line for line in reversed(lines) if re.match(r"\S+\.py:\d+: ", line)), "").rpartition(": ")[0]
    return Ended("failed", bool(_ASSERTED.match(said)), place, line, said)


def pytest_sessionfinish(session: pytest.Session) -> None:
    root = str(session.config.rootpath)
    files = {
        name: str(module.__file__)
        for name, module in sys.modules.items()
        if name.partition(".")[0] in _OURS and getattr(module, "__file__", None)
    }
    strange = sorted(name for name, file in files.items() if not file.startswith(f"{root}{os.sep}"))
    report = {"strange": strange, "modules": len(files), "tests": _ended}
    Path(os.environ[REPORT]).write_text(json.dumps(report), "utf-8")


def ended(report: Path) -> dict[str, Ended]:
    """What a run wrote down. Raises RuntimeError: modules came from elsewhere."""
    told = json.loads(report.read_text("utf-8"))
    if told["strange"] or not told["modules"]:
        raise RuntimeError(f"not of this copy: {', '.join(told['strange']) or 'no module of ours was imported'}")
    return {name: Ended(*one) for name, one in told["tests"].items()}
