"""The relay: what the store's outbox holds goes to the broker, and leaves the outbox when the broker has it.

At least once, in order per debtor agent, with stable ids. Each shard is a straight line of batches:

    read ─▶ publish ─▶ delete          while one batch waits for the broker's ack, the next is read
            read ─▶ publish ─▶ delete  and the one before is deleted

A batch is published when the one before is acknowledged, so no entry can overtake one that is not, and deleted when it
is acknowledged itself. A debtor agent lives in one shard. Trouble with the broker or the store makes a shard let go of
what it has read, wait and begin again with the oldest: payments go on meanwhile and the outbox grows.

Of several relays on one outbox one holds the lease of a shard and the others stand by. One that was stopped and wakes
after its lease has ended publishes at most what it had in hand, with the ids it had, and deletes nothing: the store
refuses its token. First arrivals keep their order even then, because each relay sends an entry only after those before.
"""

import asyncio
import logging
import secrets
from functools import partial

from switch.errors import LeaseLost
from switch.events.lease import Lease
from switch.events.pacing import Pace
from switch.events.trouble import Trouble
from switch.limits import RELAY_BATCH_COUNT, RELAY_DEPTH_MS, RELAY_LEASE_RENEW_MS
from switch.ports import Clock, EventSink, OutboxEntry, PaymentStore

__all__ = ["Relay"]

_LOG = logging.getLogger("bayswitch.events")
_HOLDER_BYTES = 8


class Relay:
    """Runs until cancelled: `await relay.run()`. The attributes are what an operator watches.

    holder: the random id under which it holds leases.
    held: per shard, whether this relay has its lease; False: another has it, or the store did not answer.
    depth, oldest_time_ms: entries in the outbox and the time of the oldest (0: none), at most RELAY_DEPTH_MS old.
    published_total: entries the broker acknowledged, repeats included.
    last_error, last_error_time_ms: the latest trouble as one safe line, kept after it has passed; "" and 0: none yet.
    failing: whether any shard, or the look at the outbox, is in trouble now.
    """

    def __init__(
        self, store: PaymentStore, sink: EventSink, clock: Clock, *, batch_count: int = RELAY_BATCH_COUNT
    ) -> None:
        self.holder = secrets.token_hex(_HOLDER_BYTES)
        self.depth = 0
        self.oldest_time_ms = 0
        self.published_total = 0
        self._store = store
        self._sink = sink
        self._clock = clock
        self._batch_count = batch_count
        self._trouble = Trouble("events wait in the outbox", clock)
        self._paces = [Pace() for _ in range(store.shards)]
        self._leases = [Lease(store, shard, self.holder) for shard in range(store.shards)]
        self._acked: dict[int, tuple[int, list[OutboxEntry]]] = {}  # per shard: published under a token, not deleted

    @property
    def held(self) -> tuple[bool, ...]:
        return tuple(lease.held for lease in self._leases)

    @property
    def failing(self) -> bool:
        return self._trouble.failing

    @property
    def last_error(self) -> str:
        return self._trouble.last_error

    @property
    def last_error_time_ms(self) -> int:
        return self._trouble.last_error_time_ms

    @property
    def oldest_age_ms(self) -> int:
        """How long the oldest entry has waited; 0 when the outbox is empty. The figure to alarm on."""
        return max(0, self._clock.now_ms() - self.oldest_time_ms) if self.oldest_time_ms else 0

    def nudge(self, shard: int | None = None) -> None:
        """There is something in this shard's outbox (None: in some). Saves up to RELAY_IDLE_MS_MAX; never needed."""
        for pace in self._paces if shard is None else [self._paces[shard]]:
            pace.nudge()

    async def run(self) -> None:
        """Start the sink, relay every shard until cancelled, close the sink, give the leases back.

        Ends only by a cancel, which may come at any moment: what was published and not deleted is published again by
        the next run, with the same ids.
        """
        await self._sink.start()
        persist = self._trouble.persist
        try:
            async with asyncio.TaskGroup() as group:
                for shard in range(self._store.shards):
                    group.create_task(persist(f"shard {shard}", partial(self._serve, shard)))
                group.create_task(persist("outbox depth", self._watch_depth))
        finally:
            await self._sink.close()
            await asyncio.gather(*(lease.give_back() for lease in self._leases))

    async def _serve(self, shard: int) -> None:
        """Take the shard and relay it until something happens; or stand by for a while."""
        lease = self._leases[shard]
        if await lease.take():
            try:
                await lease.while_held(self._relay(shard, lease))
            except LeaseLost as lost:
                _LOG.warning("relay %s stops: %s", self.holder, lost)
        self._trouble.well(f"shard {shard}")
        await asyncio.sleep(RELAY_LEASE_RENEW_MS / 1000)

    async def _relay(self, shard: int, lease: Lease) -> None:
        pace = self._paces[shard]
        while True:
            pace.begin()
            moved = await self._move(shard, lease)
            self._trouble.well(f"shard {shard}")
            await pace.rest(moved)

    async def _move(self, shard: int, lease: Lease) -> int:
        """Batch after batch until one was not full. How many entries."""
        await self._delete_acked(shard, lease)  # of a turn whose delete failed: no need to publish them again
        moved, entries = 0, await self._store.outbox_read(shard, self._batch_count)
        while entries:
            moved += len(entries)
            entries = await self._turn(shard, lease, entries)
            if entries:
                self._trouble.well(f"shard {shard}")
        await self._delete_acked(shard, lease)
        return moved

    async def _turn(self, shard: int, lease: Lease, entries: list[OutboxEntry]) -> list[OutboxEntry]:
        """Publish a batch; meanwhile delete the one before and read the one behind it, which is the answer.

        All three come to their end before an error of one is raised: what the broker has by then is known.
        """
        token = lease.token
        published, deleted, behind = await asyncio.gather(
            self._publish(shard, lease, entries),
            self._delete_acked(shard, lease),
            self._read_behind(shard, entries),
            return_exceptions=True,
        )
        if published is None:
            _, undeleted = self._acked.get(shard, (token, []))
            self._acked[shard] = token, [*undeleted, *entries]
        for done in (published, deleted, behind):
            if isinstance(done, BaseException):
                raise done
        assert isinstance(behind, list)
        return behind

    async def _publish(self, shard: int, lease: Lease, entries: list[OutboxEntry]) -> None:
        await lease.confirm()
        await self._sink.publish(entries)
        self.published_total += len(entries)

    async def _read_behind(self, shard: int, entries: list[OutboxEntry]) -> list[OutboxEntry]:
        """A batch that is not full was all there is: what has come since waits a moment and comes together."""
        if len(entries) < self._batch_count:
            return []
        return await self._store.outbox_read(shard, self._batch_count, entries[-1].entry_id)

    async def _delete_acked(self, shard: int, lease: Lease) -> None:
        """Under another token they may be gone already, and what has their places another's: they are left alone."""
        token, entries = self._acked.get(shard, (0, []))
        if token == lease.token:
            await lease.confirm()
            await self._store.outbox_delete(entries, token)
        self._acked.pop(shard, None)

    async def _watch_depth(self) -> None:
        while True:
            self.depth, self.oldest_time_ms = await self._store.outbox_depth()
            self._trouble.well("outbox depth")
            await asyncio.sleep(RELAY_DEPTH_MS / 1000)
