"""The settler's books and the windows, on every kind of server: each step once, whatever is repeated."""

import pytest

from switch.domain.money import Asset
from switch.domain.settlement import (
    FIRST_DIGEST,
    LogRange,
    NetPosition,
    Obligation,
    ObligationState,
    Window,
    WindowState,
    obligations_of,
)
from switch.errors import Refused
from switch.ports import Credit, Net
from switch.store import Store
from tests.settlement import START_MS, chunk
from tests.store.builders import join

HKD1, HKD2 = ("hkd", 1), ("hkd", 2)
ALFA, BRAVO = ("ALFA", Asset.HKD), ("BRAVO", Asset.HKD)
NETS = {HKD1: {ALFA: Net(100, 0), BRAVO: Net(0, 100)}}
SEAL = bytes(range(32))


async def opened(store: Store) -> None:
    await store.settlements.open_windows(["hkd"], START_MS)


async def filled(store: Store) -> Window:
    """Window 1: ALFA owes BRAVO 100, cut at offset 5 and read up to there."""
    await opened(store)
    assert await store.settlements.apply(chunk(0, 5, NETS))
    window = await store.settlements.cut("hkd", 1, {0: 5}, "schedule", START_MS + 1)
    assert window is not None
    assert window.filled
    return window


async def closed(store: Store) -> Window:
    window = await filled(store)
    given = window._replace(
        obligations=obligations_of(window.positions), seal=SEAL, previous_seal=FIRST_DIGEST, close_time_ms=START_MS + 2
    )
    return await store.settlements.close(given)


async def test_an_empty_store_has_begun_nowhere(store: Store) -> None:
    progress = await store.settlements.progress()
    assert (progress.epoch, progress.offsets, progress.windows) == (0, {}, ())


async def test_a_window_is_opened_once(store: Store) -> None:
    await opened(store)
    await opened(store)
    (window,) = (await store.settlements.progress()).windows
    assert window == Window("hkd", 1, WindowState.OPEN, START_MS)
    assert [each.sequence for each in await store.settlements.announcements(10)] == [1]


async def test_a_chunk_is_applied_once(store: Store) -> None:
    await opened(store)
    first = chunk(0, 5, NETS, sequences={"ALFA": 3}, missing=frozenset({("ALFA", 2)}))
    assert await store.settlements.apply(first)
    assert not await store.settlements.apply(first), "the offset has moved on"
    progress = await store.settlements.progress()
    assert progress.offsets == {0: 5}
    assert progress.digests == {0: first.digest}
    assert progress.sequences == {"ALFA": 3}
    assert progress.missing == {("ALFA", 2)}
    assert await store.settlements.totals() == {ALFA: 100, BRAVO: -100}
    window = await store.settlements.window("hkd", 1)
    assert window is not None
    assert window.positions == (NetPosition("ALFA", Asset.HKD, 100, 0), NetPosition("BRAVO", Asset.HKD, 0, 100))
    assert window.payments == 1


async def test_a_gap_ends_when_its_event_comes(store: Store) -> None:
    await opened(store)
    await store.settlements.apply(chunk(0, 1, missing=frozenset({("ALFA", 1), ("ALFA", 2)})))
    await store.settlements.apply(chunk(1, 2, found=frozenset({("ALFA", 2)})))
    assert await store.settlements.gaps() == [("ALFA", 1)]
    assert await store.settlements.excuse("ALFA", 1, "OPERATOR", "the disk is gone", START_MS)
    assert not await store.settlements.excuse("ALFA", 1, "OPERATOR", "the disk is gone", START_MS)
    assert await store.settlements.gaps() == []


async def test_a_chunk_of_another_epoch_is_not_applied(store: Store) -> None:
    await filled(store)
    assert not await store.settlements.apply(chunk(5, 6, {HKD1: NETS[HKD1]}, epoch=0))
    assert await store.settlements.apply(chunk(5, 6, {HKD2: NETS[HKD1]}, epoch=1))


async def test_a_cut_before_the_settler_is_moved_to_where_it_is(store: Store) -> None:
    await opened(store)
    await store.settlements.apply(chunk(0, 8, NETS))
    window = await store.settlements.cut("hkd", 1, {0: 5, 1: 0}, "OPERATOR", START_MS + 1)
    assert window is not None
    assert window.ranges == (LogRange(0, 0, 8, bytes([8]) * 32), LogRange(1, 0, 0, FIRST_DIGEST))
    assert window.filled


async def test_a_cut_ahead_of_the_settler_waits_for_it(store: Store) -> None:
    await opened(store)
    await store.settlements.apply(chunk(0, 2, NETS))
    window = await store.settlements.cut("hkd", 1, {0: 5}, "OPERATOR", START_MS + 1)
    assert window is not None
    assert not window.filled
    progress = await store.settlements.progress()
    assert [(each.number, each.state) for each in progress.windows] == [(1, WindowState.CUT), (2, WindowState.OPEN)]
    await store.settlements.apply(chunk(2, 5, NETS, epoch=1, reached=(HKD1,)))
    window = await store.settlements.window("hkd", 1)
    assert window is not None
    assert window.filled
    assert window.ranges == (LogRange(0, 0, 5, bytes([5]) * 32),)
    assert [each.number for each in (await store.settlements.progress()).windows] == [2]


async def test_a_window_that_is_full_takes_nothing(store: Store) -> None:
    await filled(store)
    with pytest.raises(Exception, match="ResponseError"):
        await store.settlements.apply(chunk(5, 6, NETS, epoch=1))
    assert (await store.settlements.progress()).offsets == {0: 5}, "neither the effect nor the offset"


async def test_a_cut_is_made_once_and_opens_the_next(store: Store) -> None:
    first = await filled(store)
    again = await store.settlements.cut("hkd", 1, {0: 99}, "OPERATOR", START_MS + 50)
    assert again == first
    assert await store.settlements.cut("hkd", 9, {0: 99}, "OPERATOR", START_MS + 50) is None
    following = await store.settlements.window("hkd", 2)
    assert following == Window("hkd", 2, WindowState.OPEN, START_MS + 1, ranges=(LogRange(0, 5, 0),))


async def test_a_closed_window_keeps_what_it_was_closed_with(store: Store) -> None:
    window = await closed(store)
    assert window.state is WindowState.CLOSED
    assert window.seal == SEAL
    assert window.obligations == (Obligation("ALFA", Asset.HKD, 100), Obligation("BRAVO", Asset.HKD, -100))
    assert await store.settlements.close(window._replace(seal=bytes(32))) == window


async def test_a_window_without_obligations_is_settled_by_its_close(store: Store) -> None:
    await opened(store)
    window = await store.settlements.cut("hkd", 1, {0: 0}, "schedule", START_MS)
    assert window is not None
    done = await store.settlements.close(window._replace(seal=SEAL, close_time_ms=START_MS + 9))
    assert (done.state, done.settled_time_ms) == (WindowState.SETTLED, START_MS + 9)


async def test_the_last_confirmation_settles_and_positions_move_once(store: Store) -> None:
    await join(store, "ALFA")
    await join(store, "BRAVO")
    await closed(store)
    for _ in range(2):
        one = await store.settlements.confirm(HKD1, "ALFA", Asset.HKD, "SA_HKD", "RTGS-1", START_MS + 3)
        assert one.state is WindowState.CLOSED
    assert await store.settlements.totals() == {ALFA: 0, BRAVO: -100, ("SA_HKD", Asset.HKD): 100}
    assert await store.settlements.carried("hkd", 2) == {BRAVO: -100}
    last = await store.settlements.confirm(HKD1, "BRAVO", Asset.HKD, "SA_HKD", "RTGS-2", START_MS + 4)
    assert (last.state, last.settled_time_ms) == (WindowState.SETTLED, START_MS + 4)
    assert last.obligations[0] == Obligation("ALFA", Asset.HKD, 100, ObligationState.CONFIRMED, START_MS + 3, "RTGS-1")
    assert await store.settlements.move() == 2
    assert await store.settlements.move() == 0
    books = {row.participant: (row.net_debit_minor, row.used_minor) for row in await store.payments.positions()}
    assert books == {"ALFA": (-100, -100), "BRAVO": (100, 100)}, "the agent is even again"


async def test_an_obligation_that_is_none_is_refused(store: Store) -> None:
    await closed(store)
    with pytest.raises(Refused, match="OBLIGATION_UNKNOWN"):
        await store.settlements.confirm(HKD1, "CHARLIE", Asset.HKD, "SA_HKD", "X", START_MS)
    with pytest.raises(Refused, match="OBLIGATION_UNKNOWN"):
        await store.settlements.default(HKD1, "BRAVO", START_MS)


async def test_who_does_not_pay_leaves_the_window_partially_settled(store: Store) -> None:
    await closed(store)
    window = await store.settlements.default(HKD1, "ALFA", START_MS + 3)
    assert window.state is WindowState.PARTIALLY_SETTLED
    assert window.obligations[0].state is ObligationState.DEFAULTED
    assert await store.settlements.default(HKD1, "ALFA", START_MS + 4) == window
    for participant in ("BRAVO", "ALFA"):
        window = await store.settlements.confirm(HKD1, participant, Asset.HKD, "SA_HKD", "LATE", START_MS + 5)
    assert window.state is WindowState.SETTLED


async def test_headroom_is_given_back_once_per_shard(store: Store) -> None:
    names = [f"P{number}" for number in range(6)]
    for name in names:
        await join(store, name)
    credits = [Credit(offset, name, Asset.HKD, 10) for offset, name in enumerate(names)]
    for _ in range(2):
        await store.settlements.credit(3, 6, credits)
    await store.settlements.progress()  # another process begins: it knows nothing of what was credited
    await store.settlements.credit(3, 8, [*credits, Credit(7, "P0", Asset.HKD, 5)])
    used = {row.participant: row.used_minor for row in await store.payments.positions()}
    assert used == {"P0": -15, **dict.fromkeys(names[1:], -10)}


async def test_positions_are_due_until_they_are_published(store: Store) -> None:
    await opened(store)
    await store.settlements.apply(chunk(0, 5, NETS))
    due = sorted(await store.settlements.moved(10))
    assert [(each.participant, each.net_debit_minor, each.sequence) for each in due] == [
        ("ALFA", 100, 1),
        ("BRAVO", -100, 1),
    ]
    await store.settlements.apply(chunk(5, 6, {HKD1: {ALFA: Net(1, 0), ("CHARLIE", Asset.HKD): Net(0, 1)}}))
    await store.settlements.published(due)
    assert sorted(each.participant for each in await store.settlements.moved(10)) == ["ALFA", "CHARLIE"]


async def test_every_move_is_announced_in_order_until_it_is_published(store: Store) -> None:
    await closed(store)
    told = await store.settlements.announcements(10)
    assert [(each.sequence, each.window.number, each.window.state.name) for each in told] == [
        (1, 1, "OPEN"),
        (2, 1, "CUT"),
        (3, 2, "OPEN"),
        (4, 1, "CLOSED"),
    ]
    assert told[3].window == await store.settlements.window("hkd", 1)
    await store.settlements.announced(told[:3])
    assert [each.sequence for each in await store.settlements.announcements(10)] == [4]


async def test_lists_are_newest_first_and_without_figures(store: Store) -> None:
    await closed(store)
    await store.settlements.open_windows(["cny"], START_MS)
    assert [window.id for window in await store.settlements.windows("", 10)] == ["hkd.2", "cny.1", "hkd.1"]
    assert [window.id for window in await store.settlements.windows("hkd", 1)] == ["hkd.2"]
    assert all(not window.positions for window in await store.settlements.windows("hkd", 9))


async def test_what_is_restored_is_what_was_there(store: Store, open_again_elsewhere: Store) -> None:
    """Windows, progress, positions by the log and the transfers to be carried again."""
    await closed(store)
    await store.settlements.confirm(HKD1, "ALFA", Asset.HKD, "SA_HKD", "RTGS-1", START_MS + 3)
    before = await store.settlements.progress()
    windows = [await store.settlements.window("hkd", number) for number in (1, 2)]
    other = open_again_elsewhere.settlements
    given = [window for window in windows if window is not None]
    assert await other.restore(before, given, {"hkd": 5}, {"hkd": "SA_HKD"})
    assert not await other.restore(before, given, {"hkd": 5}, {"hkd": "SA_HKD"}), "over nothing that is there"
    assert await other.progress() == before
    assert [await other.window("hkd", number) for number in (1, 2)] == windows
    assert await other.totals() == await store.settlements.totals()
    assert await other.move() == 1
    await other.confirm(HKD1, "BRAVO", Asset.HKD, "SA_HKD", "RTGS-2", START_MS + 4)
    assert [each.sequence for each in await other.announcements(9)] == [6]
