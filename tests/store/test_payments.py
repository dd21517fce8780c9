"""What a payment does to the store: claimed once, reserved, ended once, and read back."""

import asyncio

import pytest

from switch.domain.money import Asset
from switch.domain.payment import TRANSITIONS, Hold, Payment, State, Transition, kept_refusal
from switch.domain.position import Position
from switch.errors import Refused
from switch.store import Store
from tests.store.builders import ACK, GATEWAY, NOW_MS, charge, hold, instruction, join
from tests.store.conftest import OpenStore


async def position(store: Store, name: str = "ALFA", asset: Asset = Asset.HKD) -> Position:
    rows = [row for row in await store.payments.positions(name) if row.asset is asset]
    return rows[0] if rows else Position(name, asset, 0, 0, 0, 0)


async def facts(store: Store) -> list[tuple[str, int, str, State]]:
    """Of every final payment: debtor agent, sequence, UETR, state."""
    entries = [
        entry for shard in range(store.payments.shards) for entry in await store.payments.outbox_read(shard, 10_000)
    ]
    return [(one.fact.debtor_agent, one.fact.sequence, one.fact.uetr, one.fact.state) for one in entries]


async def test_a_payment_from_prepare_to_commit(store: Store) -> None:
    await join(store)
    reserved = hold(250)
    prepared = await store.payments.prepare(reserved, "")
    assert prepared.fresh
    assert prepared.payment == Payment(reserved, (Transition(State.PREPARED, NOW_MS),))
    assert await position(store) == Position("ALFA", Asset.HKD, 0, 250, 250, 1_000_000)
    assert await store.payments.holds() == (1, NOW_MS)

    committed = await store.payments.commit(reserved, ACK, NOW_MS + 5)
    assert committed.state is State.COMMITTED
    assert committed.history[-1].rail_reference == ACK.rail_reference
    assert await store.payments.get("ALFA", reserved.uetr) == committed
    assert await store.payments.get_by_request("ALFA", reserved.instruction.request_id) == committed
    assert await position(store) == Position("ALFA", Asset.HKD, 250, 0, 250, 1_000_000)
    assert (await position(store, GATEWAY)).net_debit_minor == -250
    assert await store.payments.holds() == (0, 0)
    assert await facts(store) == [("ALFA", 1, reserved.uetr, State.COMMITTED)]


async def test_a_hundred_copies_at_once_begin_one_payment(store: Store, open_again: OpenStore) -> None:
    await join(store)
    other = await open_again()
    reserved = hold(100)
    workers = [store, other]
    answers = await asyncio.gather(*(workers[n % 2].payments.prepare(reserved, "") for n in range(100)))
    assert sum(answer.fresh for answer in answers) == 1
    assert {answer.payment for answer in answers} == {answers[0].payment}
    assert (await position(store)).reserved_minor == 100


async def test_the_first_body_of_a_request_is_kept(store: Store) -> None:
    await join(store)
    first, second = hold(100, request_id="R1"), hold(999, request_id="R1")
    await store.payments.prepare(first, "")
    again = await store.payments.prepare(second, "")
    assert (again.fresh, again.payment.hold) == (False, first)
    # The UETR of the refused copy is free: nothing of it was kept.
    assert (await store.payments.prepare(hold(1, uetr=second.uetr, request_id="R2"), "")).fresh


async def test_a_uetr_is_unique_over_all_participants(store: Store) -> None:
    names = ["ALFA", "BRAVO", "CHARLIE", "DELTA", "ECHO"]
    for name in names:
        await join(store, name)
    first = hold(100, debtor_agent="ALFA")
    await store.payments.prepare(first, "")
    for name in names:
        with pytest.raises(Refused, match="UETR_REUSED"):
            await store.payments.prepare(hold(100, debtor_agent=name, uetr=first.uetr, request_id="other"), "")
        assert await store.payments.get_by_request(name, "other") is None
    assert await store.payments.get("BRAVO", first.uetr) is None


async def test_refusals_without_a_trace_leave_none(store: Store) -> None:
    reserved = hold(100)
    with pytest.raises(Refused, match="PARTICIPANT_UNKNOWN"):
        await store.payments.prepare(reserved, "")
    await join(store)
    await store.participants.set_suspended("ALFA", True, "operator", "audit", NOW_MS)
    with pytest.raises(Refused, match="PARTICIPANT_SUSPENDED"):
        await store.payments.prepare(reserved, "")
    await store.participants.set_suspended("ALFA", False, "operator", "done", NOW_MS)
    with pytest.raises(Refused, match="QUOTE_UNKNOWN"):
        await store.payments.prepare(reserved, "no-such-quote")
    assert await facts(store) == []
    assert await store.payments.changes("ALFA", "", 10) == []
    assert (await store.payments.prepare(reserved, "")).fresh  # request and UETR are as free as before


async def test_a_cap_refusal_is_kept_with_its_figures(store: Store) -> None:
    await join(store, cap_minor=500)
    await store.payments.prepare(hold(450), "")
    over = hold(51)
    refused = await store.payments.prepare(over, "")
    assert refused.fresh
    refusal = kept_refusal(refused.payment)
    assert refusal is not None
    assert refusal.reason.name == "NET_DEBIT_CAP_EXCEEDED"
    assert refusal.figures == {"asset": "HKD", "limit_minor": "500", "used_minor": "450", "left_minor": "50"}
    await store.participants.set_cap("ALFA", Asset.HKD, 10_000, "operator", "more", NOW_MS)
    again = await store.payments.prepare(over, "")  # the same request stays refused
    assert (again.fresh, again.payment) == (False, refused.payment)
    assert (await store.payments.prepare(hold(51), "")).payment.state is State.PREPARED
    assert await facts(store) == [("ALFA", 1, over.uetr, State.ABORTED)]


async def test_an_asset_without_a_cap_has_cap_zero(store: Store) -> None:
    await join(store, asset=Asset.MOP)
    refused = await store.payments.prepare(hold(1), "")
    assert refused.payment.history[-1].reason == "NET_DEBIT_CAP_EXCEEDED"


LIMITS = """
# used  amount  day max  year max  outcome      left
  0     500     500      9000      PREPARED     -
  1     500     500      9000      DAY_LIMIT    499
  300   500     9000     700       YEAR_LIMIT   400
  300   500     700      700       DAY_LIMIT    400
"""


@pytest.mark.parametrize("row", [line.split() for line in LIMITS.splitlines() if line and "#" not in line])
async def test_person_limits(store: Store, row: list[str]) -> None:
    await join(store, cap_minor=400)  # less than the limits: they come first
    used, amount, day, year = map(int, row[:4])

    def charged(minor: int) -> Hold:
        # Years named before days: the order of the caller is not the order of precedence.
        charges = (charge(minor, year, "y2099", "north.year"), charge(minor, day))
        return hold(min(minor, 100), charges=charges)

    if used:
        await store.payments.prepare(charged(used), "")
    asked = await store.payments.prepare(charged(amount), "")
    last = asked.payment.history[-1]
    assert row[4] in (last.state.name, last.reason)
    if row[5] != "-":
        figures = dict(last.figures)
        assert figures["left_minor"] == row[5]
        assert figures["resets"] == ("2100-01-01T00:00:00+08:00")


async def test_limits_are_given_back_on_abort_and_kept_on_commit(store: Store) -> None:
    await join(store)
    charges = (charge(300, 500),)
    aborted, paid, over = (hold(300, charges=charges) for _ in range(3))
    await store.payments.prepare(aborted, "")
    await store.payments.abort(aborted, "CREDITOR_ACCOUNT_CLOSED", "AC04", NOW_MS)
    assert (await store.payments.prepare(paid, "")).payment.state is State.PREPARED, "there is room again"
    assert (await store.payments.commit(paid, ACK, NOW_MS)).state is State.COMMITTED
    refused = await store.payments.prepare(over, "")
    assert refused.payment.history[-1].reason == "DAY_LIMIT"
    assert dict(refused.payment.history[-1].figures)["used_minor"] == "300"


async def test_abort_releases_to_the_cent(store: Store) -> None:
    await join(store)
    before = await position(store)
    reserved = hold(123)
    await store.payments.prepare(reserved, "")
    ended = await store.payments.abort(reserved, "CREDITOR_ACCOUNT_CLOSED", "AC04", NOW_MS + 1)
    assert ended.history[-1] == Transition(State.ABORTED, NOW_MS + 1, "CREDITOR_ACCOUNT_CLOSED", "AC04")
    assert ended.entries == ()
    assert await position(store) == before
    assert (await position(store, GATEWAY)).net_debit_minor == 0


MOVES = [(start, to) for start in State for to in State]


@pytest.mark.parametrize(("start", "to"), MOVES, ids=lambda state: state.name)
async def test_only_the_moves_of_the_table_happen(single: Store, start: State, to: State) -> None:
    await join(single)
    reserved = hold(100)
    payments = single.payments

    async def move(state: State, time_ms: int) -> Payment:
        match state:
            case State.PREPARED:
                return (await payments.prepare(reserved, "")).payment
            case State.COMMITTED:
                return await payments.commit(reserved, ACK, time_ms)
            case State.ABORTED:
                return await payments.abort(reserved, "RAIL_REFUSED", "MS03", time_ms)
            case State.IN_DOUBT:
                return await payments.doubt(reserved, time_ms)

    await move(State.PREPARED, NOW_MS)
    before = await move(start, NOW_MS + 1)
    depth = (await payments.outbox_depth())[0]
    after = await move(to, NOW_MS + 2)
    assert after.state is (to if to in TRANSITIONS[start] else start)
    assert after == before or to in TRANSITIONS[start]
    assert await payments.get("ALFA", reserved.uetr) == after
    assert (await payments.outbox_depth())[0] == depth + (to in TRANSITIONS[start] and to.final)
    assert (await position(single)).reserved_minor == (0 if after.state.final else 100)


async def test_a_payment_keeps_its_history(store: Store) -> None:
    await join(store)
    reserved = hold(100)
    await store.payments.prepare(reserved, "")
    await store.payments.doubt(reserved, NOW_MS + 1)
    ended = await store.payments.commit(reserved, ACK, NOW_MS + 2)
    assert [(step.state, step.time_ms - NOW_MS) for step in ended.history] == [
        (State.PREPARED, 0),
        (State.IN_DOUBT, 1),
        (State.COMMITTED, 2),
    ]
    assert await store.payments.get("ALFA", reserved.uetr) == ended
    assert ended.hold == reserved
    assert ended.instruction == instruction(100, request_id=reserved.instruction.request_id, uetr=reserved.uetr)


async def test_overdue_and_reschedule(store: Store) -> None:
    for name in ("ALFA", "BRAVO", "CHARLIE"):
        await join(store, name)
    late = [
        hold(1, debtor_agent=name, overdue_time_ms=NOW_MS + n) for n, name in enumerate(("CHARLIE", "ALFA", "BRAVO"))
    ]
    for reserved in late:
        await store.payments.prepare(reserved, "")
    due = await store.payments.overdue(NOW_MS + 2, 10)
    assert [payment.hold for payment in due] == late[:2]
    assert [payment.hold for payment in await store.payments.overdue(NOW_MS + 10, 1)] == late[:1]
    await store.payments.reschedule(late[0], NOW_MS + 50)
    await store.payments.abort(late[1], "RAIL_NEVER_SAW_IT", "", NOW_MS)
    await store.payments.reschedule(late[1], NOW_MS)  # final: it has no next look
    assert [payment.hold for payment in await store.payments.overdue(NOW_MS + 10, 10)] == late[2:]


async def test_the_outbox_is_gapless_and_emptied_by_acknowledgement(store: Store) -> None:
    await join(store, cap_minor=1_000)
    held = [hold(100) for _ in range(5)]
    await asyncio.gather(*(store.payments.prepare(one, "") for one in held))
    await asyncio.gather(*(store.payments.commit(one, ACK, NOW_MS) for one in held[:3]))
    await asyncio.gather(*(store.payments.abort(one, "RAIL_REFUSED", "MS03", NOW_MS) for one in held[3:]))
    refused = hold(5_000)
    await store.payments.prepare(refused, "")
    found = await facts(store)
    assert [sequence for _, sequence, _, _ in found] == [1, 2, 3, 4, 5, 6]
    outboxes = [await store.payments.outbox_read(shard, 100) for shard in range(store.payments.shards)]
    (entries,) = filter(None, outboxes)  # one debtor agent: one shard
    assert entries[0].fact.entries == held[0].entries
    assert entries[3].fact.entries == ()
    assert (entries[5].fact.reason, entries[5].fact.uetr) == ("NET_DEBIT_CAP_EXCEEDED", refused.uetr)
    assert all(entry.fact.event_id == entry.fact.uetr for entry in entries)
    assert (await store.payments.outbox_depth())[0] == 6
    token = await store.payments.outbox_lease(entries[0].shard, "relay", 60_000)
    await store.payments.outbox_delete(entries[:4], token)
    await store.payments.outbox_delete(entries[:4], token)
    assert [entry.fact.sequence for entry in await store.payments.outbox_read(entries[0].shard, 100)] == [5, 6]
