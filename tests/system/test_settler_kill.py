"""The settler is killed thirty times under load: every credit counts once, and every total is what the archive says.

Goal: a SIGKILL of the settler at any moment costs a repeat of what was under way, and nothing else. Method: settler and
relay as processes of their own on a real broker, a seeded load, an operator who cuts and settles windows meanwhile, and
payments that leave the store after two seconds; after it the audits compare answers, records, topic, archive, windows,
positions and headroom.
"""

import asyncio
from pathlib import Path

import pytest

from loadtest.provider import STEPS, Load
from tests.system.drills import Rehearsal, seeded
from tests.waiting import eventually

KILLS = 30
KILLS_OF_RELAY = 4
CALLERS = 3  # enough for events at every moment; more would only keep what was killed from starting
ALIVE_SECONDS = (0.0, 0.8)  # from its ready line to its kill: from its first fetch to whole turns


@pytest.mark.timeout(900)
async def test_the_settler_killed_under_load(tmp_path: Path) -> None:
    seed, dice = seeded()
    place = Rehearsal(tmp_path, seed)
    also_relay = set(dice.sample(range(KILLS), KILLS_OF_RELAY))
    async with place.running():
        load = Load(place.sandbox.address, STEPS, CALLERS, seed)
        await load.start()
        async with place.operating():
            for life in range(KILLS):
                if life == KILLS // 2:  # in such short lives a slow machine may come to no whole turn
                    await eventually(lambda: _goes_on(place), "windows are settled and payments leave between kills")
                await asyncio.sleep(dice.uniform(*ALIVE_SECONDS))
                names = ("settler", "relay") if life in also_relay else ("settler",)
                for name in names:
                    await place.kill(name)
                await asyncio.gather(*map(place.start, names))
            settled_meanwhile, left_meanwhile = place.figures.settled, await place.retired()
        await place.at_rest(load)
        clean = await place.compared(load)
        print(f"{settled_meanwhile} windows settled and {left_meanwhile} payments left the store meanwhile")
        assert clean


async def _goes_on(place: Rehearsal) -> bool:
    return place.figures.settled > 0 and await place.retired() > 0
