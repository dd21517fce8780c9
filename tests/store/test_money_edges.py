"""Where money goes wrong quietly: figures that a double or a printf spoils, counters of a day that is over, UETRs raced for."""

import asyncio

import pytest

from switch.domain.money import Asset
from switch.domain.payment import Payment, State
from switch.errors import Refused
from switch.limits import AMOUNT_MINOR_MAX, SCRIPT_INTEGER_MAX
from switch.ports import Prepared
from switch.store import Store
from tests.store.builders import ACK, GATEWAY, NOW_MS, charge, hold, join, quote

AMOUNTS = (10**14, 10**15 - 1, 123_456_789_012_345, 2**49 + 1, 5 * 10**14)  # round ones invite an exponent


async def used(store: Store, participant: str, asset: Asset = Asset.HKD) -> tuple[int, int, int]:
    """Net, reserved, used."""
    rows = [row for row in await store.payments.positions(participant) if row.asset is asset]
    return (rows[0].net_debit_minor, rows[0].reserved_minor, rows[0].used_minor) if rows else (0, 0, 0)


async def test_no_unit_is_lost_in_large_amounts(store: Store) -> None:
    await join(store, cap_minor=SCRIPT_INTEGER_MAX)
    total = sum(AMOUNTS)
    charged = [hold(amount, charges=(charge(amount, total),)) for amount in AMOUNTS]
    assert all(one.fresh for one in await asyncio.gather(*(store.payments.prepare(one, "") for one in charged)))
    assert await used(store, "ALFA") == (0, total, total)
    full = (await store.payments.prepare(hold(1, charges=(charge(1, total),)), "")).payment
    assert full.history[-1].reason == "DAY_LIMIT"
    assert dict(full.history[-1].figures)["used_minor"] == str(total)
    await store.payments.abort(charged[0], "RAIL_REFUSED", "", NOW_MS)
    await asyncio.gather(*(store.payments.commit(one, ACK, NOW_MS) for one in charged[1:]))
    paid = total - AMOUNTS[0]
    assert await used(store, "ALFA") == (paid, 0, paid)
    assert (await used(store, GATEWAY))[0] == -paid
    again = hold(AMOUNTS[0], charges=(charge(AMOUNTS[0], total),))
    assert (await store.payments.prepare(again, "")).payment.state is State.PREPARED, "to the unit"


async def test_the_last_unit_of_the_largest_cap(store: Store) -> None:
    await join(store, cap_minor=SCRIPT_INTEGER_MAX)
    whole, rest = divmod(SCRIPT_INTEGER_MAX, AMOUNT_MINOR_MAX)
    holds = [hold(AMOUNT_MINOR_MAX) for _ in range(whole)] + [hold(rest)]
    ends = await asyncio.gather(*(store.payments.prepare(one, "") for one in holds))
    assert {one.payment.state for one in ends} == {State.PREPARED}
    assert await used(store, "ALFA") == (0, SCRIPT_INTEGER_MAX, SCRIPT_INTEGER_MAX)
    over = (await store.payments.prepare(hold(1), "")).payment.history[-1]
    assert (over.reason, dict(over.figures)["left_minor"]) == ("NET_DEBIT_CAP_EXCEEDED", "0")


async def test_payments_of_one_group_share_cap_and_limit(store: Store) -> None:
    """They are prepared by one script call: what the first of them takes, the last does not find."""
    await join(store, cap_minor=500)
    ends = await asyncio.gather(*(store.payments.prepare(hold(200), "") for _ in range(5)))
    assert [end.payment.state for end in ends].count(State.PREPARED) == 2
    assert {end.payment.history[-1].reason for end in ends} == {"", "NET_DEBIT_CAP_EXCEEDED"}
    assert await used(store, "ALFA") == (0, 400, 400)
    await join(store, "BRAVO")
    limited = [hold(200, debtor_agent="BRAVO", charges=(charge(200, 500),)) for _ in range(5)]
    ends = await asyncio.gather(*(store.payments.prepare(one, "") for one in limited))
    assert [end.payment.state for end in ends].count(State.PREPARED) == 2
    assert {end.payment.history[-1].reason for end in ends} == {"", "DAY_LIMIT"}


async def test_an_abort_after_its_day_is_over_makes_no_room(store: Store) -> None:
    """Midnight in between: what is given back goes to the old day; a day that is forgotten gets nothing back."""
    await join(store)
    old, forgotten = hold(60, charges=(charge(60, 100, "d20991230"),)), hold(60, charges=(charge(60, 100),))
    gone = forgotten.charges[0]._replace(period_key="d20200101", expiry_time_ms=1)  # forgotten as soon as it is written
    forgotten = forgotten._replace(charges=(gone,))
    today = hold(60, charges=(charge(60, 100, "d20991231"),))
    for one in (old, forgotten, today):
        assert (await store.payments.prepare(one, "")).payment.state is State.PREPARED
    for one in (old, forgotten):
        await store.payments.abort(one, "RAIL_REFUSED", "", NOW_MS)
    second = await store.payments.prepare(hold(60, charges=(charge(60, 100, "d20991231"),)), "")
    assert second.payment.history[-1].reason == "DAY_LIMIT", "nothing came back to today"
    for _ in range(2):  # and nothing below zero stands in the forgotten one: 100 is its limit, not 160
        late = hold(101, charges=(charge(101, 100)._replace(period_key="d20200101", expiry_time_ms=4_102_444_800_000),))
        assert (await store.payments.prepare(late, "")).payment.history[-1].reason == "DAY_LIMIT"


async def test_a_providers_quotes_and_payments_share_one_cap(store: Store) -> None:
    await join(store, "ALFA")
    await join(store, "FX1", 1_000, Asset.CNY)
    quoted = quote(1_000, 600)
    await store.quotes.create_quote(quoted)
    with pytest.raises(Refused, match="NO_RATE"):
        await store.quotes.create_quote(quote(1_000, 401))
    paying = hold(quote=quoted)
    await store.payments.prepare(paying, quoted.id)
    await store.payments.commit(paying, ACK, NOW_MS)
    for _ in range(3):
        await store.quotes.end_quotes([quoted])
        assert (await used(store, "FX1", Asset.CNY))[1:] == (0, 600), "ended once, however often it is looked at"
    with pytest.raises(Refused, match="NO_RATE"):
        await store.quotes.create_quote(quote(1_000, 401))
    await store.quotes.create_quote(quote(1_000, 400))


async def test_participants_on_all_shards_race_for_one_uetr(store: Store) -> None:
    names = [f"P{number}" for number in range(12)]
    for name in names:
        await join(store, name)
    first = hold()
    racing = [hold(debtor_agent=name, uetr=first.uetr) for name in names]
    ends = await asyncio.gather(*(store.payments.prepare(one, "") for one in racing), return_exceptions=True)
    won = [end for end in ends if isinstance(end, Prepared)]
    assert len(won) == 1
    assert {str(end)[:11] for end in ends if not isinstance(end, Prepared)} == {"UETR_REUSED"}
    await store.payments.abort(won[0].payment.hold, "RAIL_REFUSED", "", NOW_MS)
    for name in names:  # aborted or not, and under whatever request_id: for ever
        with pytest.raises(Refused, match="UETR_REUSED"):
            await store.payments.prepare(hold(debtor_agent=name, uetr=first.uetr, request_id="another"), "")


async def test_ends_that_race_end_it_once(store: Store) -> None:
    """A commit and an abort at once, twice each: one of them counts, all answer the same record."""
    await join(store)
    for _ in range(10):
        one = hold(100)
        await store.payments.prepare(one, "")
        moves = [
            *(store.payments.commit(one, ACK, NOW_MS) for _ in range(2)),
            *(store.payments.abort(one, "RAIL_REFUSED", "", NOW_MS) for _ in range(2)),
            store.payments.doubt(one, NOW_MS),
        ]
        done: list[Payment] = await asyncio.gather(*moves)
        finals = {payment for payment in done if payment.state.final}
        assert len(finals) == 1
    net, reserved, in_use = await used(store, "ALFA")
    assert (reserved, net) == (0, in_use)
    assert len(await store.payments.outbox_read(store.payments._keys.shard_of("ALFA"), 100)) == 10
