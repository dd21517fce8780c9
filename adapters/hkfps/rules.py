"""What FPS says and what we call it: assets, purposes, addresses (rails.md A1-A4). Refusal codes: kit.push_codec."""

from collections.abc import Mapping
from typing import Final

from adapters.hkfps.spec import CATEGORIES, SERVICES
from switch.domain.money import Asset
from switch.domain.party import Scheme
from switch.errors import InvalidValue

__all__ = [
    "ASSETS",
    "BY_EMAIL",
    "BY_NUMBER",
    "CURRENCY",
    "PAYABLE",
    "SCHEME_CODE",
    "SCHEME_OF",
    "category_of",
    "check_category",
    "check_service",
    "purpose_of",
]

ASSETS: Final[Mapping[str, Asset]] = {"HKD": Asset.HKD, "CNY": Asset.CNH}  # FPS renminbi is offshore (rails.md A1)

CURRENCY: Final[Mapping[Asset, str]] = {asset: iso for iso, asset in ASSETS.items()}

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
BY_NUMBER: Final = "BBAN"
BY_EMAIL: Final = "EMAL"
SCHEME_CODE: Final[Mapping[Scheme, str]] = {
    Scheme.ACCOUNT: BY_NUMBER,
    Scheme.MOBILE: "MOBN",
    Scheme.EMAIL: BY_EMAIL,
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


def check_category(text: str) -> str:
    """A category purpose of FPS (rails.md A3) -> the same. Raises InvalidValue UNKNOWN_CODE."""
    return _listed(text, CATEGORIES)


def check_service(text: str) -> str:
    """A service code of FPS, BizSvc (rails.md A2) -> the same. Raises InvalidValue UNKNOWN_CODE."""
    return _listed(text, SERVICES)


def _listed(text: str, codes: tuple[str, ...]) -> str:
    if text not in codes:
        raise InvalidValue("UNKNOWN_CODE", f"not one of {', '.join(codes)}")
    return text


def category_of(purpose: str) -> str:
    """Our purpose -> FPS category; a purpose FPS has no word for is CXOTHS."""
    return _CATEGORY_OF.get(purpose, "CXOTHS")


def purpose_of(category: str, stated: str | None) -> str:
    """FPS category -> our purpose: the one stated in Purp, else the nearest to the category, else none."""
    if stated:
        return stated
    return _PURPOSE_OF.get(category, "")
