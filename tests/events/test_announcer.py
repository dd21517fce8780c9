"""The announcer: moves of windows and latest positions reach their topics, in order, and are due until they have."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer

from switch.domain.money import Asset
from switch.domain.settlement import NetPosition, Window, WindowState
from switch.errors import BrokerUnavailable, StoreUnavailable
from switch.events import trouble as trouble_module
from switch.events.announcer import Announcer
from switch.events.envelope import Headers
from switch.events.producer import Record
from switch.events.topics import topics
from switch.events.window_schema import decode_announcement, decode_moved
from switch.events.writer import TopicWriter
from switch.limits import ANNOUNCE_COUNT, EVENT_BATCH_BYTES_MAX
from switch.ports import Announcement, Moved, SettlementStore
from tests.events.support import START_MS, FakeBooks, FakeClock, until

ARRANGEMENTS = ("hkd-rtgs", "cnh-rtgs", "mop-rtgs")


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble_module, "RELAY_BACKOFF_MS_FIRST", 1)


class FakeWriter:
    """Keeps what it was given. `failures` are raised by the next writes, after half of the records have arrived."""

    def __init__(self) -> None:
        self.arrived: list[Record] = []
        self.failures: list[Exception] = []
        self.open = True

    async def write(self, records: Sequence[Record]) -> None:
        assert self.open
        if self.failures:
            self.arrived += records[: len(records) // 2]
            raise self.failures.pop(0)
        self.arrived += records

    async def close(self) -> None:
        self.open = False


class DeafWriter(FakeWriter):
    """Loses a cancel that comes while it writes, as a client of the broker may. `fails`: and then there is trouble."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.writing = asyncio.Event()
        self._fails = fails

    async def write(self, records: Sequence[Record]) -> None:
        self.writing.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if self._fails:
            raise BrokerUnavailable("the first one was stopped")


@contextlib.asynccontextmanager
async def _announcing(books: FakeBooks, windows: Any, positions: Any) -> AsyncIterator[Announcer]:
    one = Announcer(cast(SettlementStore, books), windows, positions, FakeClock())
    task = asyncio.create_task(one.run())
    try:
        yield one
        assert not task.done(), "it ends only by a cancel"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _window(arrangement: str, number: int) -> Window:
    return Window(arrangement, number, WindowState.OPEN, START_MS + number)


def _read(records: Sequence[Record]) -> list[Announcement]:
    return [decode_announcement(value, headers) for _key, value, headers in records]


async def test_moves_of_windows_are_announced_in_order_and_once() -> None:
    books, windows, positions = FakeBooks(), FakeWriter(), FakeWriter()
    made = [books.move_window(_window(name, number)) for number in range(1, 151) for name in ARRANGEMENTS]
    async with _announcing(books, windows, positions) as one:
        await until(lambda: not books.due, "everything is announced")
    assert len(made) > 2 * ANNOUNCE_COUNT
    assert _read(windows.arrived) == [move._replace(place="") for move in made]
    assert [key for key, _, _ in windows.arrived[:3]] == [b"hkd-rtgs", b"cnh-rtgs", b"mop-rtgs"]
    assert one.windows_total == len(made)
    assert not windows.open
    assert not positions.open


async def test_a_position_is_published_as_it_is_now_and_again_when_it_moves() -> None:
    books, windows, positions = FakeBooks(), FakeWriter(), FakeWriter()
    for amount in (100, 250, -50):
        books.move_position("PEARLPAY", Asset.HKD, amount)
    async with _announcing(books, windows, positions) as one:
        await until(lambda: one.positions_total == 1, "it is published")
        books.move_position("PEARLPAY", Asset.HKD, 70)
        books.move_position("PEARLPAY", Asset.CNH, 1)
        one.nudge()
        await until(lambda: one.positions_total == 3, "both are published")
    assert [decode_moved(value, headers) for _key, value, headers in positions.arrived] == [
        (Moved("PEARLPAY", Asset.HKD, -50, 3), START_MS),
        (Moved("PEARLPAY", Asset.HKD, 70, 4), START_MS),
        (Moved("PEARLPAY", Asset.CNH, 1, 1), START_MS),
    ]


async def test_trouble_delays_and_repeats_have_the_ids_they_had() -> None:
    books, windows, positions = FakeBooks(), FakeWriter(), FakeWriter()
    made = [books.move_window(_window("hkd-rtgs", number)) for number in range(1, 11)]
    books.move_position("PEARLPAY", Asset.HKD, 100)
    windows.failures = [BrokerUnavailable("no broker")]
    positions.failures = [BrokerUnavailable("no broker")]
    books.failures = {name: [StoreUnavailable("no answer")] for name in ("announcements", "announced", "moved")}
    async with _announcing(books, windows, positions) as one:
        await until(lambda: not books.due and bool(books.told), "everything is announced")
        await until(lambda: not one.trouble.failing, "the trouble has passed")
    assert "no answer" in one.trouble.last_error or "no broker" in one.trouble.last_error
    arrived = _read(windows.arrived)
    assert len(arrived) == 5 + 10 + 10, "half, then all, then all again: the store did not answer"
    assert list(dict.fromkeys(arrived)) == [move._replace(place="") for move in made]
    assert not any(books.failures.values())


@pytest.mark.usefixtures("patient_broker")
async def test_on_a_real_broker_each_topic_holds_its_own(kafka_bootstrap: str) -> None:
    """A window of a thousand participants, longer than a batch, too."""
    name = f"test.{uuid.uuid4().hex}"
    specs = topics(1, 1, 1)
    books, number = FakeBooks(), 1_500
    books.move_window(_window("hkd-rtgs", 1))
    wide = tuple(NetPosition(f"PARTICIPANT{place:05}", Asset.HKD, 10**14, 10**14, -1) for place in range(8 * number))
    books.move_window(_window("hkd-rtgs", 2)._replace(positions=wide))
    books.move_window(_window("hkd-rtgs", 3))
    made = list(books.due)
    for participant in range(number):
        books.move_position(f"PARTICIPANT{participant:05}", Asset.HKD, participant)
    windows = TopicWriter(kafka_bootstrap, specs.window._replace(name=f"{name}.windows"))
    positions = TopicWriter(kafka_bootstrap, specs.position._replace(name=f"{name}.positions"))
    async with _announcing(books, windows, positions):
        await until(lambda: not books.due and len(books.told) == number, "everything is announced")
    records = await _all(kafka_bootstrap, windows.spec.name, 3)
    assert [decode_announcement(value, headers) for _, value, headers in records] == [
        move._replace(place="") for move in made
    ]
    assert len(records[1][1]) > EVENT_BATCH_BYTES_MAX
    records = await _all(kafka_bootstrap, positions.spec.name, number)
    found = {key: decode_moved(value, headers)[0] for key, value, headers in records}
    assert found == {f"{one.participant}|HKD".encode(): one for one in books.positions.values()}


async def _all(bootstrap: str, topic: str, count: int) -> list[tuple[bytes, bytes, Headers]]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found = [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()
    return [(record.key, record.value, list(record.headers)) for record in found]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancel_that_a_writer_loses_ends_it_all_the_same(fails: bool) -> None:
    books, windows, positions = FakeBooks(), DeafWriter(fails=fails), FakeWriter()
    books.move_window(_window("hkd-rtgs", 1))
    one = Announcer(cast(SettlementStore, books), cast(TopicWriter, windows), cast(TopicWriter, positions), FakeClock())
    task = asyncio.create_task(one.run())
    await windows.writing.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=60)
    assert task.cancelled()
    assert not windows.open
