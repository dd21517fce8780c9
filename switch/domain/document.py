"""Identity documents. The type is stated, never guessed from the length; numbers are text and personal.

Rules: rails.md E1. Numbers fold to one canonical text (capitals, HKID and BIR check character in brackets, the home
return permit without its reissue count), so that one person's use of a limit is counted once.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from enum import IntEnum
from typing import Final, NamedTuple

from switch.errors import InvalidValue

__all__ = ["Document", "DocumentType", "parse_document"]


class DocumentType(IntEnum):
    """Papers a resident of the three places may hold; rails.md E."""

    MAINLAND_ID = 1  # 18-digit resident identity card
    RESIDENCE_PERMIT = 2  # 18-digit residence permit for Hong Kong, Macao and Taiwan residents
    HOME_RETURN_PERMIT = 3  # mainland travel permit for Hong Kong and Macao residents
    HKID = 4
    MACAU_BIR = 5
    PASSPORT = 6
    TAIWAN_PERMIT = 7


class Document(NamedTuple):
    """`number` is the canonical text of its type."""

    type: DocumentType
    number: str


_HKID: Final = re.compile(r"([A-Z]{1,2})([0-9]{6})(?:\(([0-9A])\)|([0-9A]))", re.ASCII)
_EIGHTEEN: Final = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
_FIFTEEN: Final = re.compile(r"[0-9]{15}", re.ASCII)
_HOME_RETURN: Final = re.compile(r"([HM][0-9]{8})(?:[0-9]{2})?|[HM]A[0-9]{7}", re.ASCII)
_MACAU_BIR: Final = re.compile(r"([157][0-9]{6})(?:\(([0-9A-Z])\)|([0-9A-Z]))", re.ASCII)
_TAIWAN: Final = re.compile(r"[0-9]{8}", re.ASCII)
_TAIWAN_BOOKLET: Final = re.compile(r"[0-9]{10}(?:\([A-Z]\)|[A-Z])", re.ASCII)
_PASSPORT: Final = re.compile(r"[A-Z0-9]{5,9}", re.ASCII)  # ICAO 9303 TD3 holds 9

_WEIGHTS_18: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # ISO 7064 MOD 11-2
_CHECK_18: Final = "10X98765432"

# First two digits of a resident identity card (GB/T 2260 provinces; 71 for people from Taiwan settled there).
_PROVINCE: Final = re.compile(r"1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71", re.ASCII)
_PERMIT_REGIONS: Final = frozenset(("810000", "820000", "830000"))  # Hong Kong, Macao, Taiwan


def parse_document(type: DocumentType, number: str, today: date | None = None) -> Document:
    """A document with the canonical text of its number.

    `today`: a birth date after it is refused; without it (the domain has no clock) only days that exist are asked for.

    Raises:
        InvalidValue: FORMAT, LEGACY (a kind no longer issued: ask for the new card), REGION, BIRTH_DATE, CHECK_DIGIT.
    """
    folded = number.strip(" ").upper() if number.isascii() else number
    return Document(type, _BY_TYPE[type](folded, today))


def _hkid(text: str, today: date | None) -> str:
    """Letters A=10..Z=35, absent letter 36, weights 9..2, check weight 1; the sum divides by 11."""
    match = _HKID.fullmatch(text)
    if match is None:
        raise InvalidValue("FORMAT", "an HKID is 1 or 2 letters, 6 digits and a check character")
    letters, digits, check = match[1], match[2], match[3] or match[4]
    values = [36] * (2 - len(letters)) + [ord(letter) - 55 for letter in letters] + [int(digit) for digit in digits]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    if (total + (10 if check == "A" else int(check))) % 11:
        raise InvalidValue("CHECK_DIGIT", "the check character of the HKID is wrong")
    return f"{letters}{digits}({check})"


def _mainland_id(text: str, today: date | None) -> str:
    return _eighteen(text, today, lambda region: _PROVINCE.match(region) is not None)


def _residence_permit(text: str, today: date | None) -> str:
    return _eighteen(text, today, lambda region: region in _PERMIT_REGIONS)


def _eighteen(text: str, today: date | None, in_region: Callable[[str], bool]) -> str:
    """One validator for both 18-digit cards (GB 11643); only the regions differ."""
    if _FIFTEEN.fullmatch(text):
        raise InvalidValue("LEGACY", "15-digit numbers ended in 2013: ask for the 18-digit card")
    if _EIGHTEEN.fullmatch(text) is None:
        raise InvalidValue("FORMAT", "17 digits and a last 0-9 or X")
    if not in_region(text[:6]):
        raise InvalidValue("REGION", "the card is of no such region")
    born = _day(text[6:14])
    if born is None or born.year < 1850 or (today is not None and born > today):
        raise InvalidValue("BIRTH_DATE", "the birth date does not exist")
    total = sum(int(digit) * weight for digit, weight in zip(text, _WEIGHTS_18, strict=False))
    if _CHECK_18[total % 11] != text[17]:
        raise InvalidValue("CHECK_DIGIT", "the check character is wrong")
    return text


def _day(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _home_return_permit(text: str, today: date | None) -> str:
    """H or M and 8 lifelong digits; two more on older cards count reissues and are folded away. HA, MA: 7 digits."""
    match = _HOME_RETURN.fullmatch(text)
    if match is None:
        raise InvalidValue("FORMAT", "H or M and 8 digits (2 more on older cards), HA or MA and 7 digits")
    return match[1] or text


def _macau_bir(text: str, today: date | None) -> str:
    """Form only: how its check character is made is not public."""
    match = _MACAU_BIR.fullmatch(text)
    if match is None:
        raise InvalidValue("FORMAT", "1, 5 or 7, 6 digits and a check character")
    return f"{match[1]}({match[2] or match[3]})"


def _taiwan_permit(text: str, today: date | None) -> str:
    if _TAIWAN_BOOKLET.fullmatch(text):
        raise InvalidValue("LEGACY", "the booklet of 10 digits and a letter ended: ask for the 8-digit card")
    if _TAIWAN.fullmatch(text) is None:
        raise InvalidValue("FORMAT", "8 digits")
    return text


def _passport(text: str, today: date | None) -> str:
    if _PASSPORT.fullmatch(text) is None:
        raise InvalidValue("FORMAT", "5 to 9 letters and digits")
    return text


_BY_TYPE: Final[Mapping[DocumentType, Callable[[str, date | None], str]]] = {
    DocumentType.MAINLAND_ID: _mainland_id,
    DocumentType.RESIDENCE_PERMIT: _residence_permit,
    DocumentType.HOME_RETURN_PERMIT: _home_return_permit,
    DocumentType.HKID: _hkid,
    DocumentType.MACAU_BIR: _macau_bir,
    DocumentType.PASSPORT: _passport,
    DocumentType.TAIWAN_PERMIT: _taiwan_permit,
}
assert set(_BY_TYPE) == set(DocumentType)
