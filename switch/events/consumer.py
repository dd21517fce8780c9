"""What a settlement consumer builds on: every final payment, in order per debtor agent, at least once, none skipped.

    async with SettlementConsumer("broker:9092", "treasury", instance="treasury-1", seen=books.has) as consumer:
        async for delivery in consumer:
            await books.book(delivery.fact)     # the effect and the event id, in one transaction
            await delivery.done()               # only then; the offset follows within a second

or, with retries:

        await consumer.run(books.book)

Promised: an event comes again until `done` was called for it, also after a kill, and always with the same event_id; events
of one debtor agent come in the order of their sequence; what memory knows as a repeat is dropped; a number that is left
out raises GapFound; a record that cannot be read, a log that was cut off or made anew, and a handler that keeps failing
all stop the consumer with an error and the place: nothing is ever skipped unasked.

Not promised: exactly once. Between the effect and the commit a process may die, so the event comes again; the consumer's
own database must refuse an event_id it has, or answer `seen`. There is no order between debtor agents.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from switch.domain.settlement import SettlementFact
from switch.errors import BrokerUnavailable, CodecError
from switch.events.assignment import Assignment
from switch.events.broker import BROKER_ERRORS, Access, said
from switch.events.opening import opened
from switch.events.schema import SETTLEMENT_TOPIC, decode
from switch.events.sequences import GapFound
from switch.limits import PRODUCER_STUCK_MS_MAX, RELAY_BACKOFF_MS_FIRST, RELAY_BACKOFF_MS_MAX

__all__ = ["Delivery", "SettlementConsumer"]

FETCH_RECORDS_MAX: Final = 500  # of one fetch; also how many may wait in memory
COMMIT_MS: Final = 1_000  # how old an offset may be at the broker while events flow
TRIES_MAX: Final = 6  # of a handler; with its pauses about three seconds

_LOG = logging.getLogger("bayswitch.events")


class Delivery:
    """One event, and its place in the log."""

    def __init__(self, owner: "SettlementConsumer", fact: SettlementFact, record: Any, generation: int) -> None:
        self.fact = fact
        self.partition: int = record.partition
        self.offset: int = record.offset
        self._record = record
        self._generation = generation
        self._owner = owner

    async def done(self) -> None:
        """The effect is made: the event need not come again. Safe to repeat."""
        await self._owner._finish(self)


class SettlementConsumer:
    """One member of a consumer group. Deliveries come one at a time: `done` before the next.

    repeats_total: events dropped because they were known. gaps_total: gaps that were reported to `on_gap`.
    """

    def __init__(
        self,
        bootstrap: str,
        group: str,
        *,
        instance: str | None = None,
        topic: str = SETTLEMENT_TOPIC,
        seen: Callable[[SettlementFact], Awaitable[bool]] | None = None,
        on_gap: Callable[[GapFound], None] | None = None,
        on_unreadable: Callable[[CodecError], None] | None = None,
        access: Access | None = None,
    ) -> None:
        """`group`: consumers of one group share the log. `instance`: this process's own lasting name in the group; a
        restart under it then moves no partition (static membership). None: it comes and goes.

        `seen`: whether the consumer's own database has the effect of this event; asked of every event that memory does
        not know. `on_gap`: told of a gap, after which events go on; without it GapFound is raised.
        `on_unreadable`: told of a record that is no event of this version, after which events go on; without it its
        CodecError is raised. The switch itself puts such a record into the dead letters.
        """
        self.repeats_total = 0
        self.gaps_total = 0
        self._topic = topic
        self._seen = seen
        self._on_gap = on_gap
        self._on_unreadable = on_unreadable
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "group_id": group,
            "group_instance_id": instance,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "max_poll_records": FETCH_RECORDS_MAX,
            "request_timeout_ms": PRODUCER_STUCK_MS_MAX,
            **(access or {}),
        }
        self._open = AsyncExitStack()
        self._queue: deque[Any] = deque()
        self._current: Delivery | None = None
        self._committed = 0.0  # on the monotonic clock, in seconds

    async def __aenter__(self) -> "SettlementConsumer":
        """Raises BrokerUnavailable."""
        self._consumer = AIOKafkaConsumer(**self._options)
        self._assignment = Assignment(self._consumer, self._options, self._queue)
        self._consumer.subscribe([self._topic], listener=self._assignment)
        try:
            await self._open.enter_async_context(opened(self._consumer))
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"topic {self._topic} cannot be read: {said(error)}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Commits what is done, and leaves."""
        try:
            await self._assignment.commit()
        finally:
            await self._open.aclose()

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        """The next event.

        Raises:
            GapFound: numbers are missing before it; asked again, it is raised again.
            CodecError: a record is not an event of this version, and there is no `on_unreadable`; names its place.
            SettlementHalted: the log is not the one this group has read; two events claim one number.
            BrokerUnavailable: the broker says so. One that is silent is waited for.
        """
        if self._current is not None:
            raise RuntimeError(f"event {self._current.fact.event_id} is not done, and the next one is asked for")
        while True:
            if not self._queue or time.monotonic() - self._committed >= COMMIT_MS / 1000:
                self._committed = time.monotonic()
                await self._assignment.commit()
            if not self._queue:
                await self._fetch()
                continue
            delivery = self._read(self._queue[0])
            if delivery is None:
                self._assignment.passed(self._queue.popleft())
                continue
            fresh = await self._is_fresh(delivery)
            if delivery._generation != self._assignment.generation:
                continue  # a rebalance came in between: it may be another's
            self._queue.popleft()
            if fresh:
                self._current = delivery
                return delivery
            self.repeats_total += 1
            self._assignment.done(delivery._record, delivery.fact)

    async def run(self, handler: Callable[[SettlementFact], Awaitable[object]]) -> None:
        """Give every event to `handler`, and take its return as done. Ends only by an error or a cancel.

        A handler that raises is tried again, later and later, with the same event; after TRIES_MAX its error is raised
        here, with a note that names the event. It was not skipped: it comes first after a restart.
        """
        async for delivery in self:
            await _tried(handler, delivery)
            await delivery.done()

    async def _fetch(self) -> None:
        try:
            await self._assignment.fetch()
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"topic {self._topic} cannot be read: {said(error)}") from error

    def _read(self, record: Any) -> Delivery | None:
        """None: no event, and somebody was told."""
        try:
            fact = decode(record.value, record.headers)
        except CodecError as error:
            named = CodecError(f"{record.topic}/{record.partition}@{record.offset}: {error.path}", error.rule)
            if self._on_unreadable is None:
                raise named from None
            self._on_unreadable(named)
            return None
        return Delivery(self, fact, record, self._assignment.generation)

    async def _is_fresh(self, delivery: Delivery) -> bool:
        """Whether the event has to be delivered. Raises GapFound."""
        fact, sequences = delivery.fact, self._assignment.sequences
        if sequences.repeated(fact):
            return False
        gap = sequences.gap(fact)
        if gap is not None:
            if self._on_gap is None:
                raise gap
            self._on_gap(gap)
            self.gaps_total += 1
        return self._seen is None or not await self._seen(fact)

    async def _finish(self, delivery: Delivery) -> None:
        if self._current is delivery:
            self._current = None
            self._assignment.done(delivery._record, delivery.fact, delivery._generation)


async def _tried(handler: Callable[[SettlementFact], Awaitable[object]], delivery: Delivery) -> None:
    pause_ms = RELAY_BACKOFF_MS_FIRST
    for tries in range(1, TRIES_MAX + 1):
        try:
            await handler(delivery.fact)
            return
        except Exception as error:
            place = f"event {delivery.fact.event_id} (partition {delivery.partition}, offset {delivery.offset})"
            if tries == TRIES_MAX:
                error.add_note(f"{place} failed {tries} times; it was not skipped")
                raise
            _LOG.warning("%s failed and is tried again: %s", place, type(error).__name__)
        await asyncio.sleep(pause_ms / 1000)
        pause_ms = min(2 * pause_ms, RELAY_BACKOFF_MS_MAX)
