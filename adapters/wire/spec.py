"""A rail's message as data: tables of fields that the codecs interpret. A malformed table fails at import."""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

__all__ = ["Field", "HeaderField", "HeaderSpec", "Kind", "XmlSpec"]


class Kind(IntEnum):
    """What a field's text is, and what Python value stands for it."""

    TEXT = 0  # str, XML-safe Unicode, min_chars..max_chars characters, no space at either end
    ASCII = 1  # str, printable ASCII, min_chars..max_chars
    DIGITS = 2  # str, 0-9 only, min_chars..max_chars
    CODE = 3  # str, one of `codes`
    AMOUNT = 4  # int, minor units (two decimals); written as digits with exactly two decimals, read with 0..2
    COUNT = 5  # int >= 0, plain digits
    UETR = 6  # str, lower-case UUIDv4
    DATE_TIME = 7  # int, Unix ms; written YYYY-MM-DDTHH:MM:SS.mmm+08:00, read with any offset or Z (none = +08:00)
    LOCAL_TIME = (
        8  # int, Unix ms; written YYYY-MM-DDTHH:MM:SS, Hong Kong time, no offset or ms (dcep); read as DATE_TIME
    )
    DATE = 9  # str, YYYY-MM-DD, a day that exists
    HEADER_DATE = 10  # headers only: str, yyyyMMdd, a day that exists
    HEADER_TIME = 11  # headers only: str, HHmmss, 000000..235959


class Field(NamedTuple):
    """One leaf of a message: an element's text, or an attribute.

    `at` is the path below the root: 'GrpHdr/MsgId', 'CdtTrfTxInf/IntrBkSttlmAmt/@Ccy'. Fields stand in document
    order; an optional group is written only when one of its fields has a value, and its constants go with it.

    `required`: a field is required in every message, so its groups are too; an attribute or a constant is required
    where its element or group is. An amount may be 0 here: whether money may be is for the domain to say.
    """

    name: str  # of the record's attribute; unique in a spec
    at: str
    kind: Kind
    required: bool = True
    min_chars: int = 1
    max_chars: int = 35
    codes: tuple[str, ...] = ()  # for CODE
    const: str = ""  # not "": always written, and required to be exactly this when read; no value in the record


class XmlSpec(NamedTuple):
    """One XML message. The record is a NamedTuple class whose fields are the non-const fields, in order."""

    name: str  # e.g. pacs.008.001.06
    root: str  # name of the root element
    namespaces: Mapping[str, str]  # element path ("" = root) -> default namespace declared there
    fields: tuple[Field, ...]
    source: str  # document and edition, or rails.md key
    ignore: tuple[str, ...] = ()  # element paths whose content is skipped when read (e.g. AppHdr/Sgntr)


class HeaderField(NamedTuple):
    """One fixed-width field: `length` characters, text padded with spaces on the right."""

    name: str
    length: int
    kind: Kind = Kind.ASCII  # ASCII, DIGITS, CODE, HEADER_DATE or HEADER_TIME
    codes: tuple[str, ...] = ()
    const: str = ""  # exactly this text, e.g. '{H:'
    required: bool = False  # True: not all spaces
    rule: str = ""  # the rule named when kind, codes or const is broken, e.g. VERSION, DIRECTION; "" = the kind's own


class HeaderSpec(NamedTuple):
    """A fixed-width header (rails.md C1, D2). The record's fields are the non-const fields, in order."""

    name: str
    fields: tuple[HeaderField, ...]
    source: str
