"""Answers that come in waves: many holds asked about together, for rails of either kind."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from operator import itemgetter

from switch.domain.payment import Hold
from switch.ports import Answered, RailAck

__all__ = ["one_by_one"]


async def one_by_one(
    prepare: Callable[[Hold, int], Awaitable[RailAck]], holds: Sequence[Hold], budget_ms: int
) -> AsyncGenerator[list[Answered], None]:
    """ports.Rail.prepare_all for a rail that is asked about each payment by itself (HTTP, or a signature each)."""

    async def one(place: int) -> Answered:
        try:
            return place, await prepare(holds[place], budget_ms)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this payment's answer alone
            return place, error

    left = {asyncio.create_task(one(place)) for place in range(len(holds))}
    try:
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            yield sorted((task.result() for task in done), key=itemgetter(0))
    finally:
        for task in left:
            task.cancel()
