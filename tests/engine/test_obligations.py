"""Obligations confirmed or defaulted, each once; statements that add up."""

import pytest

from switch.domain.money import Asset
from switch.domain.position import Entry
from switch.domain.settlement import ObligationState, WindowState
from switch.engine.settlement import StatementLine
from switch.errors import StoreUnavailable
from tests.settlement_world import SettlementWorld, owed, refused

HKD = Asset.HKD


async def test_the_last_confirmation_settles_the_window_and_each_moves_positions_once() -> None:
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    half = await world.settlement.confirm("hkd.1", "ALFA", HKD, 300, "CHATS-1")
    assert (half.state, world.store.totals["ALFA", HKD], world.store.totals["SA_HKD", HKD]) == (
        WindowState.CLOSED,
        0,
        300,
    )
    whole = await world.settlement.confirm("hkd.1", "GW_NEAR", HKD, -300, "CHATS-2")
    assert (whole.state, world.store.totals["SA_HKD", HKD]) == (WindowState.SETTLED, 0)
    assert await world.settlement.confirm("hkd.1", "ALFA", HKD, 300, "CHATS-1") == whole, "safe to repeat"
    assert world.store.given_back["ALFA", HKD] == 300
    assert [(each.reference, each.state) for each in whole.obligations] == [
        ("CHATS-1", ObligationState.CONFIRMED),
        ("CHATS-2", ObligationState.CONFIRMED),
    ]


# participant | asset | amount | reference | reason | field | figures
MISMATCHES = """
ALFA    | HKD |  299 | NEW  | OBLIGATION_MISMATCH | amount_minor | expected_minor 300
ALFA    | HKD | -300 | NEW  | OBLIGATION_MISMATCH | amount_minor | expected_minor 300
GW_NEAR | HKD |  300 | NEW  | OBLIGATION_MISMATCH | amount_minor | expected_minor -300
GW_NEAR | HKD | -300 | NEW  | OBLIGATION_MISMATCH | reference    | confirmed_reference OLD
BRAVO   | HKD |  300 | NEW  | OBLIGATION_UNKNOWN  |              |
ALFA    | MOP |  300 | NEW  | OBLIGATION_UNKNOWN  |              |
"""


@pytest.mark.parametrize("row", MISMATCHES.strip().splitlines())
async def test_only_what_is_owed_can_be_confirmed(row: str) -> None:
    participant, asset, amount, reference, reason, field, figures = (part.strip() for part in row.split("|"))
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    before = await world.settlement.confirm("hkd.1", "GW_NEAR", HKD, -300, "OLD")
    found = await refused(world.settlement.confirm("hkd.1", participant, Asset[asset], int(amount), reference))
    assert (found.reason.name, found.field) == (reason, field)
    assert " ".join(f"{key} {value}" for key, value in found.figures.items()) == figures
    assert await world.settlement.window("hkd.1") == before


async def test_before_it_is_closed_nothing_is_owed() -> None:
    world = SettlementWorld()
    await world.open()
    for call in (
        world.settlement.confirm("hkd.1", "ALFA", HKD, 300, "REF"),
        world.settlement.declare_default("hkd.1", "ALFA", "OPERATOR", "late"),
        world.settlement.statement("hkd.1", "ALFA", "", 10),
    ):
        assert (await refused(call)).reason.name == "WINDOW_NOT_CLOSED"


async def test_a_move_that_failed_is_made_by_the_repeat() -> None:
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    world.store.fail_next("move")
    with pytest.raises(StoreUnavailable):
        await world.settlement.confirm("hkd.1", "ALFA", HKD, 300, "REF")
    assert world.store.given_back["ALFA", HKD] == 0
    await world.settlement.confirm("hkd.1", "ALFA", HKD, 300, "REF")
    assert world.store.given_back["ALFA", HKD] == 300


async def test_who_does_not_pay_is_blocked_by_rule_and_may_still_pay() -> None:
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    after = await world.settlement.declare_default("hkd.1", "ALFA", "OPERATOR", "nothing came by 18:00")
    assert (after.state, owed(after)["ALFA"]) == (WindowState.PARTIALLY_SETTLED, (300, ObligationState.DEFAULTED))
    assert world.register.participants["ALFA"].suspended
    assert await world.settlement.declare_default("hkd.1", "ALFA", "OPERATOR", "again") == after, "safe to repeat"
    [change] = await world.register.participant_changes("ALFA")
    assert (change.actor, change.action, change.reason) == (
        "OPERATOR",
        "suspend",
        "blocked by rule: default in window hkd.1: nothing came by 18:00",
    )
    await world.settlement.confirm("hkd.1", "GW_NEAR", HKD, -300, "R1")
    late = await world.settlement.confirm("hkd.1", "ALFA", HKD, 300, "R2")
    assert (late.state, world.register.participants["ALFA"].suspended) == (WindowState.SETTLED, True)


async def test_a_default_whose_suspension_was_lost_is_suspended_by_the_repeat() -> None:
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    world.register.fail_next("set_suspended")
    with pytest.raises(StoreUnavailable):
        await world.settlement.declare_default("hkd.1", "ALFA", "OPERATOR", "late")
    await world.settlement.declare_default("hkd.1", "ALFA", "OPERATOR", "late")
    assert world.register.participants["ALFA"].suspended


async def test_who_owes_nothing_cannot_default() -> None:
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    await world.settlement.confirm("hkd.1", "ALFA", HKD, 300, "REF")
    for participant in ("ALFA", "GW_NEAR", "BRAVO"):
        call = world.settlement.declare_default("hkd.1", participant, "OPERATOR", "late")
        assert (await refused(call)).reason.name == "OBLIGATION_UNKNOWN"
    assert not any(each.suspended for each in world.register.participants.values())


# --- statements ------------------------------------------------------------------------------------------------------
async def test_a_statement_adds_up_over_its_pages() -> None:
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    await world.closed(*[("ALFA", "GW_NEAR", each) for each in range(1, 8)], ("BRAVO", "ALFA", 100))
    lines: list[StatementLine] = []
    token, pages = "", 0
    while True:
        page = await world.settlement.statement("hkd.2", "ALFA", token, 3)
        lines += page.lines
        pages += 1
        [balance] = page.balances
        token = page.token
        if not token:
            break
    assert pages == 3
    assert (balance.opening_minor, balance.debits_minor, balance.credits_minor) == (300, 28, 100)
    assert balance.closing_minor == 300 + sum(line.entry.amount_minor for line in lines) == 228
    own = {line.end_to_end_id for line in lines if line.fact.debtor_agent == "ALFA"}
    assert own == {f"E2E-{sequence}" for sequence in range(2, 9)}
    assert {line.end_to_end_id for line in lines if line.fact.debtor_agent != "ALFA"} == {""}
    assert {line.entry.participant for line in lines} == {"ALFA"}


async def test_a_statement_holds_the_assets_of_its_arrangement() -> None:
    """One payment with two assets settles in two places, and is on the provider's statement of each."""
    world = SettlementWorld()
    await world.open()
    world.append(
        "ALFA",
        Entry("ALFA", HKD, 100),
        Entry("FXONE", HKD, -100),
        Entry("FXONE", Asset.CNY, 92),
        Entry("GW_FAR", Asset.CNY, -92),
    )
    for name in ("hkd", "rest"):
        await world.settlement.cut(f"{name}.1", "OPERATOR")
    await world.settle()
    for name, asset, amount_minor in (("hkd", HKD, -100), ("rest", Asset.CNY, 92)):
        closed = await world.settlement.close(f"{name}.1")
        assert (closed.payments, {each.asset for each in closed.positions}) == (1, {asset})
        page = await world.settlement.statement(f"{name}.1", "FXONE", "", 10)
        assert [line.entry for line in page.lines] == [Entry("FXONE", asset, amount_minor)]


async def test_a_statement_of_who_did_nothing_is_empty_and_of_nobody_refused() -> None:
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 300))
    page = await world.settlement.statement("hkd.1", "BRAVO", "", 10)
    assert (page.balances, page.lines, page.token) == ((), (), "")
    unknown = await refused(world.settlement.statement("hkd.1", "NOBODY", "", 10))
    assert (unknown.reason.name, unknown.field) == ("PARTICIPANT_UNKNOWN", "participant")
