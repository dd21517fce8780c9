"""Waiting for what other processes bring about, within a bound; nothing here sleeps for a fixed time."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

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
