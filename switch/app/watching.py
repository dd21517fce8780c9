"""Whether anybody watches a switch: without an admin port nothing is metered, and the libraries are not even loaded."""

from collections.abc import Callable
from typing import Protocol

from switch.api import Server
from switch.app.settlement import Settling
from switch.ports import UNMETERED, Clock, Meter
from switch.settings import Settings
from switch.store import Store

__all__ = ["Watched", "watched"]


class Watched(Protocol):
    """The admin port of one switch, or none."""

    meter: Meter

    async def start(self, store: Store, settling: Settling, server: Server, ailment: Callable[[], str]) -> int:
        """Serve. Returns the bound port, 0: none. `ailment`: why no payments should come here now, "" when all is well.

        Raises ConfigError: admin_host and admin_port cannot be bound.
        """
        ...

    async def close(self) -> None:
        """Leave the port. Safe to repeat, and before `start`."""
        ...


class _Unwatched:
    meter: Meter = UNMETERED

    async def start(self, _store: Store, _settling: Settling, _server: Server, _ailment: Callable[[], str]) -> int:
        return 0

    async def close(self) -> None:
        """Nothing is open."""


def watched(settings: Settings, clock: Clock) -> Watched:
    """What the settings want."""
    if settings.admin_port < 0:
        return _Unwatched()
    from switch.app.metrics import Metrics

    return Metrics(settings, clock)
