"""aiokafka's idempotent producer with the one thing it lacks: an end that does not wait for the broker.

`AIOKafkaProducer.stop` flushes first, and an idempotent producer never gives a batch up: while the broker is silent, or
after it has lost the producer's sequence (aiokafka#1017, open), stop hangs for ever and goes on sending when the broker
is back. A relay that sends again from its outbox needs the old producer gone for certain, before the new one begins.

That takes names aiokafka does not publish. They are all in this file, pyproject.toml holds the minor version, and the
tests pause and kill a real broker to see that they still mean what they meant in 0.14.
"""

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from aiokafka.partitioner import DefaultPartitioner

from switch.events.broker import Access
from switch.events.envelope import Headers
from switch.limits import BROKER_ANSWER_MS_MAX, EVENT_BATCH_BYTES_MAX

__all__ = ["Producer", "Record"]

Record = tuple[bytes | None, bytes | None, Headers]  # key, value, headers

ABORT_ROUND_SECONDS = 0.1  # how long a cancelled task of the client may take before it is cancelled again
SOCKETS_SECONDS_MAX = 1.0  # closing sockets that were aborted is a matter of loop turns


class Producer:
    """One idempotent producer (acks=all) of one topic. After any error it is of no more use: `abort` it."""

    def __init__(self, bootstrap: str, topic: str, *, stuck_ms: int, access: Access) -> None:
        self._topic = topic
        self._client = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            max_batch_size=EVENT_BATCH_BYTES_MAX,
            request_timeout_ms=min(BROKER_ANSWER_MS_MAX, stuck_ms),
            **access,
        )
        self._partition_of = functools.cache(self._partition)  # as many keys as there are debtor agents
        self._partitions: list[int] = []
        self._produces: set[asyncio.Task[None]] = set()
        self._send = self._client._sender._send_produce_req
        self._client._sender._send_produce_req = self._noted_send

    async def _noted_send(self, node_id: int, batches: Any) -> None:
        """One produce request; kept in sight, for aiokafka keeps these tasks in a local variable."""
        task = asyncio.current_task()
        assert task is not None
        self._produces.add(task)
        try:
            await self._send(node_id, batches)
        finally:
            self._produces.discard(task)

    async def start(self) -> None:
        """Connect and take a producer id. Not bounded in time here; after an error or a cancel, `abort`."""
        await self._client.start()
        self._partitions = sorted(await self._client.partitions_for(self._topic))

    async def send(self, records: Sequence[Record], partition: int | None = None) -> None:
        """Returns when every record is acknowledged by all in-sync replicas; raises the first error otherwise.
        `partition`: not where the keys say, but there.

        The records of one partition are written in order: a batch is sent when the one before it is acknowledged.
        aiokafka would send the next after a failed one, and a broker that does not know the producer takes it.
        """
        per_partition: dict[int, list[Record]] = {}
        for record in records:
            place = self._partition_of(record[0]) if partition is None else partition
            per_partition.setdefault(place, []).append(record)
        sends = [asyncio.ensure_future(self._send_in_order(*of_one)) for of_one in per_partition.items()]
        try:
            await asyncio.gather(*sends)
        finally:
            for send in sends:
                send.cancel()
            await asyncio.gather(*sends, return_exceptions=True)

    async def _send_in_order(self, partition: int, records: Sequence[Record]) -> None:
        sent = 0
        while sent < len(records):
            batch = self._client.create_batch()
            while sent < len(records):
                key, value, headers = records[sent]
                if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                    break  # full; an empty batch takes any record
                sent += 1
            batch.close()
            await (await self._client.send_batch(batch, self._topic, partition=partition))

    def _partition(self, key: bytes | None) -> int:
        """As every Kafka client places a key (murmur2), so that a consumer can compute it too."""
        return int(DefaultPartitioner()(key, self._partitions, self._partitions))

    async def abort(self, why: str) -> None:
        """End now, without a flush: nothing of this producer leaves the process after this. Safe to repeat.

        Every `send` under way raises, and says `why`.

        What is in the sockets of the kernel may still arrive at the broker: a repeat, with the ids it had.
        """
        client = self._client
        client._closed = True  # or it warns of a missing stop()
        sender = client._sender.sender_task
        running = self._produces if sender is None else {sender, *self._produces}
        while running:  # a cancelled sender waits for its requests, and they for metadata: cancel until all are gone
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=ABORT_ROUND_SECONDS)
            running = {task for task in {*running, *self._produces} if not task.done()}
        self._fail_waiting(ProducerClosed(why))
        for connection in list(client.client._conns.values()):
            if connection._writer is not None:
                connection._writer.transport.abort()  # close() would wait until a silent broker reads the rest
        async with asyncio.timeout(SOCKETS_SECONDS_MAX):
            await client.client.close()

    def _fail_waiting(self, error: ProducerClosed) -> None:
        """Whoever waits for an acknowledgement gets the error; nobody has to."""
        accumulator = self._client._message_accumulator
        batches = [batch for queue in accumulator._batches.values() for batch in queue]
        batches += accumulator._pending_batches
        accumulator.fail_all(error)
        for batch in batches:
            for future in (batch.future, batch._drain_waiter):
                if future.done() and not future.cancelled():
                    future.exception()
