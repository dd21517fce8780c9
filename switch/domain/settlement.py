"""What a settlement consumer reads, and what becomes of it: facts, windows, net positions, obligations, seals.

A fact is one final payment without any personal value. A window is a set of ranges of the log, never of times. A closed
window is sealed: SHA-256 over its canonical content, which names the seal before it.
"""

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from hashlib import sha256
from struct import pack
from typing import Final, NamedTuple

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry

__all__ = [
    "FIRST_DIGEST",
    "FIRST_SEAL",
    "Arrangement",
    "LogRange",
    "NetPosition",
    "Obligation",
    "ObligationState",
    "SettlementFact",
    "Window",
    "WindowState",
    "canonical_content",
    "chained",
    "obligations_of",
    "record_digest",
    "seal_of",
    "unbalanced_window",
    "window_id_parts",
]

FIRST_DIGEST: Final = bytes(32)  # of a partition of which nothing is read
FIRST_SEAL: Final = bytes(32)  # what the first window of an arrangement is chained to


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
    request_id: str = ""  # the debtor agent's id of the call
    note: bytes = b""  # sealed by the store, for the store: see store/notes.py


# --- arrangements ----------------------------------------------------------------------------------------------------
class Arrangement(NamedTuple):
    """Which entries settle together, with whom, and when windows are cut. A row of rules/arrangements.toml."""

    id: str  # [a-z0-9_-], e.g. hkd-rtgs
    title: str
    assets: tuple[Asset, ...]
    rails: tuple[str, ...]  # () = every rail; an entry belongs to the arrangement of its asset and its payment's rail
    settlement_agent: str  # the participant that stands for it in the books
    cut_minutes: tuple[int, ...]  # minutes of the Hong Kong day, ascending
    calendars: tuple[str, ...]  # a day counts when it is a business day of all of them
    source: str

    def takes(self, asset: Asset, rail: str) -> bool:
        return asset in self.assets and (not self.rails or rail in self.rails)


# --- windows ---------------------------------------------------------------------------------------------------------
class WindowState(Enum):
    """Where a window is. The value is the letter the store keeps."""

    OPEN = "O"
    CUT = "U"  # its ranges are fixed; the settler may still be on its way there
    CLOSED = "C"  # zero-sum and sealed
    PARTIALLY_SETTLED = "P"  # somebody does not pay
    SETTLED = "S"


class ObligationState(Enum):
    OPEN = "O"
    CONFIRMED = "C"
    DEFAULTED = "D"


class LogRange(NamedTuple):
    """[from_offset, to_offset) of one partition. `digest`: of all accepted events of the partition before to_offset."""

    partition: int
    from_offset: int
    to_offset: int  # 0 until cut
    digest: bytes = b""  # until the settler has been there


class NetPosition(NamedTuple):
    """What one participant sent and received in one asset in one window."""

    participant: str
    asset: Asset
    debits_minor: int  # >= 0
    credits_minor: int  # >= 0
    opening_minor: int = 0  # of earlier windows, not confirmed when this one was closed; positive owes

    @property
    def net_debit_minor(self) -> int:
        """Positive owes."""
        return self.debits_minor - self.credits_minor


class Obligation(NamedTuple):
    """What a participant owes the settlement agent (> 0) or is owed by it (< 0)."""

    participant: str
    asset: Asset
    amount_minor: int
    state: ObligationState = ObligationState.OPEN
    confirmed_time_ms: int = 0
    reference: str = ""


class Window(NamedTuple):
    """One settlement window as it stands."""

    arrangement_id: str
    number: int  # from 1, gapless
    state: WindowState
    open_time_ms: int
    ranges: tuple[LogRange, ...] = ()  # by partition
    cut_time_ms: int = 0
    cut_by: str = ""
    filled: bool = False  # cut, and everything before the cut is in `positions`
    payments: int = 0  # committed payments with an entry in it
    positions: tuple[NetPosition, ...] = ()  # by asset and participant
    obligations: tuple[Obligation, ...] = ()
    close_time_ms: int = 0
    settled_time_ms: int = 0
    seal: bytes = b""
    previous_seal: bytes = b""

    @property
    def id(self) -> str:
        return f"{self.arrangement_id}.{self.number}"


def window_id_parts(window_id: str) -> tuple[str, int] | None:
    """ "hkd-rtgs.7" -> ("hkd-rtgs", 7); None when it is no window id."""
    arrangement, _, number = window_id.rpartition(".")
    if not arrangement or not number.isascii() or not number.isdigit() or number != str(int(number)) or number == "0":
        return None
    return arrangement, int(number)


def unbalanced_window(positions: Iterable[NetPosition]) -> dict[Asset, int]:
    """Assets whose net positions do not sum to zero, with the difference. Empty is right."""
    sums: dict[Asset, int] = {}
    for position in positions:
        sums[position.asset] = sums.get(position.asset, 0) + position.net_debit_minor
    return {asset: total for asset, total in sums.items() if total}


def obligations_of(positions: Iterable[NetPosition]) -> tuple[Obligation, ...]:
    """Who pays the settlement agent and who receives from it; who is even has none."""
    return tuple(
        Obligation(position.participant, position.asset, position.net_debit_minor)
        for position in positions
        if position.net_debit_minor
    )


# --- digests and seals -----------------------------------------------------------------------------------------------
def record_digest(key: bytes, value: bytes, headers: Iterable[tuple[str, bytes]]) -> bytes:
    """SHA-256 over a record of the log: how many parts, each part's length (all 4 bytes, big-endian), the parts.

    The parts are the key, the value, and name and text of each CloudEvents header (`ce_…`), in their order.
    """
    parts = [key, value]
    for name, text in headers:
        if name.startswith("ce_"):
            parts += (name.encode(), text)
    return sha256(pack(f">{len(parts) + 1}I", len(parts), *map(len, parts)) + b"".join(parts)).digest()


def chained(before: bytes, digest: bytes) -> bytes:
    """The digest of a partition after one more accepted event."""
    return sha256(before + digest).digest()


def canonical_content(window: Window) -> bytes:
    """What a seal covers, as JSON with sorted keys, no blanks, ASCII only: any language can make it again."""
    content: Mapping[str, object] = {
        "arrangement": window.arrangement_id,
        "number": window.number,
        "payments": window.payments,
        "positions": [
            {
                "asset": position.asset.name,
                "credits_minor": position.credits_minor,
                "debits_minor": position.debits_minor,
                "opening_minor": position.opening_minor,
                "participant": position.participant,
            }
            for position in window.positions
        ],
        "previous_seal": window.previous_seal.hex(),
        "ranges": [
            {
                "digest": each.digest.hex(),
                "from_offset": each.from_offset,
                "partition": each.partition,
                "to_offset": each.to_offset,
            }
            for each in window.ranges
        ],
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def seal_of(window: Window) -> bytes:
    """SHA-256 of the canonical content; chained, for the content names the seal before."""
    return sha256(canonical_content(window)).digest()
