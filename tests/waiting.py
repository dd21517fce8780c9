"""Waiting for what other processes or the clock bring about, within a bound; nothing here sleeps for a fixed time."""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from adapters.kit.clock import wall_ms
from adapters.kit.statement import day_bounds, day_of

EVENTUALLY_SECONDS_MAX = 60.0
_PAUSE_SECONDS = 0.01


async def eventually(reached: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Look again and again until `reached` says so; an assertion with `what` when it never does."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(EVENTUALLY_SECONDS_MAX):
            while True:
                found = reached()
                if await found if inspect.isawaitable(found) else found:
                    return
                await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"never: {what}")


def on_one_day(seconds: int) -> None:
    """Wait for Hong Kong's midnight when it is nearer than this: with it, what counts for a day begins anew."""
    left_ms = day_bounds(day_of(wall_ms()))[1] - wall_ms()
    if left_ms < 1000 * seconds:
        time.sleep(left_ms / 1000 + 0.01)


@contextlib.asynccontextmanager
async def running_task(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """`work` runs inside the block and is cancelled, and has ended, after it."""
    task = asyncio.create_task(work)
    try:
        yield task
        assert not task.done(), "it ends only by a cancel"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
