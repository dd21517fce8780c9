"""Wrong input as data: what is spoilt in a good instruction, and the refusal that is right for it."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ["WRONG", "Fault"]


class Fault(NamedTuple):
    """`spoil` changes an instruction in place; `expect` is gRPC status and our reason. `participant`: who calls instead."""

    name: str
    spoil: Callable[[Any], object]
    expect: str
    participant: str = ""


def _upper_uetr(request: Any) -> None:
    request.uetr = request.uetr.upper().replace("-", "_")


def _no_amount(request: Any) -> None:
    request.debit.amount_minor = 0


def _unknown_asset(request: Any) -> None:
    request.debit.asset = "XAU"


def _no_scheme(request: Any) -> None:
    request.creditor.account.scheme = 0


def _long_reference(request: Any) -> None:
    request.end_to_end_id = "X" * 36


WRONG: Final = (
    Fault("wrong uetr", _upper_uetr, "INVALID_ARGUMENT FIELD_INVALID"),
    Fault("no amount", _no_amount, "INVALID_ARGUMENT FIELD_MISSING"),
    Fault("unknown asset", _unknown_asset, "INVALID_ARGUMENT FIELD_INVALID"),
    Fault("no scheme", _no_scheme, "INVALID_ARGUMENT FIELD_MISSING"),
    Fault("long reference", _long_reference, "INVALID_ARGUMENT FIELD_INVALID"),
    Fault("operator pays", lambda request: None, "PERMISSION_DENIED CALLER_NOT_PERMITTED", "OPERATOR"),
)
