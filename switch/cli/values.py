"""Texts of the command line, and of a scenario's file, to values of the contract; wrong ones are usage errors."""

from typing import Any

import typer
from bayswitch.v1 import common_pb2, payment_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from switch.domain.money import Asset, Rate, parse_amount
from switch.errors import InvalidValue

__all__ = [
    "document",
    "document_name",
    "money",
    "money_message",
    "party",
    "place",
    "rate",
    "scheme",
    "state",
    "state_name",
    "time",
]

_DOCUMENT, _PLACE, _SCHEME, _STATE = "DOCUMENT_TYPE_", "PLACE_", "SCHEME_", "PAYMENT_STATE_"


def money(text: str) -> tuple[str, int]:
    """'HKD 100.00' -> ('HKD', 10000). Raises typer.BadParameter with the rule."""
    asset, _, amount = text.strip().partition(" ")
    if asset not in Asset.__members__:
        raise typer.BadParameter(f"an amount is 'ASSET AMOUNT'; assets: {', '.join(Asset.__members__)}")
    try:
        return asset, parse_amount(Asset[asset].iso, amount.strip())
    except InvalidValue as error:
        raise typer.BadParameter(f"{error.rule}: {error}") from None


def money_message(text: str) -> common_pb2.Money:
    """'HKD 100.00' as the contract has it."""
    asset, amount_minor = money(text)
    return common_pb2.Money(asset=asset, amount_minor=amount_minor)


def rate(text: str) -> Rate:
    """'9150/10000' -> Rate(9150, 10000): credit per debit, of integers. Raises typer.BadParameter."""
    numerator, slash, denominator = text.partition("/")
    if not (slash and all(part.isascii() and part.isdigit() and int(part) for part in (numerator, denominator))):
        raise typer.BadParameter("a rate is NUMERATOR/DENOMINATOR, two positive whole numbers")
    return Rate(int(numerator), int(denominator))


def party(name: str, where: str, kind: str, value: str, papers: str = "", level: int = 0) -> common_pb2.Party:
    """A debtor or creditor. `papers`: TYPE:NUMBER or ""."""
    account = common_pb2.Account(scheme=scheme(kind), value=value, level=level)
    return common_pb2.Party(name=name, place=place(where), account=account, document=document(papers))


def place(text: str) -> common_pb2.Place:
    """'HK' -> PLACE_HK."""
    found: common_pb2.Place = _number(common_pb2.Place, _PLACE, text)
    return found


def scheme(text: str) -> common_pb2.Scheme:
    """'mobile' -> SCHEME_MOBILE."""
    found: common_pb2.Scheme = _number(common_pb2.Scheme, _SCHEME, text)
    return found


def state(text: str) -> payment_pb2.PaymentState:
    """'committed' -> PAYMENT_STATE_COMMITTED."""
    found: payment_pb2.PaymentState = _number(payment_pb2.PaymentState, _STATE, text)
    return found


def document(text: str, *, number_needed: bool = True) -> common_pb2.Document | None:
    """'HKID:A123456(3)' -> Document; '' -> None. The number is not echoed."""
    if not text:
        return None
    kind, _, number = text.partition(":")
    if number_needed and not number:
        raise typer.BadParameter("papers are TYPE:NUMBER, e.g. HKID:A123456(3)")
    return common_pb2.Document(type=_number(common_pb2.DocumentType, _DOCUMENT, kind), number=number)


def time(text: str) -> Timestamp:
    """RFC 3339, with its zone -> Timestamp."""
    found = Timestamp()
    try:
        found.FromJsonString(text)
    except ValueError:
        raise typer.BadParameter("a time is RFC 3339, e.g. 2026-01-31T08:00:00+08:00") from None
    return found


def state_name(number: int) -> str:
    """PAYMENT_STATE_COMMITTED -> 'COMMITTED'; of a newer switch, its number."""
    names: dict[int, str] = {value: name for name, value in payment_pb2.PaymentState.items()}
    return names.get(number, str(number)).removeprefix(_STATE)


def document_name(number: int) -> str:
    """DOCUMENT_TYPE_HKID -> 'HKID'."""
    names: dict[int, str] = {value: name for name, value in common_pb2.DocumentType.items()}
    return names.get(number, str(number)).removeprefix(_DOCUMENT)


def _number(enum: Any, prefix: str, text: str) -> Any:
    numbers: dict[str, int] = {name.removeprefix(prefix): value for name, value in enum.items() if value}
    if text.upper() not in numbers:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(name.lower() for name in numbers)}")
    return numbers[text.upper()]
