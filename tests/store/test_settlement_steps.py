"""Steps of settlement that are killed in between, or overtaken by another's: nothing is lost, doubled, or misplaced."""

import pytest

from switch.domain.money import Asset
from switch.store import Store
from tests.last_step import Killed, LastStep
from tests.settlement import START_MS, chunk
from tests.store.builders import join
from tests.store.test_settlement import HKD1, HKD2, NETS, closed, opened

TRANSFERS = 2
STEPS = 2 * TRANSFERS  # each is carried into its shard, then taken off the list


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_killed_at_each_step_a_transfer_is_carried_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    await join(store, "ALFA")
    await join(store, "BRAVO")
    await closed(store)
    for participant in ("ALFA", "BRAVO"):
        await store.settlements.confirm(HKD1, participant, Asset.HKD, "SA_HKD", "RTGS", START_MS + 3)
    server, last = store.settlements._server, LastStep()
    monkeypatch.setattr(server, "run", last.counting(server.run))
    monkeypatch.setattr(server, "write", last.counting(server.write))
    last.choose(step, after=after)
    with pytest.raises(Killed):
        await store.settlements.move()
    last.choose(0)
    await store.settlements.move()
    assert last.count <= STEPS
    books = {row.participant: (row.net_debit_minor, row.used_minor) for row in await store.payments.positions()}
    assert books == {"ALFA": (-100, -100), "BRAVO": (100, 100)}, "what ALFA paid, and BRAVO was paid, once"
    assert await store.settlements.move() == 0


async def test_a_chunk_that_a_cut_has_overtaken_is_read_again(store: Store) -> None:
    """It was made while the window was open, and passes the cut that came meanwhile: what is behind that is the next's."""
    await opened(store)
    assert await store.settlements.apply(chunk(0, 2, NETS))
    await store.settlements.cut("hkd", 1, {0: 5}, "OPERATOR", START_MS + 1)
    assert not await store.settlements.apply(chunk(2, 8, NETS)), "the epoch is another"
    assert await store.settlements.apply(chunk(2, 5, NETS, epoch=1, reached=(HKD1,)))
    assert await store.settlements.apply(chunk(5, 8, {HKD2: NETS[HKD1]}, epoch=1))
    windows = [await store.settlements.window("hkd", number) for number in (1, 2)]
    assert [window.payments for window in windows if window is not None] == [2, 1]
