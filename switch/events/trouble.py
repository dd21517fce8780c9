"""What the background work of events does with trouble: say it once, wait, begin again, and show it to operators."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from switch.errors import BayswitchError
from switch.events.cancels import heed_cancel
from switch.limits import RELAY_BACKOFF_MS_FIRST, RELAY_BACKOFF_MS_MAX
from switch.ports import Clock

__all__ = ["Trouble"]

_LOG = logging.getLogger("bayswitch.events")


class Trouble:
    """The troubles of several works, each with the pause it has come to. The attributes are what an operator watches.

    last_error, last_error_time_ms: the latest trouble as one safe line, kept after it has passed; "" and 0: none yet.
    failing: whether any of the works is in trouble now.
    """

    def __init__(self, waiting: str, clock: Clock) -> None:
        """`waiting` begins the line in the log: what waits while there is trouble."""
        self.last_error = ""
        self.last_error_time_ms = 0
        self._waiting = waiting
        self._clock = clock
        self._pauses_ms: dict[str, int] = {}

    @property
    def failing(self) -> bool:
        return bool(self._pauses_ms)

    async def persist(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` again and again until cancelled; while it raises, later and later."""
        while True:
            heed_cancel()
            try:
                await work()
            except Exception as error:  # noqa: BLE001 a fault of ours delays events as trouble does, never ends them
                await asyncio.sleep(self._note(what, error) / 1000)

    def well(self, what: str) -> None:
        """This work has done something: its trouble, if any, is over."""
        if self._pauses_ms.pop(what, None):
            _LOG.info("events flow again: %s", what)

    def _note(self, what: str, error: Exception) -> int:
        """Keep it, and say how many milliseconds to wait. Logged once per trouble, not once per attempt."""
        line = f"{what}: {_line(error)}"
        if what not in self._pauses_ms:
            _LOG.warning("%s: %s", self._waiting, line)
        self.last_error, self.last_error_time_ms = line, self._clock.now_ms()
        pause_ms = self._pauses_ms.get(what, RELAY_BACKOFF_MS_FIRST)
        self._pauses_ms[what] = min(2 * pause_ms, RELAY_BACKOFF_MS_MAX)
        return pause_ms


def _line(error: Exception) -> str:
    """Our own errors hold no personal value; of any other only its kind and place are safe to show."""
    if isinstance(error, BayswitchError):
        return f"{type(error).__name__}: {error}"
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"
