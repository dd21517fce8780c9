"""A promise about time that broke while the machine stood still is tried again: what else would it tell of the rail?"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from adapters.kit.promises import Untimely

__all__ = ["in_good_time"]

_BEAT_S: Final = 0.01
_STILL_S: Final = 0.05  # a loop whose turn comes so much too late stood still
_TRIES: Final = 5


class _Pulse:
    """Beats as often as the event loop lets it."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._longest_s = 0.0

    @property
    def longest_s(self) -> float:
        """How much too late a beat came at most, one that is still due included."""
        return max(self._longest_s, time.monotonic() - self._last - _BEAT_S)

    async def beat(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_BEAT_S)
            self._longest_s = self.longest_s
            self._last = time.monotonic()


async def in_good_time(check: Callable[[], Awaitable[None]]) -> None:
    """Run `check`. Raises what it raises; Untimely only when the loop had its turns, or for the fifth time."""
    for tries_left in reversed(range(_TRIES)):
        pulse = _Pulse()
        beating = asyncio.create_task(pulse.beat(), name="pulse")
        try:
            await check()
            return
        except Untimely:
            if not tries_left or pulse.longest_s < _STILL_S:
                raise
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
