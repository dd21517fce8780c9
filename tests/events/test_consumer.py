"""The consumer on a real broker: everything once a consumer has its own store, nothing skipped, whatever happens."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from switch.domain.settlement import SettlementFact
from switch.errors import BrokerUnavailable, CodecError, SettlementHalted
from switch.events import Delivery, GapFound, SettlementConsumer
from switch.events import consumer as consumer_module
from switch.events.schema import encode, headers, key
from switch.events.topics import ensure
from switch.events.writer import TopicWriter
from tests.events.support import UNTIL_SECONDS_MAX, fact, in_order_per_agent, spec_of, until

ROOT = Path(__file__).parents[2]
NOWHERE = "127.0.0.1:1"  # tcpmux: nobody listens
AGENTS = [f"AGENT{number}" for number in range(8)]
PARTITIONS = 4
SESSION_MS = 30_000  # nobody is put out of a group because the machine stood still


@pytest.fixture(autouse=True)
def _short_backoff_and_long_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "RELAY_BACKOFF_MS_FIRST", 1)
    monkeypatch.setattr(consumer_module, "AIOKafkaConsumer", partial(AIOKafkaConsumer, session_timeout_ms=SESSION_MS))


class Log:
    """A topic and a group of the test's own."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.topic = self.group = f"test.{uuid.uuid4().hex}"
        self.writer = TopicWriter(bootstrap, spec_of(self.topic, PARTITIONS))

    async def put(self, facts: Sequence[SettlementFact]) -> None:
        await self.writer.write([(key(one), encode(one), headers(one)) for one in facts])

    def member(self, instance: str | None = None, **options: object) -> SettlementConsumer:
        return SettlementConsumer(self.bootstrap, self.group, instance=instance, topic=self.topic, **options)  # type: ignore[arg-type]


@pytest.fixture
async def log(kafka_bootstrap: str, patient_broker: None) -> AsyncIterator[Log]:
    one = Log(kafka_bootstrap)
    await ensure(kafka_bootstrap, [one.writer.spec])
    yield one
    await one.writer.close()


def _facts(first: int, last: int, agents: Sequence[str] = AGENTS) -> list[SettlementFact]:
    return [fact(agent, number) for number in range(first, last + 1) for agent in agents]


async def _take(member: SettlementConsumer, count: int) -> list[SettlementFact]:
    """So many deliveries, each done."""
    found: list[SettlementFact] = []
    async with asyncio.timeout(UNTIL_SECONDS_MAX):
        while len(found) < count:
            delivery = await anext(member)
            found.append(delivery.fact)
            await delivery.done()
    return found


async def _nothing_comes(member: SettlementConsumer) -> None:
    """Two fetches find nothing that is fresh."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await anext(member)


async def test_every_event_comes_in_order_and_not_again_after_a_restart(log: Log) -> None:
    await log.put(_facts(1, 40))
    async with log.member() as member:
        found = await _take(member, 320)
    assert in_order_per_agent(found)
    assert set(found) == set(_facts(1, 40))
    await log.put(_facts(41, 42))
    async with log.member() as member:
        assert set(await _take(member, 16)) == set(_facts(41, 42))
        await _nothing_comes(member)
        assert member.repeats_total == 0


async def test_what_is_not_done_comes_again(log: Log) -> None:
    await log.put(_facts(1, 3, ["ALFA"]))
    async with log.member() as member:
        await _take(member, 1)
        delivery = await anext(member)
        assert delivery.fact.sequence == 2
        with pytest.raises(RuntimeError, match="is not done"):
            await anext(member)
    async with log.member() as member:
        again = await anext(member)
        assert (again.fact, again.partition, again.offset) == (delivery.fact, delivery.partition, delivery.offset)
        await again.done()
        await again.done()
        assert [one.sequence for one in await _take(member, 1)] == [3]


async def test_repeats_in_the_log_are_dropped_by_memory_also_by_that_of_the_last_life(log: Log) -> None:
    await log.put([*_facts(1, 20), *_facts(1, 20), *_facts(1, 21)])
    async with log.member() as member:
        assert set(await _take(member, 168)) == set(_facts(1, 21))
        await _nothing_comes(member)
        assert member.repeats_total == 320
    await log.put([*_facts(1, 21), *_facts(22, 22)])
    async with log.member() as member:
        assert set(await _take(member, 8)) == set(_facts(22, 22))
        assert member.repeats_total == 168


async def test_its_own_database_decides_what_memory_does_not_know(log: Log) -> None:
    await log.put(_facts(1, 10))
    booked = {one.event_id for one in _facts(1, 4)}

    async def seen(one: SettlementFact) -> bool:
        return one.event_id in booked

    async with log.member(seen=seen) as member:
        assert set(await _take(member, 48)) == set(_facts(5, 10))


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_gap_stops_the_consumer_before_the_event_behind_it(log: Log, restarted: bool) -> None:
    await log.put([*_facts(1, 3, ["ALFA"]), *_facts(6, 7, ["ALFA"])])
    async with log.member() as member:
        await _take(member, 3)
        if not restarted:
            for _ in range(2):
                with pytest.raises(GapFound) as found:
                    await anext(member)
                assert (found.value.debtor_agent, found.value.first, found.value.last) == ("ALFA", 4, 5)
    async with log.member() as member:
        with pytest.raises(GapFound):
            await anext(member)


async def test_a_gap_that_is_reported_lets_events_go_on_and_waits_for_what_is_missing(log: Log) -> None:
    gaps: list[GapFound] = []
    await log.put([*_facts(1, 3, ["ALFA"]), *_facts(6, 7, ["ALFA"])])
    async with log.member(on_gap=gaps.append) as member:
        assert [one.sequence for one in await _take(member, 5)] == [1, 2, 3, 6, 7]
        assert ([(gap.first, gap.last) for gap in gaps], member.gaps_total) == ([(4, 5)], 1)
    await log.put([*_facts(4, 4, ["ALFA"]), *_facts(6, 8, ["ALFA"])])
    async with log.member(on_gap=gaps.append) as member:
        assert [one.sequence for one in await _take(member, 2)] == [4, 8], "late, and still not a repeat"
    assert len(gaps) == 1


async def test_a_handler_that_fails_is_tried_again_with_the_same_event(log: Log) -> None:
    await log.put(_facts(1, 5, ["ALFA"]))
    tried: list[int] = []

    async def handle(one: SettlementFact) -> None:
        tried.append(one.sequence)
        if one.sequence == 3 and tried.count(3) < 4:
            raise ConnectionError("the ledger is away")

    async with log.member() as member, _running(member, handle):
        await until(lambda: tried[-1:] == [5], "all are handled")
    assert tried == [1, 2, 3, 3, 3, 3, 4, 5]


async def test_a_handler_that_keeps_failing_stops_everything_and_skips_nothing(log: Log) -> None:
    await log.put(_facts(1, 5, ["ALFA"]))
    handled: list[int] = []

    async def handle(one: SettlementFact) -> None:
        if one.sequence == 3:
            raise ConnectionError("the ledger is away")
        handled.append(one.sequence)

    async with log.member() as member:
        with pytest.raises(ConnectionError) as failed:
            await member.run(handle)
    assert failed.value.__notes__ == [
        f"event {fact('ALFA', 3).event_id} (partition {await _home(log)}, offset 2) failed 6 times; it was not skipped"
    ]
    assert handled == [1, 2]
    async with log.member() as member:
        assert [one.sequence for one in await _take(member, 3)] == [3, 4, 5]


async def _home(log: Log) -> int:
    async with SettlementConsumer(log.bootstrap, f"{log.group}.other", topic=log.topic) as member:
        return (await anext(member)).partition


@contextlib.asynccontextmanager
async def _running(member: SettlementConsumer, handle: object) -> AsyncIterator[None]:
    task = asyncio.create_task(member.run(handle))  # type: ignore[arg-type]
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_is_no_event_is_named_with_its_place(log: Log) -> None:
    await log.put(_facts(1, 1, ["ALFA"]))
    await log.writer.write([(b"ALFA", b"{}", headers(fact("ALFA", 2)))])
    async with log.member() as member:
        await _take(member, 1)
        for _ in range(2):
            with pytest.raises(CodecError, match=rf"{log.topic}/\d@1: "):
                await anext(member)


async def test_who_asks_for_it_is_told_of_what_is_no_event_and_goes_on(log: Log) -> None:
    await log.put(_facts(1, 1, ["ALFA"]))
    await log.writer.write([(b"ALFA", b"{}", headers(fact("ALFA", 2)))])
    await log.put(_facts(2, 2, ["ALFA"]))
    told: list[CodecError] = []
    async with log.member(on_unreadable=told.append) as member:
        assert [delivery.sequence for delivery in await _take(member, 2)] == [1, 2]
    assert len(told) == 1
    async with log.member(on_unreadable=told.append) as member:
        await log.put(_facts(3, 3, ["ALFA"]))
        assert [delivery.sequence for delivery in await _take(member, 1)] == [3]
    assert len(told) == 1, "it was passed for good"


async def test_a_log_made_anew_under_the_group_is_said(log: Log) -> None:
    await log.put(_facts(1, 5, ["ALFA"]))
    async with log.member() as member:
        await _take(member, 5)
        place = next(iter(member._assignment._due))
        member._assignment._due = {place: 1_000}  # as from a topic of this name that held more
    async with log.member() as member:
        with pytest.raises(SettlementHalted, match=r"is at 1000 of .*, which holds 0 to 5"):
            await anext(member)


async def test_a_group_that_another_program_commits_for_is_said(log: Log) -> None:
    await log.put(_facts(1, 1, ["ALFA"]))
    async with log.member() as member:
        await _take(member, 1)
        place = next(iter(member._assignment._due))
        member._assignment._due.clear()
        await member._consumer.commit({place: (1, "theirs")})
    async with log.member() as member:
        with pytest.raises(SettlementHalted, match="another program commits for it"):
            await anext(member)


async def test_a_coordinator_that_is_just_moving_is_asked_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    await log.put(_facts(1, 2, ["ALFA"]))
    async with log.member() as member:
        await _take(member, 1)
    ask, moving = AIOKafkaAdminClient.list_consumer_group_offsets, [GroupCoordinatorNotAvailableError()] * 2

    async def asked(*args: Any, **options: Any) -> Any:
        if moving:
            raise moving.pop()
        return await ask(*args, **options)

    monkeypatch.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", asked)
    async with log.member() as member:
        assert [one.sequence for one in await _take(member, 1)] == [2]
    assert not moving


async def test_without_a_broker_it_says_so() -> None:
    member = SettlementConsumer(NOWHERE, "group")
    with pytest.raises(BrokerUnavailable):
        await member.__aenter__()


async def test_members_share_the_log_and_come_and_go_without_a_loss(log: Log) -> None:
    """A second member joins and leaves in mid-stream; each effect is made, and at worst a few are asked for twice."""
    done: list[SettlementFact] = []

    async def handle(one: SettlementFact) -> None:
        done.append(one)
        await asyncio.sleep(0)

    async with log.member() as first, _running(first, handle):
        await log.put(_facts(1, 50))
        await until(lambda: len(done) > 50, "the first works")
        shared: list[SettlementFact] = []

        async def handle_too(one: SettlementFact) -> None:
            done.append(one)
            shared.append(one)

        async with log.member() as second, _running(second, handle_too):
            number = 50
            while len(shared) < 50:  # until partitions have moved
                number += 10
                await log.put(_facts(number - 9, number))
                await asyncio.sleep(0.05)
        last = number + 50
        await log.put(_facts(number + 1, last))
        wanted = set(_facts(1, last))
        await until(lambda: set(done) == wanted, "every effect is made")
    assert len(done) - len(set(done)) <= 2 * PARTITIONS, "what was in hand while partitions moved"


@contextlib.contextmanager
def _example(log: Log, database: Path) -> Iterator[Callable[[], int]]:
    """The example consumer as a process, killed at the end; how many events it has booked."""

    def booked() -> int:
        with contextlib.closing(sqlite3.connect(database)) as books:
            try:
                return int(books.execute("SELECT count(*) FROM booked").fetchone()[0])
            except sqlite3.OperationalError:  # no table yet
                return 0

    command = [sys.executable, "-m", "tests.events.example_consumer", log.bootstrap, str(database), log.topic]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield booked
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


async def test_a_kill_between_effect_and_commit_repeats_and_the_database_refuses_it(log: Log, tmp_path: Path) -> None:
    """The example consumer, killed again and again: every event is booked once."""
    database, facts = tmp_path / "books.sqlite", _facts(1, 60)
    await log.put(facts)

    for goal in (1, 120, len(facts)):
        with _example(log, database) as booked:
            await until(lambda goal=goal, booked=booked: booked() >= goal, f"{goal} are booked")  # type: ignore[misc]
    with contextlib.closing(sqlite3.connect(database)) as books:
        rows = dict(books.execute("SELECT event_id, amount_minor FROM booked"))
    assert rows == {one.event_id: one.entries[0].amount_minor if one.entries else 0 for one in facts}


def test_the_docstring_shows_what_there_is() -> None:
    """The names in the snippet are real ones."""
    assert consumer_module.__doc__ is not None
    assert "async for delivery in consumer:" in consumer_module.__doc__
    assert callable(SettlementConsumer.run)
    assert callable(Delivery.done)
