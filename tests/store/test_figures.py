"""What an operator watches of the store: open payments by age, use of caps, queues; all of it bounded."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.local.valkey import Valkey
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.errors import StoreUnavailable
from switch.limits import METRIC_OPEN_SEEN, STORE_CALL_MS_MAX
from switch.store import Store, figures, open_store
from switch.store.figures import CapUse, OpenPayments
from switch.store.grouping import Item, Kind, Lane
from tests.store.builders import ACK, NOTE_KEY, NOW_MS, hold, join, store_waits


async def test_open_payments_and_their_ages(store: Store) -> None:
    for name in ("ALFA", "BRAVO", "CHARLIE"):
        await join(store, name)
    begun = [
        hold(debtor_agent=name, prepared_time_ms=NOW_MS + 1_000 * index)
        for index, name in enumerate(("ALFA", "BRAVO", "CHARLIE", "ALFA"))
    ]
    for each in begun:
        await store.payments.prepare(each, "")
    await store.payments.doubt(begun[0], NOW_MS + 9_000)
    await store.payments.reschedule(begun[0], NOW_MS + 60_000)  # put off behind all the others
    await store.payments.commit(begun[1], ACK, NOW_MS + 9_000)
    found = await store.figures.open_payments(NOW_MS + 12_500)
    assert (found.number, found.overdue) == (3, 1), "due since 12 s and not ended: one of CHARLIE's"
    assert sorted(found.seen, key=lambda row: row[1]) == [
        (State.IN_DOUBT, NOW_MS),
        (State.PREPARED, NOW_MS + 2_000),
        (State.PREPARED, NOW_MS + 3_000),
    ]
    for each in (begun[0], *begun[2:]):
        await store.payments.commit(each, ACK, NOW_MS + 13_000)
    assert await store.figures.open_payments(NOW_MS + 99_000) == OpenPayments(0, 0, ())


async def test_of_many_open_payments_the_next_and_the_ones_put_off_are_looked_at(
    single: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "METRIC_OPEN_SEEN", 4)
    assert METRIC_OPEN_SEEN > 4
    await join(single)
    begun = [hold(prepared_time_ms=NOW_MS + index) for index in range(10)]
    await asyncio.gather(*(single.payments.prepare(each, "") for each in begun))
    await single.payments.doubt(begun[0], NOW_MS + 100)
    await single.payments.reschedule(begun[0], NOW_MS + 60_000)
    found = await single.figures.open_payments(NOW_MS)
    assert found.number == 10
    assert [prepared_ms - NOW_MS for _, prepared_ms in found.seen] == [1, 2, 9, 0]
    assert found.seen[-1] == (State.IN_DOUBT, NOW_MS), "the oldest, though it is looked at last"


async def test_use_of_caps(store: Store) -> None:
    await join(store, "ALFA", 1_000)
    await join(store, "BRAVO", 500, Asset.MOP)
    spent, held = hold(300), hold(200)
    for each in (spent, held):
        await store.payments.prepare(each, "")
    await store.payments.commit(spent, ACK, NOW_MS)
    use, left_out = await store.figures.cap_use()
    assert sorted(use) == [CapUse("ALFA", Asset.HKD, 500, 1_000), CapUse("BRAVO", Asset.MOP, 0, 500)]
    assert left_out == 0
    told = await store.payments.positions("ALFA")
    assert [(each.used_minor, each.net_debit_cap_minor) for each in told] == [(500, 1_000)]


async def test_a_long_register_is_shown_in_part_and_always_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "METRIC_PARTICIPANTS_MAX", 5)
    for index in range(30):
        await join(store, f"P{index}")
    use, left_out = await store.figures.cap_use()
    assert (len(use), left_out) == (5, 25)
    assert await store.figures.cap_use() == (use, left_out)


async def test_a_shard_that_does_not_answer_is_no_zero(own_valkey: Valkey, tmp_path: Path) -> None:
    store = await open_store(own_valkey.url, shards=1, durability="fsync", data_dir=tmp_path, note_key=NOTE_KEY)
    own_valkey.pause()
    reads = (store.figures.open_payments(NOW_MS), store.figures.cap_use())
    with store_waits(STORE_CALL_MS_MAX):
        found = await asyncio.gather(*reads, return_exceptions=True)
    own_valkey.resume()
    await store.close()
    assert [type(each) for each in found] == [StoreUnavailable, StoreUnavailable]


async def test_queues(single: Store) -> None:
    """Two lanes whose server answers when it is let; of one a group is out, and the others wait for it."""
    answered = asyncio.Event()

    async def slow(items: Sequence[Item]) -> list[Any]:
        await answered.wait()
        return [None] * len(items)

    lanes = [Lane(dict.fromkeys(Kind, slow)) for _ in range(2)]
    watched = figures.Figures(single._server, single._keys, lanes)
    calls = []
    for _ in range(6):
        calls.append(asyncio.create_task(lanes[0].call(Kind.PREPARE, Item(("k",), (), 1))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    calls.append(asyncio.create_task(lanes[1].call(Kind.FINISH, Item(("k",), (), 1))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    now = watched.queues()
    assert (now.waiting["prepare"], now.waiting["finish"], now.deepest) == (5, 0, 5)
    assert now.groups_running == 2
    answered.set()
    await asyncio.gather(*calls)
    done = watched.queues()
    assert (sum(done.waiting.values()), done.deepest, done.groups_running) == (0, 0, 0)
