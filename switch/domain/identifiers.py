"""Identifiers as text: each parse_… returns the canonical text or raises InvalidValue with the rule that is broken.

No error text holds the value: account numbers and proxies are personal. Every pattern is ASCII, so full-width digits
are refused rather than passed on to a rail that would not know them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from switch.domain.party import Scheme
from switch.errors import InvalidValue
from switch.limits import ACCOUNT_CHARS_MAX, MAX35_CHARS, PARTICIPANT_ID_CHARS_MAX, REQUEST_ID_CHARS_MAX

__all__ = [
    "parse_account",
    "parse_alipay_login",
    "parse_alipay_user",
    "parse_bank_account",
    "parse_cnaps_code",
    "parse_ecny_wallet_id",
    "parse_fps_email",
    "parse_fps_id",
    "parse_fps_mobile",
    "parse_hk_clearing_code",
    "parse_max35text",
    "parse_participant_id",
    "parse_payment_code",
    "parse_pboc_institution_id",
    "parse_request_id",
    "parse_uetr",
]

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_PARTICIPANT_ID: Final = re.compile(r"[A-Z0-9_]+", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_PROXY_MOBILE: Final = re.compile(r"\+([0-9]{1,3})-([0-9]{6,12})", re.ASCII)
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}",
    re.ASCII,
)
_CLEARING_CODE: Final = re.compile(r"[0-9]{3}", re.ASCII)
_CNAPS_CODE: Final = re.compile(r"[0-9]{12}", re.ASCII)
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?", re.ASCII)
_INSTITUTION_ID: Final = re.compile(r"[CZG][0-9]{13}", re.ASCII)
_BANK_ACCOUNT: Final = re.compile(r"[A-Za-z0-9-]{1,34}", re.ASCII)
_MAINLAND_LOGIN: Final = re.compile(r"(?:\+86-)?(1[3-9][0-9]{9})", re.ASCII)

# Country code -> (digits of a number, how a mobile number begins); rails.md C2. Elsewhere only the pattern is known.
_MOBILE_RULES: Final[Mapping[str, tuple[int, re.Pattern[str]]]] = {
    "852": (8, re.compile(r"[4-9]", re.ASCII)),
    "853": (8, re.compile(r"6", re.ASCII)),
    "86": (11, re.compile(r"1[3-9]", re.ASCII)),
}


def parse_uetr(text: str) -> str:
    """A lower-case UUID version 4 with hyphens (rails.md F3). Raises InvalidValue: FORMAT, VERSION, VARIANT."""
    match = _UUID.fullmatch(text)
    if match is None:
        raise InvalidValue("FORMAT", "a UETR is a lower-case UUID with hyphens")
    if match[1] != "4":
        raise InvalidValue("VERSION", "a UETR is a UUID of version 4")
    if match[2] not in "89ab":
        raise InvalidValue("VARIANT", "a UETR is a UUID of the RFC 9562 variant")
    return text


def parse_request_id(text: str) -> str:
    """1..64 of A-Z a-z 0-9 . _ - (it becomes part of a key). Raises InvalidValue: LENGTH, FORMAT."""
    _bounded(text, 1, REQUEST_ID_CHARS_MAX)
    return _matching(_REQUEST_ID, text, "a request_id is of A-Z a-z 0-9 . _ -")


def parse_max35text(text: str) -> str:
    """ISO 20022 Max35Text: 1..35 characters, no space at either end, no control (rails.md F3).

    Raises:
        InvalidValue: LENGTH, SPACE, FORMAT.
    """
    _bounded(text, 1, MAX35_CHARS)
    if text != text.strip():
        raise InvalidValue("SPACE", "no space at either end")
    if _CONTROL.search(text):
        raise InvalidValue("FORMAT", "no control characters")
    return text


def parse_participant_id(text: str) -> str:
    """1..16 of A-Z 0-9 _. Raises InvalidValue: LENGTH, FORMAT."""
    _bounded(text, 1, PARTICIPANT_ID_CHARS_MAX)
    return _matching(_PARTICIPANT_ID, text, "a participant id is of A-Z 0-9 _")


def parse_fps_mobile(text: str) -> str:
    """+CC-number (rails.md A5); for +852, +853 and +86 a mobile number of that place (C2).

    Raises:
        InvalidValue: FORMAT, LENGTH, NOT_MOBILE (a fixed line can be registered nowhere).
    """
    match = _PROXY_MOBILE.fullmatch(text)
    if match is None:
        raise InvalidValue("FORMAT", "a mobile number is written +CC-number")
    rule = _MOBILE_RULES.get(match[1])
    if rule is not None:
        length, begins = rule
        if len(match[2]) != length:
            raise InvalidValue("LENGTH", f"a number of +{match[1]} has {length} digits")
        if not begins.match(match[2]):
            raise InvalidValue("NOT_MOBILE", f"not a mobile number of +{match[1]}")
    return text


def parse_fps_email(text: str) -> str:
    """An ASCII address with a dot in its domain, <= 64; kept as written. Raises InvalidValue: FORMAT, LENGTH."""
    _matching(_EMAIL, text, "an email proxy is an ASCII address")
    return _bounded(text, 1, ACCOUNT_CHARS_MAX)


def parse_fps_id(text: str) -> str:
    """7 or 9 digits, leading zeros kept (rails.md A1). Raises InvalidValue: FORMAT, LENGTH."""
    _matching(_DIGITS, text, "an FPS identifier is digits")
    if len(text) not in (7, 9):
        raise InvalidValue("LENGTH", "an FPS identifier has 7 or 9 digits")
    return text


def parse_hk_clearing_code(text: str) -> str:
    """Three digits, leading zeros kept (rails.md A4). Raises InvalidValue: FORMAT."""
    return _matching(_CLEARING_CODE, text, "a clearing code is three digits")


def parse_cnaps_code(text: str) -> str:
    """12 digits, the last a check digit by ISO 7064 MOD 11,10 (rails.md C2).

    The check is inferred from public lists, where one code in 420 breaks it: on CHECK_DIGIT a caller that has the
    code in its own register may warn and go on.

    Raises:
        InvalidValue: WRONG_TYPE (a BIC), FORMAT, CHECK_DIGIT.
    """
    if _BIC.fullmatch(text):
        raise InvalidValue("WRONG_TYPE", "a BIC where a CNAPS code is needed")
    _matching(_CNAPS_CODE, text, "a CNAPS code is 12 digits")
    product = 10
    for digit in map(int, text[:-1]):
        product = ((product + digit) % 10 or 10) * 2 % 11
    if (11 - product) % 10 != int(text[-1]):
        raise InvalidValue("CHECK_DIGIT", "the check digit of the CNAPS code is wrong")
    return text


def parse_pboc_institution_id(text: str) -> str:
    """Class letter (C bank, Z payment institution, G infrastructure) and 13 digits (rails.md C2).

    Raises:
        InvalidValue: WRONG_TYPE (a CNAPS code), FORMAT.
    """
    if _CNAPS_CODE.fullmatch(text):
        raise InvalidValue("WRONG_TYPE", "a CNAPS code where an institution id is needed")
    return _matching(_INSTITUTION_ID, text, "an institution id is C, Z or G and 13 digits")


def parse_ecny_wallet_id(text: str) -> str:
    """16 digits starting 00 (rails.md D1). Raises InvalidValue: FORMAT, LENGTH, PREFIX."""
    _matching(_DIGITS, text, "a wallet id is digits")
    _bounded(text, 16, 16)
    return _starting(text, ("00",), "a wallet id starts 00")


def parse_alipay_user(text: str) -> str:
    """16 digits starting 2088 (rails.md C5). Raises InvalidValue: FORMAT, LENGTH, PREFIX."""
    _matching(_DIGITS, text, "a user id is digits")
    _bounded(text, 16, 16)
    return _starting(text, ("2088",), "a user id starts 2088")


def parse_alipay_login(text: str) -> str:
    """A mainland mobile number (11 digits; +86- is folded away) or an email address.

    Raises:
        InvalidValue: FORMAT, LENGTH.
    """
    match = _MAINLAND_LOGIN.fullmatch(text)
    return match[1] if match else parse_fps_email(text)


def parse_payment_code(text: str) -> str:
    """A shown code: 16..24 digits starting 25..30 (rails.md C5). Raises InvalidValue: FORMAT, LENGTH, PREFIX."""
    _matching(_DIGITS, text, "a payment code is digits")
    _bounded(text, 16, 24)
    return _starting(text, ("25", "26", "27", "28", "29", "30"), "a payment code starts 25 to 30")


def parse_bank_account(text: str) -> str:
    """1..34 of A-Z a-z 0-9 and hyphen (rails.md A2: account <= 34); kept as written. Raises InvalidValue: FORMAT."""
    return _matching(_BANK_ACCOUNT, text, "an account number is up to 34 of A-Z a-z 0-9 and hyphen")


_BY_SCHEME: Final[Mapping[Scheme, Callable[[str], str]]] = {
    Scheme.ACCOUNT: parse_bank_account,
    Scheme.MOBILE: parse_fps_mobile,
    Scheme.EMAIL: parse_fps_email,
    Scheme.FPS_ID: parse_fps_id,
    Scheme.WALLET_ID: parse_ecny_wallet_id,
    Scheme.ALIPAY_LOGIN: parse_alipay_login,
    Scheme.ALIPAY_USER: parse_alipay_user,
    Scheme.PAYMENT_CODE: parse_payment_code,
}
assert set(_BY_SCHEME) == set(Scheme)


def parse_account(scheme: Scheme, value: str) -> str:
    """The canonical text of an address of this scheme. Raises InvalidValue with that scheme's rules."""
    return _BY_SCHEME[scheme](value)


def _matching(pattern: re.Pattern[str], text: str, message: str) -> str:
    if pattern.fullmatch(text) is None:
        raise InvalidValue("FORMAT", message)
    return text


def _bounded(text: str, chars_min: int, chars_max: int) -> str:
    if not chars_min <= len(text) <= chars_max:
        wanted = str(chars_max) if chars_min == chars_max else f"{chars_min} to {chars_max}"
        raise InvalidValue("LENGTH", f"{wanted} characters")
    return text


def _starting(text: str, prefixes: tuple[str, ...], message: str) -> str:
    if not text.startswith(prefixes):
        raise InvalidValue("PREFIX", message)
    return text
