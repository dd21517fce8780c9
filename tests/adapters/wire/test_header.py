"""Fixed-width headers, both twins: padding, rules, and the vectors of CNAPS2 and dcep."""

from typing import Any, NamedTuple

import pytest

from adapters.wire import HeaderField, HeaderSpec, Kind
from tests.adapters.wire.agreement import twins, verdict
from tests.adapters.wire.sample import HEADER, Header
from tests.vectors import vectors

TWINS = twins(HEADER, Header)
PLAIN = Header(sender="C1010411000013", date="20250701", time="093015", priority="3", direction="U")
DATA = b"{H:02C101041100001320250701093015" + b"3U}\r\n"


@pytest.fixture(params=["plain", "compiled"])
def codec(request: pytest.FixtureRequest) -> Any:
    return getattr(TWINS, request.param)


def test_round_trip_and_padding(codec: Any) -> None:
    assert codec.length == 38
    assert codec.write(PLAIN) == DATA
    assert codec.read(DATA) == PLAIN
    short = PLAIN._replace(sender="IBPS", time="")
    assert codec.write(short) == b"{H:02IBPS          20250701      3U}\r\n"
    assert codec.read(codec.write(short)) == short
    assert type(codec.read(DATA)) is Header


WRITE = """
# field      value               rule
  sender     ""                  MISSING
  sender     None                KIND
  sender     1                   KIND
  sender     "123456789012345"   LENGTH
  sender     "x "                CHARACTER
  sender     " "                 CHARACTER
  sender     "é"                 CHARACTER
  sender     "a\\n"              CHARACTER
  date       "20250229"          DATE
  date       "2025071"           DATE
  time       "240000"            TIME
  time       "0930"              TIME
  priority   "x"                 CHARACTER
  direction  "X"                 DIRECTION
"""


@pytest.mark.parametrize("row", [row for row in WRITE.splitlines() if row.strip() and not row.startswith("#")])
def test_refuses_to_write(codec: Any, row: str) -> None:
    field, rest = row.split(maxsplit=1)
    value, rule = rest.rsplit(maxsplit=1)
    assert verdict(codec.write, PLAIN._replace(**{field: eval(value)})) == ("refused", field, rule)


@pytest.mark.parametrize(
    ("data", "path", "rule"),
    [
        (DATA[:-1], "/", "LENGTH"),
        (DATA + b" ", "/", "LENGTH"),
        (b"", "/", "LENGTH"),
        (DATA.replace(b"{H:", b"{h:"), "open", "CONST"),
        (DATA.replace(b"\r\n", b"\n\n"), "close", "CONST"),
        (DATA.replace(b"{H:02", b"{H:04"), "version", "VERSION"),
        (DATA.replace(b"U}", b"X}"), "direction", "DIRECTION"),
        (DATA.replace(b"U}", b" }"), "direction", "MISSING"),
        (DATA.replace(b"C101", b"C\xff01"), "sender", "CHARACTER"),
        (DATA.replace(b"C101", b"C\x0001"), "sender", "CHARACTER"),
        (DATA.replace(b"0701", b"0732"), "date", "DATE"),
        (DATA.replace(b"093015", b"093060"), "time", "TIME"),
    ],
)
def test_refuses_to_read(codec: Any, data: bytes, path: str, rule: str) -> None:
    assert verdict(codec.read, data) == ("refused", path, rule)


_DIRECTION = HeaderField("direction", 1, Kind.CODE, codes=("U", "D"), rule="DIRECTION", required=True)
_PRIORITY = HeaderField("priority", 1, Kind.CODE, codes=("1", "2", "3"), required=True)
_MIDDLE = (
    HeaderField("sender", 14),
    HeaderField("sender_system", 4),
    HeaderField("receiver", 14),
    HeaderField("receiver_system", 4),
    HeaderField("date", 8, Kind.HEADER_DATE),
    HeaderField("time", 6, Kind.HEADER_TIME),
    HeaderField("structure", 3, const="XML"),
    HeaderField("message_type", 20),
)
CNAPS2 = HeaderSpec(
    "CNAPS2 header",
    (
        HeaderField("open", 3, const="{H:"),
        HeaderField("version", 2, const="02", rule="VERSION"),
        *_MIDDLE,
        HeaderField("message_id", 20),
        HeaderField("reference_id", 20),
        _PRIORITY,
        _DIRECTION,
        HeaderField("reserve", 9),
        HeaderField("close", 3, const="}\r\n"),
    ),
    "rails.md C1",
)
DCEP = HeaderSpec(
    "dcep header",
    (
        HeaderField("open", 3, const="{H:"),
        HeaderField("version", 2, const="04", rule="VERSION"),
        *_MIDDLE,
        HeaderField("message_id", 40),
        HeaderField("reference_id", 40),
        _PRIORITY,
        _DIRECTION,
        HeaderField("sender_reserve", 10),
        HeaderField("receiver_reserve", 10),
        HeaderField("centre_reserve", 10),
        HeaderField("reserve", 9),
        HeaderField("close", 3, const="}\r\n"),
    ),
    "rails.md D2",
)


def record_of(spec: HeaderSpec) -> Any:
    return NamedTuple("Row", [(field.name, str) for field in spec.fields if not field.const])


@pytest.mark.parametrize("twin", ["plain", "compiled"])
@pytest.mark.parametrize("vector", vectors("cnaps2_header", "dcep_header"), ids=lambda vector: vector.reason)
def test_vectors(vector: Any, twin: str) -> None:
    spec, length = (CNAPS2, 132) if vector.kind == "cnaps2_header" else (DCEP, 202)
    codec = getattr(twins(spec, record_of(spec)), twin)
    assert codec.length == length
    found = verdict(codec.read, vector.input.encode("latin-1"))
    assert (found[0] == "taken") == vector.valid
    assert vector.valid or found[2] == vector.reason


class One(NamedTuple):
    """The record of a header of one field."""

    a: str


BAD_SPECS = (
    (HeaderField("a", 3, const="{H"), "fills"),
    (HeaderField("a", 2, const="é"), "fills"),
    (HeaderField("", 2), "a name"),
    (HeaderField("a", 0), "a name"),
    (HeaderField("a", 2, Kind.AMOUNT), "a kind"),
    (HeaderField("a", 7, Kind.HEADER_DATE), "too short"),
    (HeaderField("a", 2, Kind.CODE), "codes"),
    (HeaderField("a", 2, codes=("x",)), "codes"),
    (HeaderField("a", 2, Kind.CODE, codes=("xyz",)), "codes"),
)


@pytest.mark.parametrize(("field", "text"), BAD_SPECS)
def test_a_malformed_table_is_refused_at_once(field: HeaderField, text: str) -> None:
    spec = HeaderSpec("bad", (field,), "tests")
    with pytest.raises(ValueError, match=text):
        twins(spec, One)


def test_the_record_must_fit() -> None:
    with pytest.raises(ValueError, match="must have exactly"):
        twins(HEADER, One)
