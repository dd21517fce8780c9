"""The plain and the compiled twin side by side: generated messages, mutated bytes, one verdict.

The rails' tests use it too:

    assert_twins_agree(PACS008, CreditTransfer, None, 100_000)

Everything comes from one seed, which stands in the text of a failure.
"""

import random
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from adapters.wire import _reference
from adapters.wire._values import COUNT_MAX, TIME_MS_MAX
from adapters.wire.spec import Field, HeaderField, HeaderSpec, Kind, XmlSpec
from switch.errors import CodecError
from switch.limits import AMOUNT_MINOR_MAX

__all__ = [
    "Twins",
    "assert_twins_agree",
    "mutations",
    "random_header",
    "random_record",
    "random_value",
    "twins",
    "verdict",
]

Generator = Callable[[random.Random], Any]

# Markup that changes the meaning, or only the form, of what stands around it.
_SNIPPETS = (
    b"<!-- c -->", b"<![CDATA[x]]>", b"<?p i?>", b"&amp;", b"&#65;", b"&#x4e2d;", b"&x;", b"&#0;", b"]]>",
    b"\r\n", b"\t ", b" ",
    b"<A/>", b"</A>", b"<", b">", b"&", b'"', b"=", b"\x00", b"\x7f", b"\xc2\x85", b"\xef\xbf\xbe",
    b"\xed\xa0\x80", b"\xff",
    b' xmlns="u"', b' xmlns:p="u"', b"p:", b' x="1"', b"0", b"-", b".", "　".encode(), b"\xef\xbb\xbf",
)  # fmt: skip
_TEXT_ALPHABET = "ABCXYZabcxyz0189 .,-/+'\"&<>éßñ陳大文香港澳門𠮷😀"
_ASCII_ALPHABET = "".join(map(chr, range(0x20, 0x7F)))


class Twins(NamedTuple):
    """Both codecs of one message."""

    plain: Any
    compiled: Any


def twins(spec: XmlSpec | HeaderSpec, record: type[Any]) -> Twins:
    """Both codecs for this table, whatever BAYSWITCH_PURE_PYTHON says."""
    if isinstance(spec, XmlSpec):
        return Twins(_reference.XmlCodec(spec, record), import_module("adapters.wire._xml").XmlCodec(spec, record))
    return Twins(_reference.HeaderCodec(spec, record), import_module("adapters.wire._header").HeaderCodec(spec, record))


def verdict(call: Callable[[Any], Any], given: Any) -> tuple[Any, ...]:
    """What a codec makes of it: the value, or the path and rule of the refusal. Anything else it raises is a fault."""
    try:
        return ("taken", call(given))
    except CodecError as refused:
        return ("refused", refused.path, refused.rule)


def assert_twins_agree(
    spec: XmlSpec | HeaderSpec,
    record: type[Any],
    generator: Generator | None,
    count: int,
    *,
    mutated_share: float = 0.1,
    seed: int | None = None,
) -> None:
    """`count` generated records: same bytes from both, and back the same record from both; of `mutated_share` of the
    messages one mutation, with the same verdict from both. `generator` makes a record of a random.Random; None =
    from the spec."""
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    rng = random.Random(seed)
    make = generator or _generator(spec, record)
    pair = twins(spec, record)
    for _ in range(count):
        made = make(rng)
        written = verdict(pair.plain.write, made)
        assert verdict(pair.compiled.write, made) == written, f"{spec.name}: write, seed {seed}"
        if written[0] == "refused":
            continue
        data = written[1]
        back = verdict(pair.compiled.read, data)
        assert back == ("taken", made), f"{spec.name}: round trip, seed {seed}"
        assert type(back[1]) is record
        assert verdict(pair.plain.read, data) == back, f"{spec.name}: read, seed {seed}"
        if rng.random() < mutated_share:
            mutant = next(mutations(data, rng))
            assert verdict(pair.plain.read, mutant) == verdict(pair.compiled.read, mutant), (
                f"{spec.name}: mutant, seed {seed}"
            )


def _generator(spec: XmlSpec | HeaderSpec, record: type[Any]) -> Generator:
    if isinstance(spec, XmlSpec):
        return _maker(spec, record)
    header = spec
    return lambda rng: random_header(header, record, rng)


def random_record(spec: XmlSpec, record: type[Any], rng: random.Random) -> Any:
    """A record that can be written: half of the optional elements are absent, attributes go with elements."""
    return _maker(spec, record)(rng)


def _maker(spec: XmlSpec, record: type[Any]) -> Generator:
    """`random_record` with all that depends on the spec alone done once."""
    rows = [(field, field.at.partition("/@")[0], "/@" in field.at or field.at[0] == "@") for field in spec.fields]
    optional = [element for field, element, attribute in rows if not (field.const or field.required or attribute)]
    plan = [(field, element, attribute and not field.required) for field, element, attribute in rows if not field.const]

    def make(rng: random.Random) -> Any:
        absent = {element for element in optional if rng.random() < 0.5}
        return record(
            *(
                None if element in absent or (loose and rng.random() < 0.5) else random_value(field, rng)
                for field, element, loose in plan
            )
        )

    return make


def random_value(field: Field, rng: random.Random) -> str | int:
    """A value of the field's kind, the extremes not rare."""
    match field.kind:
        case Kind.TEXT:
            return _random_text(rng, _TEXT_ALPHABET, field).strip(" ").ljust(field.min_chars, "x")
        case Kind.ASCII:
            return _random_text(rng, _ASCII_ALPHABET, field)
        case Kind.DIGITS:
            return _random_text(rng, "0123456789", field)
        case Kind.CODE:
            return rng.choice(field.codes)
        case Kind.AMOUNT:
            return _random_number(rng, AMOUNT_MINOR_MAX)
        case Kind.COUNT:
            return _random_number(rng, COUNT_MAX)
        case Kind.UETR:
            digits = f"{rng.getrandbits(128):032x}"
            return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{rng.choice('89ab')}{digits[17:20]}-{digits[20:]}"
        case Kind.DATE_TIME:
            return _random_number(rng, TIME_MS_MAX)
        case Kind.LOCAL_TIME:
            return _random_number(rng, TIME_MS_MAX) // 1000 * 1000
        case _:
            return f"{rng.randint(1, 9999):04}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def random_header(spec: HeaderSpec, record: type[Any], rng: random.Random) -> Any:
    """A record of a header that can be written."""
    return record(*(_random_header_text(field, rng) for field in spec.fields if not field.const))


def _random_header_text(field: HeaderField, rng: random.Random) -> str:
    if not field.required and rng.random() < 0.2:
        return ""
    match field.kind:
        case Kind.CODE:
            return rng.choice(field.codes)
        case Kind.HEADER_DATE:
            return f"{rng.randint(1, 9999):04}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
        case Kind.HEADER_TIME:
            return f"{rng.randint(0, 23):02}{rng.randint(0, 59):02}{rng.randint(0, 59):02}"
        case kind:
            alphabet = "0123456789" if kind is Kind.DIGITS else _ASCII_ALPHABET
            text = "".join(rng.choices(alphabet, k=rng.randint(1, field.length)))
            return text.rstrip(" ") or "x"


def _random_text(rng: random.Random, alphabet: str, field: Field) -> str:
    longest = field.max_chars if rng.random() < 0.1 else min(field.max_chars, field.min_chars + 12)
    return "".join(rng.choices(alphabet, k=rng.randint(field.min_chars, longest)))


def _random_number(rng: random.Random, most: int) -> int:
    return rng.choice((0, most, rng.randint(0, most), rng.randint(0, 10 ** rng.randint(1, 12))))


def mutations(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Without end: `data` with one to three things done to it: a bit or byte changed, a run deleted, doubled or moved,
    two neighbours swapped, markup put in, the end cut off."""
    while True:
        mutant = data
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            mutant = _mutated(mutant, rng) or data
        yield mutant


def _mutated(data: bytes, rng: random.Random) -> bytes:
    at, run = rng.randrange(len(data)), rng.choice((1, 1, 2, 8, 40))
    tags = [tag.start() for tag in re.finditer(b"<", data)]
    match rng.randrange(9):
        case 0:
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 1:
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case 2:
            return data[:at] + data[at + run :]
        case 3:
            return data[:at] + rng.choice(_SNIPPETS) + data[at:]
        case 4:  # copy a run to another place
            other = rng.randrange(len(data))
            return data[:other] + data[at : at + run] + data[other:]
        case 5:
            return data[:at]
        case 6 if len(tags) > 4:  # between two tags
            at = rng.choice(tags)
            return data[:at] + rng.choice(_SNIPPETS) + data[at:]
        case 7 if len(tags) > 4:  # a whole stretch from tag to tag, deleted or doubled
            first, second = sorted(rng.sample(tags, 2))
            return data[:first] + data[first:second] * rng.choice((0, 2)) + data[second:]
        case 8 if len(tags) > 4:  # two stretches change places
            first, second, third = sorted(rng.sample(tags, 3))
            return data[:first] + data[second:third] + data[first:second] + data[third:]
        case _:
            return data[:at] + data[at:].replace(b"0", b"9", 1)
