"""The relay against a broker that obeys the test: what leaves the outbox, when, and what an operator sees."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from switch.errors import BrokerUnavailable, StoreUnavailable
from switch.events import pacing as pacing_module
from switch.events import relay as relay_module
from switch.events import trouble as trouble_module
from switch.ports import OutboxEntry
from tests.events.support import (
    FakeClock,
    FakeOutbox,
    FakeSink,
    fact,
    first_arrivals,
    in_order_per_agent,
    relay,
    running,
    until,
)


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble_module, "RELAY_BACKOFF_MS_FIRST", 1)
    monkeypatch.setattr(relay_module, "RELAY_DEPTH_MS", 1)


async def test_every_shard_is_published_in_order_and_emptied() -> None:
    outbox, sink = FakeOutbox(shards=3), FakeSink()
    agents = ("ALFA", "BRAVO", "CHARLIE")
    for shard, agent in enumerate(agents):
        outbox.put(shard, (fact(agent, number) for number in range(1, 121)))
    one = relay(outbox, sink)
    async with running(one):
        await until(lambda: outbox.empty, "the outbox is empty")
    assert sorted(sink.arrived) == sorted(fact(agent, number) for agent in agents for number in range(1, 121))
    assert in_order_per_agent(sink.arrived)
    assert one.published_total == 360
    assert not sink.open, "a relay closes the sink it started"


async def test_nothing_leaves_the_outbox_before_the_ack() -> None:
    outbox, sink = FakeOutbox(), FakeSink()
    sink.gate.clear()
    entries = outbox.put(0, (fact("ALFA", number) for number in range(1, 11)))
    async with running(relay(outbox, sink)):
        await sink.publishing.wait()
        later = outbox.put(0, [fact("ALFA", 11)])
        await until(lambda: len(sink.arrived) == 10, "the broker has the first ten")
        assert outbox.waiting[0] == [*entries, *later], "they arrived and are not acknowledged"
        sink.gate.set()
        await until(lambda: outbox.empty, "the outbox is empty")
    assert in_order_per_agent(sink.arrived)


async def test_while_a_batch_waits_the_next_is_read_and_does_not_go_out() -> None:
    outbox, sink = FakeOutbox(), FakeSink()
    sink.gate.clear()
    outbox.put(0, (fact("ALFA", number) for number in range(1, 36)))
    async with running(relay(outbox, sink, batch_count=10)):
        await until(lambda: outbox.reads == 2, "the next batch is read")
        assert [one.sequence for one in sink.arrived] == list(range(1, 11)), "it would overtake"
        sink.gate.set()
        await until(lambda: outbox.empty, "the outbox is empty")
    assert in_order_per_agent(sink.arrived)
    assert len(sink.arrived) == 35
    assert outbox.reads <= 5, "four batches, and perhaps a look at an empty outbox"


async def test_what_was_read_ahead_of_trouble_is_let_go() -> None:
    """The broker took the first batch and refuses the second: the third, read by then, must not go out before it."""
    outbox, sink = FakeOutbox(), FakeSink()
    sink.gate.clear()
    outbox.put(0, (fact("ALFA", number) for number in range(1, 31)))
    one = relay(outbox, sink, batch_count=10)
    async with running(one):
        await sink.publishing.wait()
        sink.failures = [BrokerUnavailable("the second is refused")]
        sink.gate.set()
        await until(lambda: outbox.empty, "the outbox is empty")
    assert [one.sequence for one in sink.arrived] == list(range(1, 31)), "what was acknowledged is not sent again"
    assert one.last_error.endswith("the second is refused")


async def test_a_broker_in_trouble_delays_and_shows() -> None:
    outbox, sink, clock = FakeOutbox(), FakeSink(), FakeClock()
    sink.failures = [BrokerUnavailable("no broker at nowhere:1") for _ in range(100_000)]
    entries = outbox.put(0, [fact("ALFA", 1)])
    one = relay(outbox, sink, clock=clock)
    clock.time_ms += 60_000
    async with running(one):
        await until(lambda: one.failing and one.depth == 1, "the trouble shows")
        assert one.last_error == "shard 0: BrokerUnavailable: no broker at nowhere:1"
        assert one.last_error_time_ms == clock.now_ms()
        assert one.oldest_age_ms == clock.now_ms() - entries[0].fact.final_time_ms
        sink.failures.clear()
        await until(lambda: outbox.empty and not one.failing and one.depth == 0, "the trouble passes")
        assert one.oldest_age_ms == 0
        assert one.last_error, "the last error stays to be read"
    assert [one.sequence for one in sink.arrived] == [1]


async def test_a_store_in_trouble_delays_and_what_was_acknowledged_is_not_sent_again() -> None:
    outbox, sink = FakeOutbox(), FakeSink()
    outbox.failures = {
        "read": [StoreUnavailable("no answer")],
        "delete": [StoreUnavailable("no answer"), StoreUnavailable("no answer")],
        "depth": [StoreUnavailable("no answer")],
    }
    outbox.put(0, (fact("ALFA", number) for number in range(1, 61)))
    async with running(relay(outbox, sink)):
        await until(lambda: outbox.empty, "the outbox is empty")
    assert [one.sequence for one in sink.arrived] == list(range(1, 61))
    assert not any(outbox.failures.values())


async def test_a_fault_of_ours_delays_too_and_its_words_are_not_shown() -> None:
    outbox, sink = FakeOutbox(), FakeSink()
    sink.failures = [ValueError("CHAN Tai Man +852-61234567")]
    outbox.put(0, [fact("ALFA", 1)])
    one = relay(outbox, sink)
    async with running(one):
        await until(lambda: outbox.empty, "the outbox is empty")
    assert one.last_error.startswith("shard 0: ValueError at support.py:")
    assert "CHAN" not in one.last_error


async def test_a_nudge_ends_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing_module, "RELAY_IDLE_MS_MIN", 3_600_000)
    monkeypatch.setattr(pacing_module, "RELAY_IDLE_MS_MAX", 3_600_000)
    outbox, sink = FakeOutbox(shards=2), FakeSink()
    one = relay(outbox, sink)
    async with running(one):
        await until(lambda: outbox.reads == 2, "both shards are found empty")
        outbox.put(1, [fact("ALFA", 1)])
        one.nudge(1)
        await until(lambda: outbox.empty, "the nudged shard is read")
        assert outbox.reads == 3
        outbox.put(0, [fact("BRAVO", 1)])
        one.nudge()
        await until(lambda: outbox.empty, "all shards are read")


async def test_an_idle_relay_looks_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    seen = asyncio.Event()
    timeout = asyncio.timeout

    def noted(seconds: float) -> asyncio.Timeout:
        pauses.append(seconds)
        if len(pauses) == 12:
            seen.set()
        return timeout(0)

    outbox = FakeOutbox()
    monkeypatch.setattr(asyncio, "timeout", noted)
    task = asyncio.create_task(relay(outbox, FakeSink()).run())
    await seen.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert pauses[:7] == [0.01, 0.02, 0.04, 0.08, 0.16, 0.2, 0.2]
    assert set(pauses[6:]) == {0.2}


class _Stops:
    """Counts the points at which a run can be cancelled, and stops it at the chosen one."""

    def __init__(self, chosen: int) -> None:
        self.reached = asyncio.Event()
        self.count = 0
        self._chosen = chosen

    async def here(self) -> None:
        self.count += 1
        if self.count == self._chosen:
            self.reached.set()
            await asyncio.Event().wait()  # for ever: only the cancel ends it
        await asyncio.sleep(0)


class _StoppingOutbox(FakeOutbox):
    stops: _Stops

    async def outbox_read(self, shard: int, count: int, after: str = "") -> list[OutboxEntry]:
        await self.stops.here()
        return await super().outbox_read(shard, count, after)

    async def outbox_delete(self, entries: Sequence[OutboxEntry], token: int) -> None:
        await self.stops.here()
        await super().outbox_delete(entries, token)
        await self.stops.here()


class _StoppingSink(FakeSink):
    stops: _Stops

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        await self.stops.here()
        await super().publish(entries)
        await self.stops.here()


@pytest.mark.parametrize("point", range(1, 17))
async def test_a_relay_cancelled_anywhere_repeats_only_the_same_ids(point: int) -> None:
    outbox, sink = _StoppingOutbox(), _StoppingSink()
    everything = [entry.fact for entry in outbox.put(0, (fact("ALFA", number) for number in range(1, 26)))]
    outbox.stops = sink.stops = _Stops(point)
    async with running(relay(outbox, sink, batch_count=10)):
        await outbox.stops.reached.wait()
    outbox.stops = sink.stops = _Stops(0)
    async with running(relay(outbox, sink, batch_count=10)):
        await until(lambda: outbox.empty, "the next run empties the outbox")
    assert first_arrivals(sink.arrived) == everything
    repeats = len(sink.arrived) - len(everything)
    assert repeats in (0, 5, 10, 15, 20), "at most the batch that was under way and the one before"


@pytest.mark.parametrize("level", ["WARNING", "INFO"])
async def test_trouble_is_logged_once_and_so_is_its_end(level: str, caplog: pytest.LogCaptureFixture) -> None:
    outbox, sink = FakeOutbox(), FakeSink()
    sink.failures = [BrokerUnavailable("one"), BrokerUnavailable("two")]
    outbox.failures["delete"] = [StoreUnavailable("three")]
    outbox.put(0, [fact("ALFA", 1)])
    with caplog.at_level(level, "bayswitch.events"):
        async with running(relay(outbox, sink)):
            await until(lambda: outbox.empty, "the outbox is empty")
    begun = ["events wait in the outbox: shard 0: BrokerUnavailable: one"]
    said = [record.message for record in caplog.records]
    assert said == begun + (["events flow again: shard 0"] if level == "INFO" else [])
