"""Windows and positions as records: round trip, and what is refused."""

from typing import Any

import pytest
from bayswitch.v1 import event_pb2
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.money import Asset
from switch.domain.settlement import LogRange, NetPosition, Obligation, ObligationState, Window, WindowState
from switch.errors import CodecError
from switch.events.window_schema import (
    WINDOW_EVENT_BYTES_MAX,
    announcement_headers,
    decode_announcement,
    decode_moved,
    encode_announcement,
    encode_moved,
    moved_headers,
)
from switch.limits import AMOUNT_MINOR_MAX, EVENT_BYTES_MAX
from switch.ports import Announcement, Moved
from tests.events.make_golden import MOVED, WINDOWS

TIME_MS = 1_795_413_600_000

_names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", min_size=1, max_size=16)
_arrangements = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=24)
_assets = st.sampled_from(Asset)
_times = st.integers(0, 4_102_444_800_000)
_sums = st.integers(0, 2**53 - 1)
_amounts = st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX)
_digests = st.binary(max_size=32)
_windows = st.builds(
    Window,
    arrangement_id=_arrangements,
    number=st.integers(1, 2**31),
    state=st.sampled_from(WindowState),
    open_time_ms=_times,
    ranges=st.lists(st.builds(LogRange, st.integers(0, 47), _sums, _sums, _digests), max_size=3).map(tuple),
    cut_time_ms=_times,
    cut_by=st.text(max_size=16),
    filled=st.booleans(),
    payments=_sums,
    positions=st.lists(st.builds(NetPosition, _names, _assets, _sums, _sums, _amounts), max_size=3).map(tuple),
    obligations=st.lists(
        st.builds(
            Obligation, _names, _assets, _amounts, st.sampled_from(ObligationState), _times, st.text(max_size=35)
        ),
        max_size=3,
    ).map(tuple),
    close_time_ms=_times,
    settled_time_ms=_times,
    seal=_digests,
    previous_seal=_digests,
)
_announcements = st.builds(Announcement, st.just(""), st.integers(1, 2**53 - 1), _times, _windows)
_moved = st.builds(Moved, _names, _assets, st.integers(-(2**53), 2**53), st.integers(1, 2**53 - 1))


@given(_announcements)
def test_what_is_written_of_a_window_is_read(one: Announcement) -> None:
    value = encode_announcement(one)
    assert decode_announcement(value, announcement_headers(one)) == one
    assert encode_announcement(one._replace(place="elsewhere")) == value, "where it waited is nobody's business"


@given(_moved, _times)
def test_what_is_written_of_a_position_is_read(one: Moved, time_ms: int) -> None:
    assert decode_moved(encode_moved(one, time_ms), moved_headers(one, time_ms)) == (one, time_ms)


def test_ids_and_subjects_are_what_the_contract_says() -> None:
    window, position = WINDOWS["window-closed"], MOVED["position"]
    told, said = dict(announcement_headers(window)), dict(moved_headers(position, TIME_MS))
    assert (told["ce_id"], told["ce_subject"], told["ce_partitionkey"]) == (b"hkd-rtgs/15", b"hkd-rtgs.7", b"hkd-rtgs")
    assert (said["ce_id"], said["ce_subject"]) == (b"PEARLPAY|HKD/1041", b"PEARLPAY|HKD")
    assert said["ce_partitionkey"] == b"PEARLPAY|HKD"


def test_a_later_minor_version_is_read() -> None:
    grown = bytes([0xFA, 0x06, 0x03]) + b"new"  # field 111, length-delimited
    window, position = WINDOWS["window-closed"], MOVED["position"]
    told, said = announcement_headers(window), moved_headers(position, TIME_MS)
    assert decode_announcement(encode_announcement(window) + grown, [*told, ("ce_newattribute", b"x")]) == window
    assert decode_moved(encode_moved(position, TIME_MS) + grown, [*said, ("ce_newattribute", b"x")])[0] == position


def test_the_largest_settlement_fits() -> None:
    """A thousand participants that settle three assets each."""
    every = [
        (f"PARTICIPANT{number:05}", asset) for number in range(1_000) for asset in (Asset.HKD, Asset.CNH, Asset.MOP)
    ]
    window = WINDOWS["window-closed"].window._replace(
        positions=tuple(NetPosition(*one, AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX, -AMOUNT_MINOR_MAX) for one in every),
        obligations=tuple(
            Obligation(*one, -AMOUNT_MINOR_MAX, ObligationState.CONFIRMED, TIME_MS, "R" * 35) for one in every
        ),
    )
    assert len(encode_announcement(Announcement("", 1, TIME_MS, window))) < WINDOW_EVENT_BYTES_MAX // 2


REFUSED = """
# event     what is changed                 path                          rule
  window    ce_type other.v2                ce_type                       bayswitch.settlement.window.v1
  window    ce_id other                     ce_id                         equal to event_id
  window    event_id other                  event_id                      <arrangement>/<sequence>
  window    sequence 0                      sequence                      from 1
  window    window.arrangement_id -         window.arrangement_id         missing
  window    window.number 0                 window.number                 from 1
  window    window.state 0                  window.state                  a state of windows
  window    window.positions.asset XAU      window.positions[0].asset     an asset of the switch
  window    window.obligations.asset XAU    window.obligations[0].asset   an asset of the switch
  window    window.obligations.state 9      window.obligations[0].state   a state of obligations
  window    value garbage                   value                         not a WindowEvent
  window    value none                      value                         at most 1000000 bytes
  position  ce_type other.v2                ce_type                       bayswitch.settlement.position.v1
  position  ce_id other                     ce_id                         equal to event_id
  position  event_id other                  event_id                      <participant>|<asset>/<sequence>
  position  participant -                   participant                   missing
  position  asset XAU                       asset                         an asset of the switch
  position  sequence 0                      sequence                      from 1
  position  value garbage                   value                         not a PositionEvent
  position  value long                      value                         at most 8192 bytes
"""
VALUES = {"garbage": b"\xff\xff", "none": None, "long": bytes(EVENT_BYTES_MAX + 1)}


def _changed(message: Any, attributes: dict[str, bytes], what: str, to: str) -> tuple[bytes | None, Any]:
    """The record with one thing changed: a header, a field by its path, or the whole value."""
    if what in attributes:
        return message.SerializeToString(), {**attributes, what: to.encode()}.items()
    if what == "value":
        return VALUES[to], attributes.items()
    *path, name = what.split(".")
    part = message
    for step in path:
        part = getattr(part, step)
        part = part[0] if step in ("positions", "obligations") else part
    setattr(part, name, int(to) if to.isdigit() else to.strip("-"))
    return message.SerializeToString(), attributes.items()


@pytest.mark.parametrize("row", [line for line in REFUSED.strip().splitlines() if not line.startswith("#")])
def test_refused(row: str) -> None:
    kind, what, to, path, rule = row.split(maxsplit=4)
    window, position = WINDOWS["window-closed"], MOVED["position"]
    if kind == "window":
        whole: Any = event_pb2.WindowEvent.FromString(encode_announcement(window))
        read: Any = decode_announcement
        changed = _changed(whole, dict(announcement_headers(window)), what, to)
    else:
        whole = event_pb2.PositionEvent.FromString(encode_moved(position, TIME_MS))
        read = decode_moved
        changed = _changed(whole, dict(moved_headers(position, TIME_MS)), what, to)
    with pytest.raises(CodecError) as refusal:
        read(*changed)
    assert (refusal.value.path, refusal.value.rule) == (path, rule)
