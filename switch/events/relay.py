"""The relay: what the store's outbox holds goes to the broker, and leaves the outbox when the broker has it.

At least once, in order per debtor agent, with stable ids. Each shard is a straight line: read the oldest entries,
publish them, delete them, and only then read on; so no entry can overtake one that is not acknowledged. A debtor agent
lives in one shard. Trouble with the broker or the store makes a shard wait and begin again: payments go on meanwhile
and the outbox grows. Two relays on one outbox (two workers, or an old one that is slow to die) repeat events and
still keep the order of first arrivals, because each sends an entry only after those before it.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from switch.errors import BayswitchError
from switch.limits import (
    RELAY_BACKOFF_MS_FIRST,
    RELAY_BACKOFF_MS_MAX,
    RELAY_BATCH_COUNT,
    RELAY_DEPTH_MS,
    RELAY_IDLE_MS_MAX,
    RELAY_IDLE_MS_MIN,
)
from switch.ports import Clock, EventSink, OutboxEntry, PaymentStore

__all__ = ["Relay"]

_LOG = logging.getLogger("bayswitch.events")


class Relay:
    """Runs until cancelled: `await relay.run()`. The attributes are what an operator watches.

    depth, oldest_time_ms: entries in the outbox and the time of the oldest (0: none), at most RELAY_DEPTH_MS old.
    published_total: entries the broker acknowledged, repeats included.
    last_error, last_error_time_ms: the latest trouble as one safe line, kept after it has passed; "" and 0: none yet.
    failing: whether any shard, or the look at the outbox, is in trouble now.
    """

    def __init__(
        self, store: PaymentStore, sink: EventSink, clock: Clock, *, batch_count: int = RELAY_BATCH_COUNT
    ) -> None:
        self.depth = 0
        self.oldest_time_ms = 0
        self.published_total = 0
        self.last_error = ""
        self.last_error_time_ms = 0
        self._store = store
        self._sink = sink
        self._clock = clock
        self._batch_count = batch_count
        self._woken = [asyncio.Event() for _ in range(store.shards)]
        self._acked: dict[int, list[OutboxEntry]] = {}  # per shard: published, not yet deleted
        self._troubled: dict[str, int] = {}  # what is in trouble now, and the pause it has come to

    @property
    def failing(self) -> bool:
        return bool(self._troubled)

    @property
    def oldest_age_ms(self) -> int:
        """How long the oldest entry has waited; 0 when the outbox is empty. The figure to alarm on."""
        return max(0, self._clock.now_ms() - self.oldest_time_ms) if self.oldest_time_ms else 0

    def nudge(self, shard: int | None = None) -> None:
        """There is something in this shard's outbox (None: in some). Saves up to RELAY_IDLE_MS_MAX; never needed."""
        for event in self._woken if shard is None else [self._woken[shard]]:
            event.set()

    async def run(self) -> None:
        """Start the sink, relay every shard until cancelled, close the sink.

        Ends only by a cancel, which may come at any moment: what was published and not deleted is published again by
        the next run, with the same ids.
        """
        await self._sink.start()
        try:
            async with asyncio.TaskGroup() as group:
                for shard in range(self._store.shards):
                    group.create_task(self._persist(f"shard {shard}", partial(self._relay, shard)))
                group.create_task(self._persist("outbox depth", self._watch_depth))
        finally:
            await self._sink.close()

    async def _persist(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do work that ends only by raising, again and again; while trouble lasts, later and later."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 a fault of ours delays events as trouble does, never ends them
                await asyncio.sleep(self._trouble(what, error) / 1000)

    async def _relay(self, shard: int) -> None:
        woken, idle_ms = self._woken[shard], RELAY_IDLE_MS_MIN
        while True:
            woken.clear()  # before reading: what is nudged from here on may not be in what is read
            moved = await self._move(shard)
            self._well(f"shard {shard}")
            if moved == self._batch_count:
                continue  # there is more
            idle_ms = RELAY_IDLE_MS_MIN if moved else min(2 * idle_ms, RELAY_IDLE_MS_MAX)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(idle_ms / 1000):
                    await woken.wait()

    async def _move(self, shard: int) -> int:
        """Read, publish, delete: one batch, in this order. How many entries."""
        await self._delete_acked(shard)  # of a turn whose delete failed: no need to publish them again
        entries = await self._store.outbox_read(shard, self._batch_count)
        if entries:
            await self._sink.publish(entries)
            self.published_total += len(entries)
            self._acked[shard] = entries
            await self._delete_acked(shard)
        return len(entries)

    async def _delete_acked(self, shard: int) -> None:
        if shard in self._acked:
            await self._store.outbox_delete(self._acked[shard])
            del self._acked[shard]

    async def _watch_depth(self) -> None:
        while True:
            self.depth, self.oldest_time_ms = await self._store.outbox_depth()
            self._well("outbox depth")
            await asyncio.sleep(RELAY_DEPTH_MS / 1000)

    def _trouble(self, what: str, error: Exception) -> int:
        """Note it, and say how many milliseconds to wait. Logged once per trouble, not once per attempt."""
        line = f"{what}: {_line(error)}"
        if what not in self._troubled:
            _LOG.warning("events wait in the outbox: %s", line)
        self.last_error, self.last_error_time_ms = line, self._clock.now_ms()
        pause_ms = self._troubled.get(what, RELAY_BACKOFF_MS_FIRST)
        self._troubled[what] = min(2 * pause_ms, RELAY_BACKOFF_MS_MAX)
        return pause_ms

    def _well(self, what: str) -> None:
        if self._troubled.pop(what, None):
            _LOG.info("events flow again: %s", what)


def _line(error: Exception) -> str:
    """Our own errors hold no personal value; of any other only its kind and place are safe to show."""
    if isinstance(error, BayswitchError):
        return f"{type(error).__name__}: {error}"
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"
