"""The flow of windows over the store: window for window what it is over the fake that the flow's own tests use."""

from switch.domain.money import Asset
from switch.domain.settlement import FIRST_SEAL, Window, WindowState
from switch.engine.window_schedule import WindowSchedule
from switch.store import Store
from tests.engine.test_window_schedule import CALENDARS
from tests.settlement_world import SettlementWorld

HKD = Asset.HKD


async def lived(world: SettlementWorld) -> list[object]:
    """Everything that can become of windows, and what the store says at each step."""
    seen: list[object] = []
    settlement = world.settlement
    schedule = WindowSchedule(settlement, world.books, world.arrangements, CALENDARS, world.clock)
    seen.append(await world.closed(("ALFA", "GW_NEAR", 300), ("BRAVO", "ALFA", 100)))
    seen.append(await settlement.close("hkd.1"))
    seen.append(await settlement.confirm("hkd.1", "GW_NEAR", HKD, -300, "R1"))
    seen.append(await settlement.confirm("hkd.1", "GW_NEAR", HKD, -300, "R1"))
    seen.append(await settlement.declare_default("hkd.1", "BRAVO", "OPERATOR", "late"))
    for amount_minor in range(1, 6):
        world.clock.advance(3_600_000)
        world.pay("ALFA", "GW_NEAR", amount_minor)
        world.append("ALFA")
        await schedule.look()
        await world.settle()
    await schedule.look()
    await settlement.cut("rest.1", "OPERATOR")
    world.skip("BRAVO")
    world.pay("BRAVO", "GW_NEAR", 9)
    cut = await settlement.cut((await settlement.windows("hkd", 1))[0].id, "OPERATOR")
    seen.append(await settlement.cut(cut.id, "ANOTHER"))
    await world.settle()
    seen.append(await world.books.gaps())
    await schedule.look()
    seen.append(dict(schedule.trouble))
    await world.books.excuse("BRAVO", 2, "OPERATOR", "a test", world.clock.now_ms())
    world.clock.advance(60_000)
    await schedule.look()
    seen.append(dict(schedule.trouble))
    seen.append(await settlement.confirm("hkd.1", "BRAVO", HKD, 100, "R2"))
    seen.append(await settlement.confirm("hkd.1", "ALFA", HKD, 200, "R3"))
    seen.append(sorted((await world.books.carried("hkd", 9)).items()))
    for summary in sorted(await settlement.windows("", 50)):
        seen += (summary, await settlement.window(summary.id))
    seen.append([each._replace(place="") for each in await world.books.announcements(1_000)])
    seen.append(sorted(await world.books.moved(1_000)))
    seen.append(await settlement.statement("hkd.2", "ALFA", "", 100))
    return seen


async def test_the_store_and_the_fake_tell_the_same(store: Store) -> None:
    fake, real = SettlementWorld(), SettlementWorld(store.settlements)
    expected, found = await lived(fake), await lived(real)
    for step, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one == other, step
    windows = [each for each in found if isinstance(each, Window) and each.arrangement_id == "hkd"]
    by_number = {each.number: each for each in windows}
    assert [by_number[number].state for number in sorted(by_number)] == [
        WindowState.SETTLED,
        WindowState.CLOSED,
        WindowState.CLOSED,
        WindowState.OPEN,
    ]
    assert by_number[2].previous_seal == by_number[1].seal != FIRST_SEAL
