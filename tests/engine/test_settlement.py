"""Windows: cut, proven, sealed; nothing is sealed that is not right, and nothing is cut twice."""

import pytest

from switch.domain.money import Asset
from switch.domain.position import Entry
from switch.domain.settlement import (
    FIRST_SEAL,
    NetPosition,
    ObligationState,
    Window,
    WindowState,
    obligations_of,
    seal_of,
    unbalanced_window,
)
from switch.errors import (
    ArchiveUnavailable,
    BrokerUnavailable,
    SettlementHalted,
    StoreUnavailable,
)
from tests.settlement_world import SettlementWorld, owed, refused

HKD = Asset.HKD


def nets(window: Window) -> dict[str, int]:
    return {each.participant: each.net_debit_minor for each in window.positions}


# --- cut -------------------------------------------------------------------------------------------------------------
async def test_what_comes_behind_the_cut_belongs_to_the_next_window() -> None:
    world = SettlementWorld()
    await world.open()
    world.pay("ALFA", "GW_NEAR", 300)
    first = await world.settlement.cut("hkd.1", "OPERATOR")
    world.pay("ALFA", "GW_NEAR", 50)
    await world.settle()
    assert (first.state, first.cut_by, first.filled) == (WindowState.CUT, "OPERATOR", False)
    assert nets(await world.settlement.window("hkd.1")) == {"ALFA": 300, "GW_NEAR": -300}
    second = await world.settlement.window("hkd.2")
    assert (second.state, nets(second)) == (WindowState.OPEN, {"ALFA": 50, "GW_NEAR": -50})


async def test_a_repeated_cut_cuts_nothing_else() -> None:
    world = SettlementWorld()
    await world.open()
    once = await world.settlement.cut("hkd.1", "OPERATOR")
    world.pay("ALFA", "GW_NEAR", 300)
    assert await world.settlement.cut("hkd.1", "ANOTHER") == once
    assert (await world.settlement.window("hkd.2")).state is WindowState.OPEN
    assert world.log.asked == 1


async def test_without_the_log_there_is_no_cut() -> None:
    world = SettlementWorld()
    await world.open()
    world.log.down = True
    with pytest.raises(BrokerUnavailable):
        await world.settlement.cut("hkd.1", "OPERATOR")
    assert (await world.settlement.window("hkd.1")).state is WindowState.OPEN


@pytest.mark.parametrize("window_id", ["hkd.9", "nope.1", "hkd", "hkd.0", "hkd.01", ".1", "hkd.x"])
async def test_a_window_that_is_not_there(window_id: str) -> None:
    world = SettlementWorld()
    await world.open()
    assert (await refused(world.settlement.window(window_id))).reason.name == "WINDOW_UNKNOWN"


async def test_windows_newest_first() -> None:
    world = SettlementWorld()
    await world.open()
    world.clock.advance(1_000)
    await world.settlement.cut("hkd.1", "OPERATOR")
    assert [each.id for each in await world.settlement.windows("hkd", 10)] == ["hkd.2", "hkd.1"]
    assert [each.id for each in await world.settlement.windows("", 2)] == ["hkd.2", "hkd.1"]
    assert (await refused(world.settlement.windows("nope", 1))).reason.name == "ARRANGEMENT_UNKNOWN"


# --- close -----------------------------------------------------------------------------------------------------------
async def test_a_closed_window_is_zero_sum_sealed_and_owed() -> None:
    world = SettlementWorld()
    closed = await world.closed(("ALFA", "GW_NEAR", 300), ("BRAVO", "ALFA", 100), ("BRAVO", "GW_NEAR", 5))
    assert (closed.state, closed.payments, closed.previous_seal) == (WindowState.CLOSED, 3, FIRST_SEAL)
    assert unbalanced_window(closed.positions) == {}
    assert nets(closed) == {"ALFA": 200, "BRAVO": 105, "GW_NEAR": -305}
    assert owed(closed) == {
        "ALFA": (200, ObligationState.OPEN),
        "BRAVO": (105, ObligationState.OPEN),
        "GW_NEAR": (-305, ObligationState.OPEN),
    }
    assert closed.seal == seal_of(closed)
    assert await world.settlement.close("hkd.1") == closed, "safe to repeat"
    assert world.store.calls["close"] == 1


async def test_seals_are_a_chain() -> None:
    world = SettlementWorld()
    first = await world.closed(("ALFA", "GW_NEAR", 300))
    second = await world.closed(("ALFA", "GW_NEAR", 1))
    assert second.previous_seal == first.seal
    assert second.seal == seal_of(second) != seal_of(second._replace(previous_seal=FIRST_SEAL))


async def test_an_empty_window_is_settled_at_once() -> None:
    closed = await SettlementWorld().closed()
    assert (closed.state, closed.obligations, closed.settled_time_ms) == (
        WindowState.SETTLED,
        (),
        closed.close_time_ms,
    )


async def test_what_is_even_owes_nothing_and_stands_in_the_positions() -> None:
    closed = await SettlementWorld().closed(("ALFA", "BRAVO", 7), ("BRAVO", "ALFA", 7))
    assert closed.positions == (NetPosition("ALFA", HKD, 7, 7), NetPosition("BRAVO", HKD, 7, 7))
    assert (closed.obligations, closed.state) == ((), WindowState.SETTLED)


async def test_what_was_not_confirmed_before_is_the_opening() -> None:
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    await world.settlement.confirm("hkd.1", "GW_NEAR", HKD, -300, "REF")
    second = await world.closed(("BRAVO", "GW_NEAR", 10))
    assert second.positions == (
        NetPosition("ALFA", HKD, 0, 0, 300),
        NetPosition("BRAVO", HKD, 10, 0),
        NetPosition("GW_NEAR", HKD, 0, 10),
    )
    assert owed(second).keys() == {"BRAVO", "GW_NEAR"}, "what was owed before is owed there"
    assert second.seal == seal_of(second)


async def test_refusals_come_in_their_order() -> None:
    world = SettlementWorld()
    await world.open()
    assert (await refused(world.settlement.close("hkd.7"))).reason.name == "WINDOW_UNKNOWN"
    assert (await refused(world.settlement.close("hkd.1"))).reason.name == "WINDOW_NOT_CUT"
    world.pay("ALFA", "GW_NEAR", 300)
    world.skip("ALFA")
    world.pay("ALFA", "GW_NEAR", 400)
    await world.settlement.cut("hkd.1", "OPERATOR")
    await world.settlement.cut("hkd.2", "OPERATOR")
    early = await refused(world.settlement.close("hkd.2"))
    assert (early.reason.name, early.figures) == ("WINDOW_OUT_OF_TURN", {"window_id": "hkd.1"})
    assert (await refused(world.settlement.close("hkd.1"))).reason.name == "WINDOW_NOT_FILLED"
    await world.settle()
    gap = await refused(world.settlement.close("hkd.1"))
    assert (gap.reason.name, gap.figures) == ("SEQUENCE_GAP", {"debtor_agent": "ALFA", "sequence": "2"})
    assert await world.store.excuse("ALFA", 2, "OPERATOR", "lost with the test", world.clock.now_ms())
    assert (await world.settlement.close("hkd.1")).state is WindowState.CLOSED
    assert (await world.settlement.close("hkd.2")).state is WindowState.SETTLED
    assert world.store.calls["close"] == 2, "nothing was tried before it was proven"


async def test_books_that_do_not_sum_to_zero_are_not_sealed() -> None:
    world = SettlementWorld()
    await world.open()
    world.append("ALFA", Entry("ALFA", HKD, 300), Entry("GW_NEAR", HKD, -299))
    await world.settlement.cut("hkd.1", "OPERATOR")
    await world.settle()
    wrong = await refused(world.settlement.close("hkd.1"))
    assert (wrong.reason.name, wrong.figures) == ("WINDOW_UNBALANCED", {"asset": "HKD", "difference_minor": "1"})
    assert (await world.settlement.window("hkd.1")).seal == b""


async def test_books_that_differ_from_the_archive_are_not_sealed() -> None:
    world = SettlementWorld()
    await world.open()
    paid = world.pay("ALFA", "GW_NEAR", 300)
    await world.settlement.cut("hkd.1", "OPERATOR")
    await world.settle()
    kept = world.archive.kept.pop(paid.event_id)
    other = kept.fact._replace(entries=(Entry("ALFA", HKD, 301), Entry("GW_NEAR", HKD, -301)))
    world.archive.kept[paid.event_id] = kept._replace(fact=other)
    wrong = await refused(world.settlement.close("hkd.1"))
    assert wrong.reason.name == "WINDOW_UNBALANCED"
    assert wrong.message == "the books and the archive differ: nothing was sealed"
    assert wrong.figures == {
        "participant": "ALFA",
        "asset": "HKD",
        "debits_minor": "300, in the archive 301",
        "credits_minor": "0, in the archive 0",
    }
    world.archive.kept[paid.event_id] = kept
    assert (await world.settlement.close("hkd.1")).state is WindowState.CLOSED


async def test_an_archive_that_lacks_a_payment_of_even_books_is_noticed() -> None:
    world = SettlementWorld()
    await world.open()
    paid = world.append("ALFA", Entry("ALFA", HKD, 5), Entry("ALFA", HKD, -5))
    world.append("ALFA", Entry("ALFA", HKD, 5), Entry("ALFA", HKD, -5))
    await world.settlement.cut("hkd.1", "OPERATOR")
    await world.settle()
    kept = world.archive.kept.pop(paid.event_id)
    [other] = world.archive.kept.values()
    doubled = other.fact._replace(entries=other.fact.entries * 2)
    world.archive.kept[other.fact.event_id] = other._replace(fact=doubled)
    wrong = await refused(world.settlement.close("hkd.1"))
    assert (wrong.reason.name, wrong.figures) == ("WINDOW_UNBALANCED", {"payments": "2, in the archive 1"})
    world.archive.kept = {paid.event_id: kept, other.fact.event_id: other}
    assert (await world.settlement.close("hkd.1")).payments == 2


async def test_aborted_payments_are_in_no_window() -> None:
    world = SettlementWorld()
    await world.open()
    world.append("ALFA")
    assert (await world.closed(("ALFA", "GW_NEAR", 1))).payments == 1


async def test_without_the_archive_nothing_is_sealed() -> None:
    world = SettlementWorld()
    await world.open()
    await world.settlement.cut("hkd.1", "OPERATOR")
    world.archive.down = True
    with pytest.raises(ArchiveUnavailable):
        await world.settlement.close("hkd.1")
    assert world.store.calls["close"] == 0


async def test_a_close_whose_answer_was_lost_is_found_done() -> None:
    world = SettlementWorld()
    await world.open()
    world.pay("ALFA", "GW_NEAR", 300)
    await world.settlement.cut("hkd.1", "OPERATOR")
    await world.settle()
    world.store.fail_next("close", done=True)
    with pytest.raises(StoreUnavailable):
        await world.settlement.close("hkd.1")
    world.clock.advance(1_000)
    closed = await world.settlement.close("hkd.1")
    assert (closed.state, closed.close_time_ms) == (WindowState.CLOSED, world.clock.now_ms() - 1_000)
    assert closed.seal == seal_of(closed)


async def test_a_store_that_keeps_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SettlementWorld()
    await world.open()
    world.pay("ALFA", "GW_NEAR", 300)
    await world.settlement.cut("hkd.1", "OPERATOR")
    await world.settle()
    keep = world.store.close

    async def worse(window: Window) -> Window:
        positions = tuple(each._replace(debits_minor=each.debits_minor + 1) for each in window.positions)
        forged = window._replace(positions=positions, obligations=obligations_of(positions))
        return await keep(forged._replace(seal=seal_of(forged)))

    monkeypatch.setattr(world.store, "close", worse)
    with pytest.raises(SettlementHalted, match=r"window hkd\.1: the store did not keep what was proven"):
        await world.settlement.close("hkd.1")
