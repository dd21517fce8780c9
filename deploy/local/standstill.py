"""SIGSTOP that has taken effect: kill(2) returns before the threads of another process stand still."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["GONE", "DoesNotObey", "await_that", "pause", "send", "state"]

OBEY_SECONDS_MAX = 10  # a SIGSTOP or SIGKILL
POLL_SECONDS = 0.002
GONE = ("Z", "")  # states of proc(5): dead and not yet buried, no such process
_STILL = ("T", *GONE)


class DoesNotObey(Exception):
    """A process did not do in its time what a signal demands."""


def pause(pid: int) -> None:
    """Return when every thread of the process stands still: its connections stay open and nothing answers.

    SIGCONT undoes it. A process that is gone stands still.
    """
    send(signal.SIGSTOP, [pid])
    await_that(lambda: all(_state(task / "stat") in _STILL for task in _threads(pid)))


def send(number: signal.Signals, pids: Sequence[int]) -> None:
    """Send a signal; a process that ended by itself just now is left alone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def state(pid: int) -> str:
    """One letter, as in proc(5); "" when the process is gone."""
    return _state(Path(f"/proc/{pid}/stat"))


def await_that(reached: Callable[[], bool]) -> None:
    """Look again and again until `reached` says so. Raises DoesNotObey."""
    deadline = time.monotonic() + OBEY_SECONDS_MAX
    while not reached():
        if time.monotonic() > deadline:
            raise DoesNotObey("a process does not obey a signal")
        time.sleep(POLL_SECONDS)


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _state(stat: Path) -> str:
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
