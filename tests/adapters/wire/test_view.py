"""Some fields of a message: read as strictly as all of them, and alike by both twins."""

import random
from typing import Any, NamedTuple

import pytest

from adapters.wire import _reference
from switch.errors import CodecError
from tests.adapters.wire.agreement import mutations, random_header, random_record, twins, verdict
from tests.adapters.wire.sample import HEADER, SAMPLE, Header, Sample, sample

WHOLE, HEADERS = twins(SAMPLE, Sample), twins(HEADER, Header)


class Some(NamedTuple):
    """Some of SAMPLE, in an order of its own."""

    uetr: str
    flag: str | None
    amount_minor: int
    code: str


class Direction(NamedTuple):
    """Some of HEADER."""

    direction: str
    sender: str


class Stranger(NamedTuple):
    """Not of SAMPLE."""

    uetr: str
    colour: str


VIEWS = [codec.view(Some) for codec in WHOLE]
HEADER_VIEWS = [codec.view(Direction) for codec in HEADERS]


def some(found: tuple[Any, ...]) -> tuple[Any, ...]:
    """The verdict of a view, by that of its codec."""
    return ("taken", Some(*(getattr(found[1], name) for name in Some._fields))) if found[0] == "taken" else found


def test_as_strict_as_the_whole_on_100_000_messages() -> None:
    rng = random.Random(5)
    for _ in range(10_000):
        data = WHOLE.compiled.write(random_record(SAMPLE, Sample, rng))
        spaced = data.replace(b"><", b">\n <").replace(b">\n </Rmk", b"></Rmk")
        mutants = mutations(data, rng)
        for message in (data, spaced, *(next(mutants) for _ in range(8))):
            expected = some(verdict(WHOLE.compiled.read, message))
            assert verdict(VIEWS[1].read, message) == expected, message
        assert verdict(VIEWS[0].read, message) == expected, message
        assert type(VIEWS[1].read(data)) is Some


def test_as_strict_as_the_whole_header() -> None:
    rng = random.Random(6)
    for _ in range(5_000):
        data = HEADERS.plain.write(random_header(HEADER, Header, rng))
        at = rng.randrange(len(data))
        for message in (data, data[:at] + bytes([rng.randrange(0x20, 0x60)]) + data[at + 1 :], data[:at]):
            found = verdict(HEADERS.plain.read, message)
            if found[0] == "taken":
                found = ("taken", Direction(found[1].direction, found[1].sender))
            assert [verdict(view.read, message) for view in HEADER_VIEWS] == [found, found], message


@pytest.mark.parametrize("codec", [*WHOLE, *HEADERS])
def test_a_view_has_fields_of_its_message(codec: Any) -> None:
    for wrong in (Stranger, tuple, str):
        with pytest.raises(ValueError, match="a view has some of the fields"):
            codec.view(wrong)


def test_a_sound_message_never_needs_the_plain_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_reference.View, "read")
    data = WHOLE.compiled.write(sample(flag="Y"))
    assert VIEWS[1].read(data) == Some(sample().uetr, "Y", 12_345, "PAYC01")
    assert VIEWS[1].read(data.replace(b"><", b"> <")).flag == "Y"
    header = HEADERS.compiled.write(Header("ALFA", "20250701", "093015", "3", "U"))
    assert HEADER_VIEWS[1].read(header) == Direction("U", "ALFA")


@pytest.mark.parametrize("empty", [b"<Tail></Tail>", b"<Tail><Raw></Raw></Tail>", b"<Tail><Flag></Flag></Tail>"])
def test_an_optional_element_that_says_nothing_is_refused(empty: bytes) -> None:
    """Also in the very form in which the table would write the rest of the message."""
    data = WHOLE.compiled.write(sample()).replace(b"</Doc>", empty + b"</Doc>")
    for read in (WHOLE.plain.read, WHOLE.compiled.read, VIEWS[0].read, VIEWS[1].read):
        with pytest.raises(CodecError):
            read(data)
