"""The announcer: what windows and positions have done goes to their topics, and is due no more when the broker has it.

At least once, in order per arrangement and per position, with stable ids: read what is due, publish it, take it off, and
only then read on. Trouble with the broker or the store makes it wait and begin again; settlement goes on meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from switch.events.pacing import Pace
from switch.events.producer import Record
from switch.events.trouble import Trouble
from switch.events.window_schema import (
    announcement_headers,
    announcement_key,
    encode_announcement,
    encode_moved,
    moved_headers,
    moved_key,
)
from switch.limits import ANNOUNCE_COUNT
from switch.ports import Clock, SettlementStore

__all__ = ["Announcer", "RecordWriter"]


class RecordWriter(Protocol):
    """events.writer.TopicWriter, or a test's list."""

    async def write(self, records: Sequence[Record]) -> None:
        """Returns when the broker has every record. Safe to repeat. Raises BrokerUnavailable."""
        ...

    async def close(self) -> None: ...


class Announcer:
    """Runs until cancelled: `await announcer.run()`, beside the settler. The attributes are what an operator watches.

    windows_total, positions_total: events the broker acknowledged, repeats included.
    trouble: what is wrong now, and since when.
    """

    def __init__(self, store: SettlementStore, windows: RecordWriter, positions: RecordWriter, clock: Clock) -> None:
        self.windows_total = 0
        self.positions_total = 0
        self.trouble = Trouble("announcements wait", clock)
        self._store = store
        self._windows = windows
        self._positions = positions
        self._clock = clock
        self._paces = {"windows": Pace(), "positions": Pace()}

    def nudge(self) -> None:
        """A window or a position has moved. Saves up to RELAY_IDLE_MS_MAX; never needed."""
        for pace in self._paces.values():
            pace.nudge()

    async def run(self) -> None:
        """Announce until cancelled, which may come at any moment: what was published and not taken off is published
        again by the next run, with the same ids. Closes both writers.
        """
        moves = {"windows": self._move_windows, "positions": self._move_positions}
        try:
            async with asyncio.TaskGroup() as group:
                for what, move in moves.items():
                    group.create_task(self.trouble.persist(what, partial(self._announce, what, move)))
        finally:
            await self._windows.close()
            await self._positions.close()

    async def _announce(self, what: str, move: Callable[[], Awaitable[int]]) -> None:
        pace = self._paces[what]
        while True:
            pace.begin()
            moved = await move()
            self.trouble.well(what)
            if moved < ANNOUNCE_COUNT:
                await pace.rest(moved)

    async def _move_windows(self) -> int:
        """Read, publish, take off: some moves of windows, the oldest. How many."""
        due = await self._store.announcements(ANNOUNCE_COUNT)
        if due:
            await self._windows.write(
                [(announcement_key(one), encode_announcement(one), announcement_headers(one)) for one in due]
            )
            self.windows_total += len(due)
            await self._store.announced(due)
        return len(due)

    async def _move_positions(self) -> int:
        """The same with positions, as they are now: what changed twice since the last time is published once."""
        due, now_ms = await self._store.moved(ANNOUNCE_COUNT), self._clock.now_ms()
        if due:
            await self._positions.write(
                [(moved_key(one), encode_moved(one, now_ms), moved_headers(one, now_ms)) for one in due]
            )
            self.positions_total += len(due)
            await self._store.published(due)
        return len(due)
