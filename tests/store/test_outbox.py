"""The outbox and who may relay it: what an entry tells, one relay at a time, and an old one that removes nothing."""

import asyncio

import pytest

from switch.domain.payment import State
from switch.errors import LeaseLost, StoreUnavailable
from switch.ports import OutboxEntry
from switch.store import Store
from switch.store.notes import Notes
from tests.store.builders import ACK, NOTE_KEY, NOW_MS, hold, join, until
from tests.store.conftest import OpenStore

LONG_MS = 60_000


async def one_in_the_outbox(store: Store) -> OutboxEntry:
    await join(store)
    reserved = hold(100)
    await store.payments.prepare(reserved, "")
    await store.payments.commit(reserved, ACK, NOW_MS + 5)
    (entry,) = await store.payments.outbox_read(store.payments._keys.shard_of("ALFA"), 10)
    return entry


async def test_a_fact_tells_all_of_the_record_and_its_note_opens_to_it(store: Store) -> None:
    fact = (await one_in_the_outbox(store)).fact
    payment = await store.payments.get("ALFA", fact.uetr)
    assert payment is not None
    assert (fact.event_id, fact.uetr, fact.sequence, fact.debtor_agent) == (fact.uetr, payment.hold.uetr, 1, "ALFA")
    assert (fact.state, fact.reason, fact.rail_reference) == (State.COMMITTED, "", ACK.rail_reference)
    assert (fact.rail, fact.corridor_id, fact.entries) == ("hkfps", "hk-hk.hkd", payment.entries)
    assert (fact.prepared_time_ms, fact.final_time_ms) == (NOW_MS, NOW_MS + 5)
    assert fact.request_id == payment.instruction.request_id
    assert Notes(NOTE_KEY).open(fact.uetr, fact.note) == Notes(NOTE_KEY).masked(payment)


async def test_an_entry_without_its_record_is_trouble_and_is_not_skipped(store: Store) -> None:
    entry = await one_in_the_outbox(store)
    await store.payments._server.write("DEL", store.payments._keys.payment(entry.shard, entry.fact.uetr))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=entry.fact.uetr):
            await store.payments.outbox_read(entry.shard, 10)


async def test_one_holder_at_a_time_and_a_new_token_for_each(store: Store, open_again: OpenStore) -> None:
    other = (await open_again()).payments
    first = await store.payments.outbox_lease(0, "one", LONG_MS)
    assert first > 0
    assert await store.payments.outbox_lease(0, "one", LONG_MS) == first, "kept"
    assert await other.outbox_lease(0, "two", LONG_MS) == 0
    assert await other.outbox_lease(0, "two", 0) == 0, "not its own to give back"
    assert await other.outbox_lease(0, "two", LONG_MS) == 0
    assert await store.payments.outbox_lease(0, "one", 0) == 0
    second = await other.outbox_lease(0, "two", LONG_MS)
    assert second > first
    assert await store.payments.outbox_lease(0, "one", LONG_MS) == 0


async def test_of_many_that_ask_at_once_one_gets_it(store: Store) -> None:
    asked = (store.payments.outbox_lease(0, f"relay {number}", LONG_MS) for number in range(20))
    tokens = await asyncio.gather(*asked)
    assert sorted(map(bool, tokens)) == [False] * 19 + [True]


async def test_a_lease_that_is_not_renewed_ends_by_the_servers_clock(store: Store) -> None:
    first = await store.payments.outbox_lease(0, "one", 1)

    async def taken() -> bool:
        return await store.payments.outbox_lease(0, "two", LONG_MS) > first

    await until(taken)


async def test_leases_of_shards_are_apart(store: Store) -> None:
    for shard in range(store.payments.shards):
        assert await store.payments.outbox_lease(shard, f"relay of {shard}", LONG_MS) > 0


async def test_an_old_token_removes_nothing(store: Store) -> None:
    entry = await one_in_the_outbox(store)
    with pytest.raises(LeaseLost):
        await store.payments.outbox_delete([entry], 0)
    old = await store.payments.outbox_lease(entry.shard, "one", LONG_MS)
    await store.payments.outbox_lease(entry.shard, "one", 0)
    new = await store.payments.outbox_lease(entry.shard, "two", LONG_MS)
    with pytest.raises(LeaseLost, match=f"shard {entry.shard}"):
        await store.payments.outbox_delete([entry], old)
    assert await store.payments.outbox_read(entry.shard, 10) == [entry]
    await store.payments.outbox_delete([entry], new)
    assert await store.payments.outbox_read(entry.shard, 10) == []
    assert await store.payments.outbox_depth() == (0, 0)
