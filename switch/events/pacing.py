"""How often a queue is looked at that nobody may announce things for: at once when nudged, else less and less often."""

import asyncio
import contextlib

from switch.events.cancels import heed_cancel
from switch.limits import RELAY_IDLE_MS_MAX, RELAY_IDLE_MS_MIN

__all__ = ["Pace"]


class Pace:
    """Of one queue: `begin`, look, `rest`, and again."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._idle_ms = RELAY_IDLE_MS_MIN

    def nudge(self) -> None:
        """There is something."""
        self._woken.set()

    def begin(self) -> None:
        """Before reading: what is nudged from here on may not be in what is read. Raises a cancel that was lost."""
        heed_cancel()
        self._woken.clear()

    async def rest(self, moved: int) -> None:
        """Until the next look is due, or a nudge; the sooner when the last one has moved something."""
        self._idle_ms = RELAY_IDLE_MS_MIN if moved else min(2 * self._idle_ms, RELAY_IDLE_MS_MAX)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._idle_ms / 1000):
                await self._woken.wait()
