"""Lists by time: who is in them, in which order, page by page."""

import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.settlement import SettlementFact
from switch.errors import Refused
from switch.ports import Archive
from tests.archive.builders import NOW_MS, fact, facts, logged, span

ASKED = 20
Page = Callable[[str, int], Awaitable[tuple[list[SettlementFact], str]]]


async def all_pages(page: Page, count: int) -> list[SettlementFact]:
    """Every page but the last is full."""
    found: list[SettlementFact] = []
    token = ""
    while True:
        rows, token = await page(token, count)
        found += rows
        if not token:
            return found
        assert len(rows) == count


async def all_listed(
    archive: Archive,
    count: int,
    participant: str = "ALFA",
    state: State | None = None,
    start: int = 0,
    end: int = NOW_MS * 2,
) -> list[SettlementFact]:
    """The list by preparation, so many at a time."""
    found: list[SettlementFact] = []
    after = (0, "")
    while True:
        rows = await archive.list_payments(
            participant, state=state, from_time_ms=start, to_time_ms=end, after=after, count=count
        )
        found += rows
        if len(rows) < count:
            return found
        after = (rows[-1].prepared_time_ms, rows[-1].uetr)


async def keep_mixed(archive: Archive) -> list[SettlementFact]:
    """Twenty of ALFA, four in each millisecond, kept in no order; every third one aborted. All retired."""
    states = [State.ABORTED if number % 3 == 0 else State.COMMITTED for number in range(20)]
    kept = [
        fact(number + 1, state=state, prepared_time_ms=NOW_MS + number // 4, final_time_ms=NOW_MS + 10 - number // 4)
        for number, state in enumerate(states)
    ]
    rows = [logged(one, 0, place) for place, one in enumerate(kept)]
    await archive.keep([*rows[1::2], *rows[::2], *facts(5, partition=1, debtor_agent="BRAVO")])
    await archive.retired([one.uetr for one in kept])
    return kept


@pytest.mark.parametrize("count", [1, 3, 4, 20, 100])
async def test_payments_come_in_order_of_preparation_whatever_the_page(archive: Archive, count: int) -> None:
    kept = await keep_mixed(archive)
    expected = sorted(kept, key=lambda one: (one.prepared_time_ms, one.uetr))
    assert await all_listed(archive, count) == expected
    only = [one for one in expected if one.state is State.ABORTED]
    assert await all_listed(archive, count, state=State.ABORTED) == only


@pytest.mark.parametrize("count", [1, 3, 4, 25, 100])
async def test_payments_of_all_come_in_the_order_they_became_final(archive: Archive, count: int) -> None:
    kept = await keep_mixed(archive)
    others = [one.fact for one in await archive.read(1, 0, 10)]
    expected = sorted([*kept, *others], key=lambda one: (one.final_time_ms, one.uetr))
    page: Page = lambda token, count: archive.final_between(0, NOW_MS * 2, token, count)  # noqa: E731
    assert await all_pages(page, count) == expected


async def test_times_are_from_and_up_to_but_not_including(archive: Archive) -> None:
    kept = await keep_mixed(archive)
    inside = await all_listed(archive, 3, start=NOW_MS + 1, end=NOW_MS + 3)
    assert {one.uetr for one in inside} == {one.uetr for one in kept[4:12]}
    assert await all_listed(archive, 3, start=NOW_MS + 3, end=NOW_MS + 3) == []
    final, token = await archive.final_between(NOW_MS + 9, NOW_MS + 10, "", 100)
    assert ({one.uetr for one in final}, token) == ({one.uetr for one in kept[4:8]}, "")


async def test_only_what_the_hot_store_let_go_is_listed_and_the_rest_is_due(archive: Archive) -> None:
    kept = [one.fact for one in facts(10)]
    await archive.keep([logged(one, 0, place) for place, one in enumerate(kept)])
    assert await all_listed(archive, 10) == []
    assert await archive.unretired(NOW_MS + 6, 100) == kept[:5]
    assert await archive.unretired(NOW_MS + 6, 2) == kept[:2]
    for _ in range(2):
        await archive.retired([*(one.uetr for one in kept[:3]), "00000000-0000-4000-8000-000000000000"])
        assert await archive.unretired(NOW_MS + 6, 100) == kept[3:5]
        assert await all_listed(archive, 2) == kept[:3]
    assert await all_listed(archive, 2, "BRAVO") == []


async def test_many_are_let_go_at_once(archive: Archive) -> None:
    kept = facts(1_200)
    await archive.keep(kept)
    await archive.retired([one.fact.uetr for one in kept])
    assert await archive.unretired(NOW_MS * 2, 10) == []


async def test_a_page_goes_on_where_it_ended_though_more_is_kept_meanwhile(archive: Archive) -> None:
    kept = facts(6)
    await archive.keep(kept[::2])
    await archive.retired([one.fact.uetr for one in kept])
    asked: Any = {"state": None, "from_time_ms": 0, "to_time_ms": NOW_MS * 2}
    first = await archive.list_payments("ALFA", after=(0, ""), count=2, **asked)
    await archive.keep(kept[1::2])
    await archive.retired([one.fact.uetr for one in kept])
    after = (first[-1].prepared_time_ms, first[-1].uetr)
    rest = await archive.list_payments("ALFA", after=after, count=10, **asked)
    assert [one.sequence for one in (*first, *rest)] == [1, 3, 4, 5, 6]


BAD_TOKENS = (
    "x",
    "0-0",
    "1795400000000-1",
    "l1.a",
    "f1",
    "f1.",
    "f.1",
    "f-1.a",
    f"f{10**20}.a",
    "f1.a b",
    "f１.a",
    "F1.a",
    "s1.2.3",
)


@pytest.mark.parametrize("token", BAD_TOKENS)
async def test_a_token_that_is_not_ours_is_refused(archive: Archive, token: str) -> None:
    pages = (
        archive.final_between(0, 1, token, 10),
        archive.statement([span(0, 0, 9)], "ALFA", [Asset.HKD], (), token, 10),
    )
    for page in pages:
        with pytest.raises(Refused) as refused:
            await page
        assert (refused.value.reason.name, refused.value.field) == ("FIELD_INVALID", "page_token")


async def test_a_token_of_another_list_is_refused(archive: Archive) -> None:
    await keep_mixed(archive)
    _, by_end = await archive.final_between(0, NOW_MS * 2, "", 1)
    _, by_place = await archive.statement([span(0, 0, 9)], "ALFA", [Asset.HKD], (), "", 1)
    assert by_end
    assert by_place
    wrong = (
        archive.final_between(0, 1, by_place, 1),
        archive.statement([span(0, 0, 9)], "ALFA", [Asset.HKD], (), by_end, 1),
    )
    for page in wrong:
        with pytest.raises(Refused):
            await page


async def test_to_ask_for_what_is_due_again_and_again_leaves_nothing_behind(archive: Archive) -> None:
    """Retention asks every few seconds for ever, and a server rarely looks for dead cycles."""
    await archive.unretired(NOW_MS, 10)
    gc.collect()
    gc.disable()
    try:
        for _ in range(ASKED):
            await archive.unretired(NOW_MS, 10)
        assert gc.collect() < 50 * ASKED, "a statement that is built anew leaves 188 objects each time"
    finally:
        gc.enable()
