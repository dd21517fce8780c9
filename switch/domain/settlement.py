"""The fact a settlement consumer reads: one final payment, without any personal value."""

from typing import NamedTuple

from switch.domain.payment import State
from switch.domain.position import Entry

__all__ = ["SettlementFact"]


class SettlementFact(NamedTuple):
    """A final payment as it leaves the outbox. `sequence` is gapless per debtor agent."""

    event_id: str  # stable for ever: the UETR, for a payment is final once
    sequence: int
    uetr: str
    debtor_agent: str
    state: State
    reason: str
    rail: str
    corridor_id: str
    rail_reference: str
    entries: tuple[Entry, ...]
    prepared_time_ms: int
    final_time_ms: int
