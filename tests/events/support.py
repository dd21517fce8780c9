"""Facts, an outbox in memory, and small tools for the tests of events."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import cast

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact, Window
from switch.errors import LeaseLost
from switch.events import Published, Relay, TopicSpec, tail
from switch.ports import Announcement, EventSink, Moved, OutboxEntry, PaymentStore

UNTIL_SECONDS_MAX = 60.0
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
        self.failures: dict[str, list[Exception]] = {"read": [], "delete": [], "depth": [], "lease": []}
        self.time_ms = 0  # the server's, which ends leases; stands still until it is moved
        self.leases: dict[int, tuple[str, int, int]] = {}  # shard -> holder, token, end
        self.reads = 0
        self.tries = 0  # to take or keep a lease
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
        if self.failures.get(method):
            raise self.failures[method].pop(0)

    async def outbox_lease(self, shard: int, holder: str, ttl_ms: int) -> int:
        self.tries += 1
        self._fail("lease")
        owner, token, end_ms = self.leases.get(shard, ("", 0, 0))
        if owner != holder and end_ms > self.time_ms:
            return 0
        token += owner != holder
        self.leases[shard] = holder, token, self.time_ms + ttl_ms
        return token

    async def outbox_read(self, shard: int, count: int, after: str = "") -> list[OutboxEntry]:
        self.reads += 1
        self._fail("read")
        behind = int(after.partition("-")[0] or "0")
        return [entry for entry in self.waiting[shard] if int(entry.entry_id.partition("-")[0]) > behind][:count]

    async def outbox_delete(self, entries: Sequence[OutboxEntry], token: int) -> None:
        self._fail("delete")
        if any(self.leases[entry.shard][1] != token for entry in entries):
            raise LeaseLost("another relay has the shard")
        gone = {(entry.shard, entry.entry_id) for entry in entries}
        for shard, waiting in enumerate(self.waiting):
            self.waiting[shard] = [entry for entry in waiting if (shard, entry.entry_id) not in gone]

    async def outbox_depth(self) -> tuple[int, int]:
        self._fail("depth")
        times = [entry.fact.final_time_ms for waiting in self.waiting for entry in waiting]
        return len(times), min(times, default=0)


class FakeBooks:
    """What the announcer asks of ports.SettlementStore, in memory. `failures` are raised by the next calls of a method."""

    def __init__(self) -> None:
        self.due: list[Announcement] = []
        self.positions: dict[tuple[str, Asset], Moved] = {}
        self.told: dict[tuple[str, Asset], int] = {}  # the sequence that is published
        self.failures: dict[str, list[Exception]] = {}
        self._placed = 0

    def move_window(self, window: Window) -> Announcement:
        """Write down a move, the next of its arrangement."""
        self._placed += 1
        before = sum(one.window.arrangement_id == window.arrangement_id for one in self.due)
        self.due.append(Announcement(f"{self._placed}-0", before + 1, START_MS + self._placed, window))
        return self.due[-1]

    def move_position(self, participant: str, asset: Asset, net_debit_minor: int) -> None:
        before = self.positions.get((participant, asset))
        sequence = before.sequence + 1 if before else 1
        self.positions[participant, asset] = Moved(participant, asset, net_debit_minor, sequence)

    def _fail(self, method: str) -> None:
        if self.failures.get(method):
            raise self.failures[method].pop(0)

    async def announcements(self, count: int) -> list[Announcement]:
        self._fail("announcements")
        return self.due[:count]

    async def announced(self, announcements: Sequence[Announcement]) -> None:
        self._fail("announced")
        self.due = [one for one in self.due if one not in announcements]

    async def moved(self, count: int) -> list[Moved]:
        self._fail("moved")
        return [one for key, one in self.positions.items() if self.told.get(key) != one.sequence][:count]

    async def published(self, moved: Sequence[Moved]) -> None:
        self._fail("published")
        self.told.update({(one.participant, one.asset): one.sequence for one in moved})


class FakeSink:
    """Keeps what it was given. `failures` are raised by the next publishes; `gate`, while clear, holds them."""

    def __init__(self) -> None:
        self.arrived: list[SettlementFact] = []
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.publishing = asyncio.Event()
        self.open = False

    async def start(self) -> None:
        self.open = True

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        assert self.open
        self.publishing.set()
        if self.failures:
            raise self.failures.pop(0)
        self.arrived += [entry.fact for entry in entries]
        await self.gate.wait()  # the ack comes after the arrival

    async def close(self) -> None:
        self.open = False


def spec_of(name: str, partitions: int) -> TopicSpec:
    """A topic of one copy, for a broker that is alone."""
    return TopicSpec(name, partitions, replication=1, min_in_sync=1)


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
