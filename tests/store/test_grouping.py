"""Group commit: what shares a script call, what fails alone, what is refused, and that a cancel crosses nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from switch.domain.payment import State
from switch.errors import Refused, StoreUnavailable
from switch.limits import (
    GROUP_BYTES_MAX,
    GROUP_ITEMS_BESIDE_ANOTHER,
    GROUP_ITEMS_MAX,
    GROUPS_IN_FLIGHT_PER_SHARD,
    STORE_QUEUE_ITEMS_MAX,
)
from switch.store import Store
from switch.store.grouping import Item, Kind, Lane
from tests.store.builders import ACK, NOW_MS, hold, join


class Script:
    """A runner that shows its groups and answers when it is let."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.sent = asyncio.Event()
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[Item]) -> list[Any]:
        self.groups.append([item.argv[0] for item in items])
        self.sent.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [f"answer {item.argv[0]}" for item in items]


class _Overloaded:
    """Equal to every such refusal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused) and other.reason.name == "OVERLOADED"

    __hash__ = object.__hash__


ANY_OVERLOADED = _Overloaded()


def item(name: Any, size: int = 10) -> Item:
    return Item(("key",), (name,), size)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def lane(script: Script) -> Lane:
    return Lane(dict.fromkeys(Kind, script))


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_calls_of_one_turn_share_a_group(lane: Lane, script: Script) -> None:
    script.gate.set()
    answers = await asyncio.gather(*(lane.call(Kind.PREPARE, item(n)) for n in range(100)))
    assert answers == [f"answer {n}" for n in range(100)]
    assert script.groups == [list(range(100))]


async def test_groups_are_bounded_by_count_and_by_bytes(lane: Lane, script: Script) -> None:
    script.gate.set()
    await asyncio.gather(*(lane.call(Kind.PREPARE, item(n)) for n in range(GROUP_ITEMS_MAX + 1)))
    assert [len(group) for group in script.groups] == [GROUP_ITEMS_MAX, 1]
    script.groups.clear()
    sizes = [GROUP_BYTES_MAX // 2, GROUP_BYTES_MAX // 2, 1, GROUP_BYTES_MAX * 2, 1]
    await asyncio.gather(*(lane.call(Kind.PREPARE, item(n, size)) for n, size in enumerate(sizes)))
    assert script.groups == [[0, 1], [2], [3], [4]]  # one item over the bound still leaves, alone


async def test_a_few_wait_for_the_group_that_is_out_and_completions_leave_first(lane: Lane, script: Script) -> None:
    calls = []
    for kind, name in (
        (Kind.PREPARE, "first"),
        (Kind.PREPARE, "new 1"),
        (Kind.PREPARE, "new 2"),
        (Kind.FINISH, "end 1"),
        (Kind.FINISH, "end 2"),
    ):
        calls.append(asyncio.create_task(lane.call(kind, item(name))))
        await turn()
    assert script.groups == [["first"]]
    script.gate.set()
    await asyncio.gather(*calls)
    assert script.groups == [["first"], ["end 1", "end 2"], ["new 1", "new 2"]]


async def test_many_leave_beside_others_until_enough_are_out(lane: Lane, script: Script) -> None:
    calls = [asyncio.create_task(lane.call(Kind.PREPARE, item("first")))]
    await turn()
    for _ in range(GROUPS_IN_FLIGHT_PER_SHARD):
        calls += [asyncio.create_task(lane.call(Kind.PREPARE, item(n))) for n in range(GROUP_ITEMS_BESIDE_ANOTHER)]
        await turn()
    many = [1] + [GROUP_ITEMS_BESIDE_ANOTHER] * (GROUPS_IN_FLIGHT_PER_SHARD - 1)
    assert [len(group) for group in script.groups] == many
    script.gate.set()
    await asyncio.gather(*calls)
    assert [len(group) for group in script.groups] == [*many, GROUP_ITEMS_BESIDE_ANOTHER]


async def test_enquiries_wait_for_enquiries_and_for_nothing_else(lane: Lane, script: Script) -> None:
    """Where payments never cease, some group is always out: whoever asks must not wait for its end."""
    calls = []
    for kind, name in (
        (Kind.PREPARE, "first"),
        (Kind.READ, "look 1"),
        (Kind.READ, "look 2"),
        (Kind.READ, "look 3"),
        (Kind.PREPARE, "new"),
    ):
        calls.append(asyncio.create_task(lane.call(kind, item(name))))
        await turn()
    assert script.groups == [["first"], ["look 1"]]
    script.gate.set()
    await asyncio.gather(*calls)
    assert sorted(script.groups[2:]) == [["look 2", "look 3"], ["new"]]


async def test_too_much_waiting_refuses_new_work_and_never_completions(lane: Lane, script: Script) -> None:
    out = asyncio.create_task(lane.call(Kind.PREPARE, item("first")))
    await script.sent.wait()
    many = [item(n) for n in range(STORE_QUEUE_ITEMS_MAX + GROUPS_IN_FLIGHT_PER_SHARD * GROUP_ITEMS_MAX)]
    waiting = asyncio.create_task(lane.call_all(Kind.READ, many))
    await turn()
    assert lane.waiting >= STORE_QUEUE_ITEMS_MAX
    with pytest.raises(Refused, match="OVERLOADED"):
        await lane.call(Kind.PREPARE, item("new"))
    assert await lane.call_all(Kind.PREPARE, [item("new"), item("newer")]) == [ANY_OVERLOADED] * 2
    end = asyncio.create_task(lane.call(Kind.FINISH, item("end")))
    await turn()
    script.gate.set()
    assert await end == "answer end"
    assert await out == "answer first"
    assert await waiting == [f"answer {n}" for n in range(len(many))]


async def test_a_parcel_leaves_in_parts_and_each_item_has_its_answer(lane: Lane, script: Script) -> None:
    script.gate.set()
    sizes = [10] * (GROUP_ITEMS_MAX + 5) + [GROUP_BYTES_MAX, 10]
    told, one = await asyncio.gather(
        lane.call_all(Kind.PREPARE, [item(n, size) for n, size in enumerate(sizes)]), lane.call(Kind.PREPARE, item("x"))
    )
    assert told == [f"answer {n}" for n in range(len(sizes))]
    assert one == "answer x"
    # Parts of one caller leave in order; the last shares its group with another caller's item.
    assert [len(group) for group in script.groups] == [GROUP_ITEMS_MAX, 5, 1, 2]
    assert await lane.call_all(Kind.PREPARE, []) == []


async def test_the_error_of_a_group_is_the_answer_to_each_of_its_items(lane: Lane, script: Script) -> None:
    script.gate.set()
    script.error = StoreUnavailable("gone")
    told = await lane.call_all(Kind.FINISH, [item(n) for n in range(3)])
    assert [str(error) for error in told] == ["gone"] * 3
    assert len({id(error) for error in told}) == 3, "an error of its own for each"


async def test_a_cancelled_caller_takes_nobody_with_it(lane: Lane, script: Script) -> None:
    calls = [asyncio.create_task(lane.call(Kind.PREPARE, item(n))) for n in range(3)]
    await script.sent.wait()
    calls[1].cancel()
    await turn()
    script.gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers[0] == "answer 0"
    assert isinstance(answers[1], asyncio.CancelledError)
    assert answers[2] == "answer 2"


async def test_what_has_not_left_is_dropped_with_its_caller_but_for_completions(lane: Lane, script: Script) -> None:
    script.gate.set()
    new = asyncio.create_task(lane.call(Kind.PREPARE, item("new")))
    end = asyncio.create_task(lane.call(Kind.FINISH, item("end")))
    for call in (new, end):
        call.cancel()  # before its first step: nothing was queued
    await turn()
    assert script.groups == []

    async def leave(kind: Kind, name: str) -> None:
        call = asyncio.ensure_future(lane.call(kind, item(name)))
        asyncio.get_running_loop().call_soon(call.cancel)
        await asyncio.wait([call])

    await asyncio.gather(leave(Kind.PREPARE, "new"), leave(Kind.FINISH, "end"))
    await lane.close()
    assert ["end"] in script.groups
    assert lane.waiting == 0


async def test_a_failed_group_tells_every_caller_with_an_error_of_its_own(lane: Lane, script: Script) -> None:
    script.error = StoreUnavailable("no answer in 1000 ms")
    script.gate.set()
    calls = (lane.call(Kind.PREPARE, item(n)) for n in range(3))
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, StoreUnavailable) for error in errors)
    assert len({id(error) for error in errors}) == 3


async def script_calls(store: Store) -> int:
    (info,) = await store.payments._server.everywhere("INFO", "commandstats")
    stats = [info.get(f"cmdstat_{name}", {"calls": 0}) for name in ("evalsha", "eval")]
    return sum(int(stat["calls"]) for stat in stats)


async def test_a_hundred_prepares_of_a_turn_are_one_script_call(single: Store) -> None:
    await join(single)
    held = [hold(1) for _ in range(100)]
    await single.payments.prepare(hold(1), "")  # the script is known from here on
    before = await script_calls(single)
    await asyncio.gather(*(single.payments.prepare(one, "") for one in held))
    assert await script_calls(single) == before + 1


async def test_a_poisoned_item_fails_alone(single: Store) -> None:
    """A key of another type under one item, in each place that item touches, in the middle of its group."""
    await join(single)
    await join(single, "BRAVO")
    keys, write = single.payments._keys, single.payments._server.write
    good, bad = [hold(1) for _ in range(10)], [hold(1, debtor_agent="BRAVO") for _ in range(3)]
    shard = keys.shard_of("BRAVO")
    await write("RPUSH", keys.changes("BRAVO"), "poison")
    answers = await asyncio.gather(
        *(single.payments.prepare(one, "") for one in (*good[:5], *bad, *good[5:])), return_exceptions=True
    )
    assert [isinstance(answer, StoreUnavailable) for answer in answers] == [*[False] * 5, *[True] * 3, *[False] * 5]
    assert "WRONGTYPE" in str(answers[5])
    assert await single.payments.holds() == (10, NOW_MS)
    assert [row.reserved_minor for row in await single.payments.positions("BRAVO")] == [0]

    await write("DEL", keys.changes("BRAVO"))
    await single.payments.prepare(bad[0], "")
    await write("HDEL", keys.holds(shard), bad[0].uetr)  # a payment that runs without a hold: our own fault
    ends = await asyncio.gather(
        *(single.payments.commit(one, ACK, NOW_MS) for one in (good[0], bad[0], good[1])), return_exceptions=True
    )
    assert [getattr(end, "state", None) for end in ends] == [State.COMMITTED, None, State.COMMITTED]
    assert "FAULT" in str(ends[1])


async def test_a_hold_with_other_entries_than_were_reserved_is_not_committed(single: Store) -> None:
    await join(single)
    reserved = hold(100)
    await single.payments.prepare(reserved, "")
    other = hold(101, uetr=reserved.uetr, request_id=reserved.instruction.request_id)
    with pytest.raises(StoreUnavailable, match="FAULT"):
        await single.payments.commit(other, ACK, NOW_MS)
    assert (await single.payments.commit(reserved, ACK, NOW_MS)).state is State.COMMITTED
