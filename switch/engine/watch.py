"""Own state changes as they happen: read from the store, woken by this process, looked for now and then for others'."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator

from switch.errors import Refused
from switch.limits import CHANGES_READ_COUNT, WATCHERS_MAX
from switch.ports import Change, PaymentStore

__all__ = ["Watch"]

_LOOK_MS = 250  # changes made by another process are seen within this


class Watch:
    """All WatchPayments streams of one process."""

    def __init__(self, store: PaymentStore) -> None:
        self._store = store
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._watchers = 0
        self._closed = False

    def close(self) -> None:
        """End every stream of changes, and those that are asked for from now on."""
        self._closed = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    def nudge(self, participant: str) -> None:
        """Something of this participant changed in this process."""
        for event in self._waiting.get(participant, ()):
            event.set()

    async def changes(self, participant: str, token: str) -> AsyncGenerator[Change, None]:
        """Every change after `token` ("" = from now on), then live, until `close`. At least once, in order.

        Raises:
            Refused: OVERLOADED at WATCHERS_MAX streams.
        """
        if self._watchers >= WATCHERS_MAX:
            raise Refused("OVERLOADED")
        self._watchers += 1
        woken = asyncio.Event()
        self._waiting[participant].add(woken)
        try:
            token = token or await self._store.changes_end(participant)
            while not self._closed:
                woken.clear()
                batch = await self._store.changes(participant, token, CHANGES_READ_COUNT)
                for change in batch:
                    yield change
                    token = change.token
                if not batch:
                    await self._wait(woken)
        finally:
            self._watchers -= 1
            self._waiting[participant].discard(woken)
            if not self._waiting[participant]:
                del self._waiting[participant]

    @staticmethod
    async def _wait(woken: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(_LOOK_MS / 1000):
                await woken.wait()
        except TimeoutError:
            return  # look again: another process may have changed something
