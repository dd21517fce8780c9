"""Whether anybody watches a process: without an admin port nothing is metered, and the libraries are not even loaded."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from switch.api import Server
from switch.app.settlement import Settling
from switch.events import Relay
from switch.events.announcer import Announcer
from switch.events.settler import Settler
from switch.ports import UNMETERED, Clock, Meter
from switch.settings import Settings
from switch.store import Store

__all__ = ["Beside", "Watched", "watched", "watched_beside"]


class Beside(Protocol):
    """What of the work beside the payments runs in this process; None: not here."""

    @property
    def relay(self) -> Relay | None: ...
    @property
    def settler(self) -> Settler | None: ...
    @property
    def announcer(self) -> Announcer | None: ...


class Watched(Protocol):
    """The admin port of one process, or none."""

    meter: Meter

    async def start(self, store: Store, settling: Settling, server: Server, ailment: Callable[[], str]) -> int:
        """Serve. Returns the bound port, 0: none. `ailment`: why no payments should come here now, "" when all is well.

        Raises ConfigError: admin_host and admin_port cannot be bound.
        """
        ...

    async def start_beside(self, store: Store, works: Beside) -> int:
        """The same in a process that runs `works` and takes no payments."""
        ...

    async def close(self) -> None:
        """Leave the port. Safe to repeat, and before `start`."""
        ...


class _Unwatched:
    meter: Meter = UNMETERED

    async def start(self, _store: Store, _settling: Settling, _server: Server, _ailment: Callable[[], str]) -> int:
        return 0

    async def start_beside(self, _store: Store, _works: Beside) -> int:
        return 0

    async def close(self) -> None:
        """Nothing is open."""


def watched(settings: Settings, clock: Clock) -> Watched:
    """What the settings want."""
    if settings.admin_port < 0:
        return _Unwatched()
    from switch.app.metrics import Metrics

    return Metrics(settings, clock)


@asynccontextmanager
async def watched_beside(settings: Settings, clock: Clock, store: Store, works: Beside) -> AsyncIterator[str]:
    """The admin port of a relay or a settler in a process of its own. Yields where it is, "none" when nobody watches.

    Raises ConfigError: admin_host and admin_port cannot be bound. A switch on the same machine needs another port.
    """
    watch = watched(settings, clock)
    try:
        port = await watch.start_beside(store, works)
        yield f"{settings.admin_host}:{port}" if port else "none"
    finally:
        await watch.close()
