"""Payments leave the hot store after their retention, and only when the archive has them."""

import asyncio
import logging
from typing import Final

from switch.errors import ArchiveUnavailable, StoreUnavailable, anatomy
from switch.limits import RETIRE_COUNT
from switch.ports import Archive, Clock, PaymentStore

__all__ = ["Retention"]

_LOG = logging.getLogger("bayswitch.settlement")
_LOOK_MS: Final = 5_000  # between looks when nothing was due; far below any retention that matters


class Retention:
    """`await retention.run()` until cancelled. `retired_total`: payments this process has let go."""

    def __init__(self, store: PaymentStore, archive: Archive, clock: Clock, retention_ms: int) -> None:
        self.retired_total = 0
        self._store = store
        self._archive = archive
        self._clock = clock
        self._retention_ms = retention_ms

    async def run(self) -> None:
        """Look, retire what is due, wait; trouble with the store or the archive waits for the next look."""
        while True:
            try:
                more = await self.look()
            except (StoreUnavailable, ArchiveUnavailable) as error:
                _LOG.warning("payments stay in the hot store: %s: %s", type(error).__name__, error)
                more = False
            except Exception as error:  # noqa: BLE001 - a store that fills up must not be forgotten for a fault of ours
                _LOG.critical("payments stay in the hot store: %s", anatomy(error))
                more = False
            if not more:
                await asyncio.sleep(min(_LOOK_MS, self._retention_ms) / 1000)

    async def look(self) -> bool:
        """Retire what is due, at most RETIRE_COUNT; whether there may be more. Safe to repeat after any failure.

        The store lets go first and tells the archive after: a crash in between retires again, which does nothing.
        """
        facts = await self._archive.unretired(self._clock.now_ms() - self._retention_ms, RETIRE_COUNT)
        gone = await self._store.retire(facts) if facts else 0
        self.retired_total += gone
        if facts and not gone:
            _LOG.warning(
                "the %d oldest payments cannot leave the hot store: it never had them, or lost them", len(facts)
            )
        return gone > 0 and len(facts) == RETIRE_COUNT
