"""Dead letters on a real broker: kept as they were, listed while open, replayed or discarded once."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from switch.errors import BrokerUnavailable, CodecError, InvalidValue
from switch.events import decode, encode, headers
from switch.events.broker import records
from switch.events.dead_letters import DeadLetters
from switch.events.fold import LogRecord, Poisoned
from switch.events.topics import ensure, topics
from switch.events.writer import TopicWriter
from tests.events.support import fact, spec_of

OPERATOR = "OPERATOR"


class Place:
    """A log and its dead letters, of the test's own."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        name = f"test.{uuid.uuid4().hex}"
        self.log = spec_of(name, 4)
        self.spec = topics(4, 1, 1).dlq._replace(name=f"{name}.dlq")
        self.letters = DeadLetters(bootstrap, self.spec, origin=name)

    async def log_records(self) -> list[Any]:
        return [record async for record in records(self.bootstrap, self.log.name)]


@pytest.fixture
async def place(kafka_bootstrap: str, patient_broker: None) -> AsyncIterator[Place]:
    one = Place(kafka_bootstrap)
    await ensure(kafka_bootstrap, [one.log])
    yield one
    await one.letters.close()


def poisoned(
    offset: int, *, partition: int = 2, value: bytes | None = b"\xff", key: bytes | None = b"ALFA"
) -> Poisoned:
    record = LogRecord(partition, offset, key, value, [*headers(fact("ALFA", 1)), ("x-foreign", b"\x00\xff")])
    return Poisoned(record, "MALFORMED", "value: not a SettlementEvent")


async def test_a_letter_is_the_record_as_it_was_and_why(place: Place) -> None:
    buried = [poisoned(41), poisoned(42, value=None, key=None), poisoned(43, value=b"")]
    await place.letters.bury(buried)
    found = await place.letters.list()
    assert [letter.record for letter in found] == [one.record for one in buried]
    assert {(letter.code, letter.text, letter.attempts) for letter in found} == {
        ("MALFORMED", "value: not a SettlementEvent", 1)
    }
    assert [letter.origin for letter in found] == [(place.log.name, 2, offset) for offset in (41, 42, 43)]
    assert [(letter.partition, letter.offset) for letter in found] == [(0, 0), (0, 1), (0, 2)]
    first, *_ = [record async for record in records(place.bootstrap, place.spec.name)]
    assert list(first.headers[-6:]) == [
        ("x-error-code", b"MALFORMED"),
        ("x-error-text", b"value: not a SettlementEvent"),
        ("x-origin-topic", place.log.name.encode()),
        ("x-origin-partition", b"2"),
        ("x-origin-offset", b"41"),
        ("x-attempts", b"1"),
    ]


async def test_a_letter_buried_twice_is_one_and_so_is_what_becomes_of_it(place: Place) -> None:
    """A settler that is killed after burying buries again, and one that begins anew buries everything again."""
    await place.letters.bury([poisoned(41)])
    await place.letters.bury([poisoned(41), poisoned(42)])
    assert [letter.offset for letter in await place.letters.list()] == [0, 2]
    await place.letters.discard(0, 0, "a test record of 2026", OPERATOR)
    await place.letters.bury([poisoned(41)])
    assert [letter.offset for letter in await place.letters.list()] == [2]


async def test_a_replay_puts_the_record_back_with_the_id_it_had(place: Place) -> None:
    good = fact("ALFA", 7)
    record = LogRecord(3, 5, b"ALFA", encode(good), headers(good))
    await place.letters.bury([Poisoned(record, "NO_ARRANGEMENT", "no arrangement takes this asset on this rail")])
    assert await place.log_records() == []
    replayed = await place.letters.replay(0, 0, OPERATOR)
    assert replayed.record == record
    (again,) = await place.log_records()
    assert (again.partition, again.key, again.value) == (3, record.key, record.value)
    assert list(again.headers) == [*record.headers, ("x-attempts", b"2")]
    assert decode(again.value, again.headers) == good
    assert await place.letters.list() == []
    (letter,) = await place.letters.list(dealt=True)
    assert (letter.dealt, letter.dealt_by, letter.record) == ("replayed", OPERATOR, record)
    with pytest.raises(InvalidValue, match="0/0 is no open dead letter"):
        await place.letters.replay(0, 0, OPERATOR)


async def test_a_replay_that_fails_again_says_how_often(place: Place) -> None:
    await place.letters.bury([poisoned(0, partition=1)])
    await place.letters.replay(0, 0, OPERATOR)
    (again,) = await place.log_records()
    second = LogRecord(again.partition, 9, again.key, again.value, list(again.headers))
    await place.letters.bury([Poisoned(second, "MALFORMED", "still")])
    (letter,) = await place.letters.list()
    assert (letter.attempts, letter.text) == (2, "still")
    await place.letters.replay(letter.partition, letter.offset, OPERATOR)
    assert [dict(record.headers)["x-attempts"] for record in await place.log_records()] == [b"2", b"3"]
    assert all([*record.headers].count(("x-foreign", b"\x00\xff")) == 1 for record in await place.log_records())


async def test_a_replay_whose_log_is_not_there_leaves_the_letter_open(place: Place) -> None:
    lost = DeadLetters(place.bootstrap, place.spec, origin=f"{place.log.name}.gone")
    await lost.bury([poisoned(41)])
    with pytest.raises(BrokerUnavailable, match=r"gone is missing; bayswitch topics ensure"):
        await lost.replay(0, 0, OPERATOR)
    assert len(await lost.list()) == 1
    await lost.close()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 141])
async def test_a_discard_needs_a_reason(place: Place, reason: str) -> None:
    await place.letters.bury([poisoned(41)])
    with pytest.raises(InvalidValue, match="1 to 140 characters"):
        await place.letters.discard(0, 0, reason, OPERATOR)
    await place.letters.discard(0, 0, " agreed with ALFA ", OPERATOR)
    (letter,) = await place.letters.list(dealt=True)
    assert (letter.dealt, letter.dealt_by, letter.dealt_reason) == ("discarded", OPERATOR, "agreed with ALFA")
    assert await place.log_records() == []


async def test_headers_of_the_record_that_look_like_ours_are_its_own(place: Place) -> None:
    one = poisoned(41)
    own = [("x-error-code", b"theirs"), ("x-dealt-with", b"theirs"), ("x-attempts", b"many")]
    one = one._replace(record=one.record._replace(headers=own))
    await place.letters.bury([one])
    (letter,) = await place.letters.list()
    assert (letter.record, letter.code, letter.attempts) == (one.record, "MALFORMED", 1)


async def test_what_is_no_letter_is_not_skipped_in_silence(place: Place) -> None:
    await place.letters.bury([poisoned(41)])
    writer = TopicWriter(place.bootstrap, place.spec)
    await writer.write([(b"key", b"value", [])])
    await writer.close()
    with pytest.raises(CodecError, match=r"dlq/0@1: a dead letter or a marker"):
        await place.letters.list()
