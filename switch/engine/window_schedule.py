"""The schedule: opens windows, cuts them at their times, closes them when they are filled, and carries what was paid.

Several processes may run it. A cut names the window it means, so each scheduled time cuts once; closing and carrying do
nothing the second time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from switch.domain.calendar import Calendar, next_cut
from switch.domain.settlement import Arrangement, Window, WindowState
from switch.engine.settlement import Settlement
from switch.errors import (
    ArchiveUnavailable,
    BrokerUnavailable,
    ConfigError,
    Refused,
    SettlementHalted,
    StoreUnavailable,
    anatomy,
)
from switch.limits import WINDOWS_READ_MAX
from switch.ports import Clock, SettlementStore

__all__ = ["SCHEDULE", "WindowSchedule"]

SCHEDULE: Final = "schedule"  # who cut, when nobody did by hand
_LOG = logging.getLogger("bayswitch.settlement")
_LOOK_MS: Final = 500  # a cut is late by at most this, a close comes so soon after the window is filled
_BACKOFF_FIRST_MS: Final = 1_000
_BACKOFF_MS_MAX: Final = 60_000
_WAITS: Final = (StoreUnavailable, BrokerUnavailable, ArchiveUnavailable)  # they come back; nobody need look


class WindowSchedule:
    """`await schedule.run()` until cancelled. `trouble`: what is not done -> why, for an operator."""

    def __init__(
        self,
        settlement: Settlement,
        store: SettlementStore,
        arrangements: Mapping[str, Arrangement],
        calendars: Mapping[str, Calendar],
        clock: Clock,
    ) -> None:
        self.trouble: dict[str, str] = {}
        self._settlement = settlement
        self._store = store
        self._arrangements = arrangements
        self._calendars = calendars
        self._clock = clock
        self._sealed: dict[str, int] = {}  # arrangement -> the last number known to be closed
        self._pauses: dict[str, tuple[int, int]] = {}  # what is not tried -> until when, and how long the pause was

    async def run(self) -> None:
        """Look, wait, for ever. Cancel it to stop. Nothing else ends it: what goes wrong is logged and tried again."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_MS / 1000)

    async def look(self) -> None:
        """One look at every arrangement: what is due is done. What fails is paused, each for itself, longer each time."""
        ids = list(self._arrangements)
        await self._try("windows are not opened", self._store.open_windows, ids, self._clock.now_ms())
        for arrangement in self._arrangements.values():
            await self._try(f"{arrangement.id} is not cut", self._cut, arrangement)
            await self._try(f"{arrangement.id} is not closed", self._close, arrangement.id)
        await self._try("what was paid is not carried into the books", self._store.move)

    async def _try(self, name: str, work: Callable[..., Awaitable[object]], *given: object) -> None:
        now_ms = self._clock.now_ms()
        until_ms, pause_ms = self._pauses.get(name, (0, 0))
        if now_ms < until_ms:
            return
        try:
            await work(*given)
        except _WAITS as error:
            _LOG.warning("%s: %s: %s", name, type(error).__name__, error)
            said = type(error).__name__
        except (Refused, ConfigError, SettlementHalted) as error:
            _LOG.error("%s: %s%s", name, error, _figures(error))
            said = f"{error}{_figures(error)}"
        except Exception as error:  # noqa: BLE001 - see run
            _LOG.critical("%s: %s", name, anatomy(error))
            said = type(error).__name__
        else:
            self._pauses.pop(name, None)
            self.trouble.pop(name, None)
            return
        self.trouble[name] = said
        pause_ms = min(max(2 * pause_ms, _BACKOFF_FIRST_MS), _BACKOFF_MS_MAX)
        self._pauses[name] = (now_ms + pause_ms, pause_ms)

    async def _cut(self, arrangement: Arrangement) -> None:
        """Cut the open window when its time has passed since it was opened: after a pause, once for all that was missed."""
        newest = await self._store.windows(arrangement.id, 1)
        if not newest or newest[0].state is not WindowState.OPEN:
            return  # another process is between a cut and what follows; the next look sees it
        window = newest[0]
        due_ms = next_cut(arrangement, self._calendars, window.open_time_ms)
        if due_ms is not None and due_ms <= self._clock.now_ms():
            await self._settlement.cut(window.id, SCHEDULE)

    async def _close(self, arrangement_id: str) -> None:
        """Close what is cut and filled, in turn; the first that cannot be closed ends it, for none may pass it."""
        for window in await self._unsealed(arrangement_id):
            if window.state is WindowState.OPEN or (window.state is WindowState.CUT and not window.filled):
                return
            if window.state is WindowState.CUT:
                await self._settlement.close(window.id)
            self._sealed[arrangement_id] = window.number

    async def _unsealed(self, arrangement_id: str) -> list[Window]:
        """Windows behind the last that is known to be closed, oldest first."""
        newest = await self._store.windows(arrangement_id, 1)
        if not newest:
            return []
        behind = newest[0].number - self._sealed.get(arrangement_id, 0)
        found = await self._store.windows(arrangement_id, min(max(behind, 1), WINDOWS_READ_MAX))
        return sorted(found, key=lambda window: window.number)


def _figures(error: Exception) -> str:
    figures = error.figures if isinstance(error, Refused) else {}
    return "".join(f", {key} {value}" for key, value in sorted(figures.items()))
