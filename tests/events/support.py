"""Facts, an outbox in memory, and small tools for the tests of events."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import cast

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.events import Published, Relay, tail
from switch.ports import EventSink, OutboxEntry, PaymentStore

UNTIL_SECONDS_MAX = 30.0
UNTIL_PAUSE_SECONDS = 0.01
START_MS = 1_795_413_600_000  # 2026-11-23T06:00:00Z


def fact(agent: str, sequence: int) -> SettlementFact:
    """The `sequence`-th final payment of `agent`; the same arguments give the same fact, id included."""
    uetr = str(uuid.UUID(int=uuid.uuid5(uuid.NAMESPACE_OID, f"{agent}/{sequence}").int, version=4))
    aborted = sequence % 7 == 0
    entries = (Entry(agent, Asset.HKD, 100 * sequence), Entry("FPSGATE", Asset.HKD, -100 * sequence))
    return SettlementFact(
        event_id=uetr,
        sequence=sequence,
        uetr=uetr,
        debtor_agent=agent,
        state=State.ABORTED if aborted else State.COMMITTED,
        reason="CREDITOR_ACCOUNT_CLOSED" if aborted else "",
        rail="hkfps",
        corridor_id="hk-hk-hkd",
        rail_reference="" if aborted else f"FPS{sequence}",
        entries=() if aborted else entries,
        prepared_time_ms=START_MS + sequence,
        final_time_ms=START_MS + sequence + 40,
    )


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time_ms = START_MS

    def now_ms(self) -> int:
        return self.time_ms


class FakeOutbox:
    """The outbox methods of ports.PaymentStore, in memory. `failures` are raised by the next calls of a method."""

    def __init__(self, shards: int = 1) -> None:
        self.shards = shards
        self.waiting: list[list[OutboxEntry]] = [[] for _ in range(shards)]
        self.failures: dict[str, list[Exception]] = {"read": [], "delete": [], "depth": []}
        self.reads = 0
        self._placed = 0

    def put(self, shard: int, facts: Iterable[SettlementFact]) -> list[OutboxEntry]:
        entries = []
        for one in facts:
            self._placed += 1
            entries.append(OutboxEntry(shard, f"{self._placed}-0", one))
        self.waiting[shard] += entries
        return entries

    @property
    def empty(self) -> bool:
        return not any(self.waiting)

    def _fail(self, method: str) -> None:
        if self.failures[method]:
            raise self.failures[method].pop(0)

    async def outbox_read(self, shard: int, count: int) -> list[OutboxEntry]:
        self.reads += 1
        self._fail("read")
        return self.waiting[shard][:count]

    async def outbox_delete(self, entries: Sequence[OutboxEntry]) -> None:
        self._fail("delete")
        gone = {(entry.shard, entry.entry_id) for entry in entries}
        for shard, waiting in enumerate(self.waiting):
            self.waiting[shard] = [entry for entry in waiting if (shard, entry.entry_id) not in gone]

    async def outbox_depth(self) -> tuple[int, int]:
        self._fail("depth")
        times = [entry.fact.final_time_ms for waiting in self.waiting for entry in waiting]
        return len(times), min(times, default=0)


def relay(outbox: FakeOutbox, sink: EventSink, *, clock: FakeClock | None = None, batch_count: int = 50) -> Relay:
    return Relay(cast(PaymentStore, outbox), sink, clock or FakeClock(), batch_count=batch_count)


@contextlib.asynccontextmanager
async def running(one: Relay) -> AsyncIterator[asyncio.Task[None]]:
    """The relay runs inside the block and is cancelled, and has ended, after it."""
    task = asyncio.create_task(one.run())
    try:
        yield task
        assert not task.done(), "a relay ends only by a cancel"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(reached: Callable[[], bool], what: str) -> None:
    """Look again and again, within a bound."""
    async with asyncio.timeout(UNTIL_SECONDS_MAX):
        while not reached():  # noqa: ASYNC110 what is awaited is state of a broker, not of this loop
            await asyncio.sleep(UNTIL_PAUSE_SECONDS)
    assert reached(), what


async def all_of(bootstrap: str, topic: str) -> list[Published]:
    """Everything the topic holds now."""
    return [one async for one in tail(bootstrap, topic, follow=False)]


def first_arrivals(facts: Iterable[SettlementFact]) -> list[SettlementFact]:
    """What a consumer keeps that drops repeats by event_id; a repeat must be equal in every field."""
    kept: dict[str, SettlementFact] = {}
    for one in facts:
        assert kept.setdefault(one.event_id, one) == one, "one id, two facts"
    return list(kept.values())


def in_order_per_agent(facts: Iterable[SettlementFact]) -> bool:
    """Whether the sequence of every agent is 1, 2, 3, … without a gap."""
    last: dict[str, int] = {}
    for one in facts:
        if one.sequence != last.get(one.debtor_agent, 0) + 1:
            return False
        last[one.debtor_agent] = one.sequence
    return True
