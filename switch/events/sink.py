"""The broker as the relay sees it: publish a batch and have it acknowledged, or be told that it was not."""

import asyncio
import logging
from collections.abc import Sequence

from switch.errors import BrokerUnavailable
from switch.events.broker import BROKER_ERRORS, Access, TopicSpec, ensure_topic, said
from switch.events.producer import Producer
from switch.events.schema import SETTLEMENT_TOPIC, encode, headers, key
from switch.limits import PRODUCER_STUCK_MS_MAX, SETTLEMENT_PARTITIONS
from switch.ports import OutboxEntry

__all__ = ["KafkaSink"]

_LOG = logging.getLogger("bayswitch.events")


class KafkaSink:
    """ports.EventSink on Kafka: idempotent producer, acks=all, key = debtor agent.

    It connects when there is something to publish and makes the topic when it is missing. After any error, and when
    no ack came for `stuck_ms`, the producer is thrown away and the next `publish` builds another; the caller sends
    again from the outbox, so repeats carry the ids they had, and in each key first arrivals keep their order.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        topic: str = SETTLEMENT_TOPIC,
        partitions: int = SETTLEMENT_PARTITIONS,
        replication: int = 3,
        stuck_ms: int = PRODUCER_STUCK_MS_MAX,
        access: Access | None = None,
    ) -> None:
        """`partitions` and `replication` are for a topic that is missing; one that exists stays as it is."""
        self.producers_built = 0  # for operators: more than one means that it was rebuilt
        self._bootstrap = bootstrap
        self._spec = TopicSpec(topic, partitions, replication, min_in_sync=max(1, replication - 1))
        self._stuck_ms = stuck_ms
        self._access = dict(access or {})
        self._producer: Producer | None = None
        self._building = asyncio.Lock()

    async def start(self) -> None:
        """Touches no network: a broker that is down at start delays events and nothing else."""
        _LOG.info("events go to topic %s at %s", self._spec.name, self._bootstrap)

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """Returns when every entry is acknowledged by all in-sync replicas. Safe to repeat, and to call at once for
        several shards. After a cancel some entries may have arrived; a repeat sends the same ids.

        Raises:
            BrokerUnavailable: not acknowledged within the stuck limit, or the broker's own error.
        """
        if not entries:
            return
        records = [(key(entry.fact), encode(entry.fact), headers(entry.fact)) for entry in entries]
        producer = await self._ready_producer()
        try:
            async with asyncio.timeout(self._stuck_ms / 1000):
                await producer.send(records)
        except BROKER_ERRORS as error:
            why = "no acknowledgement in time" if isinstance(error, TimeoutError) else said(error)
            await self._discard(producer, why)
            raise BrokerUnavailable(f"{len(entries)} events not acknowledged: {why}") from error

    async def _ready_producer(self) -> Producer:
        async with self._building:  # shards that publish together share one producer
            if self._producer is None:
                self._producer = await self._build()
            return self._producer

    async def _build(self) -> Producer:
        await ensure_topic(self._bootstrap, self._spec, budget_ms=self._stuck_ms, access=self._access)
        producer = Producer(self._bootstrap, self._spec.name, stuck_ms=self._stuck_ms, access=self._access)
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

    async def _discard(self, producer: Producer, why: str) -> None:
        if self._producer is producer:  # else another shard saw the same trouble first
            self._producer = None
        await producer.abort(why)

    async def close(self) -> None:
        """Close the connections, at once. What was not acknowledged is still in the outbox."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.abort("closed")
