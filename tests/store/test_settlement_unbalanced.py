"""Money appears from nowhere in one book, on the real store: the window is not closed, and says what differs."""

import pytest

from switch.domain.money import Asset
from switch.domain.settlement import Window, WindowState
from switch.errors import Refused
from switch.store import Store
from switch.store.settlement_keys import SettlementKeys
from tests.settlement_world import SettlementWorld, refused


@pytest.fixture
async def world(store: Store) -> SettlementWorld:
    """hkd.1 is cut and filled: ALFA has sent 300.00 and got 100.00."""
    made = SettlementWorld(store.settlements)
    await made.open()
    made.pay("ALFA", "GW_NEAR", 30_000)
    made.pay("BRAVO", "ALFA", 10_000)
    await made.settlement.cut("hkd.1", "OPERATOR")
    await made.settle()
    return made


async def plant(store: Store, field: str, amount_minor: int) -> None:
    """Add to one figure of hkd.1, behind the settler's back."""
    key = SettlementKeys(store.payments._keys.prefix).window("hkd.1")
    before = await store.settlements._server.read("HGET", key, field)
    assert before is not None, "there is such a figure"
    await store.settlements._server.write("HINCRBY", key, field, amount_minor)


async def not_closed(world: SettlementWorld) -> Refused:
    """How the close is refused; nothing of the window has changed by it, and nothing was announced."""
    before = await cut_window(world)
    announced = await world.books.announcements(100)
    wrong = await refused(world.settlement.close("hkd.1"))
    assert await cut_window(world) == before
    assert await world.books.announcements(100) == announced
    return wrong


async def cut_window(world: SettlementWorld) -> Window:
    window = await world.settlement.window("hkd.1")
    assert (window.state, window.filled) == (WindowState.CUT, True)
    assert not any(window.seal)
    assert window.obligations == ()
    return window


async def test_a_window_that_does_not_sum_to_zero(world: SettlementWorld, store: Store) -> None:
    await plant(store, "d:ALFA|HKD", 7)
    wrong = await not_closed(world)
    assert wrong.reason.name == "WINDOW_UNBALANCED"
    assert wrong.figures == {"asset": "HKD", "difference_minor": "7"}
    await world.settlement.cut("hkd.2", "OPERATOR")
    await world.settle()
    assert (await refused(world.settlement.close("hkd.2"))).reason.name == "WINDOW_OUT_OF_TURN"
    await plant(store, "d:ALFA|HKD", -7)
    closed = await world.settlement.close("hkd.1")
    assert {each.participant: each.amount_minor for each in closed.obligations} == {
        "ALFA": 20_000,
        "BRAVO": 10_000,
        "GW_NEAR": -30_000,
    }
    assert (await world.settlement.close("hkd.2")).previous_seal == closed.seal


# what is planted | what the books and the archive say, and of whom
ZERO_SUM = {
    "both sides of one participant": (
        [("d:ALFA|HKD", 7), ("c:ALFA|HKD", 7)],
        {
            "participant": "ALFA",
            "debits_minor": "30007, in the archive 30000",
            "credits_minor": "10007, in the archive 10000",
        },
    ),
    "from one to another": (
        [("d:ALFA|HKD", 7), ("c:GW_NEAR|HKD", 7)],
        {
            "participant": "ALFA",
            "debits_minor": "30007, in the archive 30000",
            "credits_minor": "10000, in the archive 10000",
        },
    ),
    "the count": ([("payments", 1)], {"payments": "3, in the archive 2"}),
}


@pytest.mark.parametrize("name", ZERO_SUM)
async def test_a_window_that_sums_to_zero_and_is_not_what_was_archived(
    name: str, world: SettlementWorld, store: Store
) -> None:
    planted, says = ZERO_SUM[name]
    for field, amount_minor in planted:
        await plant(store, field, amount_minor)
    wrong = await not_closed(world)
    assert wrong.reason.name == "WINDOW_UNBALANCED"
    assert wrong.figures == ({"asset": "HKD"} if "participant" in says else {}) | says


async def test_an_archive_that_has_lost_a_payment(world: SettlementWorld) -> None:
    """The books are right, and are not believed alone."""
    lost = next(one for one in world.archive.kept.values() if one.fact.debtor_agent == "BRAVO")
    world.archive.kept = {at: one for at, one in world.archive.kept.items() if one is not lost}
    wrong = await not_closed(world)
    assert wrong.figures == {
        "participant": "ALFA",
        "asset": Asset.HKD.name,
        "debits_minor": "30000, in the archive 30000",
        "credits_minor": "10000, in the archive 0",
    }
    await world.archive.keep([lost])
    assert (await world.settlement.close("hkd.1")).state is WindowState.CLOSED
