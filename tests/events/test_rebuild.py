"""A store made anew after something was begun on it, or after the settler fell behind: nothing is lost by either."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from switch.domain.settlement import Window
from switch.errors import ArchiveConflict, SettlementHalted
from switch.events.rebuild import Rebuilt, rebuild
from switch.ports import PaymentStore
from tests.events.settling import Place, load, open_own_store, open_place, settling
from tests.events.test_replay import NothingToRestore
from tests.settlement import ARRANGEMENTS, START_MS
from tests.store.builders import join

pytestmark = pytest.mark.usefixtures("patient_broker", "patient_store")


@pytest.fixture
async def place(kafka_bootstrap: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    """A closed and an open window of each arrangement; the settler ended before it saw the last forty events."""
    async with open_place(kafka_bootstrap, valkey_url, tmp_path) as made:
        facts = load(20)
        async with settling(made):
            await made.publish(facts[:80])
            await made.settled()
            await made.close_windows(1)
            await made.publish(facts[80:120])
            await made.settled()
        await made.announce()
        await made.publish(facts[120:])
        yield made


async def lose(place: Place, valkey_url: str, folder: Path) -> None:
    """Another store, empty but for two participants."""
    lost, place.store = place.store, await open_own_store(valkey_url, folder)
    await lost.close()
    for name in ("FXBANK", "GATEWAY"):
        await join(place.store, name)


async def made_anew(place: Place) -> Rebuilt:
    async with place.log() as log:
        payments = cast(PaymentStore, NothingToRestore())
        return await rebuild(log, place.archive, payments, place.store.settlements, ARRANGEMENTS)


def sealed(windows: list[Window]) -> dict[str, bytes]:
    return {window.id: window.seal for window in windows if window.seal != bytes(32) and window.close_time_ms}


async def test_what_was_published_and_not_archived_is_archived(place: Place, valkey_url: str, tmp_path: Path) -> None:
    """The settler goes on behind it; without the archive's word no window with one of these events could be closed."""
    assert len(place.archive.kept) == 120
    await lose(place, valkey_url, tmp_path)
    await made_anew(place)
    assert {each.fact for each in place.archive.kept.values()} == set(load(20))
    async with settling(place):
        assert {window.state.name for window in await place.close_windows(2)} == {"CLOSED"}


async def test_an_archive_of_another_log_stops_it(place: Place, valkey_url: str, tmp_path: Path) -> None:
    at, kept = next(iter(place.archive.kept.items()))
    del place.archive.kept[at]
    other = kept.fact._replace(
        event_id="4c1b8a3e-0d6f-4c55-9d43-8f3c2a1b0e9d", uetr="4c1b8a3e-0d6f-4c55-9d43-8f3c2a1b0e9d"
    )
    await place.archive.keep([kept._replace(fact=other)])
    await lose(place, valkey_url, tmp_path)
    with pytest.raises(ArchiveConflict):
        await made_anew(place)
    assert (await place.store.settlements.progress()).offsets == {}


async def test_a_settler_that_began_anew_gives_way(place: Place, valkey_url: str, tmp_path: Path) -> None:
    """A process that is started again by itself settles the whole log into first windows of its own."""
    before, windows = await place.store.settlements.totals(), sealed(await place.windows())
    await lose(place, valkey_url, tmp_path)
    async with settling(place):
        await place.settled()
    assert {window.number for window in await place.windows()} == {1}
    assert (await made_anew(place)).settlement
    assert sealed(await place.windows()) == windows
    assert windows
    assert {window.number for window in await place.windows()} == {1, 2}
    async with settling(place):
        await place.settled()
        await place.close_windows(2)
    assert not (await made_anew(place)).settlement, "what was cut since stays"
    totals = await place.store.settlements.totals()
    assert totals != before, "forty events more"
    used = {(row.participant, row.asset): row.used_minor for row in await place.store.payments.positions()}
    credits = {whose: total for whose, total in totals.items() if whose[0] == "GATEWAY"}
    assert {whose: used[whose] for whose in credits} == credits, "headroom is given back once"


async def test_windows_that_were_cut_anew_are_not_mistaken_for_the_announced(
    place: Place, valkey_url: str, tmp_path: Path
) -> None:
    """They may be known already: somebody has to look."""
    await lose(place, valkey_url, tmp_path)
    async with settling(place):
        await place.settled()
        await place.settlement().cut("hkd.1", "OPERATOR")
    before = await place.windows()
    with pytest.raises(SettlementHalted, match=r"\.1 of the topic is another in the store.*empty the store"):
        await made_anew(place)
    assert await place.windows() == before


async def test_a_log_without_cuts_takes_nothing_away(kafka_bootstrap: str, valkey_url: str, tmp_path: Path) -> None:
    async with open_place(kafka_bootstrap, valkey_url, tmp_path) as place:
        async with settling(place):
            await place.publish(load(3))
            await place.settled()
        before = await place.windows()
        assert not (await made_anew(place)).settlement
        assert await place.windows() == before


async def test_positions_count_on_from_what_consumers_have_seen(place: Place, valkey_url: str, tmp_path: Path) -> None:
    """Their topic is compacted: a sequence that began again would be taken for older than what it replaces."""
    window = (await place.store.settlements.windows("hkd", 2))[-1]
    whole = await place.store.settlements.window("hkd", window.number)
    assert whole is not None
    owed = whole.obligations[0]
    await place.store.settlements.confirm(("hkd", 1), owed.participant, owed.asset, "SA_HKD", "R1", START_MS)
    await place.announce()
    for more in (load(30)[160:], []):
        seen = {(each.participant, each.asset): each.sequence for each in await place.store.settlements.moved(1_000)}
        assert seen
        await lose(place, valkey_url, tmp_path)
        await made_anew(place)
        now = {(each.participant, each.asset): each.sequence for each in await place.store.settlements.moved(1_000)}
        assert all(now[whose] >= sequence for whose, sequence in seen.items())
        async with settling(place):
            await place.publish(more)
            await place.settled()
