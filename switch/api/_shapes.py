"""What the common values look like, asked of the rules themselves when the process starts.

A shape says which characters may stand at which place. It is learnt from an example: every character is tried at every
place, and what the rule takes unchanged belongs to the shape. So no limit is written twice, and a rule that is changed
changes its shapes. A shape may know less than its rule (then the rule is asked for the value itself), never more: an
example is chosen so that its places do not depend on each other, and tests/api/test_shapes.py tries it.
Measured: the rules in Python cost 0.3 to 0.7 us an address and 0.7 to 5 us a document; a shape costs under 0.05 us.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Final, NamedTuple

from bayswitch.v1 import common_pb2

from switch.api import fields
from switch.domain.document import DocumentType, parse_document
from switch.domain.identifiers import parse_account, parse_request_id, parse_uetr
from switch.domain.party import Scheme
from switch.errors import InvalidValue, Refused

__all__ = [
    "ACCOUNTS",
    "CREDITOR_AGENT",
    "DOCUMENTS",
    "LEVEL_MAX",
    "MAINLAND_PROVINCES",
    "PERMIT_PLACES",
    "PLACES_MAX",
    "PURPOSE",
    "REQUEST_ID",
    "UETR",
    "Shape",
]

PLACES_MAX: Final = 64  # one bit each in `Shape.places`

_CHARACTERS: Final = [chr(code) for code in range(0x20, 0x7F)]
_Rule = Callable[[str], str]


class Shape(NamedTuple):
    """Texts of `chars_min` to `chars_max` ASCII characters; bit n of places[c]: character c may stand at place n."""

    chars_min: int
    chars_max: int
    places: Sequence[int]


def _takes(rule: _Rule, text: str) -> bool:
    """The rule takes the text, and as it is."""
    try:
        return rule(text) == text
    except (InvalidValue, Refused):
        return False


def _shape(chars_min: int, chars_max: int, sets: Sequence[set[str]]) -> Shape:
    assert 0 < chars_min <= chars_max <= PLACES_MAX
    assert len(sets) == chars_max
    places = [sum(1 << place for place, each in enumerate(sets) if chr(code) in each) for code in range(256)]
    return Shape(chars_min, chars_max, places)


def _form(rule: _Rule, example: str, fixed: str = "") -> Shape:
    """Texts of one length, whose places are free of each other. `fixed` stands before the example in all of them."""
    assert _takes(rule, fixed + example), "an example has to follow its rule"
    sets: list[set[str]] = [{character} for character in fixed]
    for place in range(len(example)):
        before, after = fixed + example[:place], example[place + 1 :]
        sets.append({each for each in _CHARACTERS if _takes(rule, before + each + after)})
    return _shape(len(sets), len(sets), sets)


def _run(rule: _Rule) -> Shape:
    """Texts of several lengths; only the first character may have a set of its own."""
    sizes = [size for size in range(1, PLACES_MAX + 1) if _takes(rule, "A" * size)]
    least, most = sizes[0], sizes[-1]
    assert sizes == list(range(least, most + 1)), "one run of lengths"
    rest = "A" * (max(least, 2) - 1)
    first = {each for each in _CHARACTERS if _takes(rule, each + rest)}
    later = {each for each in _CHARACTERS if _takes(rule, rest + each)}
    return _shape(least, most, [first, *[later] * (most - 1)])


def _account(scheme: Scheme, example: str, fixed: str = "") -> Shape:
    return _form(partial(parse_account, scheme), example, fixed)


def _number(kind: DocumentType, number: str) -> str:
    return parse_document(kind, number).number


def _paper(kind: DocumentType, example: str) -> Shape:
    return _form(partial(_number, kind), example)


def _begins(kind: DocumentType, rest_of_region: str) -> frozenset[int]:
    """The first two digits of the regions that an 18-digit card may name. The check character is whichever fits."""
    rule, rest = partial(_number, kind), f"{rest_of_region}19900101001"
    cards = {number: f"{number:02d}{rest}" for number in range(100)}
    return frozenset(
        number for number, card in cards.items() if any(_takes(rule, card + check) for check in "0123456789X")
    )


def _level_max(scheme: Scheme, value: str) -> int:
    """The highest wallet tier that is taken with an address of this scheme; 0 is "not said"."""
    name = common_pb2.Scheme.Name(scheme.value)

    def taken(level: int) -> bool:
        try:
            fields.account(common_pb2.Account(scheme=name, value=value, level=level), "")
        except Refused:
            return False
        return True

    return next(level for level in count() if not taken(level + 1))


REQUEST_ID: Final = _run(parse_request_id)
UETR: Final = _form(parse_uetr, "00000000-0000-4000-8000-000000000000")
CREDITOR_AGENT: Final = _run(fields.creditor_agent)
PURPOSE: Final = _run(fields.purpose)

# Addresses that are not here (emails, FPS identifiers, mobiles of other places, payment codes) are asked of their rule.
ACCOUNTS: Final[Mapping[Scheme, Sequence[Shape]]] = {
    Scheme.ACCOUNT: (_run(partial(parse_account, Scheme.ACCOUNT)),),
    Scheme.MOBILE: (
        _account(Scheme.MOBILE, "61234567", "+852-"),
        _account(Scheme.MOBILE, "66123456", "+853-"),
        _account(Scheme.MOBILE, "13800138000", "+86-"),
    ),
    Scheme.WALLET_ID: (_account(Scheme.WALLET_ID, "0012000000000001"),),
    Scheme.ALIPAY_LOGIN: (_account(Scheme.ALIPAY_LOGIN, "13800138000"),),
    Scheme.ALIPAY_USER: (_account(Scheme.ALIPAY_USER, "2088000000000001"),),
}
LEVEL_MAX: Final = {Scheme.WALLET_ID: _level_max(Scheme.WALLET_ID, "0012000000000001")}

# Those with a check character are in _plain.pyx.
DOCUMENTS: Final[Mapping[DocumentType, Sequence[Shape]]] = {
    DocumentType.HOME_RETURN_PERMIT: (_paper(DocumentType.HOME_RETURN_PERMIT, "H12345678"),),
    DocumentType.MACAU_BIR: (_paper(DocumentType.MACAU_BIR, "1234567(8)"),),
    DocumentType.PASSPORT: (_run(partial(_number, DocumentType.PASSPORT)),),
    DocumentType.TAIWAN_PERMIT: (_paper(DocumentType.TAIWAN_PERMIT, "12345678"),),
}
# Of 18-digit cards: a mainland region is any in its province, that of a residence permit is a whole place.
MAINLAND_PROVINCES: Final = _begins(DocumentType.MAINLAND_ID, "0101")
PERMIT_PLACES: Final = _begins(DocumentType.RESIDENCE_PERMIT, "0000")
