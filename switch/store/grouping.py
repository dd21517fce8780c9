"""Group commit: calls of one turn of the event loop share one script call per shard and kind.

A lane is one shard's queue. A group leaves it at the end of the turn in which its first item came, bounded by count and
bytes; while one is out the next one grows, and leaves beside it only when it is large: a script call costs as much as
many items, so under load the groups make themselves as large as they should be. Completions leave before new payments,
so that an overload never stops what has begun; enquiries wait for enquiries only.

A group is a task of its own. A caller waits on a future and may leave at any time: its items are then done or not done
like any other, and nobody else's answer moves. Only what has not left yet and is safe to drop is dropped.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from switch.errors import Refused, StoreUnavailable
from switch.limits import (
    GROUP_BYTES_MAX,
    GROUP_ITEMS_BESIDE_ANOTHER,
    GROUP_ITEMS_MAX,
    GROUPS_IN_FLIGHT_PER_SHARD,
    STORE_CALL_MS_MAX,
    STORE_QUEUE_ITEMS_MAX,
)

__all__ = ["Item", "Kind", "Lane", "RunGroup"]


class Kind(IntEnum):
    """What a group does, in the order in which waiting groups leave."""

    FINISH = 0  # commit, abort, doubt: never refused, never dropped
    READ = 1
    CLAIM = 2
    PREPARE = 3  # new work: refused when too much waits, dropped when its caller left before it did


class Item(NamedTuple):
    """One call's share of a group: its keys and arguments, in the order its script takes them."""

    keys: tuple[str, ...]
    argv: tuple[Any, ...]
    size: int  # bytes, about


RunGroup = Callable[[Sequence[Item]], Awaitable[Sequence[Any]]]


class _Parcel:
    """Items of one caller that leave together: no more than a group takes."""

    __slots__ = ("answers", "expiry", "items", "size")

    def __init__(self, items: Sequence[Item], size: int, answers: asyncio.Future[Sequence[Any]], expiry: float) -> None:
        self.items = items
        self.size = size
        self.answers = answers
        self.expiry = expiry  # loop time after which it does not leave any more


class _Queue:
    """Parcels of one kind that have not left."""

    __slots__ = ("items", "parcels")

    def __init__(self) -> None:
        self.parcels: deque[_Parcel] = deque()
        self.items = 0

    def put(self, parcel: _Parcel) -> None:
        self.parcels.append(parcel)
        self.items += len(parcel.items)

    def take(self) -> _Parcel:
        parcel = self.parcels.popleft()
        self.items -= len(parcel.items)
        return parcel


class Lane:
    """The queue of one shard. `runners` send a group and give one answer per item, in order."""

    def __init__(self, runners: dict[Kind, RunGroup]) -> None:
        self._runners = runners
        self._queues: dict[Kind, _Queue] = {kind: _Queue() for kind in sorted(runners)}
        self._running: set[asyncio.Task[None]] = set()
        self._enquiry: asyncio.Task[None] | None = None  # the one of them that reads
        self._due: asyncio.Handle | None = None  # the next flush
        self._failing = False  # what the last group heard
        # For who watches: items that left, and groups by size: at place n those of at most 2**n and more than half of it.
        self.items = dict.fromkeys(Kind, 0)
        self.sizes = {kind: [0] * (GROUP_ITEMS_MAX.bit_length() + 1) for kind in Kind}

    @property
    def waiting(self) -> int:
        """Items that have not left."""
        return sum(queue.items for queue in self._queues.values())

    async def call(self, kind: Kind, item: Item) -> Any:
        """The item's own answer. A cancel leaves the step done or not done, never half.

        Raises:
            Refused: OVERLOADED, new work only: too much waits, or it waited too long; nothing was begun.
            StoreUnavailable: no answer in its budget.
        """
        self._check_room(kind)
        return (await self._put(kind, (item,), item.size))[0]

    async def call_all(self, kind: Kind, items: Sequence[Item]) -> list[Any]:
        """As `call` of each, with what it would raise as the answer. They share groups with each other and with others."""
        try:
            self._check_room(kind)
        except Refused as refusal:
            return [refusal] * len(items)
        sent = [(part, self._put(kind, part, size)) for part, size in _parts(items)]
        told: list[Any] = []
        try:
            for part, answers in sent:
                try:
                    told += await answers
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer to each
                    told += [_copy(error) for _ in part]
        finally:
            for _, answers in sent:
                answers.cancel()  # after a cancel nobody hears the rest
        return told

    def _check_room(self, kind: Kind) -> None:
        if kind >= Kind.CLAIM and self.waiting >= STORE_QUEUE_ITEMS_MAX:
            raise _overloaded()

    def _put(self, kind: Kind, items: Sequence[Item], size: int) -> asyncio.Future[Sequence[Any]]:
        loop, queue = asyncio.get_running_loop(), self._queues[kind]
        answers: asyncio.Future[Sequence[Any]] = loop.create_future()
        queue.put(_Parcel(items, size, answers, loop.time() + STORE_CALL_MS_MAX / 1000))
        self._flush_soon(loop)
        return answers

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """At the end of this turn."""
        if self._due is None:
            self._due = loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._due = None
        for kind, queue in self._queues.items():
            while queue.parcels and self._may_leave(kind, queue.items):
                group = self._take(kind, queue)
                if group:
                    task = asyncio.create_task(self._run(kind, group), name=f"store group {kind.name}")
                    self._running.add(task)
                    if kind is Kind.READ:
                        self._enquiry = task
                    task.add_done_callback(self._ran)

    def _may_leave(self, kind: Kind, items: int) -> bool:
        """A few wait for the group that is out, and leave with those that come meanwhile; many need not.

        Enquiries wait for enquiries only: where payments never cease, some group is always out.
        """
        if kind is Kind.READ:
            return self._enquiry is None
        running = len(self._running) - (self._enquiry is not None)
        return not running or (items >= GROUP_ITEMS_BESIDE_ANOTHER and running < GROUPS_IN_FLIGHT_PER_SHARD)

    def _take(self, kind: Kind, queue: _Queue) -> list[_Parcel]:
        group: list[_Parcel] = []
        count = size = 0
        now = asyncio.get_running_loop().time()
        while queue.parcels:
            first = queue.parcels[0]
            full = count + len(first.items) > GROUP_ITEMS_MAX or size + first.size > GROUP_BYTES_MAX
            if group and full:
                break
            queue.take()
            if first.answers.cancelled() and kind is not Kind.FINISH:
                continue
            if now > first.expiry and (kind is not Kind.FINISH or self._failing):
                if not first.answers.done():
                    first.answers.set_exception(self._too_late(kind))
                continue
            group.append(first)
            count += len(first.items)
            size += first.size
        if group:
            self.items[kind] += count
            self.sizes[kind][(count - 1).bit_length()] += 1
        return group

    def _too_late(self, kind: Kind) -> Exception:
        """What an item hears that waited for its whole budget. A completion waits on while the store answers."""
        if kind >= Kind.CLAIM and not self._failing:
            return _overloaded()
        return StoreUnavailable(f"not sent in {STORE_CALL_MS_MAX} ms")

    async def _run(self, kind: Kind, group: list[_Parcel]) -> None:
        items = group[0].items if len(group) == 1 else [item for parcel in group for item in parcel.items]
        try:
            answers = await self._runners[kind](items)
            assert len(answers) == len(items), "one answer per item"
            self._failing = False
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller must hear of it
            self._failing = True
            for parcel in group:
                if not parcel.answers.done():
                    parcel.answers.set_exception(_copy(error))
            return
        first = 0
        for parcel in group:
            last = first + len(parcel.items)
            if not parcel.answers.done():
                parcel.answers.set_result(answers[first:last])
            first = last

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task is self._enquiry:
            self._enquiry = None
        if self.waiting:
            self._flush_soon(asyncio.get_running_loop())

    async def close(self) -> None:
        """Returns when everything that waits has been sent and answered, or has failed."""
        while self._running or self.waiting:
            if not self._running:
                self._flush()
            if self._running:
                await asyncio.wait(self._running)


def _parts(items: Sequence[Item]) -> Iterator[tuple[Sequence[Item], int]]:
    """The items in parts that fit a group, with the size of each part in bytes."""
    first = size = 0
    for place, item in enumerate(items):
        if place > first and (place - first == GROUP_ITEMS_MAX or size + item.size > GROUP_BYTES_MAX):
            yield items[first:place], size
            first, size = place, 0
        size += item.size
    if items:
        yield items[first:], size


def _overloaded() -> Refused:
    return Refused("OVERLOADED", "too many payments wait for the store; nothing was begun")


def _copy(error: Exception) -> Exception:
    """An error of its own for every caller: one object raised in many tasks gathers all their tracebacks."""
    if isinstance(error, StoreUnavailable):
        copy = StoreUnavailable(*error.args)
        copy.__cause__ = error.__cause__
        return copy
    return error
