"""From the real store to the real broker: every payment that ended is an event, and no event knows a person."""

import asyncio
import uuid
from pathlib import Path

import pytest

from switch.domain.payment import State
from switch.domain.position import unbalanced
from switch.events import KafkaSink, Relay, encode
from switch.ports import OutboxEntry
from switch.store import Store, open_store
from tests.events.support import FakeClock, all_of, running, spec_of, until
from tests.store.builders import ACK, NOTE_KEY, NOW_MS, hold, join

AGENTS = ("ALFA", "BRAVO", "CHARLIE")
PAYMENTS_EACH = 30
PERSONAL = ("CHAN TAI MAN", "陳大文", "012345", "A1234563", "13800138000")


async def _pay(store: Store, agent: str) -> None:
    """One payment in three is refused by the rail."""
    for number in range(PAYMENTS_EACH):
        one = hold(debtor_agent=agent)
        await store.payments.prepare(one, "")
        if number % 3:
            await store.payments.commit(one, ACK, NOW_MS + number)
        else:
            await store.payments.abort(one, "CREDITOR_ACCOUNT_CLOSED", "AC04", NOW_MS + number)


@pytest.mark.usefixtures("patient_broker", "patient_store")
async def test_every_payment_that_ended_is_an_event(valkey_url: str, kafka_bootstrap: str, tmp_path: Path) -> None:
    topic, namespace = f"test.{uuid.uuid4().hex}", f"t{uuid.uuid4().hex[:12]}"
    store = await open_store(
        valkey_url, shards=2, durability="fsync", data_dir=tmp_path, note_key=NOTE_KEY, namespace=namespace
    )
    try:
        for agent in AGENTS:
            await join(store, agent)
        await asyncio.gather(*(_pay(store, agent) for agent in AGENTS))
        waiting: list[OutboxEntry] = []
        for shard in range(store.payments.shards):
            waiting += await store.payments.outbox_read(shard, 1_000)
        assert len(waiting) == len(AGENTS) * PAYMENTS_EACH
        relay = Relay(store.payments, KafkaSink(kafka_bootstrap, spec_of(topic, 4)), FakeClock())
        async with running(relay):
            await until(lambda: relay.published_total == len(waiting), "everything is acknowledged")
            await until(lambda: relay.depth == 0, "the outbox is empty")
        assert await store.payments.outbox_depth() == (0, 0)
    finally:
        await store.close()
    facts = [record.fact for record in await all_of(kafka_bootstrap, topic)]
    assert sorted(facts) == sorted(entry.fact for entry in waiting)
    for agent in AGENTS:
        assert [one.sequence for one in facts if one.debtor_agent == agent] == list(range(1, PAYMENTS_EACH + 1))
    assert sum(one.state is State.ABORTED for one in facts) == len(AGENTS) * PAYMENTS_EACH // 3
    for one in facts:
        assert unbalanced(one.entries) == {}
        assert bool(one.entries) == (one.state is State.COMMITTED)
        assert not any(word.encode() in encode(one) for word in PERSONAL)
