"""Pages of payments while others begin, end, and leave for the archive: each comes once, in its order."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from switch.archive import open_archive
from switch.domain.payment import Hold, Payment, State
from switch.domain.settlement import SettlementFact
from switch.errors import ArchiveUnavailable, Refused
from switch.limits import CLOCK_SKEW_MS_MAX, GROUP_ITEMS_MAX, PAGE_SIZE_MAX
from switch.ports import Archive, ArchivedFact
from switch.store import Store
from tests.fake_archive import FakeArchive
from tests.store.builders import ACK, NOW_MS, hold, join
from tests.store.conftest import OpenNew, new_namespace
from tests.store.load import acknowledge, keep

EVER: Any = {"state": None, "from_time_ms": 0, "to_time_ms": 1 << 52}
APART_MS = CLOCK_SKEW_MS_MAX + 1  # prepared so far apart, one is never written before the other
ON_ONE_SERVER = pytest.mark.parametrize("place", ["single"], indirect=True)


@pytest.fixture(params=["fake", "sqlite", "postgres"])
async def any_archive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Archive]:
    if request.param == "fake":
        yield FakeArchive()
        return
    url = request.getfixturevalue("archive_database") if request.param == "postgres" else ""
    opened = open_archive(url, tmp_path)
    yield opened
    await opened.close()


def order_of(one: Hold) -> tuple[int, str]:
    return one.prepared_time_ms, one.uetr


async def pay(store: Store, number: int, step_ms: int = 1, since_ms: int = NOW_MS) -> list[str]:
    """UETRs, in the order of their beginning: in groups, one after the other."""
    held = [hold(1, prepared_time_ms=since_ms + step_ms * place) for place in range(number)]
    for first in range(0, number, GROUP_ITEMS_MAX // 2):
        await store.payments.prepare_all(held[first : first + GROUP_ITEMS_MAX // 2])
    await asyncio.gather(*(store.payments.commit(one, ACK, one.prepared_time_ms) for one in held))
    return [one.uetr for one in held]


async def kept(archive: Archive, store: Store) -> list[SettlementFact]:
    """The archive has all that is final, as a settler sees to it."""
    facts = await acknowledge(store)
    await archive.keep([ArchivedFact(fact, 0, place, bytes(32)) for place, fact in enumerate(facts)])
    return facts


async def listed(store: Store, count: int, between: Callable[[], Awaitable[object]] | None = None) -> list[str]:
    """UETRs of all pages; `between` is done after each but the last."""
    return [payment.hold.uetr for payment in await payments(store, count, between)]


async def payments(
    store: Store, count: int, between: Callable[[], Awaitable[object]] | None = None, **asked: Any
) -> list[Payment]:
    found, token = list[Payment](), ""
    while True:
        page, token = await store.payments.list_payments("ALFA", token=token, count=count, **EVER | asked)
        assert len(page) <= count
        found += page
        if not token:
            return found
        if between is not None:
            await between()


# --- begin meanwhile -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(3))
async def test_what_begins_meanwhile_comes_once_and_without_a_hole(store: Store, seed: int) -> None:
    await join(store)
    before, chance, more = await pay(store, 30), random.Random(seed), list[Hold]()

    async def go_on() -> None:
        """Somebody prepares one after the other, and is up to 40 ms late with them."""
        while True:
            one = hold(1, prepared_time_ms=NOW_MS + 100 + 2 * len(more) - chance.randint(0, 40))
            more.append(one)
            await store.payments.prepare(one, "")
            if chance.random() < 0.5:
                await store.payments.commit(one, ACK, one.prepared_time_ms)

    working = [asyncio.create_task(go_on()) for _ in range(3)]
    seen, token = list[str](), ""
    while len(more) < 200 or len(seen) < len(before):
        page, token = await store.payments.list_payments("ALFA", token=token, count=chance.randint(1, 9), **EVER)
        seen += [payment.hold.uetr for payment in page]
        if not token:
            break
    for one in working:
        one.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    for lane in store.payments.lanes:
        await lane.close()  # what was on its way when they were cancelled has arrived
    assert seen[:30] == before
    assert len(seen) == len(set(seen))
    begun = [change.uetr for change in await store.payments.changes("ALFA", "", 10_000)]
    places = {uetr: place for place, uetr in reversed(list(enumerate(begun)))}
    waiting = set(before) | {one.uetr for one in more if one.uetr in places}
    rest = list[str]()
    if token:
        page, token = await store.payments.list_payments("ALFA", token=token, count=PAGE_SIZE_MAX, **EVER)
        rest = [payment.hold.uetr for payment in page]
        assert not token
        assert set(seen).isdisjoint(rest)
        assert {*seen, *rest} == waiting
    last = max(places[uetr] for uetr in seen)
    assert not {uetr for uetr in waiting if places[uetr] <= last}.difference(seen, rest), "no hole"


async def test_late_ones_come_next_however_many(store: Store) -> None:
    """Prepared before what was shown, and written after."""
    await join(store)
    before = await pay(store, 6, APART_MS)
    page, token = await store.payments.list_payments("ALFA", token="", count=4, **EVER)
    seen, late = [payment.hold.uetr for payment in page], await pay(store, 7, 1, NOW_MS + 1)
    after = await pay(store, 2, 1, NOW_MS + 6 * APART_MS)
    while token:
        page, token = await store.payments.list_payments("ALFA", token=token, count=3, **EVER)
        seen += [payment.hold.uetr for payment in page]
    assert seen == [*before[:4], *late, *before[4:], *after]
    assert await listed(store, 5) == [before[0], *late, *before[1:], *after]


async def test_one_that_was_very_late_comes_once_where_it_belongs(store: Store) -> None:
    """Seen by a page that read far, it is not taken for new by one that reads less far."""
    await join(store)
    times_ms = [0, 2, 3, 4, *(APART_MS * number for number in range(1, 9)), 1]
    held = [hold(1, prepared_time_ms=NOW_MS + time_ms) for time_ms in times_ms]
    for one in held:
        await store.payments.prepare(one, "")
    for count in (1, 2, 3):
        assert await listed(store, count) == [one.uetr for one in sorted(held, key=order_of)]


# --- leave meanwhile -------------------------------------------------------------------------------------------------
@ON_ONE_SERVER
@pytest.mark.parametrize("already", [0, 5, 20])
async def test_what_leaves_meanwhile_comes_once(open_new: OpenNew, any_archive: Archive, already: int) -> None:
    store = await open_new(archive=any_archive)
    await join(store)
    before = await pay(store, 20)
    facts = await kept(any_archive, store)
    await store.payments.retire(facts[:already])
    for count in (1, 7, 20):
        assert await listed(store, count) == before
    assert await listed(store, 7, lambda: store.payments.retire(facts[already:])) == before
    assert await listed(store, 7) == before


@ON_ONE_SERVER
async def test_a_late_one_that_left_with_those_before_it_is_not_lost(open_new: OpenNew) -> None:
    """The stream, which could tell that it is late, has forgotten it by the second page."""
    archive = FakeArchive()
    store = await open_new(archive=archive)
    await join(store)
    held = [hold(1, prepared_time_ms=NOW_MS + time_ms) for time_ms in (0, 5, 6, 7, 8, 1, 9)]
    for one in held:
        await store.payments.prepare(one, "")
    for one in held:
        await store.payments.commit(one, ACK, NOW_MS + 10)
    facts = await kept(archive, store)
    in_order = [one.uetr for one in sorted(held, key=order_of)]
    assert await listed(store, 2, lambda: store.payments.retire(facts)) == in_order


class Mixed:
    """Payments of all states, in the store, in the archive and back from the log, begun nearly in their order."""

    def __init__(self, store: Store, archive: FakeArchive, seed: int) -> None:
        self.store = store
        self.archive = archive
        self.chance = random.Random(seed)
        self.now_ms = NOW_MS
        self.holds: list[Hold] = []
        self.states: dict[str, State] = {}

    async def begin(self, number: int) -> None:
        for _ in range(number):
            self.now_ms += self.chance.choice((0, 1, 30, APART_MS))
            one = hold(1, prepared_time_ms=self.now_ms - self.chance.choice((0, 0, 1, 2_000)))
            await self.store.payments.prepare(one, "")
            step = self.chance.random()
            if step < 0.6:
                self.states[one.uetr] = (await self.store.payments.commit(one, ACK, self.now_ms)).state
            elif step < 0.9:
                self.states[one.uetr] = (await self.store.payments.abort(one, "RAIL_REFUSED", "", self.now_ms)).state
            else:
                self.states[one.uetr] = (await self.store.payments.doubt(one, self.now_ms)).state
            self.holds.append(one)
        await keep(self.archive, await acknowledge(self.store))

    async def leave(self) -> None:
        """Some of what is final, the oldest rather than others."""
        due = [fact for fact in await self.archive.unretired(1 << 52, 10_000) if self.chance.random() < 0.6]
        await self.store.payments.retire(due[: self.chance.randint(0, 20)])

    async def lose_and_restore(self, open_new: OpenNew) -> None:
        """As after a loss: what is final comes back from the log, part of it to the archive only; what ran is lost."""
        facts = [one.fact for one in self.archive.kept.values()]
        retention_ms = self.chance.choice((0, 1 << 50))
        self.store = await open_new(archive=self.archive, retention_ms=retention_ms)
        await join(self.store)
        await self.store.payments.restore(facts)
        known = {fact.uetr for fact in facts}
        self.holds = [one for one in self.holds if one.uetr in known]

    def expected(self, state: State | None) -> list[str]:
        there = [one for one in self.holds if state in (None, self.states[one.uetr])]
        return [one.uetr for one in sorted(there, key=order_of)]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_meanwhile_what_was_there_comes_once_in_order(open_new: OpenNew, seed: int) -> None:
    archive = FakeArchive()
    mixed = Mixed(await open_new(archive=archive), archive, seed)
    await join(mixed.store)
    await mixed.begin(40)
    if seed % 2:
        await mixed.lose_and_restore(open_new)
        await mixed.begin(20)
    for state in (None, State.ABORTED, State.IN_DOUBT, State.COMMITTED):
        expected = mixed.expected(state)

        async def go_on() -> None:
            if mixed.chance.random() < 0.7:
                await mixed.leave()
            if mixed.chance.random() < 0.3:
                await mixed.begin(2)

        found = await payments(mixed.store, mixed.chance.randint(1, 8), go_on, state=state)
        seen = [payment.hold.uetr for payment in found]
        assert len(seen) == len(set(seen))
        assert [uetr for uetr in seen if uetr in set(expected)] == expected
        assert state is None or {payment.state for payment in found} <= {state}
        for count in (1, 500):
            assert [one.hold.uetr for one in await payments(mixed.store, count, state=state)] == mixed.expected(state)


@ON_ONE_SERVER
@pytest.mark.parametrize("back", [False, True])
async def test_it_leaves_between_any_two_steps_of_a_page(
    open_new: OpenNew, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    """Out of the store before one question of the list, told to the archive before another: all pairs of them."""
    leaves, asked = 0, 1
    while leaves < asked:
        told = leaves
        while told < asked or told == leaves:
            asked, told = await left_while_listing(open_new, monkeypatch, back, leaves, told), told + 1
        leaves += 1
    assert leaves > 8, "there are as many questions"


async def left_while_listing(
    open_new: OpenNew, monkeypatch: pytest.MonkeyPatch, back: bool, leaves: int, told: int
) -> int:
    """How many questions the list asked. `back`: all have come back from the log."""
    archive = FakeArchive()
    store = await open_new(new_namespace(), archive=archive)
    await join(store)
    before = await pay(store, 7)
    facts = await kept(archive, store)
    if back:
        store = await open_new(archive=archive, retention_ms=1 << 50)
        await store.payments.restore(facts)
    await store.payments.retire(facts[:1])
    questions, busy = 0, False
    server, read, from_archive = store.payments._server, store.payments._server.read, archive.list_payments

    async def meanwhile() -> None:
        nonlocal questions, busy
        if busy:
            return
        busy = True
        if questions == leaves:
            archive.fail_next("retired")
            with pytest.raises(ArchiveUnavailable):
                await store.payments.retire(facts)
        if questions == told:
            await store.payments.retire(facts)
        questions, busy = questions + 1, False

    async def read_late(*command: Any) -> Any:
        await meanwhile()
        return await read(*command)

    async def list_late(*words: Any, **asked: Any) -> Any:
        await meanwhile()
        return await from_archive(*words, **asked)

    monkeypatch.setattr(server, "read", read_late)
    monkeypatch.setattr(archive, "list_payments", list_late)
    assert await listed(store, 4) == before, (leaves, told)
    monkeypatch.undo()
    return questions


@ON_ONE_SERVER
async def test_what_left_and_was_not_told_before_a_crash_is_told_before_its_changes_go(open_new: OpenNew) -> None:
    archive = FakeArchive()
    store = await open_new(archive=archive)
    await join(store)
    before = await pay(store, 4)
    facts = await kept(archive, store)
    archive.fail_next("retired")
    with pytest.raises(ArchiveUnavailable):
        await store.payments.retire(facts[:2])
    assert await listed(store, 3) == before
    assert await store.payments.retire(facts[2:]) == 2
    assert archive.let_go == set(before)
    assert await store.payments.changes("ALFA", "", 10) == []
    assert await listed(store, 3) == before


@ON_ONE_SERVER
async def test_an_archive_that_does_not_answer_says_so_on_every_page(open_new: OpenNew) -> None:
    archive = FakeArchive()
    store = await open_new(archive=archive)
    await join(store)
    await pay(store, 6)
    page, token = await store.payments.list_payments("ALFA", token="", count=4, **EVER)
    assert len(page) == 4
    archive.down = True
    assert (await store.payments.list_payments("ALFA", token=token, count=4, **EVER))[1] == "", "nothing has left yet"
    archive.down = False
    await store.payments.retire(await kept(archive, store))
    archive.down = True
    with pytest.raises(ArchiveUnavailable):
        await store.payments.list_payments("ALFA", token=token, count=4, **EVER)


# --- tokens ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "token",
    ["0-0", "1764129600000-1", "1764129600000-1.3", "al1.x", "a", "r", f"r{5:016} x", "k1-1 1-1 5", "k1-1 1-1 5 5 x"],
)
async def test_a_token_of_an_earlier_version_is_refused(single: Store, token: str) -> None:
    with pytest.raises(Refused) as refused:
        await single.payments.list_payments("ALFA", token=token, count=1, **EVER)
    assert (refused.value.reason.name, refused.value.field) == ("FIELD_INVALID", "page_token")
