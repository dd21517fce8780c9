"""Length-prefixed frames, both twins."""

from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.errors import CodecError

TWINS = ("_reference", "_header")


@pytest.fixture(params=TWINS)
def wire(request: pytest.FixtureRequest) -> Any:
    return import_module(f"adapters.wire.{request.param}")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1), st.sampled_from(TWINS))
def test_frames_come_back_in_any_slices(payloads: list[bytes], cuts: list[int], twin: str) -> None:
    wire = import_module(f"adapters.wire.{twin}")
    stream = b"".join(wire.frame(payload) for payload in payloads)
    deframer = wire.Deframer(40)
    got, turn = [], 0
    while stream:
        size = cuts[turn % len(cuts)]
        got += deframer.feed(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert got == payloads
    assert deframer.pending_bytes == 0


def test_the_length_is_four_bytes_most_significant_first(wire: Any) -> None:
    assert wire.frame(b"x" * 258) == b"\x00\x00\x01\x02" + b"x" * 258
    assert wire.frame(b"") == bytes(4)


def test_a_cut_stream_shows_what_is_pending(wire: Any) -> None:
    deframer = wire.Deframer(10)
    assert deframer.feed(b"") == []
    assert deframer.feed(b"\x00\x00\x00\x03ab") == []
    assert deframer.pending_bytes == 6
    assert deframer.feed(bytearray(b"c\x00")) == [b"abc"]
    assert deframer.pending_bytes == 1


def test_oversize_is_refused_by_its_length_alone_and_for_ever(wire: Any) -> None:
    deframer = wire.Deframer(3)
    assert deframer.feed(wire.frame(b"abc")) == [b"abc"]
    for data in (b"\x00\x00\x00\x04", b"abcd", wire.frame(b"abc"), b"\x80"):
        with pytest.raises(CodecError) as refused:
            deframer.feed(data)
        assert (refused.value.path, refused.value.rule) == ("/", "SIZE")
        assert deframer.pending_bytes == 4


def test_the_largest_length_is_no_negative_number(wire: Any) -> None:
    with pytest.raises(CodecError):
        wire.Deframer(2**31).feed(b"\xff\xff\xff\xff")


@pytest.mark.parametrize("max_bytes", [0, -1, 2**32])
def test_the_bound_is_a_bound(wire: Any, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        wire.Deframer(max_bytes)
