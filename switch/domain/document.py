"""Identity documents. The type is stated, never guessed from the length; numbers are text and personal."""

from enum import IntEnum
from typing import NamedTuple

__all__ = ["Document", "DocumentType"]


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
