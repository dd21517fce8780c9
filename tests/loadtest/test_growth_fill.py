"""Copies of a payment are payments: the store reads them, counts them, publishes them, and goes on after them."""

import uuid
from collections.abc import AsyncIterator

import pytest

from deploy.local.valkey import Valkey
from loadtest.growth_fill import fill
from loadtest.store_bench import AGENT, GATEWAY, hold_of, opened, pay
from switch.domain.money import Asset
from switch.domain.payment import Hold, Payment, State
from switch.domain.settlement import SettlementFact
from switch.ports import RailAck
from switch.store import Store

pytestmark = pytest.mark.usefixtures("patient_store")
COUNT = 1_200
AMOUNT_MINOR = 10_001  # of the second payment that is really made, which all others are copies of
TOTAL_MINOR = 10_000 + (COUNT - 1) * AMOUNT_MINOR


@pytest.fixture
async def filled(own_valkey: Valkey) -> AsyncIterator[Store]:
    async with opened(own_valkey.url) as store:
        assert await fill(store, own_valkey, hold_of, COUNT) > 0
        yield store


async def published(store: Store) -> list[SettlementFact]:
    """What a relay would publish, in its order; the outbox is empty afterwards."""
    token = await store.payments.outbox_lease(0, "test", 4_102_444_800_000)
    facts = []
    while entries := await store.payments.outbox_read(0, 500):
        facts += [entry.fact for entry in entries]
        await store.payments.outbox_delete(entries, token)
    return facts


async def test_a_filled_store_is_as_if_it_had_been_paid(filled: Store, own_valkey: Valkey) -> None:
    """What an audit holds against each other: records, positions, books and the outbox."""
    facts = await published(filled)
    assert [fact.sequence for fact in facts] == list(range(1, COUNT + 1))
    assert len({fact.uetr for fact in facts}) == len({fact.request_id for fact in facts}) == COUNT
    for fact in facts:
        payment = await filled.payments.get(AGENT, fact.uetr)
        assert payment is not None
        assert (payment.state, payment.hold.entries) == (fact.state, fact.entries)
        assert payment.hold.instruction.request_id == fact.request_id
        assert await filled.payments.get_by_request(AGENT, fact.request_id) == payment
    assert all(uuid.UUID(fact.uetr).version == 4 and str(uuid.UUID(fact.uetr)) == fact.uetr for fact in facts)
    assert {fact.state for fact in facts} == {State.COMMITTED}
    assert {sum(entry.amount_minor for entry in fact.entries) for fact in facts} == {0}
    booked = sum(entry.amount_minor for fact in facts for entry in fact.entries if entry.participant == AGENT)
    used = {each.participant: (each.used_minor, each.net_debit_minor) for each in await filled.payments.positions()}
    assert used == {AGENT: (booked, booked), GATEWAY: (0, -booked)}
    assert booked == TOTAL_MINOR
    assert await filled.payments.holds() == (0, 0)
    assert await filled.payments.overdue(2**53, 10) == []
    assert own_valkey.command("CONFIG", "GET", "appendonly") in (["appendonly", "yes"], {"appendonly": "yes"})


async def test_a_filled_store_goes_on(filled: Store) -> None:
    """A copy is known by its ids, its change was told, and payments after it are counted on top."""
    changes = await filled.payments.changes(AGENT, "0", 10)
    copy = await filled.payments.get(AGENT, changes[-1].uetr)
    assert copy is not None
    repeated = await filled.payments.prepare(copy.hold, "")
    assert (repeated.fresh, repeated.payment) == (False, copy)
    await pay(filled, [hold_of(2)])
    after = await filled.payments.positions(AGENT)
    assert [(each.asset, each.used_minor) for each in after] == [(Asset.HKD, TOTAL_MINOR + 10_002)]


async def test_a_filled_store_is_there_after_a_power_cut(filled: Store, own_valkey: Valkey) -> None:
    """The append-only file was off while it was filled, and is whole again."""
    own_valkey.kill()
    own_valkey.start()
    async with opened(own_valkey.url, agents=()) as store:
        assert [each.used_minor for each in await store.payments.positions(AGENT)] == [TOTAL_MINOR]


async def test_what_a_payment_leaves_and_nobody_understands_stops_the_copying(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layout that keeps a payment elsewhere must be seen, not copied in part."""
    async with opened(own_valkey.url) as store:
        commit = store.payments.commit

        async def and_more(hold: Hold, ack: RailAck, time_ms: int) -> Payment:
            own_valkey.command("SADD", f"elsewhere:{hold.uetr}", "1")
            return await commit(hold, ack, time_ms)

        monkeypatch.setattr(store.payments, "commit", and_more)
        with pytest.raises(AssertionError, match="elsewhere"):
            await fill(store, own_valkey, hold_of, 10)
