"""The relay and a real broker: what is published is the outbox, in order, under the right headers, and readable."""

import contextlib
import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer

from switch.errors import BrokerUnavailable, CodecError
from switch.events import KafkaSink, tail
from switch.events.broker import records
from switch.events.producer import Producer
from switch.events.schema import encode, headers
from switch.events.topics import ensure
from tests.events.conftest import PATIENCE_MS
from tests.events.support import FakeOutbox, all_of, fact, in_order_per_agent, relay, running, spec_of, until

NOWHERE = "127.0.0.1:1"  # tcpmux: nobody listens
AGENTS = ("ALFA", "BRAVO", "CHARLIE", "DELTA")


def new_topic() -> str:
    return f"test.{uuid.uuid4().hex}"


@pytest.fixture
def topic(patient_broker: None) -> str:
    """A topic of the test's own."""
    return new_topic()


def sink_of(bootstrap: str, topic: str, *, stuck_ms: int = PATIENCE_MS) -> KafkaSink:
    return KafkaSink(bootstrap, spec_of(topic, 6), stuck_ms=stuck_ms)


async def test_the_topic_holds_what_the_outbox_held_in_order_per_agent(kafka_bootstrap: str, topic: str) -> None:
    outbox, agents = FakeOutbox(shards=4), [f"AGENT{number:02}" for number in range(20)]
    for number in range(1, 151):
        for place, agent in enumerate(agents):
            outbox.put(place % outbox.shards, [fact(agent, number)])
    one = relay(outbox, sink_of(kafka_bootstrap, topic), batch_count=500)
    async with running(one):
        await until(lambda: outbox.empty, "the outbox is empty")
    assert (one.last_error, one.published_total) == ("", 3_000)
    published = await all_of(kafka_bootstrap, topic)
    expected = {fact(agent, number) for agent in agents for number in range(1, 151)}
    assert {record.fact for record in published} == expected
    assert len(published) == len(expected), "without trouble there are no repeats"
    assert in_order_per_agent(record.fact for record in published)
    homes = {(record.fact.debtor_agent, record.partition) for record in published}
    assert len(homes) == len(agents), "an agent stays in one partition"


async def test_a_record_is_a_cloudevent_in_binary_mode(kafka_bootstrap: str, topic: str) -> None:
    outbox = FakeOutbox()
    outbox.put(0, [fact("PEARLPAY", 1)])
    async with running(relay(outbox, sink_of(kafka_bootstrap, topic))):
        await until(lambda: outbox.empty, "the outbox is empty")
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        record = await consumer.getone()
    finally:
        await consumer.stop()
    uetr = fact("PEARLPAY", 1).uetr.encode()
    assert record.key == b"PEARLPAY"
    assert record.value == encode(fact("PEARLPAY", 1))
    assert list(record.headers) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", uetr),
        ("ce_source", b"/bayswitch/settlement"),
        ("ce_type", b"bayswitch.settlement.payment.v1"),
        ("ce_subject", uetr),
        ("ce_time", b"2026-11-23T06:00:00.041Z"),
        ("ce_partitionkey", b"PEARLPAY"),
        ("content-type", b"application/protobuf"),
    ]


async def test_a_batch_larger_than_one_request_keeps_its_order(kafka_bootstrap: str, topic: str) -> None:
    """Several produce batches of one partition, each after the ack of the one before."""
    facts = [fact("ALFA", number) for number in range(1, 5_001)]
    outbox = FakeOutbox()
    entries = outbox.put(0, facts)
    async with open_sink(kafka_bootstrap, topic) as sink:
        await sink.publish(entries)
        await sink.publish([])
    assert [record.fact for record in await all_of(kafka_bootstrap, topic)] == facts


async def test_a_producer_whose_sequence_the_broker_refuses_is_rebuilt(kafka_bootstrap: str, topic: str) -> None:
    """aiokafka#1017: after this answer the producer of aiokafka never sends again."""
    outbox = FakeOutbox()
    async with open_sink(kafka_bootstrap, topic) as sink:
        await sink.publish(outbox.put(0, [fact("ALFA", 1)]))
        assert sink._writer._producer is not None
        sequences = sink._writer._producer._client._txn_manager._sequence_numbers
        sequences.update(dict.fromkeys(sequences, 1000))
        with pytest.raises(BrokerUnavailable, match="OutOfOrderSequenceNumber"):
            await sink.publish(outbox.put(0, [fact("ALFA", 2)]))
        await sink.publish(outbox.waiting[0])
        assert sink.producers_built == 2
    assert [record.fact.sequence for record in await all_of(kafka_bootstrap, topic)] == [1, 1, 2]


@contextlib.asynccontextmanager
async def open_sink(bootstrap: str, topic: str) -> AsyncIterator[KafkaSink]:
    sink = sink_of(bootstrap, topic)
    await sink.start()
    try:
        yield sink
    finally:
        await sink.close()


async def test_tail_from_the_end_shows_only_what_comes(kafka_bootstrap: str, topic: str) -> None:
    outbox = FakeOutbox()
    async with open_sink(kafka_bootstrap, topic) as sink:
        await sink.publish(outbox.put(0, [fact("ALFA", 1)]))
        assert [one async for one in tail(kafka_bootstrap, topic, from_beginning=False, follow=False)] == []
        async with contextlib.aclosing(tail(kafka_bootstrap, topic)) as whole:
            assert (await anext(whole)).fact == fact("ALFA", 1)
            await sink.publish(outbox.put(0, [fact("ALFA", 2)]))
            following = await anext(whole)
            assert following.fact == fact("ALFA", 2)
            assert following.offset == 1


async def test_tail_refuses_what_is_not_an_event(kafka_bootstrap: str, topic: str) -> None:
    await ensure(kafka_bootstrap, [spec_of(topic, 1)])
    producer = Producer(kafka_bootstrap, topic, stuck_ms=PATIENCE_MS, access={})
    await producer.start()
    await producer.send([(b"ALFA", b"{}", headers(fact("ALFA", 1)))])
    await producer.abort("done")
    with pytest.raises(CodecError):
        await all_of(kafka_bootstrap, topic)


async def test_without_a_broker_everything_says_so_and_nothing_else_happens() -> None:
    sink = KafkaSink(NOWHERE, spec_of("any", 1))
    await sink.start()
    with pytest.raises(BrokerUnavailable, match="could not be looked up"):
        await sink.publish(FakeOutbox().put(0, [fact("ALFA", 1)]))
    await sink.close()
    with pytest.raises(BrokerUnavailable):
        await all_of(NOWHERE, "any")


async def test_a_range_of_the_topic_is_read_alone(kafka_bootstrap: str, topic: str) -> None:
    async with open_sink(kafka_bootstrap, topic) as sink:
        await sink.publish(FakeOutbox().put(0, [fact(agent, number) for agent in AGENTS for number in range(1, 21)]))
    whole = [one async for one in records(kafka_bootstrap, topic)]
    home = {record.key: record.partition for record in whole}
    one, other = sorted(set(home.values()))[:2]
    begins, ends = {one: 3, other: 0}, {one: 7, other: 0}
    found = [record async for record in records(kafka_bootstrap, topic, begins=begins, ends=ends)]
    assert [(record.partition, record.offset) for record in found] == [(one, offset) for offset in range(3, 7)]
    last = [record async for record in records(kafka_bootstrap, topic, last=2)]
    assert len(last) == 2 * len(set(home.values()))


async def test_a_topic_that_is_missing_is_said(kafka_bootstrap: str) -> None:
    topic = new_topic()
    with pytest.raises(BrokerUnavailable, match=topic):
        await all_of(kafka_bootstrap, topic)
