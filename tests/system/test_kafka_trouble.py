"""Kafka is away at start, stands still, dies and comes back, under load: payments go on, and no event is lost."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from deploy.local import kafka
from deploy.local.kafka import Node
from loadtest.provider import STEPS, Load
from switch.cli.sandbox import Sandbox, load_scenario
from switch.domain.settlement import SettlementFact
from switch.events import tail
from tests.system.support import STATE, audited, payments_in, until
from tests.waiting import eventually

AWAY_PAYMENTS = 40  # final payments that must be made while the broker is away
READY_SECONDS_MAX = 60


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[kafka.Cluster]:
    if missing := kafka.missing():
        pytest.fail(f"a real Kafka is needed: {missing}")
    with kafka.cluster(folder=tmp_path / "kafka") as running:
        yield running


@pytest.fixture
def sandbox(tmp_path: Path, broker: kafka.Cluster) -> Iterator[Sandbox]:
    """Started while its broker is down."""
    broker.nodes[0].kill()
    environment = {"BAYSWITCH_KAFKA_BOOTSTRAP": broker.bootstrap, "BAYSWITCH_QUOTE_MS": "5000"}
    running = Sandbox(tmp_path, environment, signing=False)
    try:
        running.start()
        running.enrol(load_scenario())
        yield running
    finally:
        assert running.stop().get("switch", 0) == 0


async def test_events_wait_and_none_is_lost(sandbox: Sandbox, broker: kafka.Cluster) -> None:
    node = broker.nodes[0]
    load = Load(sandbox.address, STEPS, 6, random.SystemRandom().randrange(1 << 32))
    await load.start()
    # Away at start: the outbox grows and can be read.
    await _more(load)
    waiting = await asyncio.to_thread(sandbox.events)
    assert len(waiting) >= AWAY_PAYMENTS
    assert {fact["uetr"] for fact in waiting} <= await asyncio.to_thread(_finals, sandbox)
    await asyncio.to_thread(_back, node)
    await _more(load)
    # Stands still, then dies: payments go on meanwhile.
    await asyncio.to_thread(node.pause)
    await _more(load)
    await asyncio.to_thread(node.resume)
    await _more(load)
    await asyncio.to_thread(node.kill)
    await _more(load)
    assert await asyncio.to_thread(sandbox.events), "events wait while the broker is away"
    await asyncio.to_thread(_back, node)
    await load.stop()
    await asyncio.to_thread(audited, sandbox, load.answers)
    await asyncio.to_thread(until, lambda: not sandbox.events(), "the outbox drains")
    async with aclosing(tail(broker.bootstrap, follow=False)) as records:
        published = [record.fact async for record in records]
    _check(published, await asyncio.to_thread(_finals, sandbox), load.answers)


def _check(published: list[SettlementFact], finals: set[str], answers: dict[str, str]) -> None:
    """Every final payment is in the topic, told as clients were told; per debtor agent in order and without a gap."""
    first: dict[str, SettlementFact] = {}
    sequences: defaultdict[str, list[int]] = defaultdict(list)
    for fact in published:
        if fact.event_id not in first:
            first[fact.event_id] = fact
            sequences[fact.debtor_agent].append(fact.sequence)
        assert first[fact.event_id] == fact, "a repeat says the same"
    told = {fact.uetr: fact.state.name for fact in first.values()}
    assert set(told) == finals
    assert len(first) == len(finals)
    assert {uetr: told[uetr] for uetr in answers} == answers
    for agent, seen in sequences.items():
        assert seen == list(range(1, len(seen) + 1)), agent


def _back(node: Node) -> None:
    node.start()
    node.await_ready(1, time.monotonic() + READY_SECONDS_MAX)


async def _more(load: Load) -> None:
    """Until so many more payments have been made."""
    wanted = len(load.answers) + AWAY_PAYMENTS
    await eventually(lambda: len(load.answers) >= wanted, "payments go on")


def _finals(sandbox: Sandbox) -> set[str]:
    """UETRs of every final payment in the switch's records."""
    with payments_in(sandbox) as provider:
        found = [payment for row in load_scenario()["participant"] for payment in provider(row["id"]).listed()]
    return {payment.uetr for payment in found if STATE[payment.state] in ("COMMITTED", "ABORTED")}
