"""The broker as the relay sees it: publish a batch and have it acknowledged, or be told that it was not."""

import logging
from collections.abc import Sequence

from switch.events.broker import Access
from switch.events.event_wire import record_of
from switch.events.topics import TopicSpec
from switch.events.writer import TopicWriter
from switch.limits import PRODUCER_STUCK_MS_MAX
from switch.ports import OutboxEntry

__all__ = ["KafkaSink"]

_LOG = logging.getLogger("bayswitch.events")


class KafkaSink:
    """ports.EventSink on Kafka: the payment topic, key = debtor agent. As TopicWriter in all else."""

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
        self._bootstrap = bootstrap
        self._writer = TopicWriter(bootstrap, spec, create=create, stuck_ms=stuck_ms, access=access)

    @property
    def producers_built(self) -> int:
        """For operators: more than one means that it was rebuilt."""
        return self._writer.producers_built

    async def start(self) -> None:
        """Touches no network: a broker that is down at start delays events and nothing else."""
        _LOG.info("events go to topic %s at %s", self._writer.spec.name, self._bootstrap)

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """Returns when every entry is acknowledged by all in-sync replicas. Safe to repeat, and to call at once for
        several shards. After a cancel some entries may have arrived; a repeat sends the same ids.

        Raises:
            BrokerUnavailable: not acknowledged within the stuck limit, the broker's own error, or no such topic.
        """
        await self._writer.write([record_of(entry.fact) for entry in entries])

    async def close(self) -> None:
        """Close the connections, at once. What was not acknowledged is still in the outbox."""
        await self._writer.close()
