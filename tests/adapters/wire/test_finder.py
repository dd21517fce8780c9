"""A look at a message without reading it: what is found, what is not, and one answer from both twins."""

import random
from importlib import import_module
from typing import Any

import pytest

from adapters.wire import _look
from tests.adapters.wire.agreement import mutations, random_record, twins
from tests.adapters.wire.sample import SAMPLE, Sample

FINDERS = [_look.Finder, import_module("adapters.wire._finder").Finder]

FOUND = [
    # message, what is found of A and B
    (b"<A>1</A><B>2</B>", ("1", "2")),
    (b"<R><h:A>1</h:A>\n <p-1.x:B>\t2 \r\n</p-1.x:B></R>", ("1", "2")),
    (b"<B>0</B><A>1</A><B>2</B>", ("1", "2")),  # each behind the one before
    (b"<B>2</B><A>1</A>", ("1", None)),
    (b"<B>2</B>", (None, None)),
    (b"<A>1</A><AB>0</AB></B>3<B>2</B>", ("1", "2")),  # no end tag, no other name
    (b"<A></A><A> </A><A><B>2</B></A><A>1</A>", ("1", None)),  # an element that holds no text is passed over
    (b"<A>1 2</A><A>&amp;</A><A>\xc3\xa9</A><A>\x7f</A><A>3</A><B>4</B>", ("3", "4")),  # nor is this text of an id
    (b"<A>" + b"x" * 65 + b"</A><A>" + b"y" * 64 + b"</A>", ("y" * 64, None)),
    (b'<A x="1">1</A>', (None, None)),
    (b"<:A>1</:A>A>1<<p/:A>1<", (None, None)),
    (b"<A>1", (None, None)),
    (b"<A>", (None, None)),
    (b"<A", (None, None)),
    (b"", (None, None)),
]


@pytest.fixture(params=FINDERS, ids=["plain", "compiled"])
def finder(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(("message", "found"), FOUND)
def test_what_is_found(finder: Any, message: bytes, found: tuple[str | None, ...]) -> None:
    assert finder("A", "B").find(message) == found


@pytest.mark.parametrize("names", [(), ("",), ("A", "h:A"), ("A>",), ("A B",)])
def test_names_of_elements_only(finder: Any, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="names"):
        finder(*names)


def test_bytes_only(finder: Any) -> None:
    with pytest.raises(TypeError):
        finder("A").find(None)


def test_one_answer_on_100_000_messages() -> None:
    """Whole, and with something done to them."""
    rng, pair = random.Random(11), twins(SAMPLE, Sample)
    plain, compiled = (finder("Nb", "Svc", "Uetr", "Id", "Dgt") for finder in FINDERS)
    for _ in range(10_000):
        data = pair.compiled.write(random_record(SAMPLE, Sample, rng))
        assert plain.find(data)[2] == pair.compiled.read(data).uetr
        mutants = mutations(data, rng)
        for message in (data, *(next(mutants) for _ in range(9))):
            assert plain.find(message) == compiled.find(message), message
