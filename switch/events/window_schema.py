"""Windows and positions as they lie on their topics: `WindowEvent` and `PositionEvent` under CloudEvents 1.0 headers.

The contract is proto/bayswitch/v1/event.proto. Pure: no broker is known here. A window event holds everything of the
window, so that a store made anew gets its windows back from the topic.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from bayswitch.v1 import event_pb2, settlement_pb2
from google.protobuf.message import DecodeError

from switch.contract import OBLIGATION_STATES, WINDOW_STATES, timestamp, window_of
from switch.domain.money import Asset
from switch.domain.settlement import LogRange, NetPosition, Obligation, ObligationState, Window, WindowState
from switch.errors import CodecError
from switch.events.envelope import Headers, attributes, demand, opened, time_ms_of
from switch.limits import EVENT_BYTES_MAX
from switch.ports import Announcement, Moved

__all__ = [
    "POSITION_TOPIC",
    "WINDOW_EVENT_BYTES_MAX",
    "WINDOW_TOPIC",
    "announcement_headers",
    "announcement_key",
    "decode_announcement",
    "decode_moved",
    "encode_announcement",
    "encode_moved",
    "moved_headers",
    "moved_key",
]

WINDOW_TOPIC: Final = "bayswitch.settlement.window.v1"  # also ce_type, as with payments
POSITION_TOPIC: Final = "bayswitch.settlement.position.v1"
WINDOW_EVENT_BYTES_MAX: Final = 1_000_000  # some 6,000 positions and obligations; a broker takes 1 MiB with its headers

_STATE_IN: Final[Mapping[int, WindowState]] = {wire: state for state, wire in WINDOW_STATES.items()}
_OBLIGATION_IN: Final[Mapping[int, ObligationState]] = {wire: state for state, wire in OBLIGATION_STATES.items()}


# --- windows ---------------------------------------------------------------------------------------------------------
def _announcement_id(announcement: Announcement) -> str:
    return f"{announcement.window.arrangement_id}/{announcement.sequence}"


def announcement_key(announcement: Announcement) -> bytes:
    """The record key: the moves of one arrangement stay in order."""
    return announcement.window.arrangement_id.encode("ascii")


def announcement_headers(announcement: Announcement) -> Headers:
    """The CloudEvents attributes of its record."""
    event_id, subject, key = _announcement_id(announcement), announcement.window.id, announcement_key(announcement)
    return attributes(event_id, WINDOW_TOPIC, subject, key, announcement.time_ms)


def encode_announcement(announcement: Announcement) -> bytes:
    """The record value. The same announcement always gives the same bytes; `place` is not in them."""
    event = event_pb2.WindowEvent(
        event_id=_announcement_id(announcement),
        sequence=announcement.sequence,
        window=window_of(announcement.window),
        event_time=timestamp(announcement.time_ms),
    )
    value = event.SerializeToString(deterministic=True)
    assert len(value) <= WINDOW_EVENT_BYTES_MAX, "participants and assets are bounded"
    return value


def decode_announcement(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Announcement:
    """A record of the window topic -> the move, with `place` "". What is not known is left alone: v1 may grow.

    Raises:
        CodecError: not an event of this type and version, or a field is missing or not one of its values.
    """
    data, ce_id = opened(value, headers, WINDOW_TOPIC, WINDOW_EVENT_BYTES_MAX)
    try:
        event = event_pb2.WindowEvent.FromString(data)
    except DecodeError as error:
        raise CodecError("value", "not a WindowEvent") from error
    demand("sequence", event.sequence > 0, "from 1")
    demand("window.arrangement_id", bool(event.window.arrangement_id), "missing")
    demand("window.number", event.window.number > 0, "from 1")
    demand("window.state", event.window.state in _STATE_IN, "a state of windows")
    announcement = Announcement("", event.sequence, time_ms_of(event.event_time), _window_in(event.window))
    demand("event_id", event.event_id == _announcement_id(announcement), "<arrangement>/<sequence>")
    demand("ce_id", ce_id == event.event_id.encode(), "equal to event_id")
    return announcement


def _window_in(window: settlement_pb2.Window) -> Window:
    return Window(
        arrangement_id=window.arrangement_id,
        number=window.number,
        state=_STATE_IN[window.state],
        open_time_ms=time_ms_of(window.open_time),
        ranges=tuple(LogRange(one.partition, one.from_offset, one.to_offset, one.digest) for one in window.ranges),
        cut_time_ms=time_ms_of(window.cut_time),
        cut_by=window.cut_by,
        filled=window.filled,
        payments=window.payments,
        positions=tuple(_position_in(place, one) for place, one in enumerate(window.positions)),
        obligations=tuple(_obligation_in(place, one) for place, one in enumerate(window.obligations)),
        close_time_ms=time_ms_of(window.close_time),
        settled_time_ms=time_ms_of(window.settled_time),
        seal=window.seal,
        previous_seal=window.previous_seal,
    )


def _position_in(place: int, one: settlement_pb2.NetPosition) -> NetPosition:
    asset = _asset_in(f"window.positions[{place}].asset", one.asset)
    return NetPosition(one.participant, asset, one.debits_minor, one.credits_minor, one.opening_minor)


def _obligation_in(place: int, one: settlement_pb2.Obligation) -> Obligation:
    path = f"window.obligations[{place}]"
    demand(f"{path}.state", one.state in _OBLIGATION_IN, "a state of obligations")
    asset, state = _asset_in(f"{path}.asset", one.asset), _OBLIGATION_IN[one.state]
    return Obligation(one.participant, asset, one.amount_minor, state, time_ms_of(one.confirmed_time), one.reference)


def _asset_in(path: str, name: str) -> Asset:
    demand(path, name in Asset.__members__, "an asset of the switch")
    return Asset[name]


# --- positions -------------------------------------------------------------------------------------------------------
def _moved_name(moved: Moved) -> str:
    return f"{moved.participant}|{moved.asset.name}"


def moved_key(moved: Moved) -> bytes:
    """The record key: the topic is compacted by it, so a newer position replaces an older one."""
    return _moved_name(moved).encode("ascii")


def moved_headers(moved: Moved, time_ms: int) -> Headers:
    """The CloudEvents attributes of its record. `time_ms`: when it is published; a repeat may say a later one."""
    name = _moved_name(moved)
    return attributes(f"{name}/{moved.sequence}", POSITION_TOPIC, name, moved_key(moved), time_ms)


def encode_moved(moved: Moved, time_ms: int) -> bytes:
    """The record value. The same arguments always give the same bytes."""
    event = event_pb2.PositionEvent(
        event_id=f"{_moved_name(moved)}/{moved.sequence}",
        participant=moved.participant,
        asset=moved.asset.name,
        net_debit_minor=moved.net_debit_minor,
        sequence=moved.sequence,
        event_time=timestamp(time_ms),
    )
    return event.SerializeToString(deterministic=True)


def decode_moved(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> tuple[Moved, int]:
    """A record of the position topic -> the position and when it was published, in Unix milliseconds.

    Raises:
        CodecError: not an event of this type and version, or a field is missing or not one of its values.
    """
    data, ce_id = opened(value, headers, POSITION_TOPIC, EVENT_BYTES_MAX)
    try:
        event = event_pb2.PositionEvent.FromString(data)
    except DecodeError as error:
        raise CodecError("value", "not a PositionEvent") from error
    demand("participant", bool(event.participant), "missing")
    demand("sequence", event.sequence > 0, "from 1")
    moved = Moved(event.participant, _asset_in("asset", event.asset), event.net_debit_minor, event.sequence)
    demand("event_id", event.event_id == f"{_moved_name(moved)}/{moved.sequence}", "<participant>|<asset>/<sequence>")
    demand("ce_id", ce_id == event.event_id.encode(), "equal to event_id")
    return moved, time_ms_of(event.event_time)
