"""A client of the broker for the length of a `with`, also when its start is cancelled."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

__all__ = ["opened"]

_START_ENDS_SECONDS_MAX = 5.0  # by then it is connected, and waits for its group: nothing is lost any more
_STOP_SECONDS_MAX = 15.0  # one that is just joining its group would wait for members that may have died


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
            await asyncio.wait({starting}, timeout=_START_ENDS_SECONDS_MAX)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            raise
        yield client
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS_MAX):
                await client.stop()
