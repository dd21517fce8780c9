"""A corridor: an ordered pair of places and assets, the rail that serves it, and its rules. Rows of rules/*.toml."""

from enum import IntEnum
from typing import NamedTuple

from switch.domain.document import DocumentType
from switch.domain.money import Asset, Money, Rate, Rounding, convert
from switch.domain.party import Place, Scheme

__all__ = ["Corridor", "Fee", "Hours", "LimitRow", "Measure", "Period", "Route", "Subject"]


class Period(IntEnum):
    """What a limit counts over. Days and years turn at midnight in Hong Kong (UTC+8, no summer time)."""

    TXN = 0
    DAY = 1
    YEAR = 2
    BALANCE = 3  # only a rail knows a balance; the row is data for its simulator and for CheckRoute


class Subject(IntEnum):
    """Whose use a limit counts; the identity is hashed with a key before it is stored."""

    DEBTOR_PERSON = 0  # by document; per instructing institution
    CREDITOR_ACCOUNT = 1  # by account, e.g. an e-CNY wallet


class Measure(IntEnum):
    """Which side of the payment a limit measures."""

    DEBIT = 0
    CREDIT = 1


class LimitRow(NamedTuple):
    """At most `max_minor` of `currency` per `period` for one `subject`."""

    id: str  # e.g. payment_connect_north.day
    subject: Subject
    period: Period
    measure: Measure
    currency: str  # ISO 4217 of max_minor
    max_minor: int
    reference: Rate | None  # measured amount -> currency, when they differ (the USD quota); data with a date
    wallet_level: int  # 0: any; 1..4: only e-CNY wallets of this tier
    source: str
    counter: str = ""  # id of the row whose use is counted together with this one's; "" = its own

    def measured(self, debit: Money, credit: Money) -> int:
        """The amount this row counts, in minor units of `currency`, never rounded in the payer's favour."""
        amount = (debit if self.measure is Measure.DEBIT else credit).amount_minor
        return amount if self.reference is None else convert(amount, self.reference, Rounding.UP)


class Hours(NamedTuple):
    """Open from `open_minute` to before `close_minute` of the Hong Kong day; (0, 1440) is always."""

    open_minute: int
    close_minute: int


class Corridor(NamedTuple):
    """One row of the routing table. The most specific row wins: a named creditor agent before any."""

    id: str
    debtor_place: Place
    creditor_place: Place
    debit_asset: Asset
    credit_asset: Asset
    schemes: tuple[Scheme, ...]  # creditor address kinds the row takes
    creditor_agent: str  # "" = any
    rail: str
    gateway: str  # participant through which this rail settles: it is credited
    papers: tuple[DocumentType, ...]  # documents of the debtor the corridor takes; () = none asked
    purposes: tuple[str, ...]  # () = none asked
    hours: Hours
    limits: tuple[LimitRow, ...]
    source: str
    papers_from: tuple[str, ...] = ()  # gateways whose institutions have seen the debtor's papers: none asked of them


class Fee(NamedTuple):
    """What a corridor costs: `fixed_minor` of the debit asset and `basis_points` of the converted amount, rounded up."""

    fixed_minor: int
    basis_points: int


class Route(NamedTuple):
    """The choice for one instruction."""

    corridor: Corridor
    rail: str
    gateway: str
