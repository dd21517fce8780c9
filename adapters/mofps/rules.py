"""What Easy Transfer says and what we call it: assets, addresses, purposes. rails.md B1 and F3.

Refusal codes are ISO's (kit.push_codec.ISO_REASONS). The 20,000 a day of a payer (B1) is the sending side's rule, so it
stands in the switch's limits and not here; the rail itself enforces what its accounts and institutions take.
"""

from collections.abc import Mapping
from typing import Final

from adapters.kit.push_codec import FORMAT
from switch.domain.money import Asset
from switch.domain.party import Account, Scheme
from switch.errors import CodecError, RailRejected

__all__ = [
    "ASSETS",
    "CURRENCY",
    "PAYABLE",
    "PROXY_CODE",
    "PURPOSE_CODE",
    "account_of",
    "address_of",
    "purpose_of",
    "purpose_words",
]

ASSETS: Final[Mapping[str, Asset]] = {"MOP": Asset.MOP, "HKD": Asset.HKD}  # HKD since 25 Sep 2023 (rails.md B1 [m2])
CURRENCY: Final[Mapping[Asset, str]] = {asset: iso for iso, asset in ASSETS.items()}

# What a creditor on this rail can be reached by (rails.md B1 [m1][m3]).
PAYABLE: Final = (Scheme.ACCOUNT, Scheme.MOBILE, Scheme.FPS_ID)

# Kinds of a proxy in Prxy/Tp/Prtry. Ours, as is the format: the first two are this rail's own, the others belong to
# payees behind the switch, whom a bank on this rail may pay.
PROXY_CODE: Final[Mapping[Scheme, str]] = {
    Scheme.MOBILE: "MOBN",
    Scheme.FPS_ID: "SVID",
    Scheme.EMAIL: "EMAL",
    Scheme.WALLET_ID: "EWLT",
    Scheme.ALIPAY_LOGIN: "ALGN",
    Scheme.ALIPAY_USER: "AUSR",
}
_SCHEME_OF: Final[Mapping[str, Scheme]] = {code: scheme for scheme, code in PROXY_CODE.items()}

NO_ACCOUNT: Final = "NOTPROVIDED"  # the ISO market practice for a mandatory id that there is not

# The switch's purposes -> ISO ExternalPurpose1Code (rails.md F3); a purpose without one is written in Purp/Prtry.
PURPOSE_CODE: Final[Mapping[str, str]] = {
    "FAMILY_SUPPORT": "FAMI",
    "SALARY": "SALA",
    "ONLINE_SHOPPING": "GDDS",
    "SERVICE_FEES": "SCVE",
    "GOVERNMENT": "GOVT",
    "TUITION": "EDUC",
    "MEDICAL": "MDCS",
    "UTILITIES": "UTIL",
}
_PURPOSE_OF: Final[Mapping[str, str]] = {code: purpose for purpose, code in PURPOSE_CODE.items()}
assert len(_SCHEME_OF) == len(PROXY_CODE)
assert len(_PURPOSE_OF) == len(PURPOSE_CODE)


def address_of(account: Account) -> tuple[str, str | None, str | None]:
    """An address -> (Id/Othr/Id, Prxy/Tp, Prxy/Id). Raises RailRejected: a kind this rail has no word for."""
    scheme, value, _ = account
    code = PROXY_CODE.get(scheme)
    if code is not None:
        return NO_ACCOUNT, code, value
    if scheme is Scheme.ACCOUNT:
        return value, None, None
    raise RailRejected("RAIL_FORMAT", FORMAT)


def account_of(path: str, account: str, proxy_type: str | None, proxy: str | None) -> Account:
    """The inverse of `address_of`. Raises CodecError, with `path`: half a proxy."""
    if proxy_type is None and proxy is None:
        return Account(Scheme.ACCOUNT, account)
    if proxy_type is None or proxy is None:
        raise CodecError(f"{path}/Prxy", "ADDRESS")
    return Account(_SCHEME_OF[proxy_type], proxy)


def purpose_words(purpose: str) -> tuple[str | None, str | None]:
    """Our purpose -> (Purp/Cd, Purp/Prtry): one of them, none for no purpose."""
    code = PURPOSE_CODE.get(purpose)
    return code, None if code else (purpose or None)


def purpose_of(code: str | None, word: str | None) -> str:
    """(Purp/Cd, Purp/Prtry) -> our purpose, "" when none is stated."""
    return _PURPOSE_OF[code] if code else (word or "")
