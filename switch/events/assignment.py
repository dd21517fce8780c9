"""What a consumer holds at the moment: its partitions, how far each is done, and what of each debtor agent has come.

Both are committed together, the latter as the metadata of the offset: whoever has the partition next, in another process
or after a restart, goes on with the offset and with the knowledge.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from switch.domain.settlement import SettlementFact
from switch.errors import BrokerUnavailable, SettlementHalted
from switch.events.broker import BROKER_ERRORS, said
from switch.events.sequences import Sequences
from switch.limits import CONSUMER_FETCH_MS, PRODUCER_STUCK_MS_MAX, RELAY_BACKOFF_MS_FIRST

__all__ = ["Assignment"]

_LOG = logging.getLogger("bayswitch.events")
_CLIENT_OPTIONS: Final = (
    "group_id",
    "group_instance_id",
    "enable_auto_commit",
    "auto_offset_reset",
    "max_poll_records",
)


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The listener of one consumer. `generation` changes whenever partitions come or go: what was fetched before is void."""

    def __init__(self, consumer: AIOKafkaConsumer, options: Mapping[str, Any], queue: deque[Any]) -> None:
        self.generation = 0
        self.sequences = Sequences()
        self._consumer = consumer
        self._group: str = options["group_id"]
        self._access = {name: value for name, value in options.items() if name not in _CLIENT_OPTIONS}
        self._queue = queue
        self._next: dict[TopicPartition, int] = {}  # the offset to be fetched next
        self._due: dict[TopicPartition, int] = {}  # the offset to be committed
        self._agents: dict[TopicPartition, dict[str, None]] = {}  # the one that came last stands last
        self._ready = asyncio.Event()
        self._fault: Exception | None = None

    # --- partitions come and go --------------------------------------------------------------------------------------
    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Commits what is done, while it still may. The group waits for it."""
        self._ready.clear()
        self.generation += 1
        self._queue.clear()
        await self.commit()
        self._due.clear()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Goes on where the group is. What is raised here aiokafka would swallow: it is raised by the next fetch."""
        try:
            self._next = await self._begin(assigned)
            for place, offset in self._next.items():
                self._consumer.seek(place, offset)
        except BROKER_ERRORS as error:
            self._fault = BrokerUnavailable(f"where the group is cannot be read: {said(error)}")
        except Exception as error:  # noqa: BLE001 see above
            self._fault = error
        self.generation += 1
        self._ready.set()

    async def _begin(self, assigned: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of each partition to begin at. Raises SettlementHalted: it is not there."""
        if not assigned:
            return {}
        begins = await self._consumer.beginning_offsets(assigned)
        ends = await self._consumer.end_offsets(assigned)
        committed = await self._committed(assigned)
        found: dict[TopicPartition, int] = {}
        for place in assigned:
            offset, text = committed.get(place, (-1, ""))
            if offset < 0:
                found[place] = begins[place]
                continue
            if not begins[place] <= offset <= ends[place]:
                raise SettlementHalted(
                    f"group {self._group} is at {offset} of {place.topic}/{place.partition}, which holds "
                    f"{begins[place]} to {ends[place]}: events were deleted before they were read, or the topic was made "
                    "anew; compare with the switch, then use another group or move the offset with kafka-consumer-groups.sh"
                )
            found[place] = offset
            self._agents.setdefault(place, {}).update(dict.fromkeys(self.sequences.learn(text)))
        return found

    async def _committed(self, assigned: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, str]]:
        """As `_told`; a group whose coordinator is just moving, or starting, is asked again for a while."""
        async with asyncio.timeout(PRODUCER_STUCK_MS_MAX / 1000):
            while True:
                try:
                    return await self._told(assigned)
                except KafkaError as error:
                    if not error.retriable:
                        raise
                await asyncio.sleep(RELAY_BACKOFF_MS_FIRST / 1000)

    async def _told(self, assigned: Collection[TopicPartition]) -> dict[TopicPartition, tuple[int, str]]:
        """Offset (-1: none) and text of each. A consumer's own `committed` leaves the text out."""
        admin = AIOKafkaAdminClient(**self._access)
        try:
            await admin.start()
            found: dict[TopicPartition, tuple[int, str]] = await admin.list_consumer_group_offsets(
                self._group, partitions=list(assigned)
            )
            return found
        finally:
            await admin.close()

    # --- records -----------------------------------------------------------------------------------------------------
    async def fetch(self) -> None:
        """Put what there is into the queue, once. Raises what went wrong since, or aiokafka's own errors."""
        await self._ready.wait()
        if self._fault is not None:
            raise self._fault
        generation = self.generation
        fetched = await self._consumer.getmany(timeout_ms=CONSUMER_FETCH_MS)
        if generation != self.generation:
            if self._ready.is_set():  # else the listener will see to it
                for place, offset in self._next.items():
                    self._consumer.seek(place, offset)
            return
        for place, records in fetched.items():
            for record in records:
                if record.offset < self._next[place]:
                    raise SettlementHalted(f"{place.topic}/{place.partition} went back to {record.offset}: made anew")
                self._queue.append(record)
                self._next[place] = record.offset + 1

    def done(self, record: Any, fact: SettlementFact, generation: int | None = None) -> None:
        """The effect of this event is made. Of an earlier generation only memory takes note."""
        if not self.sequences.repeated(fact):
            self.sequences.accept(fact)
        if generation is None or generation == self.generation:
            place = TopicPartition(record.topic, record.partition)
            agents = self._agents.setdefault(place, {})
            agents.pop(fact.debtor_agent, None)
            agents[fact.debtor_agent] = None
            self._due[place] = record.offset + 1

    def passed(self, record: Any) -> None:
        """This record is no event, and need not come again."""
        place = TopicPartition(record.topic, record.partition)
        self._agents.setdefault(place, {})
        self._due[place] = record.offset + 1

    async def commit(self) -> None:
        """Tell the broker what is done. What it does not take now, it is told next time: at worst events come again."""
        if not self._due:
            return
        told = {
            place: (offset, self.sequences.text(reversed(self._agents[place]))) for place, offset in self._due.items()
        }
        try:
            await self._consumer.commit(told)
        except BROKER_ERRORS as error:
            _LOG.warning("offsets are not committed, events may come again: %s", said(error))
            return
        self._due = {place: offset for place, offset in self._due.items() if told.get(place, (0,))[0] != offset}
