"""The twins hold each other: generated records and mutated bytes, one verdict from both."""

import random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.wire import _reference
from adapters.wire.spec import Field, Kind, XmlSpec
from tests.adapters.wire.agreement import assert_twins_agree, mutations, random_header, random_record, twins, verdict
from tests.adapters.wire.sample import HEADER, SAMPLE, Header, Sample

TWINS = twins(SAMPLE, Sample)
HEADER_TWINS = twins(HEADER, Header)


def text_for(field: Field) -> st.SearchStrategy[Any]:
    """Any text at all, right or wrong; from nothing to a little over the length."""
    return st.text(max_size=field.max_chars + 2)


VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.AMOUNT: st.integers(-1, 10**15 + 1) | st.integers(),
    Kind.COUNT: st.integers(-1, 10**15 + 1),
    Kind.DATE_TIME: st.integers(-1, 253_402_272_000_000),
    Kind.LOCAL_TIME: st.integers(-1, 253_402_272_000_000),
    Kind.UETR: st.uuids(version=4).map(str),
    Kind.DATE: st.dates().map(str),
}


def any_value(field: Field) -> st.SearchStrategy[Any]:
    right = st.sampled_from(field.codes) if field.codes else VALUES.get(field.kind, text_for(field))
    return right | right | st.none() | st.sampled_from([0, "", True, b"x", 1.5, "0"])


ANY_RECORD = st.tuples(*(any_value(field) for field in SAMPLE.fields if not field.const)).map(
    lambda values: Sample(*values)
)


@settings(max_examples=300, deadline=None)
@given(ANY_RECORD)
def test_one_verdict_on_any_record(record: Sample) -> None:
    assert verdict(TWINS.plain.write, record) == verdict(TWINS.compiled.write, record)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_round_trip_of_generated_records(seed: int) -> None:
    assert_twins_agree(SAMPLE, Sample, None, 5, seed=seed)
    assert_twins_agree(HEADER, Header, None, 5, seed=seed)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_one_verdict_on_mutated_messages(seed: int) -> None:
    rng = random.Random(seed)
    mutants = mutations(TWINS.plain.write(random_record(SAMPLE, Sample, rng)), rng)
    for _ in range(50):
        mutant = next(mutants)
        found = verdict(TWINS.plain.read, mutant)
        assert verdict(TWINS.compiled.read, mutant) == found, mutant
        if found[0] == "taken":  # what was taken can be written, and is the same when read again
            assert TWINS.compiled.read(TWINS.compiled.write(_whole_seconds(found[1]))) == _whole_seconds(found[1])


def _whole_seconds(record: Sample) -> Sample:
    return record._replace(local=None if record.local is None else record.local // 1000 * 1000)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_one_verdict_on_mutated_headers(seed: int) -> None:
    rng = random.Random(seed)
    data = HEADER_TWINS.plain.write(random_header(HEADER, Header, rng))
    for _ in range(50):
        at = rng.randrange(len(data))
        mutant = data[:at] + bytes([rng.choice((rng.randrange(256), rng.randrange(0x20, 0x40)))]) + data[at + 1 :]
        assert verdict(HEADER_TWINS.plain.read, mutant) == verdict(HEADER_TWINS.compiled.read, mutant), mutant


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(
        *[st.sampled_from(["", " ", "U", "1", "x ", "é", "20250701", "093015", "20250230", "x" * 20, None, 1])] * 5
    )
)
def test_one_verdict_on_any_header_record(values: tuple[Any, ...]) -> None:
    record = Header(*values)
    assert verdict(HEADER_TWINS.plain.write, record) == verdict(HEADER_TWINS.compiled.write, record)


SPEC_VALUES = st.text("0123456789-:.TZ+", max_size=30) | st.text(max_size=30)


@settings(max_examples=200, deadline=None)
@given(SPEC_VALUES, st.sampled_from([kind for kind in Kind if kind < Kind.HEADER_DATE and kind is not Kind.CODE]))
def test_one_verdict_on_any_text_of_a_kind(text: str, kind: Kind) -> None:
    pair = KIND_TWINS[kind]
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    data = f"<R><V>{escaped}</V></R>".encode("utf-8", "surrogatepass")
    assert verdict(pair.plain.read, data) == verdict(pair.compiled.read, data)


@settings(max_examples=300, deadline=None)
@given(
    st.datetimes(),
    st.sampled_from(["", ".1", ".123", ".123456789"]),
    st.sampled_from(["", "Z", "+08:00", "-14:00", "+05:45", "+14:30"]),
)
def test_one_verdict_on_times(moment: Any, fraction: str, offset: str) -> None:
    data = f"<R><V>{moment.replace(microsecond=0).isoformat()}{fraction}{offset}</V></R>".encode()
    pair = KIND_TWINS[Kind.DATE_TIME]
    assert verdict(pair.plain.read, data) == verdict(pair.compiled.read, data)


def test_a_sound_message_never_needs_the_plain_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled road is really taken: with the plain twin's methods gone, every sound message goes through."""
    rng = random.Random(7)
    monkeypatch.delattr(_reference.XmlCodec, "write")
    monkeypatch.delattr(_reference.XmlCodec, "read")
    monkeypatch.delattr(_reference.HeaderCodec, "write")
    monkeypatch.delattr(_reference.HeaderCodec, "read")
    for _ in range(200):
        record = random_record(SAMPLE, Sample, rng)
        data = TWINS.compiled.write(record)
        assert TWINS.compiled.read(data) == record
        assert TWINS.compiled.read(data.replace(b"><", b">\n  <").replace(b">\n  </Rmk", b"></Rmk")) == record
        header = random_header(HEADER, Header, rng)
        assert HEADER_TWINS.compiled.read(HEADER_TWINS.compiled.write(header)) == header


class One(NamedTuple):
    """The record of a message of one field."""

    value: Any


def _kind_twins(kind: Kind) -> Any:
    return twins(XmlSpec("one", "R", {}, (Field("value", "V", kind, min_chars=0),), "tests"), One)


KIND_TWINS: dict[Kind, Any] = {
    kind: _kind_twins(kind) for kind in Kind if kind < Kind.HEADER_DATE and kind is not Kind.CODE
}
