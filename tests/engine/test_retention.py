"""Payments leave the hot store after their retention, oldest first, and only when the archive has them."""

from collections.abc import Sequence
from typing import cast

from switch.domain.settlement import SettlementFact
from switch.engine.retention import Retention
from switch.limits import RETIRE_COUNT
from switch.ports import PaymentStore
from tests.events.support import FakeClock
from tests.fake_archive import FakeArchive
from tests.settlement import START_MS, paid, placed

RETENTION_MS = 60_000


class LettingGo:
    """The store's retire: lets go of all but those it is told to keep, and tells the archive."""

    def __init__(self, archive: FakeArchive) -> None:
        self.gone: list[str] = []
        self.kept: set[str] = set()
        self._archive = archive

    async def retire(self, facts: Sequence[SettlementFact]) -> int:
        gone = [fact.uetr for fact in facts if fact.uetr not in self.kept]
        self.gone += gone
        await self._archive.retired(gone)
        return len(gone)


async def begun(count: int) -> tuple[Retention, LettingGo, FakeClock]:
    archive, clock = FakeArchive(), FakeClock()
    await archive.keep([placed(paid("ALFA", number), number) for number in range(1, count + 1)])
    store = LettingGo(archive)
    return Retention(cast(PaymentStore, store), archive, clock, RETENTION_MS), store, clock


async def test_nothing_leaves_before_its_time() -> None:
    retention, store, clock = await begun(3)
    clock.time_ms = START_MS + RETENTION_MS + 41  # the first became final 41 ms after the start
    assert not await retention.look()
    assert store.gone == []
    clock.time_ms += 2
    assert not await retention.look()
    assert store.gone == [paid("ALFA", 1).uetr, paid("ALFA", 2).uetr][: len(store.gone)]
    assert store.gone


async def test_many_leave_a_page_at_a_time() -> None:
    retention, store, clock = await begun(RETIRE_COUNT + 7)
    clock.time_ms = START_MS + 2 * RETENTION_MS
    assert await retention.look(), "there is more"
    assert not await retention.look()
    assert retention.retired_total == len(store.gone) == RETIRE_COUNT + 7


async def test_a_page_that_may_not_leave_does_not_spin() -> None:
    retention, store, clock = await begun(RETIRE_COUNT + 7)
    store.kept = {paid("ALFA", number).uetr for number in range(1, RETIRE_COUNT + 8)}
    clock.time_ms = START_MS + 2 * RETENTION_MS
    assert not await retention.look()
