"""The whole log once more: seals proven from the topic, any changed byte found, a store made anew."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import cast

import pytest

from switch.domain.settlement import SettlementFact, Window, WindowState, seal_of
from switch.errors import SettlementHalted
from switch.events.rebuild import rebuild
from switch.events.replay import latest_windows, replay, verify
from switch.ports import PaymentStore, WindowKey
from tests.events.settling import Place, load, open_own_store, open_place, settling
from tests.settlement import ARRANGEMENTS
from tests.store.builders import join

HKD1, HKD2, CNY1 = ("hkd", 1), ("hkd", 2), ("cny", 1)


pytestmark = pytest.mark.usefixtures("patient_broker", "patient_store")


@pytest.fixture
async def place(kafka_bootstrap: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    """Two closed windows of each arrangement and an open one, all announced; ninety repeats in between."""
    async with open_place(kafka_bootstrap, valkey_url, tmp_path) as made:
        facts = load(30)
        async with settling(made):
            await made.publish(facts[:100])
            await made.settled()
            await made.close_windows(1)
            await made.publish([*facts[:90], *facts[100:200]])
            await made.settled()
            await made.close_windows(2)
            await made.publish(facts[200:])
            await made.settled()
        await made.announce()
        yield made


async def announced_of(place: Place) -> dict[WindowKey, Window]:
    async with place.log() as log:
        return latest_windows(await log.announcements())


async def found(place: Place, announced: Mapping[WindowKey, Window]) -> list[tuple[str, str]]:
    async with place.log() as log:
        replayed = await replay(log, None, announced, ARRANGEMENTS)
    return [(each.window_id, each.what) for each in verify(announced, replayed.windows)]


async def test_the_topic_proves_every_seal(place: Place) -> None:
    announced = await announced_of(place)
    states = {key: window.state.name for key, window in announced.items() if key[0] == "hkd"}
    assert states == {HKD1: "CLOSED", HKD2: "CLOSED", ("hkd", 3): "OPEN"}
    assert announced[HKD2].previous_seal == announced[HKD1].seal != bytes(32)
    assert await found(place, announced) == []


def _richer(window: Window) -> Window:
    first, *rest = window.positions
    return window._replace(positions=(first._replace(credits_minor=first.credits_minor + 1), *rest))


def _sealed_again(window: Window) -> Window:
    changed = _richer(window)
    return changed._replace(seal=seal_of(changed))


CHANGES: dict[str, tuple[Callable[[Window], Window], str]] = {
    "a position": (_richer, "its record on the window topic is not what was sealed"),
    "a position, sealed again": (_sealed_again, "its positions are not what its events come to"),
    "the seal": (lambda window: window._replace(seal=bytes(32)), "is not what was sealed"),
    "the chain": (lambda window: window._replace(previous_seal=b"x" * 32), "not chained to the seal before it"),
    "the count": (lambda window: window._replace(payments=window.payments - 1), "payments, the log"),
    "a range": (
        lambda window: window._replace(ranges=tuple(each._replace(digest=b"y" * 32) for each in window.ranges)),
        "are not those that were sealed",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_whatever_of_a_window_is_changed_is_found(place: Place, name: str) -> None:
    change, said = CHANGES[name]
    announced = await announced_of(place)
    announced[HKD1] = change(announced[HKD1])
    what = await found(place, announced)
    assert any(window == "hkd.1" and said in text for window, text in what), what
    if "seal" in name:  # another seal breaks the chain of the next window, too
        assert any(window == "hkd.2" and "not chained" in text for window, text in what)


async def test_a_window_that_is_left_out_is_found(place: Place) -> None:
    announced = await announced_of(place)
    del announced[HKD1]
    assert ("hkd.2", "the window before it, hkd.1, is not on the topic") in await found(place, announced)


async def test_one_changed_byte_of_one_event_is_found(place: Place) -> None:
    """The same log on another topic, with one time of one event a millisecond later."""
    announced = await announced_of(place)
    facts = [*load(30)[:100], *load(30)[:90], *load(30)[100:]]
    copies: dict[bool, list[tuple[str, str]]] = {}
    for changed in (False, True):
        await place.make_topics()
        if changed:
            facts[42] = facts[42]._replace(final_time_ms=facts[42].final_time_ms + 1)
        await place.publish(facts)
        copies[changed] = await found(place, announced)
    assert copies[False] == [], "the same log proves the same seals"
    assert {window for window, _ in copies[True]} >= {"hkd.1", "cny.1"}
    assert any("are not those that were sealed" in what for _, what in copies[True])


async def test_a_store_made_anew_from_the_log_goes_on_where_the_first_was(
    place: Place, valkey_url: str, tmp_path: Path
) -> None:
    before, windows = await place.store.settlements.progress(), await place.windows()
    totals = await place.store.settlements.totals()
    lost, place.store = place.store, await open_own_store(valkey_url, tmp_path)
    await lost.close()
    for name in ("FXBANK", "GATEWAY"):
        await join(place.store, name)
    for _ in range(2):  # the second time finds everything there
        async with place.log() as log:
            made = await rebuild(
                log, None, cast(PaymentStore, NothingToRestore()), place.store.settlements, ARRANGEMENTS
            )
    assert not made.settlement
    assert (made.replayed.repeats, made.replayed.poisoned) == (90, 0)
    assert (await place.store.settlements.progress())._replace(epoch=before.epoch) == before
    assert [window._replace(open_time_ms=0) for window in await place.windows()] == [
        window._replace(open_time_ms=0) for window in windows
    ]
    assert await place.store.settlements.totals() == totals
    used = {(row.participant, row.asset): row.used_minor for row in await place.store.payments.positions()}
    credits = {whose: total for whose, total in totals.items() if whose[0] == "GATEWAY"}
    assert {whose: used[whose] for whose in credits} == credits
    async with settling(place):
        await place.publish(load(32)[240:])
        await place.settled()
        third = await place.close_windows(3)
    assert [window.state for window in third] == [WindowState.CLOSED, WindowState.CLOSED]
    await place.announce()
    assert await found(place, await announced_of(place)) == []


async def test_a_log_that_was_tampered_with_rebuilds_no_settlement(
    place: Place, valkey_url: str, tmp_path: Path
) -> None:
    other = await open_own_store(valkey_url, tmp_path)
    facts = load(30)
    await _copy_windows(place)
    await place.publish([*facts[:5], *facts[6:]])
    async with place.log() as log:
        with pytest.raises(SettlementHalted, match="not what the log says"):
            await rebuild(log, None, cast(PaymentStore, NothingToRestore()), other.settlements, ARRANGEMENTS)
    assert (await other.settlements.progress()).offsets == {}
    await other.close()


async def _copy_windows(place: Place) -> None:
    """A new pair of topics, the windows announced on the new one as on the old."""
    from switch.events.window_schema import announcement_headers, announcement_key, encode_announcement

    async with place.log() as log:
        told = await log.announcements()
    await place.make_topics()
    for each in told:
        record = encode_announcement(each), announcement_key(each)
        await place.producer.send_and_wait(place.window_topic, *record, headers=announcement_headers(each))


class NothingToRestore:
    """A payment store whose payments are not what is tested here."""

    async def restore(self, facts: list[SettlementFact]) -> int:
        return 0
