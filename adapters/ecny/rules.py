"""The rules of the digital-currency rail: its code lists against ours, wallet tiers, and how its ids are built.

Source rails.md D1 (tiers), D3 (code lists, ids), D4 (what to mock); "ours" where they are silent.
"""

import hashlib
import logging
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, NamedTuple

from adapters.ecny.spec import STATUS
from switch.domain.document import DocumentType
from switch.errors import REASONS, InvalidValue, Refused

__all__ = [
    "ACCOUNT_TYPE",
    "CENTRE",
    "CENTRE_KEY",
    "CODE_OF",
    "EXPIRED",
    "FAULT_FORMAT",
    "FAULT_SIGNATURE",
    "ID_TYPES",
    "INSTITUTION",
    "NEVER_SEEN",
    "PROCESSED",
    "PURPOSE",
    "REASON_OF",
    "SWITCH_KEY",
    "TIERS",
    "WALLET_TYPE",
    "Tier",
    "batch_id",
    "check_batch_id",
    "check_id_type",
    "check_msg_id",
    "check_status",
    "id_type",
    "msg_id",
    "payment_msg_id",
    "reason_of_fault",
    "same_name",
    "stamp",
]

_HK_TIME: Final = timezone(timedelta(hours=8))  # Hong Kong and Beijing keep the same time, without summer time

INSTITUTION: Final = "Z2999900000018"  # the switch on this rail; made up, class Z = payment institution (C2)
CENTRE: Final = "G4001011000013"  # the interconnection centre, as the samples write it [d1]
ACCOUNT_TYPE: Final = "AT03"  # DbtAcctTp of the sample; what AT00-AT07 mean is not public
WALLET_TYPE: Final = "WT01"  # personal
SWITCH_KEY: Final = "switch"  # names of the two SM2 key pairs in keys_dir
CENTRE_KEY: Final = "centre"
PURPOSE: Final = "03011"  # TrxCtgyPurpCd of every sample; what the others (03001, 08001) mean is not public

# --- PrcCd and fault codes -------------------------------------------------------------------------------------------
PROCESSED: Final = "DCEPI0000"  # with PR00 in the samples [d1]
NEVER_SEEN: Final = "DCEPO9001"  # ours: no payment of this UETR
FAULT_SIGNATURE: Final = "DCEPO0001"  # the 911 sample: "signature check failed" [d1]
FAULT_FORMAT: Final = "DCEPO9002"  # ours: header, block or XML cannot be read

# --- RjctCd <-> our reasons ------------------------------------------------------------------------------------------
# R021 and R999 are observed with a meaning. R004-R008 are observed without one: they stand for "refused". The real
# table is not public, so everything else is an own range from R901, as D4 proposes.
EXPIRED: Final = "R915"
REASON_OF: Final[Mapping[str, str]] = {
    "R021": "CREDITOR_ACCOUNT_UNKNOWN",
    "R999": "RAIL_REFUSED",
    "R004": "RAIL_REFUSED",
    "R005": "RAIL_REFUSED",
    "R006": "RAIL_REFUSED",
    "R007": "RAIL_REFUSED",
    "R008": "RAIL_REFUSED",
    "R901": "WALLET_TIER_LIMIT",  # per payment
    "R902": "WALLET_TIER_LIMIT",  # per day
    "R903": "WALLET_TIER_LIMIT",  # per year
    "R904": "WALLET_BALANCE_LIMIT",
    "R905": "CREDITOR_ACCOUNT_CLOSED",
    "R906": "CREDITOR_ACCOUNT_BLOCKED",
    "R907": "CREDITOR_NAME_MISMATCH",
    "R908": "CREDITOR_AGENT_UNKNOWN",
    "R909": "CREDITOR_AGENT_OFFLINE",
    "R910": "CURRENCY_NOT_ACCEPTED",
    "R911": "RAIL_AMOUNT_LIMIT",
    "R912": "PROXY_UNKNOWN",
    "R913": "REGULATORY",
    "R914": "RAIL_DUPLICATE",
    EXPIRED: "RAIL_EXPIRED",
    "R916": "RAIL_FORMAT",
    "R917": "RAIL_SIGNATURE",
}
assert set(REASON_OF.values()) <= set(REASONS)

# The code the mock writes for each of our reasons: the first row that means it.
CODE_OF: Final[Mapping[str, str]] = {reason: code for code, reason in reversed([*REASON_OF.items()])}


def reason_of_fault(code: str) -> str:
    """The faultcode of a 911 -> our reason. Whatever the code, the message was discarded: nothing was done."""
    return "RAIL_SIGNATURE" if code == FAULT_SIGNATURE else "RAIL_FORMAT"


def check_status(text: str) -> str:
    """A status of D3 -> the same. Raises InvalidValue UNKNOWN_CODE."""
    return _listed(text, STATUS)


# --- wallet tiers ----------------------------------------------------------------------------------------------------
class Tier(NamedTuple):
    """What a wallet level holds and takes, in minor units of e-CNY; 0: no ceiling is stated."""

    balance_max_minor: int
    txn_max_minor: int
    day_max_minor: int
    year_max_minor: int


TIERS: Final[Mapping[str, Tier]] = {
    "WL01": Tier(0, 0, 0, 0),  # opened face to face; D1 (general knowledge)
    "WL02": Tier(500_000_00, 50_000_00, 100_000_00, 0),  # D1 [d5][d6]
    "WL03": Tier(20_000_00, 5_000_00, 10_000_00, 0),  # D1 (general knowledge)
    "WL04": Tier(10_000_00, 2_000_00, 5_000_00, 50_000_00),  # mobile only, a Hong Kong one too; D1 [l2][l3][d5]
}


def same_name(stated: str, registered: str) -> bool:
    """Whether the payee's stated name is the wallet holder's: full-width, case and spacing aside. Ours, and strict."""
    return stated == registered or _folded(stated) == _folded(registered)


def _folded(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


# --- identity documents ----------------------------------------------------------------------------------------------
ID_TYPES: Final = tuple(f"IT{number:02}" for number in range(1, 11))

_ID_TYPE_OF: Final[Mapping[DocumentType, str]] = {
    DocumentType.MAINLAND_ID: "IT01",
    DocumentType.RESIDENCE_PERMIT: "IT01",  # no code of its own (D3): see id_type
    DocumentType.HOME_RETURN_PERMIT: "IT06",
    DocumentType.PASSPORT: "IT03",
    DocumentType.TAIWAN_PERMIT: "IT07",
}

_log: Final = logging.getLogger(__name__)


def id_type(document: DocumentType) -> str:
    """The IDTp of a document, by its type alone.

    The list has no code for the residence permit of Hong Kong, Macao and Taiwan residents. Its number has the form of
    a resident ID (18 characters, same check digit), so IT01 is written and the choice is logged: by name, no number.

    Raises:
        Refused: PAPERS_NOT_ACCEPTED: this rail has no code for the document (HKID, Macao BIR).
    """
    code = _ID_TYPE_OF.get(document)
    if code is None:
        raise Refused("PAPERS_NOT_ACCEPTED", f"e-CNY has no code for {document.name}")
    if document is DocumentType.RESIDENCE_PERMIT:
        _log.info("%s has no IDTp, written as %s", document.name, code)
    return code


def check_id_type(text: str) -> str:
    """An IDTp of D3 -> the same. Raises InvalidValue UNKNOWN_CODE."""
    return _listed(text, ID_TYPES)


def _listed(text: str, codes: tuple[str, ...]) -> str:
    if text not in codes:
        raise InvalidValue("UNKNOWN_CODE", f"not one of {codes[0]} to {codes[-1]}")
    return text


# --- message and batch ids -------------------------------------------------------------------------------------------
_ORG: Final = "999"  # 3 org; ours, made up like INSTITUTION
_CROSS: Final = "1"  # 1 cross-bank: both samples of requests have 1
_CONTROL: Final = "00"
_ENVIRONMENT: Final = "0"  # as every sample
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIR: Final = tuple(second + first for first in _ALPHABET for second in _ALPHABET)  # two digits, the lower one first
_PAIRS: Final = len(_PAIR)
_SEQUENCES: Final = _PAIRS**4  # of 8 characters
_MSG_ID: Final = re.compile(r"\d{8}\d{3}\d\d{3}\d{6}[0-9A-Z]{8}\d{2}\d", re.ASCII)
_MSG_ID_CHARS_MAX: Final = 35  # the type of MsgId; the built form has 32 (D3)
_BATCH_ID: Final = re.compile(r"B(\d{8})(\d{2})00", re.ASCII)
_BATCH_ID_CHARS: Final = 13


@lru_cache(maxsize=64)
def _stamp(second: int) -> tuple[str, str]:
    local = datetime.fromtimestamp(second, UTC).astimezone(_HK_TIME)
    return f"{local:%Y%m%d}", f"{local:%H%M%S}"


def stamp(time_ms: int) -> tuple[str, str]:
    """yyyyMMdd and HHmmss of a moment in Hong Kong. Payments come many to a second, so the last ones are kept."""
    return _stamp(time_ms // 1000)


def msg_id(number: int, time_ms: int, seed: bytes) -> str:
    """A MsgId of 32 characters: date, org, cross-bank, message number, time, sequence, control, environment (D3).

    The sequence is a digest of `seed` in base 36, not a counter: workers need not agree on one, and the same seed
    always gives the same id. At a thousand ids a second two of one second meet once in some sixty days.
    """
    digest = int.from_bytes(hashlib.sha256(seed).digest()[:8], "big")
    high, low = divmod(digest % _SEQUENCES, _PAIRS * _PAIRS)
    sequence = _PAIR[low % _PAIRS] + _PAIR[low // _PAIRS] + _PAIR[high % _PAIRS] + _PAIR[high // _PAIRS]
    return f"{_id_head(number, time_ms // 1000)}{sequence}{_CONTROL}{_ENVIRONMENT}"


@lru_cache(maxsize=64)
def _id_head(number: int, second: int) -> str:
    day, clock = _stamp(second)
    return f"{day}{_ORG}{_CROSS}{number:03}{clock}"


def payment_msg_id(uetr: str, prepared_time_ms: int) -> str:
    """The MsgId of the 225 of one payment: a repeat of the payment repeats it. The UETR in Rmk decides all the same."""
    return msg_id(225, prepared_time_ms, uetr.encode())


def check_msg_id(text: str) -> str:
    """A MsgId of the built form -> the same. Raises InvalidValue LENGTH or FORMAT.

    The time part is not read as a time: the public samples hold 32:91:03 there.
    """
    if len(text) > _MSG_ID_CHARS_MAX:
        raise InvalidValue("LENGTH", f"a MsgId has at most {_MSG_ID_CHARS_MAX} characters")
    if _MSG_ID.fullmatch(text) is None:
        raise InvalidValue("FORMAT", "a MsgId is 8 date, 3 org, 1, 3 number, 6 time, 8 sequence, 2 control, 1")
    return text


def batch_id(time_ms: int) -> str:
    """The reconciliation batch of a moment: B, yyyyMMddHH in Hong Kong time, 00 (D3)."""
    return _batch_id(time_ms // 3_600_000)


@lru_cache(maxsize=8)  # an hour of Hong Kong begins with one of UTC
def _batch_id(hour: int) -> str:
    day, clock = _stamp(hour * 3600)
    return f"B{day}{clock[:2]}00"


def check_batch_id(text: str) -> str:
    """A BatchId -> the same. Raises InvalidValue LENGTH, FORMAT, DATE or HOUR."""
    if len(text) != _BATCH_ID_CHARS:
        raise InvalidValue("LENGTH", f"a BatchId has {_BATCH_ID_CHARS} characters")
    match = _BATCH_ID.fullmatch(text)
    if match is None:
        raise InvalidValue("FORMAT", "a BatchId is B, yyyyMMddHH, 00")
    _check_day(match[1])
    if int(match[2]) > 23:
        raise InvalidValue("HOUR", "the BatchId names no hour")
    return text


@lru_cache(maxsize=64)  # one of days that were right: payments come many to a day
def _check_day(text: str) -> None:
    try:
        datetime.strptime(text, "%Y%m%d")
    except ValueError:
        raise InvalidValue("DATE", "the BatchId names no day") from None
