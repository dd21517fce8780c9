"""The schedule: cuts once at its times, closes in turn, carries what was paid; what fails waits longer each time."""

import asyncio
import logging
from datetime import date

import pytest

from switch.domain.calendar import Calendar
from switch.domain.money import Asset
from switch.domain.settlement import WindowState
from switch.engine.window_schedule import SCHEDULE, WindowSchedule
from tests.fakes import until
from tests.settlement_world import SettlementWorld

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
# The fakes' clock says 2026-11-23 12:00, a Monday; hkd is cut at 12:00 and 17:00, rest by hand only.
CALENDARS = {"A": Calendar("A", frozenset({2026}), frozenset({date(2026, 11, 24)}), frozenset(), ("a test",))}


def schedule_of(world: SettlementWorld) -> WindowSchedule:
    return WindowSchedule(world.settlement, world.store, world.arrangements, CALENDARS, world.clock)


async def ids(world: SettlementWorld, arrangement_id: str) -> list[str]:
    found = sorted(await world.store.windows(arrangement_id, 100), key=lambda window: window.number)
    return [f"{window.number} {window.state.name} {window.cut_by}".strip() for window in found]


async def test_windows_are_opened_cut_at_their_time_closed_and_the_next_runs() -> None:
    world = SettlementWorld()
    schedule = schedule_of(world)
    await schedule.look()
    assert await ids(world, "hkd") == ["1 OPEN"]
    world.pay("ALFA", "GW_NEAR", 300)
    world.clock.advance(5 * HOUR_MS - 1)
    await schedule.look()
    assert await ids(world, "hkd") == ["1 OPEN"]
    world.clock.advance(1)
    await schedule.look()
    assert await ids(world, "hkd") == [f"1 CUT {SCHEDULE}", "2 OPEN"]
    await schedule.look()
    assert await ids(world, "hkd") == [f"1 CUT {SCHEDULE}", "2 OPEN"], "not filled yet"
    await world.settle()
    await schedule.look()
    assert await ids(world, "hkd") == [f"1 CLOSED {SCHEDULE}", "2 OPEN"]
    assert await ids(world, "rest") == ["1 OPEN"]
    assert schedule.trouble == {}


async def test_what_was_missed_is_cut_once_and_holidays_are_not_cut() -> None:
    world = SettlementWorld()
    schedule = schedule_of(world)
    await schedule.look()
    world.clock.advance(24 * HOUR_MS + 5 * HOUR_MS)  # Tuesday 17:00, a holiday; Monday 17:00 was missed
    await schedule.look()
    assert await ids(world, "hkd") == [f"1 SETTLED {SCHEDULE}", "2 OPEN"]
    world.clock.advance(HOUR_MS)
    await schedule.look()
    assert len(await ids(world, "hkd")) == 2
    world.clock.advance(18 * HOUR_MS)  # Wednesday 12:00
    await schedule.look()
    assert len(await ids(world, "hkd")) == 3


async def test_several_processes_cut_each_time_once() -> None:
    world = SettlementWorld()
    schedules = [schedule_of(world) for _ in range(4)]
    await schedules[0].look()
    world.clock.advance(5 * HOUR_MS)
    await asyncio.gather(*(schedule.look() for schedule in schedules))
    await asyncio.gather(*(schedule.look() for schedule in schedules))
    assert await ids(world, "hkd") == [f"1 SETTLED {SCHEDULE}", "2 OPEN"]
    assert [schedule.trouble for schedule in schedules] == [{}] * 4


async def test_a_cut_by_hand_takes_no_scheduled_one_away() -> None:
    world = SettlementWorld()
    schedule = schedule_of(world)
    await schedule.look()
    world.clock.advance(5 * HOUR_MS - MINUTE_MS)
    await world.settlement.cut("hkd.1", "OPERATOR")
    world.clock.advance(MINUTE_MS)
    await schedule.look()
    assert await ids(world, "hkd") == ["1 SETTLED OPERATOR", f"2 SETTLED {SCHEDULE}", "3 OPEN"]


async def test_windows_are_closed_in_turn_however_many_wait() -> None:
    world = SettlementWorld()
    await world.open()
    for number in range(1, 6):
        world.pay("ALFA", "GW_NEAR", number)
        await world.settlement.cut(f"rest.{number}", "OPERATOR")
        await world.settlement.cut(f"hkd.{number}", "OPERATOR")
    await world.settle()
    await schedule_of(world).look()
    assert [each.split()[1] for each in await ids(world, "hkd")] == ["CLOSED"] * 5 + ["OPEN"]
    assert [each.split()[1] for each in await ids(world, "rest")] == ["SETTLED"] * 5 + ["OPEN"]


async def test_what_was_confirmed_and_not_moved_is_carried() -> None:
    world = SettlementWorld()
    closed = await world.closed(("ALFA", "GW_NEAR", 300))
    key = (closed.arrangement_id, closed.number)
    await world.store.confirm(key, "ALFA", Asset.HKD, "SA_HKD", "REF", world.clock.now_ms())
    assert world.store.given_back["ALFA", Asset.HKD] == 0
    await schedule_of(world).look()
    assert world.store.given_back["ALFA", Asset.HKD] == 300


# --- trouble ---------------------------------------------------------------------------------------------------------
async def test_a_year_without_a_calendar_is_said_aloud_and_stops_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    world = SettlementWorld()
    world.clock.advance(60 * 24 * HOUR_MS)  # January 2027
    schedule = schedule_of(world)
    with caplog.at_level(logging.ERROR, "bayswitch.settlement"):
        await schedule.look()
    trouble = {"hkd is not cut": "calendars.toml: calendar 'A' has no row for 2027; add it"}
    assert schedule.trouble == trouble
    assert "hkd is not cut: calendars.toml: calendar 'A' has no row for 2027; add it" in caplog.text
    assert await ids(world, "hkd") == ["1 OPEN"], "never cut on a guess"
    await world.settlement.cut("hkd.1", "OPERATOR")
    await schedule.look()
    assert await ids(world, "hkd") == ["1 SETTLED OPERATOR", "2 OPEN"], "what is cut by hand is closed"


async def test_trouble_pauses_longer_each_time_and_ends() -> None:
    world = SettlementWorld()
    schedule = schedule_of(world)
    await schedule.look()
    world.clock.advance(5 * HOUR_MS)
    world.log.down = True
    asked = []
    for _ in range(200):
        await schedule.look()
        asked.append(world.log.asked)
        world.clock.advance(1_000)
    first = [look for look in range(200) if asked[look] > (asked[look - 1] if look else 0)]
    assert first[:6] == [0, 1, 3, 7, 15, 31]
    assert first[6:] == [63, 123, 183], "never more than a minute"
    assert schedule.trouble == {"hkd is not cut": "BrokerUnavailable"}
    world.log.down = False
    world.clock.advance(MINUTE_MS)
    await schedule.look()
    assert (await ids(world, "hkd"))[-1] == "2 OPEN"
    assert schedule.trouble == {}


async def test_a_gap_is_told_and_holds_its_window_until_it_is_excused(caplog: pytest.LogCaptureFixture) -> None:
    world = SettlementWorld()
    await world.open()
    world.skip("ALFA")
    world.pay("ALFA", "GW_NEAR", 300)
    await world.settlement.cut("hkd.1", "OPERATOR")
    await world.settle()
    schedule = schedule_of(world)
    with caplog.at_level(logging.ERROR, "bayswitch.settlement"):
        await schedule.look()
    assert "SEQUENCE_GAP" in schedule.trouble["hkd is not closed"]
    assert "debtor_agent ALFA, sequence 1" in caplog.text
    await world.store.excuse("ALFA", 1, "OPERATOR", "a test", world.clock.now_ms())
    world.clock.advance(1_000)
    await schedule.look()
    assert (await world.settlement.window("hkd.1")).state is WindowState.CLOSED
    assert schedule.trouble == {}


@pytest.mark.parametrize("step", ["open_windows", "windows", "window", "cut", "close", "gaps", "carried", "move"])
async def test_a_store_that_fails_once_delays_and_loses_nothing(step: str) -> None:
    world = SettlementWorld()
    schedule = schedule_of(world)
    await schedule.look()
    world.pay("ALFA", "GW_NEAR", 300)
    world.clock.advance(5 * HOUR_MS)
    for done in (False, True):
        if not done or step in ("cut", "close"):
            world.store.fail_next(step, done=done)
    for _ in range(6):
        await schedule.look()
        await world.settle()
        world.clock.advance(MINUTE_MS)
    assert await ids(world, "hkd") == [f"1 CLOSED {SCHEDULE}", "2 OPEN"]
    assert schedule.trouble == {}


async def test_a_fault_of_ours_is_logged_without_its_text_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = SettlementWorld()
    schedule, secret = schedule_of(world), "a value nobody should see"

    async def broken() -> int:
        raise KeyError(secret)

    monkeypatch.setattr(world.store, "move", broken)
    with caplog.at_level(logging.CRITICAL, "bayswitch.settlement"):
        await schedule.look()
    assert schedule.trouble == {"what was paid is not carried into the books": "KeyError"}
    assert secret not in caplog.text


async def test_run_looks_until_it_is_cancelled() -> None:
    world = SettlementWorld()
    running = asyncio.get_running_loop().create_task(schedule_of(world).run())
    await until(lambda: world.store.calls["move"])
    assert await ids(world, "hkd") == ["1 OPEN"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
