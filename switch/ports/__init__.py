"""What the engine asks of the world. The store, the rails, the broker and the archive implement these; tests do too."""

from collections.abc import Sequence
from typing import Protocol

from switch.ports._meter import UNMETERED, CallMeter, Meter, Stage
from switch.ports._rail import (
    Answered,
    Enquiry,
    InboundHandler,
    Outcome,
    Rail,
    RailAck,
)
from switch.ports._settlement import (
    Announcement,
    Archive,
    ArchivedFact,
    Chunk,
    Credit,
    Moved,
    Net,
    Progress,
    SettlementLog,
    SettlementStore,
    WindowKey,
)
from switch.ports._store import (
    Change,
    Durability,
    OutboxEntry,
    Participant,
    ParticipantChange,
    ParticipantStore,
    PaymentStore,
    Prepared,
    QuoteStore,
)

__all__ = [
    "UNMETERED",
    "Announcement",
    "Answered",
    "Archive",
    "ArchivedFact",
    "CallMeter",
    "Change",
    "Chunk",
    "Clock",
    "Credit",
    "Durability",
    "Enquiry",
    "EventSink",
    "InboundHandler",
    "Meter",
    "Moved",
    "Net",
    "OutboxEntry",
    "Outcome",
    "Participant",
    "ParticipantChange",
    "ParticipantStore",
    "PaymentStore",
    "Prepared",
    "Progress",
    "QuoteStore",
    "Rail",
    "RailAck",
    "SettlementLog",
    "SettlementStore",
    "Stage",
    "WindowKey",
]


class Clock(Protocol):
    """The time of day, so that the engine has none of its own. Waits are asyncio's, which never step back."""

    def now_ms(self) -> int:
        """Unix milliseconds, UTC. May step; never used to measure a wait."""
        ...


class EventSink(Protocol):
    """The broker. At least once, in order per debtor agent."""

    async def start(self) -> None: ...

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """Returns when every entry is acknowledged by all in-sync replicas; raises otherwise, and may be repeated.

        Raises:
            BrokerUnavailable: some may have arrived; a repeat sends the same ids.
        """
        ...

    async def close(self) -> None: ...
