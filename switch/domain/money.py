"""Assets, amounts, rates. Integers only: an amount is a count of minor units, a rate a ratio of two integers."""

import re
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from switch.errors import InvalidValue
from switch.limits import AMOUNT_MINOR_MAX, RATE_TERM_MAX

__all__ = [
    "ISO_MINOR_DIGITS",
    "PEG_HKD_MOP",
    "Asset",
    "Money",
    "Rate",
    "Rounding",
    "convert",
    "format_amount",
    "parse_amount",
    "parse_minor",
]


class Asset(IntEnum):
    """What a position is kept in. Onshore, offshore and digital renminbi are three assets with one ISO code."""

    CNY = 1  # onshore renminbi
    CNH = 2  # offshore renminbi, cleared over Bank of China (Hong Kong); rails.md A1
    ECNY = 3  # digital renminbi; rails.md D
    HKD = 4
    MOP = 5
    EHKD = 6  # sandbox; rails.md A8
    EMOP = 7  # sandbox; rails.md B3

    @property
    def iso(self) -> str:
        """The ISO 4217 code a rail writes for this asset (CNH and ECNY are not ISO codes; rails.md F3)."""
        return _ISO_OF[self]


_ISO_OF: Final = {
    Asset.CNY: "CNY",
    Asset.CNH: "CNY",
    Asset.ECNY: "CNY",
    Asset.HKD: "HKD",
    Asset.MOP: "MOP",
    Asset.EHKD: "HKD",
    Asset.EMOP: "MOP",
}

# Decimals of a currency on the wire (ISO 4217; rails.md F3). Every asset of ours has two.
ISO_MINOR_DIGITS: Final = {
    "HKD": 2, "MOP": 2, "CNY": 2, "THB": 2, "USD": 2, "EUR": 2, "SGD": 2, "JPY": 0, "KRW": 0, "VND": 0, "TND": 3,
}  # fmt: skip

_AMOUNT_TEXT: Final = re.compile(r"([+-]?)(\d+)(?:\.(\d+))?", re.ASCII)


class Money(NamedTuple):
    """`amount_minor` minor units (1/100) of `asset`."""

    asset: Asset
    amount_minor: int


class Rounding(Enum):
    """How a conversion ends when it does not divide. The name stands in the quote."""

    HALF_UP = "HALF_UP"  # ties away from zero; amounts are positive here
    DOWN = "DOWN"  # towards zero: what the creditor gets when the debit is fixed and the provider keeps the rest
    UP = "UP"  # away from zero: what the debtor pays when the credit is fixed


class Rate(NamedTuple):
    """`numerator` units of the credit asset for `denominator` units of the debit asset, in lowest minor units of both."""

    numerator: int
    denominator: int


PEG_HKD_MOP: Final = Rate(103, 100)  # HKD 1 = MOP 1.03; rails.md B1


def parse_amount(currency: str, text: str) -> int:
    """A positive decimal text as a rail writes it -> minor units of `currency` (ISO 4217).

    Raises:
        InvalidValue: rule CURRENCY, FORMAT, SIGN, DECIMALS, ZERO or LENGTH (over 15 digits in all).
    """
    digits = ISO_MINOR_DIGITS.get(currency)
    if digits is None:
        raise InvalidValue("CURRENCY", "not an ISO 4217 code this switch carries")
    match = _AMOUNT_TEXT.fullmatch(text)
    if match is None:
        raise InvalidValue("FORMAT", "an amount is digits with at most one point")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if sign:
        raise InvalidValue("SIGN", "an amount carries no sign")
    if len(fraction) > digits:
        raise InvalidValue("DECIMALS", f"{currency} has {digits} decimals")
    if len(whole) + len(fraction) > 15:
        raise InvalidValue("LENGTH", "an amount has at most 15 digits in all")
    return _positive(int(whole + fraction.ljust(digits, "0")))


def parse_minor(currency: str, minor: object) -> int:
    """A whole number of minor units -> the same. Raises InvalidValue: CURRENCY, FORMAT, SIGN, ZERO, LENGTH."""
    if currency not in ISO_MINOR_DIGITS:
        raise InvalidValue("CURRENCY", "not an ISO 4217 code this switch carries")
    if isinstance(minor, bool) or not isinstance(minor, int):
        raise InvalidValue("FORMAT", "minor units are whole numbers")
    if minor < 0:
        raise InvalidValue("SIGN", "an amount carries no sign")
    return _positive(minor)


def _positive(minor: int) -> int:
    if minor == 0:
        raise InvalidValue("ZERO", "a payment amount is positive")
    if minor > AMOUNT_MINOR_MAX:
        raise InvalidValue("LENGTH", "an amount has at most 15 digits in all")
    return minor


def format_amount(currency: str, amount_minor: int) -> str:
    """Minor units -> the decimal text of a rail: all decimals written, no separators (12345 HKD -> '123.45')."""
    digits = ISO_MINOR_DIGITS[currency]
    sign, text = ("-" if amount_minor < 0 else ""), str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else sign + text


def convert(amount_minor: int, rate: Rate, rounding: Rounding) -> int:
    """`amount_minor` (>= 0) times `rate`, rounded as named. Both assets have two decimals, so no scale enters."""
    assert 0 < rate.numerator <= RATE_TERM_MAX
    assert 0 < rate.denominator <= RATE_TERM_MAX
    product, denominator = amount_minor * rate.numerator, rate.denominator
    if rounding is Rounding.DOWN:
        return product // denominator
    if rounding is Rounding.UP:
        return -(-product // denominator)
    return (2 * product + denominator) // (2 * denominator)
