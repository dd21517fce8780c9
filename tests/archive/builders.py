"""Facts for the tests of the archive: small, valid, and different only where asked."""

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import LogRange, SettlementFact
from switch.ports import ArchivedFact

__all__ = ["NOW_MS", "entries", "fact", "facts", "logged", "span"]

NOW_MS = 1_795_400_000_000  # 2026-11-23; times count from here


def entries(amount_minor: int = 100, debtor: str = "ALFA", gateway: str = "HKFPS") -> tuple[Entry, ...]:
    """HKD from one participant to another."""
    return Entry(debtor, Asset.HKD, amount_minor), Entry(gateway, Asset.HKD, -amount_minor)


def fact(sequence: int = 1, **changes: Any) -> SettlementFact:
    """HKD 1.00 of ALFA over hkfps, final `sequence` ms after NOW_MS; `changes` by field name."""
    uetr = changes.pop("uetr", "") or str(uuid.uuid4())
    debtor_agent = changes.get("debtor_agent", "ALFA")
    fields: dict[str, Any] = {
        "event_id": uetr,
        "sequence": sequence,
        "uetr": uetr,
        "debtor_agent": debtor_agent,
        "state": State.COMMITTED,
        "reason": "",
        "rail": "hkfps",
        "corridor_id": "hk-hk.hkd",
        "rail_reference": "FPS20261123000001",
        "entries": entries(debtor=debtor_agent),
        "prepared_time_ms": NOW_MS + sequence - 1,
        "final_time_ms": NOW_MS + sequence,
        "request_id": f"r-{uetr}",
        "note": b"sealed",
    } | changes
    if fields["state"] is State.ABORTED:
        fields |= {"entries": (), "reason": "RAIL_REJECTED"}
    return SettlementFact(**fields)


def logged(one: SettlementFact, partition: int = 0, offset: int = 0) -> ArchivedFact:
    return ArchivedFact(one, partition, offset, hashlib.sha256(one.event_id.encode()).digest())


def facts(count: int, partition: int = 0, first: int = 1, **changes: Any) -> list[ArchivedFact]:
    """A run of one debtor agent: sequences from `first` at offsets from `first` - 1."""
    numbers = range(first, first + count)
    return [logged(fact(number, **changes), partition, number - 1) for number in numbers]


def span(partition: int, start: int, end: int) -> LogRange:
    return LogRange(partition, start, end)


def uetrs(kept: Sequence[ArchivedFact]) -> list[str]:
    return [one.fact.uetr for one in kept]
