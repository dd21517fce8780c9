"""The settlement topics read as a log: from the beginning to the present end, in no group, committing nothing."""

import functools
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from switch.errors import BrokerUnavailable
from switch.events.broker import BROKER_ERRORS, Access, said
from switch.events.fold import LogRecord
from switch.events.opening import opened
from switch.events.schema import SETTLEMENT_TOPIC
from switch.events.window_schema import WINDOW_TOPIC, decode_announcement
from switch.limits import BROKER_ANSWER_MS_MAX, CHUNK_RECORDS_MAX, CONSUMER_FETCH_MS
from switch.ports import Announcement

__all__ = ["KafkaLog"]


class KafkaLog:
    """ports.SettlementLog on Kafka, and its reader. `async with`, or each call connects for itself.

    Every method raises BrokerUnavailable when the broker or the topic is not there.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        topic: str = SETTLEMENT_TOPIC,
        window_topic: str = WINDOW_TOPIC,
        access: Access | None = None,
    ) -> None:
        self._topic = topic
        self._window_topic = window_topic
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "request_timeout_ms": BROKER_ANSWER_MS_MAX,
            **(access or {}),
        }
        self._kept: AIOKafkaConsumer | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "KafkaLog":
        try:
            self._kept = await self._open.enter_async_context(opened(AIOKafkaConsumer(**self._options)))
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"the log cannot be read: {said(error)}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._kept = None
        await self._open.aclose()

    async def ends(self) -> Mapping[int, int]:
        """The offset after the last record of every partition, now. Opens a connection of its own and closes it."""
        return await self._edges(AIOKafkaConsumer.end_offsets)

    async def begins(self) -> Mapping[int, int]:
        """The offset of the first record of every partition that is still there."""
        return await self._edges(AIOKafkaConsumer.beginning_offsets)

    async def _edges(self, ask: Any) -> Mapping[int, int]:
        try:
            async with opened(AIOKafkaConsumer(**self._options)) as consumer:
                places = await _places(consumer, self._topic)
                return {place.partition: offset for place, offset in (await ask(consumer, places)).items()}
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"topic {self._topic} cannot be read: {said(error)}") from error

    async def partition_of(self) -> Any:
        """Where the producer puts a key: a function of the key's bytes."""
        assert self._kept is not None, "within `async with`"
        partitions = sorted(place.partition for place in await _places(self._kept, self._topic))
        return functools.cache(lambda key: int(DefaultPartitioner()(key, partitions, partitions)))

    async def read(self, partition: int, begin: int, end: int) -> AsyncGenerator[list[LogRecord]]:
        """Records [begin, end) of one partition, some at a time."""
        async for records in self._records(TopicPartition(self._topic, partition), begin, end):
            yield records

    async def announcements(self) -> list[Announcement]:
        """Every move of every window, in order, repeats left out. Raises CodecError for a record that is none."""
        assert self._kept is not None, "within `async with`"
        found: dict[tuple[str, int], Announcement] = {}
        try:
            for place in await _places(self._kept, self._window_topic):
                end = (await self._kept.end_offsets([place]))[place]
                begin = (await self._kept.beginning_offsets([place]))[place]
                async for records in self._records(place, begin, end):
                    for record in records:
                        one = decode_announcement(record.value, record.headers)
                        found.setdefault((one.window.arrangement_id, one.sequence), one)
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"topic {self._window_topic} cannot be read: {said(error)}") from error
        return [found[key] for key in sorted(found)]

    async def _records(self, place: TopicPartition, begin: int, end: int) -> AsyncGenerator[list[LogRecord]]:
        assert self._kept is not None, "within `async with`"
        consumer = self._kept
        try:
            consumer.assign([place])
            consumer.seek(place, begin)
            while await consumer.position(place) < end:
                fetched = await consumer.getmany(timeout_ms=CONSUMER_FETCH_MS, max_records=CHUNK_RECORDS_MAX)
                records = [
                    LogRecord(place.partition, record.offset, record.key, record.value, record.headers)
                    for record in fetched.get(place, ())
                    if record.offset < end
                ]
                if records:
                    yield records
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"topic {place.topic} cannot be read: {said(error)}") from error


async def _places(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """The partitions of a topic. Raises BrokerUnavailable: there is no such topic."""
    await consumer._client.force_metadata_update()
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        consumer._client.add_topic(topic)
        await consumer._client.force_metadata_update()
        partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise BrokerUnavailable(f"there is no topic {topic}: `bayswitch topics ensure` makes it")
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]
