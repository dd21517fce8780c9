"""One script call for many items: what they see of each other, and the one entry in which their changes are told."""

import asyncio

import pytest

from switch.domain.payment import Payment, State, Transition
from switch.errors import Refused, StoreUnavailable
from switch.limits import PAGE_SIZE_MAX, RETIRE_COUNT
from switch.ports import Prepared
from switch.store import Store
from switch.store.changes import ENTRIES_FIRST
from switch.store.retention import LEFT
from tests.fake_archive import FakeArchive
from tests.store.builders import ACK, NOW_MS, charge, hold, join, quote
from tests.store.conftest import OpenNew
from tests.store.load import acknowledge, keep
from tests.store.test_reads import listed


async def entries(store: Store, participant: str = "ALFA") -> list[tuple[bytes, dict[bytes, bytes]]]:
    rows: list[tuple[bytes, dict[bytes, bytes]]] = await store.payments._server.read(
        "XRANGE", store.payments._keys.changes(participant), "-", "+"
    )
    return rows


async def test_an_item_sees_what_another_of_its_group_claimed(single: Store) -> None:
    for name in ("ALFA", "BRAVO"):
        await join(single, name)
    first = hold(100, request_id="R1")
    other_body, same_uetr = hold(7, request_id="R1"), hold(8, debtor_agent="BRAVO", uetr=first.uetr)
    calls = (single.payments.prepare(one, "") for one in (first, first, other_body, same_uetr, hold(9)))
    began, copy, body, reused, last = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(one, "fresh", None) for one in (began, copy, body, last)] == [True, False, False, True]
    assert copy.payment == body.payment == began.payment  # type: ignore[union-attr]
    assert isinstance(reused, Refused)
    assert reused.reason.name == "UETR_REUSED"
    assert {row.participant: row.reserved_minor for row in await single.payments.positions()} == {
        "ALFA": 109,
        "BRAVO": 0,
    }
    assert len(await entries(single)) == 1


async def test_many_are_prepared_and_ended_as_each_would_be_alone(store: Store) -> None:
    await join(store, cap_minor=1_000)
    early, taken = hold(100), hold(1, request_id="R1")
    for one in (early, taken):
        await store.payments.prepare(one, "")
    reused, body = hold(5, uetr=early.uetr, request_id="R2"), hold(5, request_id="R1")
    paid, refused, doubtful, over = hold(300), hold(200), hold(200), hold(5_000)
    told = await store.payments.prepare_all([paid, reused, body, refused, early, doubtful, over])
    assert [type(one).__name__ for one in told] == ["Prepared", "Refused", *["Prepared"] * 5]
    prepared = [one for one in told if isinstance(one, Prepared)]
    assert [one.fresh for one in prepared] == [True, False, True, False, True, True]
    assert [one.payment.hold.uetr for one in prepared[:2]] == [paid.uetr, taken.uetr]
    assert prepared[-1].payment.history[-1].reason == "NET_DEBIT_CAP_EXCEEDED"

    moves = [
        (paid, Transition(State.COMMITTED, NOW_MS + 1, rail_code="ACSC", rail_reference="R")),
        (hold(9), Transition(State.COMMITTED, NOW_MS + 1)),  # never prepared
        (refused, Transition(State.ABORTED, NOW_MS + 1, "RAIL_REFUSED", "MS03")),
        (doubtful, Transition(State.IN_DOUBT, NOW_MS + 1)),
        (paid, Transition(State.ABORTED, NOW_MS + 2)),  # final: returned as it is
    ]
    ends = await store.payments.finish_all(moves)
    assert isinstance(ends[1], StoreUnavailable)
    assert [one.history[-1] for one in ends if isinstance(one, Payment)] == [
        *(moves[place][1] for place in (0, 2, 3)), moves[0][1],
    ]  # fmt: skip
    assert await store.payments.get("ALFA", paid.uetr) == ends[0]
    assert await store.payments.prepare_all([]) == await store.payments.finish_all([]) == []


async def test_what_fails_for_all_is_the_answer_to_each(single: Store) -> None:
    await join(single)
    await single.payments._server.write("RPUSH", single.payments._keys.holds(0), "poison")
    told = await single.payments.prepare_all([hold(1), hold(2)])
    assert [type(one) for one in told] == [StoreUnavailable] * 2


async def test_a_quote_pays_one_payment_of_a_group(single: Store) -> None:
    await join(single)
    await join(single, "FX1")
    priced = quote()
    await single.participants.set_cap("FX1", priced.credit.asset, 10_000, "operator", "provides", NOW_MS)
    await single.quotes.create_quote(priced)
    ends = await asyncio.gather(*(single.payments.prepare(hold(quote=priced), priced.id) for _ in range(3)))
    assert [end.payment.history[-1].reason for end in ends] == ["", "QUOTE_USED", "QUOTE_USED"]


async def test_moves_of_one_payment_in_one_group_follow_each_other(single: Store) -> None:
    await join(single)
    one, two = hold(100, charges=(charge(100, 500),)), hold(50, charges=(charge(50, 500),))
    for each in (one, two):
        await single.payments.prepare(each, "")
    doubt, commit, late, abort = await asyncio.gather(
        single.payments.doubt(one, NOW_MS + 1),
        single.payments.commit(one, ACK, NOW_MS + 2),
        single.payments.abort(one, "RAIL_REFUSED", "", NOW_MS + 3),
        single.payments.abort(two, "RAIL_REFUSED", "", NOW_MS + 3),
    )
    assert doubt.state is State.IN_DOUBT
    assert commit == late
    assert [step.state for step in commit.history] == [State.PREPARED, State.IN_DOUBT, State.COMMITTED]
    assert abort.state is State.ABORTED
    assert [entry.fact.sequence for entry in await single.payments.outbox_read(0, 10)] == [1, 2]
    assert (await single.payments.limit_use("ALFA", [("d20991231", "north.day|ALFA|5f3a")])) == [100]
    changes = await single.payments.changes("ALFA", "", 10)
    assert [change.state.value for change in changes] == ["P", "P", "D", "C", "A"]
    assert [sorted(fields) for _, fields in await entries(single)] == [[b"P"], [b"P"], [b"DCA"]]


async def test_a_limits_key_of_another_type_poisons_only_who_has_the_limit(single: Store) -> None:
    await join(single)
    await single.payments._server.write("RPUSH", single.payments._keys.limits(0, "d20991231"), "poison")
    held = [hold(1), hold(1, charges=(charge(1, 500),)), hold(1, charges=(charge(1, 500, "y2099"),))]
    ends = await asyncio.gather(*(single.payments.prepare(one, "") for one in held), return_exceptions=True)
    assert [isinstance(end, StoreUnavailable) for end in ends] == [False, True, False]
    assert "WRONGTYPE" in str(ends[1])
    assert (await single.payments.positions("ALFA"))[0].reserved_minor == 2


@pytest.mark.parametrize("count", [1, 2, 7, 1_000])
async def test_a_watch_resumes_between_changes_of_one_entry(store: Store, count: int) -> None:
    await join(store)
    held = [hold(1) for _ in range(10)]
    await asyncio.gather(*(store.payments.prepare(one, "") for one in held))
    await asyncio.gather(*(store.payments.commit(one, ACK, NOW_MS) for one in held[:5]))
    assert len(await entries(store)) <= 4  # on a cluster, claims part the prepares
    told = await store.payments.changes("ALFA", "", 100)
    assert len({change.token for change in told}) == 15
    page, token, read = await store.payments.changes("ALFA", "", count), "", []
    while page:
        read += page
        token = page[-1].token
        page = await store.payments.changes("ALFA", token, count)
    assert read == told
    assert token == await store.payments.changes_end("ALFA")


async def test_entries_of_one_change_as_older_ones_are_are_read_in_one_go(single: Store) -> None:
    await join(single)
    held = [hold(1) for _ in range(2 * ENTRIES_FIRST + 3)]
    key = single.payments._keys.changes("ALFA")
    for one in held:
        await single.payments._server.write("XADD", key, "*", "P", f"{one.uetr} {NOW_MS}")
    assert [change.uetr for change in await single.payments.changes("ALFA", "", 1_000)] == [one.uetr for one in held]
    some = await single.payments.changes("ALFA", "", ENTRIES_FIRST + 1)
    assert [change.uetr for change in some] == [one.uetr for one in held[: ENTRIES_FIRST + 1]]


async def test_a_page_ends_between_changes_of_one_entry(single: Store) -> None:
    await join(single)
    now_ms = int((await single.payments._server.read("TIME"))[0]) * 1_000
    held = [hold(1, prepared_time_ms=now_ms) for _ in range(20)]
    await asyncio.gather(*(single.payments.prepare(one, "") for one in held))
    pages = await listed(single, now_ms, 7)
    assert [len(page) for page in pages] == [7, 7, 6]
    assert [one for page in pages for one in page] == sorted(held, key=lambda one: one.uetr), "all of one millisecond"


async def test_more_than_one_look_has_room_for_is_listed_to_the_end(single: Store) -> None:
    await join(single)
    now_ms = int((await single.payments._server.read("TIME"))[0]) * 1_000
    held = [hold(1, prepared_time_ms=now_ms) for _ in range(PAGE_SIZE_MAX + 60)]
    await asyncio.gather(*(single.payments.prepare(one, "") for one in held))
    assert [one for page in await listed(single, now_ms, 400) for one in page] == sorted(held, key=lambda one: one.uetr)


async def test_an_entry_stays_while_one_of_its_payments_does(open_new: OpenNew) -> None:
    archive = FakeArchive()
    store = await open_new(archive=archive)
    await join(store)
    held = [hold(1) for _ in range(6)]
    for group in (held[:3], held[3:]):
        await asyncio.gather(*(store.payments.prepare(one, "") for one in group))
    for one in (*held[:3], *held[4:]):
        await store.payments.commit(one, ACK, NOW_MS)
    await keep(archive, await acknowledge(store))
    assert await store.payments.retire(await archive.unretired(1 << 52, RETIRE_COUNT)) == 5
    told = await store.payments.changes("ALFA", "", 100)
    assert held[3].uetr in {change.uetr for change in told}
    assert not {one.uetr for one in held[:3]} & {change.uetr for change in told if change.state is State.PREPARED}
    await store.payments.abort(held[3], "RAIL_REFUSED", "", NOW_MS)
    await keep(archive, await acknowledge(store))
    await store.payments.retire(await archive.unretired(1 << 52, RETIRE_COUNT))
    assert await store.payments.changes("ALFA", "", 100) == []


async def test_trimming_stops_at_an_entry_whose_last_payment_is_there(single: Store) -> None:
    server = single.payments._server
    await server.write("SET", "there", "1")
    for names, left in (
        (("gone1", "gone2", "gone3", "there", "gone4", "gone5"), 1),
        (("there", "gone1", "gone2", "gone3", "gone4", "gone5"), 0),
        (("gone1", "gone2", "gone3", "gone4", "gone5", "gone6"), 3),
    ):
        assert await server.run(LEFT, names, (3, 2, 2, 2)) == left
    await server.write("DEL", "there")
