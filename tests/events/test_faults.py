"""A real broker that is not there, dies, or falls silent in mid-stream: events come late, and all of them come."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from deploy.local import kafka
from deploy.local.node import Node
from switch.events import KafkaSink, Relay
from switch.events import trouble as trouble_module
from switch.ports import OutboxEntry
from tests.events.support import (
    FakeOutbox,
    all_of,
    fact,
    first_arrivals,
    in_order_per_agent,
    relay,
    running,
    spec_of,
    until,
)

AGENTS = ("ALFA", "BRAVO", "CHARLIE", "DELTA")
STUCK_MS = 1_500
PATIENT_MS = 20_000  # where nobody is to be given up
READY_SECONDS_MAX = 60


@pytest.fixture(scope="module")
def _own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    assert not kafka.missing(), kafka.missing()
    with kafka.cluster(folder=tmp_path_factory.mktemp("own-kafka")) as running_cluster:
        yield running_cluster.nodes[0]


@pytest.fixture
def broker(_own_broker: Node) -> Iterator[Node]:
    """A broker to be killed and paused; every test finds and leaves it running."""
    yield _own_broker
    if _own_broker.pid:
        _own_broker.resume()
    else:
        _own_broker.start()
    _own_broker.await_ready(1, time.monotonic() + READY_SECONDS_MAX)


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble_module, "RELAY_BACKOFF_MS_MAX", 400)


@pytest.fixture
def topic(patient_broker: None) -> str:
    return f"test.{uuid.uuid4().hex}"


async def _start(broker: Node) -> None:
    broker.start()
    await asyncio.to_thread(broker.await_ready, 1, time.monotonic() + READY_SECONDS_MAX)


class _Feed:
    """Payments that go on whatever the broker does: one per agent at a time, until told to stop."""

    def __init__(self, outbox: FakeOutbox) -> None:
        self.count = 0
        self._outbox = outbox

    def put(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            for place, agent in enumerate(AGENTS):
                self._outbox.put(place % self._outbox.shards, [fact(agent, self.count)])

    async def run(self) -> None:
        while True:
            self.put(2)
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _flowing(outbox: FakeOutbox, sink: KafkaSink) -> AsyncIterator[tuple[Relay, _Feed]]:
    feed, one = _Feed(outbox), relay(outbox, sink, batch_count=100)
    async with running(one):
        feeding = asyncio.create_task(feed.run())
        try:
            yield one, feed
        finally:
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding
        await until(lambda: outbox.empty, "everything is acknowledged")


async def _check(broker: Node, topic: str, feed: _Feed) -> int:
    """The topic holds every fact, repeats are equal, first arrivals are in order. How many repeats."""
    published = [record.fact for record in await all_of(broker.address, topic)]
    kept = first_arrivals(published)
    assert set(kept) == {fact(agent, number) for agent in AGENTS for number in range(1, feed.count + 1)}
    assert in_order_per_agent(kept)
    return len(published) - len(kept)


def _sink(broker: Node, topic: str, stuck_ms: int = STUCK_MS) -> KafkaSink:
    return KafkaSink(broker.address, spec_of(topic, 3), stuck_ms=stuck_ms)


async def test_a_broker_killed_in_mid_stream(broker: Node, topic: str) -> None:
    outbox, sink = FakeOutbox(shards=2), _sink(broker, topic)
    async with _flowing(outbox, sink) as (one, feed):
        await until(lambda: one.published_total > 200, "events flow")
        broker.kill()
        await until(lambda: one.failing, "the trouble shows")
        grown = feed.count
        await until(lambda: feed.count > grown + 50, "payments go on")
        assert not outbox.empty
        await _start(broker)
        await until(lambda: not one.failing, "events flow again")
    assert one.last_error
    await _check(broker, topic, feed)


async def test_a_broker_that_is_down_at_start(broker: Node, topic: str) -> None:
    broker.kill()
    outbox = FakeOutbox(shards=2)
    sink = _sink(broker, topic, PATIENT_MS)  # given up while it is slow to wake, it would get things twice
    async with _flowing(outbox, sink) as (one, feed):
        await until(lambda: one.failing and feed.count > 50, "the trouble shows, payments go on")
        assert "BrokerUnavailable" in one.last_error
        assert one.published_total == 0
        await _start(broker)
        await until(lambda: one.published_total > 0, "events flow")
    assert await _check(broker, topic, feed) == 0, "nothing was sent before, so nothing is repeated"


async def test_a_stuck_producer_is_rebuilt_and_goes_on(broker: Node, topic: str) -> None:
    """aiokafka's idempotent producer would wait for ever; its first life must not send after its second began."""
    outbox, sink = FakeOutbox(shards=2), _sink(broker, topic)
    async with _flowing(outbox, sink) as (one, feed):
        await until(lambda: one.published_total > 200, "events flow")
        built = sink.producers_built  # one; more on a machine that stood still
        broker.pause()
        await until(lambda: one.failing and "no acknowledgement in time" in one.last_error, "it is stuck")
        broker.resume()
        await until(lambda: not one.failing, "events flow again")
        assert sink.producers_built > built
    await _check(broker, topic, feed)
    await until(lambda: _tasks_of_aiokafka() == [], "no task of a thrown away producer is left")


def _tasks_of_aiokafka() -> list[str]:
    return [str(task.get_coro()) for task in asyncio.all_tasks() if "aiokafka" in str(task.get_coro())]


async def test_a_relay_cancelled_in_mid_stream_and_run_again(broker: Node, topic: str) -> None:
    outbox = FakeOutbox(shards=2)
    feed = _Feed(outbox)
    for _ in range(10):
        feed.put(100)
        one = relay(outbox, _sink(broker, topic), batch_count=50)
        async with running(one):
            await until(lambda one=one: one.published_total > 0, "events flow")  # type: ignore[misc]
    async with running(relay(outbox, _sink(broker, topic))):
        await until(lambda: outbox.empty, "the outbox is empty")
    await _check(broker, topic, feed)


async def test_a_publish_to_a_silent_broker_can_be_cancelled(broker: Node, topic: str) -> None:
    outbox, sink = FakeOutbox(), _sink(broker, topic, 2 * PATIENT_MS)
    entries: Sequence[OutboxEntry] = outbox.put(0, [fact("ALFA", 1), fact("ALFA", 2)])
    try:
        await sink.publish(entries[:1])
        broker.pause()
        publishing = asyncio.create_task(sink.publish(entries))
        await until(lambda: publishing.done() or _on_its_way(sink), "the request is on its way")
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        began = time.monotonic()
        await sink.close()
        assert time.monotonic() - began < PATIENT_MS / 1000, "close does not wait for the broker"
        broker.resume()
        await sink.publish(entries)
    finally:
        await sink.close()
    kept = first_arrivals(record.fact for record in await all_of(broker.address, topic))
    assert kept == [entry.fact for entry in entries]


def _on_its_way(sink: KafkaSink) -> bool:
    producer = sink._writer._producer
    return producer is not None and bool(producer._produces)
