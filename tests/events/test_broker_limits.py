"""The real limits, unshortened: a broker that stands still for longer than a producer is given, and one lost of three."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import kafka
from deploy.local.node import Node
from switch.events import KafkaSink, TopicSpec
from switch.events.topics import ensure
from switch.limits import PRODUCER_STUCK_MS_MAX
from tests.events.support import FakeOutbox, spec_of
from tests.events.test_faults import READY_SECONDS_MAX, _check, _Feed, _flowing
from tests.waiting import eventually

GOES_ON_SECONDS_MAX = 30  # once the broker is back, on a machine that stands still meanwhile
MORE = 40  # events of each agent that must be published to say that it goes on


@pytest.fixture
def topic() -> str:
    return f"test.{uuid.uuid4().hex}"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Node]:
    assert not kafka.missing(), kafka.missing()
    with kafka.cluster(folder=tmp_path / "kafka") as running:
        yield running.nodes[0]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[kafka.Cluster]:
    assert not kafka.missing(), kafka.missing()
    with kafka.cluster(3, folder=tmp_path / "kafka") as running:
        yield running


async def test_a_pause_longer_than_the_stuck_limit(alone: Node, topic: str, request: pytest.FixtureRequest) -> None:
    """The producer is thrown away and built anew, and publishing goes on soon after the broker does."""
    outbox, sink = FakeOutbox(shards=2), KafkaSink(alone.address, spec_of(topic, 3))
    async with _flowing(outbox, sink) as (one, feed):
        await eventually(lambda: one.published_total > MORE, "events flow")
        begun = time.monotonic()
        alone.pause()
        await eventually(lambda: one.failing, "no acknowledgement in time")
        assert time.monotonic() - begun > PRODUCER_STUCK_MS_MAX / 2_000, "the limit is the real one"
        assert "no acknowledgement in time" in one.last_error
        before = one.published_total
        alone.resume()
        begun = time.monotonic()
        await eventually(lambda: one.published_total > before, "events flow again")
        assert time.monotonic() - begun < GOES_ON_SECONDS_MAX
        assert sink.producers_built > 1
    request.getfixturevalue("patient_broker")  # to read what there is
    await _check(alone, topic, feed)


async def test_one_of_three_killed_and_one_of_three_silent(
    three: kafka.Cluster, topic: str, request: pytest.FixtureRequest
) -> None:
    """Two of three copies are enough: events flow while a broker is away, whichever it is, however it went."""
    spec = TopicSpec(topic, len(three.nodes))  # 3 copies, 2 must confirm; each node leads a partition
    await ensure(three.bootstrap, [spec])
    outbox, sink = FakeOutbox(shards=2), KafkaSink(three.bootstrap, spec)
    async with _flowing(outbox, sink) as (one, feed):

        async def flows() -> None:
            """Every event there is now, and more, of every agent."""
            wanted = feed.count + MORE
            await eventually(lambda: _published(outbox, feed, wanted), "events flow")

        await flows()
        for node, away, back in (
            (three.nodes[0], Node.kill, Node.start),
            (three.nodes[1], Node.pause, Node.resume),
        ):
            await asyncio.to_thread(away, node)
            await flows()
            await eventually(lambda: not one.failing, "with one of three away nothing waits")
            await asyncio.to_thread(back, node)
            deadline = time.monotonic() + READY_SECONDS_MAX
            await asyncio.to_thread(node.await_ready, len(three.nodes), deadline)
    request.getfixturevalue("patient_broker")  # to read what there is
    await _check(three.nodes[0], topic, feed)


def _published(outbox: FakeOutbox, feed: _Feed, wanted: int) -> bool:
    """Whether so many events of each agent came, and are acknowledged."""
    oldest = [waiting[0].fact.sequence for waiting in outbox.waiting if waiting]
    return feed.count >= wanted and all(sequence > wanted for sequence in oldest)
