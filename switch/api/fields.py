"""Checks of single fields. Each returns the domain's value or refuses with path and rule, never with the value."""

import re
import unicodedata
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NoReturn, TypeVar

from bayswitch.v1 import common_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from switch.contract import timestamp
from switch.domain.document import Document, DocumentType, parse_document
from switch.domain.identifiers import parse_account, parse_participant_id
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.errors import InvalidValue, Refused
from switch.limits import AMOUNT_MINOR_MAX, NAME_CHARS_MAX

__all__ = [
    "amount",
    "asset",
    "choice",
    "creditor_agent",
    "document",
    "identifier",
    "instant_ms",
    "missing",
    "money",
    "participant_id",
    "party",
    "purpose",
    "text",
    "timestamp",
    "wrong",
]

_ASSETS: Final = {member.name: member for member in Asset}
_PLACES: Final = {member.value: member for member in Place}
_SCHEMES: Final = {member.value: member for member in Scheme}
_DOCUMENT_TYPES: Final = {member.value: member for member in DocumentType}
_WALLET_LEVEL_MAX: Final = 4  # e-CNY wallet tiers WL01 .. WL04

_CREDITOR_AGENT: Final = re.compile(r"[0-9A-Z]{3,14}", re.ASCII)  # clearing code .. 14-character institution id
_PURPOSE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,34}", re.ASCII)
# Control, format (they can turn the reading direction), surrogate, line and paragraph separators. Private use and
# unassigned stay: names are written with characters younger than this Python and with Hong Kong's own (HKSCS).
_UNWANTED_CATEGORIES: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_NONCHARACTERS: Final = frozenset("\ufffe\uffff")  # no XML document may hold them

_Member = TypeVar("_Member", bound=IntEnum)


def missing(field: str) -> NoReturn:
    """Refuse: the field must be filled."""
    raise Refused("FIELD_MISSING", f"{field} must be filled", field=field, figures={"rule": "MISSING"})


def wrong(field: str, rule: str, message: str) -> NoReturn:
    """Refuse: the field breaks the rule. `message` says the rule in words."""
    raise Refused("FIELD_INVALID", message, field=field, figures={"rule": rule})


def identifier(value: str, parse: Callable[[str], str], field: str) -> str:
    """A text with a rule of its own, in canonical form."""
    if not value:
        missing(field)
    try:
        return parse(value)
    except InvalidValue as broken:
        return wrong(field, broken.rule, str(broken))


def participant_id(value: str, field: str) -> str:
    return identifier(value, parse_participant_id, field)


def text(value: str, field: str, chars_max: int) -> str:
    """Text of a person, "" when empty: at most `chars_max` characters, none of them a control; trimmed."""
    if not value.isprintable() and any(map(_unwanted, value)):
        wrong(field, "CONTROL", "control and formatting characters are not taken")
    value = value.strip()
    if len(value) > chars_max:
        wrong(field, "LENGTH", f"at most {chars_max} characters")
    return value


def _unwanted(character: str) -> bool:
    return unicodedata.category(character) in _UNWANTED_CATEGORIES or character in _NONCHARACTERS


def choice(number: int, table: dict[int, _Member], field: str) -> _Member:
    """A member of an enum; 0 is "not said", any other unknown number is from a contract newer than ours."""
    member = table.get(number)
    if member is None:
        if number == 0:
            missing(field)
        wrong(field, "ENUM", "not a value of this enum that this server knows")
    return member


def place(number: int, field: str) -> Place:
    return choice(number, _PLACES, field)


def scheme(number: int, field: str) -> Scheme:
    return choice(number, _SCHEMES, field)


def asset(code: str, field: str) -> Asset:
    member = _ASSETS.get(code)
    if member is None:
        if not code:
            missing(field)
        wrong(field, "ASSET", "one of " + ", ".join(_ASSETS))
    return member


def amount(amount_minor: int, field: str, *, zero: bool = False) -> int:
    """Minor units, 1 .. AMOUNT_MINOR_MAX; 0 as well where `zero` says so."""
    if 0 < amount_minor <= AMOUNT_MINOR_MAX or (zero and amount_minor == 0):
        return amount_minor
    if amount_minor == 0:
        missing(field)
    if amount_minor < 0:
        wrong(field, "SIGN", "an amount carries no sign")
    return wrong(field, "LENGTH", f"at most {AMOUNT_MINOR_MAX}")


def money(message: common_pb2.Money, field: str, *, zero: bool = False) -> Money:
    return Money(
        asset(message.asset, field + ".asset"), amount(message.amount_minor, field + ".amount_minor", zero=zero)
    )


def party(message: common_pb2.Party, field: str) -> Party:
    """A debtor or a creditor: name, place and account always, the document when it is there."""
    name = text(message.name, field + ".name", NAME_CHARS_MAX)
    if not name:
        missing(field + ".name")
    where = place(message.place, field + ".place")
    if not message.HasField("account"):
        missing(field + ".account")
    address = account(message.account, field + ".account")
    papers = document(message.document, field + ".document") if message.HasField("document") else None
    return Party(name, where, address, papers)


def account(message: common_pb2.Account, field: str) -> Account:
    kind = scheme(message.scheme, field + ".scheme")
    value = message.value
    if not value:
        missing(field + ".value")
    try:
        value = parse_account(kind, value)
    except InvalidValue as broken:
        wrong(field + ".value", broken.rule, str(broken))
    level = message.level
    if level and not (kind is Scheme.WALLET_ID and 0 < level <= _WALLET_LEVEL_MAX):
        wrong(field + ".level", "RANGE", f"1 .. {_WALLET_LEVEL_MAX}, and only with SCHEME_WALLET_ID; else 0")
    return Account(kind, value, level)


def document(message: common_pb2.Document, field: str) -> Document:
    kind = document_type(message.type, field + ".type")
    if not message.number:
        missing(field + ".number")
    try:
        return parse_document(kind, message.number)
    except InvalidValue as broken:
        return wrong(field + ".number", broken.rule, str(broken))


def document_type(number: int, field: str) -> DocumentType:
    return choice(number, _DOCUMENT_TYPES, field)


def creditor_agent(value: str, kind: Scheme | None = None) -> str:
    """The institution on the creditor's rail, "" when none is named; an account number means nothing without it."""
    if not value:
        if kind is Scheme.ACCOUNT:
            missing("creditor_agent")
        return ""
    if _CREDITOR_AGENT.fullmatch(value) is None:
        wrong("creditor_agent", "FORMAT", "3 to 14 of 0-9 A-Z: a clearing code or an institution id")
    return value


def purpose(value: str) -> str:
    """A purpose's name, "" when none is stated. Whether the corridor takes it, the router says."""
    if value and _PURPOSE.fullmatch(value) is None:
        wrong("purpose", "FORMAT", "a purpose of the corridor, e.g. FAMILY_SUPPORT; see CheckRoute")
    return value


# --- times -----------------------------------------------------------------------------------------------------------
def instant_ms(message: Timestamp, field: str) -> int:
    """Unix milliseconds; what is finer is cut off. From 1970 to the year 9999, as google.protobuf.Timestamp allows."""
    if not (0 <= message.seconds < 253_402_300_800 and 0 <= message.nanos < 1_000_000_000):
        wrong(field, "RANGE", "a time from 1970 to the year 9999")
    return message.seconds * 1000 + message.nanos // 1_000_000
