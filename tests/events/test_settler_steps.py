"""A settler killed at every step of a turn, before it and after it: the next life ends the work, each event once.

The order of the steps is what this is about: whatever the offset says is done must have been done.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from switch.domain.money import Asset
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.events.fold import Fold
from switch.events.settler import Settler
from switch.store import Store
from tests.events.settling import AGENTS, Graves, open_own_store
from tests.events.support import FakeClock
from tests.fake_archive import FakeArchive
from tests.last_step import Killed, LastStep
from tests.settlement import ARRANGEMENTS, START_MS, paid, placed
from tests.store.builders import join

BANKS = [f"BANK{number}" for number in range(6)]  # over all shards
STEPS_AT_LEAST = 5  # progress, the archive, headroom of more than one shard, windows and the offset


@pytest.fixture
async def store(valkey_url: str, tmp_path: Path, patient_store: None) -> AsyncIterator[Store]:
    made = await open_own_store(valkey_url, tmp_path)
    for bank in BANKS:
        await join(made, bank)
    await made.settlements.open_windows([each.id for each in ARRANGEMENTS], START_MS)
    yield made
    await made.close()


def more(count: int) -> list[SettlementFact]:
    """The `count`-th payment of every agent, to one bank after the other."""
    return [
        paid(agent, count, (Entry(agent, Asset.HKD, 10 + count), Entry(bank, Asset.HKD, -10 - count)))
        for agent, bank in zip(AGENTS, [*BANKS, *BANKS], strict=False)
    ]


async def live(store: Store, archive: FakeArchive, log: Sequence[SettlementFact]) -> None:
    """One life of a settler: it begins where the store says, and reads the log to its end."""
    settler = Settler("", store.settlements, archive, ARRANGEMENTS, Graves(), FakeClock())
    fold = Fold(await store.settlements.progress(), ARRANGEMENTS)
    facts = [placed(fact, offset) for offset, fact in enumerate(log) if offset >= fold.offsets.get(0, 0)]
    assert await settler.settle(fold, {0: (facts, len(log))})


async def check(store: Store, archive: FakeArchive, log: Sequence[SettlementFact], where: str) -> None:
    """Positions, headroom and archive say what the log says."""
    sums = Counter[str]()
    for entry in (entry for fact in log for entry in fact.entries):
        sums[entry.participant] += entry.amount_minor
    assert [each.fact for each in archive.kept.values()] == list(log), f"the archive, {where}"
    positions = {whose[0]: total for whose, total in (await store.settlements.totals()).items()}
    assert positions == dict(sums), f"the windows, {where}"
    used = {row.participant: row.used_minor for row in await store.payments.positions()}
    assert used == {bank: sums[bank] for bank in BANKS}, f"the headroom, {where}"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_each_step_nothing_is_lost_and_nothing_counts_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    archive, last, server = FakeArchive(), LastStep(), store.settlements._server
    monkeypatch.setattr(server, "run", last.counting(server.run))
    monkeypatch.setattr(archive, "keep", last.counting(archive.keep))
    log: list[SettlementFact] = []
    for step in range(1, 100):
        log += more(step)
        last.choose(step, after=after)
        try:
            await live(store, archive, log)
        except Killed:
            last.choose(0)
            await live(store, archive, log)
            await check(store, archive, log, f"killed at step {step}")
            continue
        break
    assert step > STEPS_AT_LEAST, "every step was the last once"
    await check(store, archive, log, "not killed")
