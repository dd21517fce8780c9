"""What the services are given."""

from typing import NamedTuple

from switch.engine import Directory, Payments, Quotes, Settlement, Watch
from switch.ports import UNMETERED, Clock, Meter, ParticipantStore, PaymentStore

__all__ = ["ApiParts"]


class ApiParts(NamedTuple):
    """The engine, and the two stores whose reads need no flow of their own."""

    payments: Payments
    quotes: Quotes
    directory: Directory
    watch: Watch
    store: PaymentStore
    participants: ParticipantStore
    clock: Clock
    settlement: Settlement | None = None  # None: there is no broker, so nothing is settled
    meter: Meter = UNMETERED
