"""Lists, changes and positions: what a participant and an operator read back."""

import pytest

from switch.domain.money import Asset
from switch.domain.payment import Hold, State
from switch.domain.position import FEE_PARTICIPANT
from switch.errors import Refused
from switch.store import Store, payment_lists
from tests.fixtures_valkey import PATIENCE_MS
from tests.store.builders import ACK, GATEWAY, NOW_MS, hold, join, quote

ALWAYS = {"state": None, "from_time_ms": 0, "to_time_ms": 1 << 52}


async def test_changes_are_told_in_order_and_resume_after_a_token(store: Store) -> None:
    await join(store, cap_minor=100)
    assert await store.payments.changes_end("ALFA") == "0-0"
    paid, over = hold(100), hold(1)
    await store.payments.prepare(paid, "")
    end = await store.payments.changes_end("ALFA")
    await store.payments.doubt(paid, NOW_MS + 1)
    await store.payments.prepare(over, "")
    await store.payments.commit(paid, ACK, NOW_MS + 2)
    changes = await store.payments.changes("ALFA", "", 10)
    assert [(change.uetr, change.state, change.time_ms - NOW_MS) for change in changes] == [
        (paid.uetr, State.PREPARED, 0),
        (paid.uetr, State.IN_DOUBT, 1),
        (over.uetr, State.ABORTED, 0),
        (paid.uetr, State.COMMITTED, 2),
    ]
    assert await store.payments.changes("ALFA", end, 10) == changes[1:]
    assert await store.payments.changes("ALFA", "0", 2) == changes[:2]
    assert await store.payments.changes("ALFA", changes[-1].token, 10) == []
    assert await store.payments.changes("BRAVO", "", 10) == []


@pytest.mark.parametrize("token", ["$", "-", "+", "yesterday", "1-2-3", "(1-1"])
async def test_a_token_that_is_not_ours_is_refused(single: Store, token: str) -> None:
    with pytest.raises(Refused, match="FIELD_INVALID"):
        await single.payments.changes("ALFA", token, 10)
    with pytest.raises(Refused, match="FIELD_INVALID"):
        await single.payments.list_payments("ALFA", token=token, count=1, **ALWAYS)  # type: ignore[arg-type]


async def listed(store: Store, now_ms: int, count: int, **asked: object) -> list[list[Hold]]:
    """All pages. Between preparation and writing a test may stand still for longer than workers' clocks may differ."""
    pages: list[list[Hold]] = []
    token = ""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(payment_lists, "CLOCK_SKEW_MS_MAX", PATIENCE_MS)
        while True:
            window = {"state": None, "from_time_ms": now_ms, "to_time_ms": now_ms + 1_000} | asked
            page, token = await store.payments.list_payments(
                "ALFA",
                token=token,
                count=count,
                **window,  # type: ignore[arg-type]
            )
            pages.append([payment.hold for payment in page])
            if not token:
                return pages


async def test_payments_are_listed_by_time_and_state_in_pages(store: Store) -> None:
    await join(store, cap_minor=500)
    await join(store, "BRAVO")
    # The stream's own time is the server's; what is listed by is the time of preparation, near it.
    now_ms = int((await store.payments._server.read("TIME"))[0]) * 1_000
    held = [hold(100, prepared_time_ms=now_ms + 10 * n) for n in range(5)]
    for one in held:
        await store.payments.prepare(one, "")
    refused = hold(1, prepared_time_ms=now_ms + 50)
    await store.payments.prepare(refused, "")
    await store.payments.prepare(hold(1, debtor_agent="BRAVO", prepared_time_ms=now_ms), "")
    await store.payments.commit(held[1], ACK, now_ms)
    everything = [*held, refused]
    assert await listed(store, now_ms, 10) == [everything]
    assert await listed(store, now_ms, 4) == [everything[:4], everything[4:]]
    assert await listed(store, now_ms, 6) == [everything]
    assert await listed(store, now_ms, 1) == [[one] for one in everything]
    assert await listed(store, now_ms, 10, state=State.COMMITTED) == [[held[1]]]
    assert await listed(store, now_ms, 10, state=State.ABORTED) == [[refused]]
    assert await listed(store, now_ms, 10, from_time_ms=now_ms + 10, to_time_ms=now_ms + 30) == [held[1:3]]
    assert await listed(store, now_ms - 86_400_000, 10) == [[]]


async def test_positions_of_all_sum_to_zero_with_the_provider_and_the_fee(store: Store) -> None:
    await join(store, cap_minor=10_000)
    await join(store, "FX1", 10_000, Asset.CNY)
    priced = quote()
    await store.quotes.create_quote(priced)
    reserved = hold(quote=priced)
    await store.payments.prepare(reserved, priced.id)
    await store.payments.commit(reserved, ACK, NOW_MS)
    rows = {(row.participant, row.asset): row for row in await store.payments.positions()}
    net = {place: row.net_debit_minor for place, row in rows.items() if row.net_debit_minor}
    assert net == {
        ("ALFA", Asset.HKD): 1_000,
        ("FX1", Asset.HKD): -990,
        (FEE_PARTICIPANT, Asset.HKD): -10,
        ("FX1", Asset.CNY): 900,
        (GATEWAY, Asset.CNY): -900,
    }
    assert rows["FX1", Asset.CNY].reserved_minor == 900  # until the quote's end is looked at
    assert rows["ALFA", Asset.HKD].headroom_minor == 9_000
    assert await store.payments.positions("ALFA") == [rows["ALFA", Asset.HKD]]
