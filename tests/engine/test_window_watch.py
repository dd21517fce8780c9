"""Moves of windows as they happen: every one from now on, shared looks, an end on close."""

import asyncio
from contextlib import aclosing

import pytest

from switch.domain.money import Asset
from switch.domain.settlement import Window
from switch.errors import Refused, StoreUnavailable
from tests.fakes import until
from tests.settlement_world import SettlementWorld


class Watcher:
    """What one stream has shown so far."""

    def __init__(self, world: SettlementWorld) -> None:
        self.seen: list[Window] = []
        self.heard = asyncio.Event()
        self._world = world
        self.task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        async with aclosing(self._world.settlement.watch.moves(self._hear)) as moves:
            async for window in moves:
                self.seen.append(window)

    async def _hear(self) -> None:
        self.heard.set()

    async def shows(self, *expected: str) -> None:
        """Returns when exactly these moves were seen."""
        await until(lambda: len(self.seen) >= len(expected) or self.task.done())
        assert [f"{window.id} {window.state.name}" for window in self.seen] == list(expected)


async def watching(world: SettlementWorld) -> Watcher:
    """A watcher that misses nothing from now on."""
    watcher = Watcher(world)
    await watcher.heard.wait()
    return watcher


async def test_every_move_from_now_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only nudges: a look between two steps because time has passed would see a window that is filled and not closed.
    monkeypatch.setattr("switch.engine.window_watch._LOOK_MS", 3_600_000)
    world = SettlementWorld()
    await world.closed(("ALFA", "GW_NEAR", 1))
    watcher = await watching(world)
    assert watcher.seen == []
    world.pay("ALFA", "GW_NEAR", 300)
    await world.settlement.cut("hkd.2", "OPERATOR")
    await watcher.shows("hkd.2 CUT", "hkd.3 OPEN")
    await world.settle()
    await world.settlement.close("hkd.2")
    await watcher.shows("hkd.2 CUT", "hkd.3 OPEN", "hkd.2 CLOSED")
    await world.settlement.declare_default("hkd.2", "ALFA", "OPERATOR", "late")
    await world.settlement.confirm("hkd.2", "GW_NEAR", Asset.HKD, -300, "R1")
    await world.settlement.confirm("hkd.1", "ALFA", Asset.HKD, 1, "R2")
    await until(lambda: any(window.id == "hkd.1" for window in watcher.seen))
    world.settlement.watch.close()
    await watcher.task
    (first,) = [window for window in watcher.seen if window.id == "hkd.1"]
    assert first.obligations[0].reference == "R2", "with everything"


async def test_moves_of_another_process_are_seen_without_a_nudge() -> None:
    world, other = SettlementWorld(), SettlementWorld()
    other.settlement._store = world.store
    await world.open()
    watcher = await watching(world)
    await other.settlement.cut("hkd.1", "OPERATOR")
    await watcher.shows("hkd.1 CUT", "hkd.2 OPEN")
    world.settlement.watch.close()
    await watcher.task


async def test_watchers_share_their_looks() -> None:
    world = SettlementWorld()
    await world.open()
    watchers = [await watching(world) for _ in range(20)]
    before = world.store.calls["windows"]
    await world.settlement.cut("hkd.1", "OPERATOR")
    for watcher in watchers:
        await watcher.shows("hkd.1 CUT", "hkd.2 OPEN")
    assert world.store.calls["windows"] - before <= 3 * len(world.arrangements)
    world.settlement.watch.close()
    await asyncio.gather(*(watcher.task for watcher in watchers))


async def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switch.engine.window_watch.WATCHERS_MAX", 1)
    world = SettlementWorld()
    await world.open()
    watcher = await watching(world)
    with pytest.raises(Refused, match="OVERLOADED"):
        await Watcher(world).task
    world.settlement.watch.close()
    await watcher.task
    await Watcher(world).task  # closed: it ends at once


async def test_a_store_that_is_gone_ends_the_stream() -> None:
    world = SettlementWorld()
    await world.open()
    watcher = await watching(world)
    world.store.fail_next("windows")
    world.settlement.watch.nudge()
    with pytest.raises(StoreUnavailable):
        await watcher.task
