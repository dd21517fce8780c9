"""The settler: the payment topic becomes windows, positions and headroom, each event once.

    fetch ─▶ fold ─▶ dead letters · archive ─▶ headroom (per shard) ─▶ windows, positions and the offset, in one script

Everything before the last step may be done twice and is not: the archive keeps an event once, a shard credits a run of
the log once, dead letters carry their origin. The last step compares the offset it starts from, so a settler that was
paused while another went on changes nothing. A kill anywhere costs a repeat of what was not finished, nothing else.

Where it goes on, the store says, not the broker; what it commits there is for people who watch lag.
"""

import asyncio
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.partitioner import DefaultPartitioner

from switch.domain.settlement import Arrangement
from switch.errors import ArchiveConflict, BrokerUnavailable, SettlementHalted
from switch.events.broker import BROKER_ERRORS, Access, said
from switch.events.cancels import heed_cancel
from switch.events.fold import Fold, Folded, LogRecord, Poisoned, read_records
from switch.events.opening import opened
from switch.events.schema import SETTLEMENT_TOPIC
from switch.events.trouble import Trouble
from switch.limits import CHUNK_RECORDS_MAX, CONSUMER_FETCH_MS, PRODUCER_STUCK_MS_MAX
from switch.ports import Archive, ArchivedFact, Clock, SettlementStore

__all__ = ["GROUP", "Graveyard", "Settler"]

GROUP = "bayswitch-settler"
_LOG = logging.getLogger("bayswitch.events")
_FETCH_RECORDS_MAX = 4 * CHUNK_RECORDS_MAX


class Graveyard(Protocol):
    """Where poisoned records go; events.dead_letters.DeadLetters, or a test's list."""

    async def bury(self, poisoned: Sequence[Poisoned]) -> None:
        """Returns when the broker has them. Safe to repeat: each names its origin. Raises BrokerUnavailable."""
        ...


class Settler:
    """`await settler.run()` until cancelled. The attributes are what an operator watches.

    applied_total, repeats_total, poisoned_total: accepted events, repeats and dead letters of this process.
    lag: records behind the end of the log, as of the last fetch.
    trouble: what is wrong now, and since when.
    """

    def __init__(
        self,
        bootstrap: str,
        store: SettlementStore,
        archive: Archive,
        arrangements: Sequence[Arrangement],
        graveyard: Graveyard,
        clock: Clock,
        *,
        topic: str = SETTLEMENT_TOPIC,
        group: str = GROUP,
        instance: str | None = None,
        access: Access | None = None,
    ) -> None:
        """`instance`: static membership, a name that stays over restarts of one process; None: a member comes and goes."""
        self.applied_total = 0
        self.repeats_total = 0
        self.poisoned_total = 0
        self.lag = 0
        self.trouble = Trouble("settlement waits", clock)
        self._store = store
        self._archive = archive
        self._arrangements = arrangements
        self._graveyard = graveyard
        self._clock = clock
        self._topic = topic
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "group_id": group,
            "group_instance_id": instance,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # the store says where; a log that does not have that place is not ours
            "max_poll_records": _FETCH_RECORDS_MAX,
            "rebalance_timeout_ms": PRODUCER_STUCK_MS_MAX,  # a member that died keeps the others waiting this long
            "request_timeout_ms": PRODUCER_STUCK_MS_MAX,
            **(access or {}),
        }

    async def run(self) -> None:
        """Settle until cancelled; trouble with the broker, the store or the archive makes it wait and begin again.

        After a cancel, what was under way is done or will be done again by the next run; nothing counts twice.
        """
        await self.trouble.persist("the log", self._settle_on)

    async def _settle_on(self) -> None:
        await self._store.open_windows([each.id for each in self._arrangements], self._clock.now_ms())
        await self._consume()

    async def _consume(self) -> None:
        consumer = AIOKafkaConsumer(**self._options)
        session = _Session(self, consumer)
        consumer.subscribe([self._topic], listener=session)
        try:
            async with opened(consumer):
                while True:
                    heed_cancel()
                    await session.turn()
                    self.trouble.well("the log")
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            raise SettlementHalted(
                f"the log does not begin or end where settlement left it ({said(error)}): the topic was made anew or "
                "events were deleted before they were settled; `bayswitch rebuild` begins anew from what there is"
            ) from error
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"topic {self._topic} cannot be read: {said(error)}") from error

    # --- one turn ----------------------------------------------------------------------------------------------------
    async def settle(self, fold: Fold, candidates: Mapping[int, tuple[list[ArchivedFact], int]]) -> bool:
        """Take candidates of several partitions as far as the next cuts. False: the store went on without us.

        `candidates`: partition -> those from the present offset on, and the offset after the last record looked at.
        """
        folded = [fold.fold(partition, facts, to) for partition, (facts, to) in candidates.items()]
        await self._keep(fold, folded)
        return all(await asyncio.gather(*(self._apply(fold, each) for each in folded)))

    async def _keep(self, fold: Fold, folded: Sequence[Folded]) -> None:
        accepted = [fact for each in folded for fact in each.accepted]
        if accepted:
            await self._archive.keep(accepted)
        for each in folded:
            for repeat in each.repeats:
                await self._look_at(repeat)

    async def _look_at(self, repeat: ArchivedFact) -> None:
        """A repeat has the id of the first arrival; another id under its number is somebody else's event."""
        fact = repeat.fact
        first = await self._archive.at_sequence(fact.debtor_agent, fact.sequence)
        self.repeats_total += 1
        if first is not None and first.event_id != fact.event_id:
            raise ArchiveConflict(fact.event_id)

    async def _apply(self, fold: Fold, folded: Folded) -> bool:
        chunk = folded.chunk
        if chunk.to_offset == chunk.from_offset:
            return True
        await self._store.credit(chunk.partition, chunk.to_offset, folded.credits)
        if not await self._store.apply(chunk):
            return False
        fold.advance(chunk)
        self.applied_total += len(folded.accepted)
        return True

    async def bury(self, poisoned: Sequence[Poisoned]) -> None:
        """Into the dead letters, and say so."""
        for each in poisoned:
            at = f"{self._topic}/{each.record.partition}@{each.record.offset}"
            _LOG.error("a record cannot be settled: %s: %s: %s", at, each.code, each.text)
        await self._graveyard.bury(poisoned)
        self.poisoned_total += len(poisoned)


class _Session(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One life of a consumer: what it was assigned, and the fold over it."""

    def __init__(self, settler: Settler, consumer: AIOKafkaConsumer) -> None:
        self._settler = settler
        self._consumer = consumer
        self._fold: Fold | None = None
        self._pending: dict[int, list[LogRecord]] = {}  # fetched, not yet settled
        self._position: dict[int, int] = {}  # the offset behind what was fetched, and behind what is no record
        self._refused: dict[str, Poisoned] = {}  # event ids the archive knows under another number
        self._partition_of = functools.cache(self._partition)

    def _partition(self, key: bytes) -> int:
        partitions = sorted(self._consumer.partitions_for_topic(self._settler._topic) or ())
        return int(DefaultPartitioner()(key, partitions, partitions))

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Nothing to do: what is not finished is not applied, and the next owner begins at the store's offset."""

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._fold = None
        self._pending.clear()

    async def _ready(self) -> Fold:
        """The fold, from what the store says; the consumer goes on there."""
        settler = self._settler
        if self._fold is None:
            progress = await settler._store.progress()
            self._fold = Fold(progress, settler._arrangements)
            self._pending.clear()
            for place in self._consumer.assignment():
                self._consumer.seek(place, self._fold.offsets.get(place.partition, 0))
        return self._fold

    async def turn(self) -> None:
        """Fetch, settle what was fetched, tell the broker how far."""
        fold = await self._ready()
        if not self._pending:
            await self._fetch()
            if self._fold is not fold:
                return  # a rebalance came with the fetch
        candidates = {}
        for partition, records in self._pending.items():
            candidates[partition] = await self._candidates(fold, partition, records)
        try:
            applied = await self._settler.settle(fold, candidates)
        except ArchiveConflict as conflict:
            await self._refuse(conflict)
            return
        if not applied:
            self._fold = None  # a cut came in between, or another settler went on: begin where the store is
            return
        for partition, (_, to) in candidates.items():
            left = [record for record in self._pending[partition] if record.offset >= to]
            self._pending[partition] = left
        self._pending = {partition: left for partition, left in self._pending.items() if left}
        if candidates:
            await self._commit(fold, candidates)

    async def _fetch(self) -> None:
        fetched = await self._consumer.getmany(timeout_ms=CONSUMER_FETCH_MS)
        for place, records in fetched.items():
            self._pending[place.partition] = [
                LogRecord(place.partition, record.offset, record.key, record.value, record.headers)
                for record in records
            ]
        self._settler.lag = sum(map(len, fetched.values()))
        for place in self._consumer.assignment():
            position = self._position[place.partition] = await self._consumer.position(place)
            self._settler.lag += max(0, (self._consumer.highwater(place) or 0) - position)
            if self._fold is not None and position > self._fold.offsets.get(place.partition, 0):
                self._pending.setdefault(place.partition, [])

    async def _candidates(
        self, fold: Fold, partition: int, records: Sequence[LogRecord]
    ) -> tuple[list[ArchivedFact], int]:
        """What can be settled now, up to the next cut, and the offset behind it; poisoned records are buried first."""
        cut = fold.cut_after(partition, fold.offsets.get(partition, 0))
        now = [record for record in records[:CHUNK_RECORDS_MAX] if cut is None or record.offset < cut]
        behind = records[len(now)].offset if len(now) < len(records) else self._position[partition]
        end = behind if cut is None else min(behind, cut)
        good, poisoned = read_records(now, self._partition_of, fold.arrangement_of)
        refused = [self._refused[fact.fact.event_id] for fact in good if fact.fact.event_id in self._refused]
        good = [fact for fact in good if fact.fact.event_id not in self._refused]
        if poisoned or refused:
            await self._settler.bury([*poisoned, *refused])
        return good, end

    async def _refuse(self, conflict: ArchiveConflict) -> None:
        """One event contradicts the archive: it is poisoned, and the turn is tried again without it."""
        for records in self._pending.values():
            for record in records:
                if dict(record.headers).get("ce_id") == conflict.event_id.encode():
                    self._refused[conflict.event_id] = Poisoned(record, "SEQUENCE_CONFLICT", str(conflict))

    async def _commit(self, fold: Fold, candidates: Mapping[int, tuple[list[ArchivedFact], int]]) -> None:
        """For those who watch lag at the broker; a failure changes nothing here."""
        assigned = self._consumer.assignment()
        places = {TopicPartition(self._settler._topic, partition): to for partition, (_, to) in candidates.items()}
        try:
            await self._consumer.commit({place: to for place, to in places.items() if place in assigned})
        except (CommitFailedError, KafkaError) as error:
            _LOG.info("the broker did not take the settler's offsets: %s", said(error))
