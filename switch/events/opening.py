"""A client of the broker for the length of a `with`, also when its start is cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from switch.limits import CLIENT_START_ENDS_MS, CLIENT_STOP_MS

__all__ = ["opened"]

_CANCELLED_SECONDS_MAX = 0.5  # a client may lose a cancel


class _Startable(Protocol):
    async def start(self) -> Any: ...

    async def stop(self) -> Any: ...


_Client = TypeVar("_Client", bound=_Startable)


@asynccontextmanager
async def opened(client: _Client) -> AsyncIterator[_Client]:
    """Start it, stop it at the end. Raises what its start raises.

    A start that is cancelled half-way loses its first connection (aiokafka keeps it in a local variable), so a cancel
    waits until the start has come to its end by itself, for a moment.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _ended(starting, CLIENT_START_ENDS_MS)
            raise
        yield client
    finally:
        await _ended(asyncio.ensure_future(client.stop()), CLIENT_STOP_MS)


async def _ended(work: "asyncio.Future[Any]", budget_ms: int) -> None:
    """Returns when it has ended, or after the budget; then it is cancelled, and left. What it raises is not said."""
    work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    await asyncio.wait({work}, timeout=budget_ms / 1000)
    if not work.done():
        work.cancel()
        await asyncio.wait({work}, timeout=_CANCELLED_SECONDS_MAX)
