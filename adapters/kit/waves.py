"""Answers that come in waves: ports.Rail.prepare_all for rails of either kind."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from operator import itemgetter
from typing import TypeVar

from adapters.kit.link import Link
from switch.domain.payment import Hold
from switch.errors import RailError
from switch.ports import Answered, RailAck

__all__ = ["one_by_one", "together"]

T = TypeVar("T")


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


async def together(
    link: Link,
    holds: Sequence[Hold],
    budget_ms: int,
    *,
    write: Callable[[Hold], tuple[str, bytes, T]],
    read: Callable[[bytes, T], RailAck],
) -> AsyncGenerator[list[Answered], None]:
    """The same for a rail whose messages share a link. `write` gives the key of the answer, the message, and what `read`
    needs to know of it; both raise as `prepare` does, and what they raise is this payment's answer alone.
    """
    asked: list[tuple[int, T]] = []
    requests: list[tuple[str, bytes]] = []
    refused: list[Answered] = []
    for place, hold in enumerate(holds):
        try:
            key, payload, about = write(hold)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing of this payment was sent
            refused.append((place, error))
        else:
            requests.append((key, payload))
            asked.append((place, about))
    if refused:
        yield refused

    def said(number: int, answer: bytes | RailError) -> Answered:
        place, about = asked[number]
        if isinstance(answer, RailError):
            return place, answer
        try:
            return place, read(answer, about)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this payment's answer alone
            return place, error

    async with aclosing(link.request_all(requests, budget_ms)) as waves:
        async for wave in waves:
            yield [said(number, answer) for number, answer in wave]
