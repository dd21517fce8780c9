"""A topic as whoever writes to it sees it: records are acknowledged, or it is told that they were not."""

import asyncio
from collections.abc import Sequence

from switch.errors import BrokerUnavailable
from switch.events.broker import BROKER_ERRORS, Access, said
from switch.events.producer import Producer, Record
from switch.events.topics import ENSURE, TopicSpec, ensure, present
from switch.limits import PRODUCER_STUCK_MS_MAX

__all__ = ["TopicWriter"]


class TopicWriter:
    """Writes to one topic: idempotent producer, acks=all.

    It connects when there is something to write. After any error, and when no ack came for `stuck_ms`, the producer is
    thrown away and the next `write` builds another; the caller writes again, so repeats carry the ids they had, and in
    each key first arrivals keep their order.
    """

    def __init__(
        self,
        bootstrap: str,
        spec: TopicSpec,
        *,
        create: bool = True,
        stuck_ms: int = PRODUCER_STUCK_MS_MAX,
        access: Access | None = None,
    ) -> None:
        """`create`: make the topic when it is missing; one that exists stays as it is. False: in production."""
        self.spec = spec
        self.producers_built = 0  # for operators: more than one means that it was rebuilt
        self._bootstrap = bootstrap
        self._create = create
        self._stuck_ms = stuck_ms
        self._access = dict(access or {})
        self._producer: Producer | None = None
        self._building = asyncio.Lock()

    async def write(self, records: Sequence[Record], partition: int | None = None) -> None:
        """Returns when every record is acknowledged by all in-sync replicas. Safe to repeat, and to call at once from
        several tasks. After a cancel some records may have arrived. `partition`: not where the keys say, but there.

        Raises:
            BrokerUnavailable: not acknowledged within the stuck limit, the broker's own error, or no such topic.
        """
        if not records:
            return
        producer = await self._ready_producer()
        try:
            async with asyncio.timeout(self._stuck_ms / 1000):
                await producer.send(records, partition)
        except BROKER_ERRORS as error:
            why = "no acknowledgement in time" if isinstance(error, TimeoutError) else said(error)
            await self._discard(producer, why)
            raise BrokerUnavailable(f"{len(records)} events not acknowledged: {why}") from error

    async def _ready_producer(self) -> Producer:
        async with self._building:  # tasks that write together share one producer
            if self._producer is None:
                self._producer = await self._build()
            return self._producer

    async def _build(self) -> Producer:
        await self._see_topic()
        producer = Producer(self._bootstrap, self.spec.name, stuck_ms=self._stuck_ms, access=self._access)
        try:
            async with asyncio.timeout(self._stuck_ms / 1000):
                await producer.start()
        except BROKER_ERRORS as error:
            await producer.abort("never started")
            raise BrokerUnavailable(f"no broker at {self._bootstrap}: {said(error)}") from error
        except BaseException:  # a cancel: leave no socket behind
            await producer.abort("never started")
            raise
        self.producers_built += 1
        return producer

    async def _see_topic(self) -> None:
        if self._create:
            await ensure(self._bootstrap, [self.spec], budget_ms=self._stuck_ms, access=self._access)
            return
        there = await present(self._bootstrap, budget_ms=self._stuck_ms, access=self._access)
        if self.spec.name not in there:
            raise BrokerUnavailable(f"topic {self.spec.name} is missing; {ENSURE}")

    async def _discard(self, producer: Producer, why: str) -> None:
        if self._producer is producer:  # else another task saw the same trouble first
            self._producer = None
        await producer.abort(why)

    async def close(self) -> None:
        """Close the connections, at once. What was not acknowledged may have arrived."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.abort("closed")
