"""The right to relay one shard of the outbox: taken from the store, kept while it is used, given back at the end.

The store's token is what protects the outbox: a delete under an older one is refused there. What is here only keeps a
relay that lost the right from publishing again what another has published.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

from switch.errors import LeaseLost, StoreUnavailable
from switch.limits import RELAY_LEASE_MS, RELAY_LEASE_RENEW_MS
from switch.ports import PaymentStore

__all__ = ["Lease"]


class Lease:
    """One shard's. `token` is 0 while it is not ours, or not any more."""

    def __init__(self, store: PaymentStore, shard: int, holder: str) -> None:
        self.token = 0
        self._store = store
        self._shard = shard
        self._holder = holder
        self._asked = 0.0  # on the monotonic clock, in seconds; it runs on while a process is stopped

    @property
    def held(self) -> bool:
        """By our own clock, which began to count before the server's did."""
        return self.token != 0 and time.monotonic() - self._asked < RELAY_LEASE_MS / 1000

    async def take(self) -> bool:
        """Take it, or keep it; False: another holder's has not ended. Raises StoreUnavailable."""
        asked = time.monotonic()
        self.token = await self._store.outbox_lease(self._shard, self._holder, RELAY_LEASE_MS)
        self._asked = asked
        return self.token != 0

    async def confirm(self) -> None:
        """See that it is ours still; asks the store only when nobody has lately, as after a process was stopped.

        Raises LeaseLost, or StoreUnavailable.
        """
        if time.monotonic() - self._asked >= RELAY_LEASE_RENEW_MS / 1000:
            await self._renew()

    async def while_held(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` and keep the lease; when it is lost, `work` is cancelled.

        Raises LeaseLost, or what `work` raises.
        """
        keeping, working = tasks = asyncio.ensure_future(self._keep()), asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            (keeping if keeping in done else working).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def give_back(self) -> None:
        """The next relay need not wait. A store that does not answer forgets the lease by itself."""
        if self.token:
            self.token = 0
            with contextlib.suppress(StoreUnavailable):
                await self._store.outbox_lease(self._shard, self._holder, 0)

    async def _keep(self) -> None:
        """Renew again and again. A store that does not answer is asked until the time is up."""
        while True:
            await asyncio.sleep(RELAY_LEASE_RENEW_MS / 1000)
            try:
                await self._renew()
            except StoreUnavailable:
                if not self.held:
                    raise

    async def _renew(self) -> None:
        before = self.token
        if not await self.take() or self.token != before:
            raise LeaseLost(f"shard {self._shard} is another relay's")
