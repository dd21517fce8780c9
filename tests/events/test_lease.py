"""Several relays on one outbox: one relays, the others stand by, and one that was stopped does no harm when it wakes."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import pytest

from switch.domain.settlement import SettlementFact
from switch.errors import LeaseLost, StoreUnavailable
from switch.events import lease as lease_module
from switch.events import relay as relay_module
from switch.events import trouble as trouble_module
from switch.events.lease import Lease
from switch.events.relay import Relay
from switch.ports import OutboxEntry, PaymentStore
from tests.events.support import FakeOutbox, FakeSink, fact, first_arrivals, in_order_per_agent, relay, running, until

LEASE_MS = 60_000  # by the test's own clock; no machine stands still for so long


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of a minute, renewed every few milliseconds."""
    monkeypatch.setattr(lease_module, "RELAY_LEASE_MS", LEASE_MS)
    monkeypatch.setattr(lease_module, "RELAY_LEASE_RENEW_MS", 5)
    monkeypatch.setattr(relay_module, "RELAY_LEASE_RENEW_MS", 5)
    monkeypatch.setattr(trouble_module, "RELAY_BACKOFF_MS_FIRST", 1)


class _Process:
    """One process: its way to the store and to the broker. Stopped, nothing of it goes on: no call goes out or returns."""

    def __init__(self, outbox: FakeOutbox, broker: FakeSink) -> None:
        self.shards = outbox.shards
        self.going = asyncio.Event()
        self.going.set()
        self.stopped = asyncio.Event()
        self.stop_at = ""  # "before outbox_delete": it stops when it comes there,
        self.passes = 0  # after so many times
        self.published: list[SettlementFact] = []
        self._outbox = outbox
        self._broker = broker

    async def _pass(self, point: str) -> None:
        if point == self.stop_at:
            self.passes -= 1
        if point == self.stop_at and self.passes < 0:
            self.stop_at = ""
            self.going.clear()
            self.stopped.set()
        await self.going.wait()

    def __getattr__(self, name: str) -> Any:
        """The outbox's own methods."""
        return partial(self._call, name, getattr(self._outbox, name))

    async def _call(self, name: str, method: Any, *arguments: Any) -> Any:
        await self._pass(f"before {name}")
        answer = await method(*arguments)
        await self._pass(f"after {name}")
        return answer

    async def start(self) -> None:
        self._broker.open = True

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        await self._call("publish", self._broker.publish, entries)
        self.published += [entry.fact for entry in entries]

    async def close(self) -> None:
        """The broker is another process."""


def _relay(process: _Process) -> Relay:
    return relay(cast(FakeOutbox, process), process, batch_count=10)


def _facts(first: int, last: int, agent: str = "ALFA") -> list[SettlementFact]:
    return [fact(agent, number) for number in range(first, last + 1)]


async def test_the_second_stands_by_and_goes_on_at_once_when_the_first_ends() -> None:
    outbox, broker = FakeOutbox(shards=2), FakeSink()
    first, second = _Process(outbox, broker), _Process(outbox, broker)
    one, other = _relay(first), _relay(second)
    ending = asyncio.create_task(one.run())
    await until(lambda: all(one.held), "it is alone")
    async with running(other):
        for shard in range(2):
            outbox.put(shard, _facts(1, 100, f"AGENT{shard}"))
        await until(lambda: outbox.empty, "the outbox is empty")
        assert (one.held, other.held) == ((True, True), (False, False))
        assert second.published == []
        assert not other.failing, "to stand by is no trouble"
        ending.cancel()
        await asyncio.wait((ending,))
        outbox.put(0, _facts(101, 110, "AGENT0"))
        await until(lambda: outbox.empty, "the other goes on: the lease was given back")
        await until(lambda: all(other.held), "it has every shard")
    assert in_order_per_agent(broker.arrived)
    assert len(broker.arrived) == 210, "nothing was repeated"
    assert outbox.time_ms == 0, "no lease had to end"


@pytest.mark.parametrize(
    ("stop_at", "repeats"),
    [
        ("after outbox_read", 0),  # it asks before it publishes
        ("before publish", 10),  # unless it learns first that its time is over
        ("after publish", 0),  # the broker has it: the second repeats it
        ("before outbox_delete", 0),
        ("after outbox_delete", 0),
    ],
)
async def test_one_that_was_stopped_repeats_at_most_what_it_had_in_hand_and_deletes_nothing(
    stop_at: str, repeats: int
) -> None:
    outbox, broker = FakeOutbox(), FakeSink()
    first, second = _Process(outbox, broker), _Process(outbox, broker)
    outbox.put(0, _facts(1, 100))
    first.stop_at, first.passes = stop_at, 2
    one, other = _relay(first), _relay(second)
    async with running(one):
        await first.stopped.wait()
        async with running(other):
            await until(lambda: outbox.tries > 10, "the second tries")
            assert (other.held, second.published) == ((False,), []), "the lease of the first has not ended"
            outbox.time_ms += LEASE_MS
            await until(lambda: outbox.empty, "the second goes on")
            arrived = len(broker.arrived)
            second.stop_at = "before outbox_read"
            await second.stopped.wait()
            waiting = outbox.put(0, _facts(101, 130))  # what of it goes from here on, the first deletes
            first.going.set()
            await until(lambda: not one.held[0], "the first has seen that its time is over")
            assert outbox.waiting[0] == waiting, "it deleted nothing"
            assert len(broker.arrived) - arrived in (0, repeats)
            second.going.set()
            await until(lambda: outbox.empty, "the second goes on")
    assert first_arrivals(broker.arrived) == _facts(1, 130)


async def test_a_lost_lease_ends_a_publish_that_waits() -> None:
    """The broker is slow, the store forgot: another relay sends what this one had in hand."""
    outbox, broker = FakeOutbox(), FakeSink()
    broker.gate.clear()
    outbox.put(0, _facts(1, 10))
    one = relay(outbox, broker)
    async with running(one):
        await broker.publishing.wait()
        outbox.leases[0] = ("another", 7, LEASE_MS)
        await until(lambda: one.held == (False,), "it has seen it")
        broker.gate.set()
        await until(lambda: outbox.tries > 10, "it stands by")
        assert len(outbox.waiting[0]) == 10
        outbox.time_ms += LEASE_MS
        await until(lambda: outbox.empty, "it has the shard again")
    assert first_arrivals(broker.arrived) == _facts(1, 10)
    assert outbox.leases[0][1] == 8


async def test_a_store_that_does_not_answer_is_asked_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = FakeOutbox()
    lease = Lease(cast(PaymentStore, outbox), 0, "me")
    assert await lease.take()
    outbox.failures["lease"] = [StoreUnavailable("no answer") for _ in range(3)]
    working = asyncio.create_task(lease.while_held(asyncio.Event().wait()))  # type: ignore[arg-type]
    await until(lambda: not outbox.failures["lease"] and outbox.tries >= 5, "it is renewed again")
    assert lease.held
    monkeypatch.setattr(lease_module, "RELAY_LEASE_MS", 0)
    outbox.failures["lease"] = [StoreUnavailable("still no answer")]
    with pytest.raises(StoreUnavailable, match="still no answer"):
        await working
    assert not lease.held


async def test_a_lease_of_another_token_is_lost_though_it_is_ours() -> None:
    """Another had it in between: what was read under the old token may be gone."""
    outbox = FakeOutbox()
    lease = Lease(cast(PaymentStore, outbox), 0, "me")
    await lease.take()
    outbox.leases[0] = ("another", lease.token + 1, 0)
    with pytest.raises(LeaseLost):
        await lease.while_held(asyncio.Event().wait())  # type: ignore[arg-type]
    assert lease.token == 3, "and may be used from now on"
