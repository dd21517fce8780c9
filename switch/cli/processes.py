"""Starts the parts of a switch as processes of their own, waits until each says it is ready, and stops them by id."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any

from switch.errors import BayswitchError

__all__ = ["NotReady", "Part", "start_part", "uninterrupted"]

_LAST_WORDS_CHARS = 600


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """SIGINT and SIGTERM are heard when the block ends: raised in its middle, they would lose what it was about to keep.

    For short blocks of the main thread; in another one, where no signal is heard, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in heard:
            signal.raise_signal(one)


class NotReady(BayswitchError):
    """A part ended, or said nothing, before it was ready; carries the end of what it printed."""


class Part:
    """One running process. `ready` is what its first line of output said, as data."""

    def __init__(self, process: subprocess.Popen[str], ready: Mapping[str, Any], log: Path) -> None:
        self.process = process
        self.ready = ready
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self._reap()

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM, wait, and its exit status; SIGKILL when it does not end in time."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._reap()

    def _reap(self) -> int:
        status = self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        return status


def start_part(
    name: str, *arguments: str, environment: Mapping[str, str], directory: Path, seconds: float = 120
) -> Part:
    """`bayswitch <arguments> --json` as a process; returns when it has printed its ready line.

    Raises:
        NotReady: it ended, stayed silent for `seconds`, or said something else; it does not run any more.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log_path = directory / f"{name}.log"
    with log_path.open("a") as log:
        begun = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "switch", *arguments, "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
        )
    try:
        ready = _ready(process, seconds)
    except BaseException:  # Ctrl-C while we wait: nobody else would end it
        _give_up(process)
        raise
    if ready is None:
        _give_up(process)
        raise NotReady(f"{name} is not ready: {_last_words(log_path, begun)}")
    return Part(process, ready, log_path)


def _ready(process: subprocess.Popen[str], seconds: float) -> Mapping[str, Any] | None:
    """What its first line says; None when there is none in time, or it is not ours."""
    assert process.stdout is not None
    try:
        said = json.loads(_first_line(process.stdout, seconds) or "null")
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _give_up(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def _last_words(log: Path, begun: int) -> str:
    """The end of what it printed since `begun`, a place in its log."""
    return log.read_bytes()[begun:].decode("utf-8", "replace")[-_LAST_WORDS_CHARS:].strip() or "no output"


def _first_line(stream: IO[str], seconds: float) -> str:
    """The first line, or "" when none comes in time or the stream ends."""
    found: list[str] = []

    def read() -> None:
        with contextlib.suppress(ValueError):  # closed under us: nobody waits for the line any more
            found.append(stream.readline())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(seconds)
    return found[0] if found else ""
