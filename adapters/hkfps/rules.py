"""What FPS says and what we call it: reason codes, purposes, addresses. rails.md A1-A4 and F3."""

import unicodedata
from collections.abc import Mapping
from typing import Final

from switch.domain.money import Asset
from switch.domain.party import Scheme
from switch.errors import REASONS

__all__ = [
    "ACCEPTED",
    "AGENT_OFFLINE",
    "ASSETS",
    "CODES",
    "DUPLICATE",
    "EXPIRED",
    "FORMAT",
    "NEVER_SEEN",
    "REASON_OF",
    "category_of",
    "code_of",
    "purpose_of",
    "reason_of",
    "same_name",
]

ACCEPTED: Final = "ACSC"  # settled, finally
NEVER_SEEN: Final = "AG09"  # status asked for an unknown payment; only ever in an answer to PAYENQ
DUPLICATE: Final = "AM05"
EXPIRED: Final = "AB03"
FORMAT: Final = "FF01"
AGENT_OFFLINE: Final = "AB08"

ASSETS: Final[Mapping[str, Asset]] = {"HKD": Asset.HKD, "CNY": Asset.CNH}  # FPS renminbi is offshore (rails.md A1)

# Every refusal this rail can give -> our catalogue. Meanings: rails.md F3.
REASON_OF: Final[Mapping[str, str]] = {
    "AGNT": "CREDITOR_AGENT_UNKNOWN",
    "AB08": "CREDITOR_AGENT_OFFLINE",
    "AB05": "CREDITOR_AGENT_OFFLINE",
    "AB06": "CREDITOR_AGENT_OFFLINE",
    "AB09": "CREDITOR_AGENT_OFFLINE",
    "BE23": "PROXY_UNKNOWN",
    "AC01": "CREDITOR_ACCOUNT_UNKNOWN",
    "AC03": "CREDITOR_ACCOUNT_UNKNOWN",
    "AC04": "CREDITOR_ACCOUNT_CLOSED",
    "AC06": "CREDITOR_ACCOUNT_BLOCKED",
    "AG01": "CREDITOR_ACCOUNT_BLOCKED",
    "BE01": "CREDITOR_NAME_MISMATCH",
    "AM03": "CURRENCY_NOT_ACCEPTED",
    "AM02": "RAIL_AMOUNT_LIMIT",
    "AM13": "RAIL_AMOUNT_LIMIT",
    "AM14": "RAIL_AMOUNT_LIMIT",
    "AM12": "RAIL_FORMAT",
    "RR04": "REGULATORY",
    "AM05": "RAIL_DUPLICATE",
    "AB03": "RAIL_EXPIRED",
    "FF01": "RAIL_FORMAT",
    "FF03": "RAIL_FORMAT",
    "FF05": "RAIL_FORMAT",
    "DS0A": "RAIL_SIGNATURE",
    "DS24": "RAIL_SIGNATURE",
    "MS03": "RAIL_REFUSED",
    "MS02": "RAIL_REFUSED",
    "NARR": "RAIL_REFUSED",
}
CODES: Final = frozenset(REASON_OF)
assert all(reason in REASONS for reason in REASON_OF.values())

# The switch's purposes -> FPS category purposes (rails.md A3). The purpose itself travels in Purp/Prtry.
_CATEGORY_OF: Final[Mapping[str, str]] = {
    "": "CXPSNL",
    "FAMILY_SUPPORT": "CXPSNL",
    "PERSONAL": "CXPSNL",
    "SALARY": "CXSALA",
    "MERCHANT": "CXMRCH",
    "ONLINE_SHOPPING": "CXMRCH",
    "WALLET_TOP_UP": "CXTOPU",
    "GOVERNMENT": "CXGOVT",
    "BUSINESS": "CXBSNS",
}

# And back, when a bank on FPS states no purpose of ours beside its category.
_PURPOSE_OF: Final[Mapping[str, str]] = {
    "CXSALA": "SALARY",
    "CXMRCH": "MERCHANT",
    "CXPSNL": "PERSONAL",
    "CXBSNS": "BUSINESS",
    "CXGOVT": "GOVERNMENT",
    "CXTOPU": "WALLET_TOP_UP",
    "CXECNY": "WALLET_TOP_UP",
}

# Address kinds in SchmeNm/Prtry: BBAN is observed (rails.md A2), the others are ours.
SCHEME_CODE: Final[Mapping[Scheme, str]] = {
    Scheme.ACCOUNT: "BBAN",
    Scheme.MOBILE: "MOBN",
    Scheme.EMAIL: "EMAL",
    Scheme.FPS_ID: "SVID",
    Scheme.WALLET_ID: "EWLT",
    Scheme.ALIPAY_LOGIN: "ALGN",
    Scheme.ALIPAY_USER: "AUSR",
}
SCHEME_OF: Final[Mapping[str, Scheme]] = {code: scheme for scheme, code in SCHEME_CODE.items()}
PAYABLE: Final = (
    Scheme.ACCOUNT,
    Scheme.MOBILE,
    Scheme.EMAIL,
    Scheme.FPS_ID,
)  # what a creditor on FPS can be reached by


def category_of(purpose: str) -> str:
    """Our purpose -> FPS category; a purpose FPS has no word for is CXOTHS."""
    return _CATEGORY_OF.get(purpose, "CXOTHS")


def purpose_of(category: str, stated: str | None) -> str:
    """FPS category -> our purpose: the one stated in Purp, else the nearest to the category, else none."""
    if stated:
        return stated
    return _PURPOSE_OF.get(category, "")


def reason_of(code: str) -> str:
    """An FPS refusal code -> our reason. A code we do not know is still a refusal: RJCT is final."""
    return REASON_OF.get(code, "RAIL_REFUSED")


def code_of(reason: str) -> str:
    """Our reason -> the code we answer an inbound payment with: the catalogue's ISO code."""
    return REASONS[reason].iso if reason in REASONS else "MS03"


def same_name(one: str, other: str) -> bool:
    """The payee check: names are compared with compatibility forms, case and runs of space folded."""
    return one == other or _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
