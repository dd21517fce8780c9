"""Who owes and who is owed: a name, a place, an address on a rail, and papers."""

from enum import IntEnum
from typing import NamedTuple

from switch.domain.document import Document

__all__ = ["Account", "Party", "Place", "Scheme"]


class Place(IntEnum):
    """The three jurisdictions, ISO 3166 codes."""

    HK = 1
    MO = 2
    CN = 3


class Scheme(IntEnum):
    """What an account address is. Stated by the caller, never guessed from its look."""

    ACCOUNT = 1  # account number at `creditor_agent` (ISO BBAN)
    MOBILE = 2  # +852-61234567, +853-66123456, +86-13800138000; a proxy, the rail finds the account
    EMAIL = 3  # proxy
    FPS_ID = 4  # 7 or 9 digits; proxy
    WALLET_ID = 5  # e-CNY wallet, 16 digits starting 00
    ALIPAY_LOGIN = 6  # mobile or email a mainland wallet user signs in with
    ALIPAY_USER = 7  # 16 digits starting 2088
    PAYMENT_CODE = 8  # the code a payer shows at a till: its wallet pays. A rail carries it; no corridor does yet


class Account(NamedTuple):
    """An address on a rail. `level` is the e-CNY wallet tier when the caller knows it (1..4), else 0."""

    scheme: Scheme
    value: str  # canonical text of its scheme; personal: to no log, metric, trace or event
    level: int = 0


class Party(NamedTuple):
    """A debtor or a creditor. All of it is personal data."""

    name: str
    place: Place
    account: Account
    document: Document | None = None
