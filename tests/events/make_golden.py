"""The golden records: what consumers in other languages test themselves with.

    python -m tests.events.make_golden        # writes tests/events/golden/*.pb (the value) and *.json (headers, data)

They change only by what a minor version adds to the contract, or with the version of a topic.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bayswitch.v1 import event_pb2
from google.protobuf.json_format import MessageToDict

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import (
    FIRST_SEAL,
    LogRange,
    NetPosition,
    Obligation,
    ObligationState,
    SettlementFact,
    Window,
    WindowState,
    chained,
    obligations_of,
    seal_of,
)
from switch.events import decode, encode, headers, window_schema
from switch.events.envelope import Headers
from switch.ports import Announcement, Moved

__all__ = ["FACTS", "GOLDEN", "MOVED", "WINDOWS", "Golden", "records"]

GOLDEN: Final = Path(__file__).with_name("golden")
PUBLISHED_MS: Final = 1_795_413_700_000  # when the golden position is published
UETR: Final = "8a562c67-ca16-48ba-b074-65581be6f001"

FACTS: Final = {
    "committed": SettlementFact(
        event_id=UETR,
        sequence=41,
        uetr=UETR,
        debtor_agent="PEARLPAY",
        state=State.COMMITTED,
        reason="",
        rail="alipay",
        corridor_id="hk-cn-hkd-cny",
        rail_reference="20261123110075000001",
        entries=(
            Entry("PEARLPAY", Asset.HKD, 10_050),
            Entry("DELTAFX", Asset.HKD, -10_000),
            Entry("DELTAFX", Asset.CNY, 9_217),
            Entry("ALIPAYGW", Asset.CNY, -9_217),
            Entry("BAYSWITCH", Asset.HKD, -50),
        ),
        prepared_time_ms=1_795_413_600_007,
        final_time_ms=1_795_413_600_250,
        request_id="order-2026-11-23-0041",
        note=bytes(range(48)),
    ),
    "aborted": SettlementFact(
        event_id="0d1f7a36-6f1b-4b4c-9d0e-0f5b3c1a2e77",
        sequence=42,
        uetr="0d1f7a36-6f1b-4b4c-9d0e-0f5b3c1a2e77",
        debtor_agent="PEARLPAY",
        state=State.ABORTED,
        reason="CREDITOR_ACCOUNT_CLOSED",
        rail="hkfps",
        corridor_id="mo-hk-hkd",
        rail_reference="",
        entries=(),
        prepared_time_ms=1_795_413_601_000,
        final_time_ms=1_795_413_602_000,
        request_id="0d1f7a36-6f1b-4b4c-9d0e-0f5b3c1a2e77",
    ),
}


_OPEN: Final = Window(
    arrangement_id="hkd-rtgs",
    number=7,
    state=WindowState.OPEN,
    open_time_ms=1_795_413_600_000,
    ranges=(LogRange(0, 1_200, 0), LogRange(1, 900, 0)),
    previous_seal=FIRST_SEAL,
)
_POSITIONS: Final = (
    NetPosition("ALIPAYGW", Asset.HKD, 0, 120_050),
    NetPosition("HKWALLET", Asset.HKD, 50_000, 30_000, opening_minor=-700),
    NetPosition("PEARLPAY", Asset.HKD, 100_050, 0),
)
_CLOSED: Final = _OPEN._replace(
    state=WindowState.CLOSED,
    ranges=(LogRange(0, 1_200, 1_250, chained(bytes(32), b"0")), LogRange(1, 900, 900, chained(bytes(32), b"1"))),
    cut_time_ms=1_795_417_200_000,
    cut_by="schedule",
    filled=True,
    payments=50,
    positions=_POSITIONS,
    obligations=obligations_of(_POSITIONS),
    close_time_ms=1_795_417_201_500,
)
_SEALED: Final = _CLOSED._replace(seal=seal_of(_CLOSED))
_SETTLED: Final = tuple(
    Obligation(*one[:3], ObligationState.CONFIRMED, 1_795_420_000_000 + place, f"RTGS{place:06}")
    for place, one in enumerate(_SEALED.obligations)
)
WINDOWS: Final = {
    "window-open": Announcement("", 13, 1_795_413_600_001, _OPEN),
    "window-closed": Announcement("", 15, 1_795_417_201_500, _SEALED),
    "window-defaulted": Announcement(
        "",
        16,
        1_795_418_000_000,
        _SEALED._replace(
            state=WindowState.PARTIALLY_SETTLED,
            obligations=tuple(
                one._replace(state=ObligationState.DEFAULTED) if one.amount_minor > 0 else one
                for one in _SEALED.obligations
            ),
        ),
    ),
    "window-settled": Announcement(
        "",
        17,
        1_795_420_000_002,
        _SEALED._replace(state=WindowState.SETTLED, obligations=_SETTLED, settled_time_ms=1_795_420_000_002),
    ),
}
MOVED: Final = {"position": Moved("PEARLPAY", Asset.HKD, 100_050, 1_041)}


class Golden:
    """One golden record. `read` gives back what `value` and `headers` were made of."""

    def __init__(self, name: str, value: bytes, headers: Headers, message: Any, made_of: Any, read: Any) -> None:
        self.name = name
        self.value = value
        self.headers = headers
        self.message = message
        self.data = MessageToDict(message.FromString(value), preserving_proto_field_name=True)
        self.made_of = made_of
        self.read = read


def records() -> Iterator[Golden]:
    """Every golden record, as the code makes it now."""
    for name, fact in FACTS.items():
        yield Golden(
            name, encode(fact), headers(fact), event_pb2.SettlementEvent, fact, decode(encode(fact), headers(fact))
        )
    for name, one in WINDOWS.items():
        value, told = window_schema.encode_announcement(one), window_schema.announcement_headers(one)
        yield Golden(name, value, told, event_pb2.WindowEvent, one, window_schema.decode_announcement(value, told))
    for name, moved in MOVED.items():
        value = window_schema.encode_moved(moved, PUBLISHED_MS)
        told = window_schema.moved_headers(moved, PUBLISHED_MS)
        made_of, read = (moved, PUBLISHED_MS), window_schema.decode_moved(value, told)
        yield Golden(name, value, told, event_pb2.PositionEvent, made_of, read)


def main() -> None:
    for one in records():
        (GOLDEN / f"{one.name}.pb").write_bytes(one.value)
        content = {"headers": {name: text.decode() for name, text in one.headers}, "data": one.data}
        (GOLDEN / f"{one.name}.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
