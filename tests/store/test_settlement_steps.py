"""Killed while confirmed obligations are carried into the books: each is carried, and once."""

import pytest

from switch.domain.money import Asset
from switch.store import Store
from tests.last_step import Killed, LastStep
from tests.settlement import START_MS
from tests.store.builders import join
from tests.store.test_settlement import HKD1, closed

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
