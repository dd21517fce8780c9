"""Group commit: calls of one turn of the event loop share one script call per shard and kind.

A lane is one shard's queue. A group leaves it at the end of the turn in which its first item came, bounded by count and
bytes; while one is out the next one grows, and leaves beside it only when it is large: a script call costs as much as
many items, so under load the groups make themselves as large as they should be. Completions leave before enquiries, and
enquiries before new payments, so that an overload never stops what has begun.

A group is a task of its own. A caller waits on a future and may leave at any time: its item is then done or not done
like any other, and nobody else's answer moves. Only an item that has not left yet and is safe to drop is dropped.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
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


class _Waiting:
    __slots__ = ("answer", "expiry", "item")

    def __init__(self, item: Item, answer: asyncio.Future[Any], expiry: float) -> None:
        self.item = item
        self.answer = answer
        self.expiry = expiry  # loop time after which it does not leave any more


class Lane:
    """The queue of one shard. `runners` send a group and give one answer per item, in order."""

    def __init__(self, runners: dict[Kind, RunGroup]) -> None:
        self._runners = runners
        self._queues: dict[Kind, deque[_Waiting]] = {kind: deque() for kind in sorted(runners)}
        self._running: set[asyncio.Task[None]] = set()
        self._flush_due = False
        self._failing = False  # what the last group heard
        self.waiting = 0  # items that have not left
        # For who watches: items that left, and groups by size: at place n those of at most 2**n and more than half of it.
        self.items = dict.fromkeys(Kind, 0)
        self.sizes = {kind: [0] * (GROUP_ITEMS_MAX.bit_length() + 1) for kind in Kind}

    async def call(self, kind: Kind, item: Item) -> Any:
        """The item's own answer. A cancel leaves the step done or not done, never half.

        Raises:
            Refused: OVERLOADED, new work only: too much waits, or it waited too long; nothing was begun.
            StoreUnavailable: no answer in its budget.
        """
        if kind >= Kind.CLAIM and self.waiting >= STORE_QUEUE_ITEMS_MAX:
            raise _overloaded()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._queues[kind].append(_Waiting(item, answer, loop.time() + STORE_CALL_MS_MAX / 1000))
        self.waiting += 1
        if not self._flush_due:
            self._flush_due = True
            loop.call_soon(self._flush)
        return await answer

    def _flush(self) -> None:
        self._flush_due = False
        for kind, queue in self._queues.items():
            while queue and self._may_leave(len(queue)):
                group = self._take(kind, queue)
                if group:
                    self.items[kind] += len(group)
                    self.sizes[kind][(len(group) - 1).bit_length()] += 1
                    task = asyncio.create_task(self._run(kind, group), name=f"store group {kind.name}")
                    self._running.add(task)
                    task.add_done_callback(self._ran)

    def _may_leave(self, items: int) -> bool:
        """A few wait for the group that is out, and leave with those that come meanwhile; many need not."""
        running = len(self._running)
        return not running or (items >= GROUP_ITEMS_BESIDE_ANOTHER and running < GROUPS_IN_FLIGHT_PER_SHARD)

    def _take(self, kind: Kind, queue: deque[_Waiting]) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        now = asyncio.get_running_loop().time()
        while queue and len(group) < GROUP_ITEMS_MAX:
            first = queue[0]
            if group and size + first.item.size > GROUP_BYTES_MAX:
                break
            queue.popleft()
            self.waiting -= 1
            if first.answer.cancelled() and kind is not Kind.FINISH:
                continue
            if now > first.expiry and (kind is not Kind.FINISH or self._failing):
                if not first.answer.done():
                    first.answer.set_exception(self._too_late(kind))
                continue
            group.append(first)
            size += first.item.size
        return group

    def _too_late(self, kind: Kind) -> Exception:
        """What an item hears that waited for its whole budget. A completion waits on while the store answers."""
        if kind >= Kind.CLAIM and not self._failing:
            return _overloaded()
        return StoreUnavailable(f"not sent in {STORE_CALL_MS_MAX} ms")

    async def _run(self, kind: Kind, group: list[_Waiting]) -> None:
        try:
            answers = await self._runners[kind]([waiting.item for waiting in group])
            assert len(answers) == len(group), "one answer per item"
            self._failing = False
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller must hear of it
            self._failing = True
            for waiting in group:
                if not waiting.answer.done():
                    waiting.answer.set_exception(_copy(error))
            return
        for waiting, answer in zip(group, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._flush()

    async def close(self) -> None:
        """Returns when everything that waits has been sent and answered, or has failed."""
        while self._running or self.waiting:
            if not self._running:
                self._flush()
            if self._running:
                await asyncio.wait(self._running)


def _overloaded() -> Refused:
    return Refused("OVERLOADED", "too many payments wait for the store; nothing was begun")


def _copy(error: Exception) -> Exception:
    """An error of its own for every caller: one object raised in many tasks gathers all their tracebacks."""
    if isinstance(error, StoreUnavailable):
        copy = StoreUnavailable(*error.args)
        copy.__cause__ = error.__cause__
        return copy
    return error
