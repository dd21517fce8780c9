"""Moves of settlement windows as they happen, for the streams of one process."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Final

from switch.domain.settlement import ObligationState, Window, WindowState
from switch.errors import Refused
from switch.limits import WATCHERS_MAX, WINDOWS_READ_MAX
from switch.ports import SettlementStore, WindowKey

__all__ = ["WindowWatch"]

_LOOK_MS: Final = 250  # moves made by another process are seen within this

_Standing = tuple[WindowState, bool, tuple[ObligationState, ...]]


class WindowWatch:
    """All WatchWindows streams of one process. They share their looks: many watchers ask the store as often as one."""

    def __init__(self, store: SettlementStore, arrangement_ids: Iterable[str]) -> None:
        self._store = store
        self._arrangement_ids = tuple(arrangement_ids)
        self._windows: dict[WindowKey, Window] = {}  # as last seen; settled ones stay for whoever is slow to read
        self._looks = 0
        self._looking = asyncio.Lock()
        self._woken: set[asyncio.Event] = set()
        self._closed = False

    def close(self) -> None:
        """End every stream, and those that are asked for from now on."""
        self._closed = True
        self.nudge()

    def nudge(self) -> None:
        """A window moved in this process."""
        for event in self._woken:
            event.set()

    async def moves(self, heard: Callable[[], Awaitable[None]]) -> AsyncGenerator[Window, None]:
        """A window after each of its moves, until `close`; moves within _LOOK_MS may be seen as one.

        `heard` is awaited once, before the first: every move after it will be seen.

        Raises:
            Refused: OVERLOADED at WATCHERS_MAX streams.
            StoreUnavailable: ask again, and see with `windows` what was missed.
        """
        if len(self._woken) >= WATCHERS_MAX:
            raise Refused("OVERLOADED")
        if not self._woken:
            self._windows = {}  # nobody looked for a while
        woken = asyncio.Event()
        self._woken.add(woken)
        try:
            look = await self._look(self._looks)
            seen = {key: _standing(window) for key, window in self._windows.items()}
            await heard()
            while not self._closed:
                for key, window in sorted(self._windows.items()):
                    standing = _standing(window)
                    if seen.get(key) != standing:
                        seen[key] = standing
                        yield window
                await _wait(woken)
                woken.clear()
                look = await self._look(look)
        finally:
            self._woken.discard(woken)

    async def _look(self, after: int) -> int:
        """See that there was a look after look number `after`; another watcher's does. The number of the newest."""
        async with self._looking:
            if self._looks <= after:
                found: dict[WindowKey, Window] = {}
                for name in self._arrangement_ids:
                    found |= await self._of(name)
                self._windows |= found
                self._looks += 1
            return self._looks

    async def _of(self, arrangement_id: str) -> dict[WindowKey, Window]:
        """The windows of an arrangement that could have moved since the last look, as they are now."""
        known = [window for window in self._windows.values() if window.arrangement_id == arrangement_id]
        moving = [window.number for window in known if window.state is not WindowState.SETTLED]
        newest = await self._store.windows(arrangement_id, 1 if known else WINDOWS_READ_MAX)
        if known and newest:
            moving += range(max(window.number for window in known) + 1, newest[0].number + 1)
        elif not known:
            moving = [window.number for window in newest if window.state is not WindowState.SETTLED]
        found = [await self._store.window(arrangement_id, number) for number in moving]
        return {(arrangement_id, window.number): window for window in found if window is not None}


def _standing(window: Window) -> _Standing:
    return window.state, window.filled, tuple(each.state for each in window.obligations)


async def _wait(woken: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK_MS / 1000):
            await woken.wait()
    except TimeoutError:
        return  # look again: another process may have moved a window
