"""The books of a mock rail: who holds which account, what was paid, and what became of every UETR.

Amounts are minor units. Days and years turn at midnight in Hong Kong (UTC+8, no summer time).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

from adapters.kit.faults import Fault
from switch.domain.money import Asset
from switch.errors import InvalidValue

__all__ = ["Account", "AccountState", "Books", "Institution", "Limit", "PaymentStatus", "Record"]

HONG_KONG_MS = 8 * 3_600_000
DAY_MS = 86_400_000
EPOCH = date(1970, 1, 1)
BATCH_MS_MAX = 120_000  # a sandbox shows that a batch takes its time, it does not wait for the night


class AccountState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    BLOCKED = "blocked"


class PaymentStatus(StrEnum):
    """What the rail knows of a UETR; a UETR it has never seen has no record."""

    DONE = "done"
    REFUSED = "refused"
    WORKING = "working"


_DONE: Final = PaymentStatus.DONE  # a member by its enum's name is looked up slowly, and this one for every payment


class Limit(StrEnum):
    """Which limit of an account a payment breaks. The rail maps it to its own code."""

    TXN = "txn"
    DAY = "day"
    YEAR = "year"
    BALANCE = "balance"
    FUNDS = "funds"  # a debit of more than there is


@dataclass(slots=True)
class Institution:
    """A participant of the rail. `txn_max_minor` is its own ceiling per payment (0: none).

    `batch_ms` is for one that is not real-time: it takes a payment at once, answers that it is at work on it, and
    credits it so much later; an enquiry tells when (0: real-time, at most BATCH_MS_MAX).
    """

    code: str
    name: str
    txn_max_minor: int = 0
    fault: Fault | None = None  # offline, maintenance, ...: for every account it holds
    batch_ms: int = 0


@dataclass(slots=True)
class Account:
    """One account or wallet. A limit of 0 is no limit."""

    institution: str
    number: str
    holder: str
    assets: frozenset[Asset]
    balance_minor: dict[Asset, int] = field(default_factory=dict)
    state: AccountState = AccountState.OPEN
    tier: str = ""  # the rail's word: an e-CNY wallet type, a verification level
    txn_max_minor: int = 0
    day_max_minor: int = 0
    year_max_minor: int = 0
    balance_max_minor: int = 0
    held_minor: dict[Asset, int] = field(default_factory=dict)  # of payments out of it that are not answered yet
    document: str = ""  # type:number, for inbound payments of this holder (synthetic)
    fault: Fault | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.institution, self.number


class Record(NamedTuple):
    """What became of one UETR. `digest` tells a repeat from another body under the same id."""

    uetr: str
    digest: bytes
    status: PaymentStatus
    code: str  # the rail's word: ACSC, PR00, AC04, ...
    reference: str  # the rail's own id
    account: tuple[str, str] | None  # institution and number; None when none was found
    asset: Asset
    amount_minor: int  # > 0 paid into the account, < 0 taken from it
    time_ms: int


class Books:
    """All state of one mock rail. One event loop owns it; nothing here awaits, so each call is atomic."""

    def __init__(self) -> None:
        self.institutions: dict[str, Institution] = {}
        self.accounts: dict[tuple[str, str], Account] = {}
        self.payments: dict[str, Record] = {}  # by UETR, in order of arrival
        self.lines: list[Record] = []  # the statement: every booking, in order; a double payment would show here
        self._proxies: dict[tuple[str, str], dict[str, Account]] = {}  # (kind, value) -> institution -> account
        self._default: dict[tuple[str, str], Account] = {}
        self._used: dict[tuple[tuple[str, str], int], int] = {}  # (account, day or year) -> minor units
        self._day = 0
        self._year = 0
        self._serial = 0

    # --- who is there ------------------------------------------------------------------------------------------------
    def add_institution(self, institution: Institution) -> None:
        if institution.code in self.institutions:
            raise InvalidValue("SEED", f"institution {institution.code} stands twice")
        if type(institution.batch_ms) is not int or not 0 <= institution.batch_ms <= BATCH_MS_MAX:
            raise InvalidValue("SEED", f"batch_ms counts 0 to {BATCH_MS_MAX} milliseconds")
        self.institutions[institution.code] = institution

    def add_account(self, account: Account) -> None:
        if account.key in self.accounts or account.institution not in self.institutions:
            raise InvalidValue(
                "SEED", f"an account of {account.institution} stands twice, or its institution is missing"
            )
        self.accounts[account.key] = account

    def add_proxy(self, kind: str, value: str, account: Account, *, default: bool = True) -> None:
        """Register a proxy. One value may stand at several institutions; one of them is the default (rails.md A1)."""
        entries = self._proxies.setdefault((kind, value), {})
        if account.institution in entries:
            raise InvalidValue("SEED", f"a {kind} proxy stands twice at {account.institution}")
        entries[account.institution] = account
        if default:
            self._default[kind, value] = account

    def account(self, institution: str, number: str) -> Account | None:
        return self.accounts.get((institution, number))

    def by_proxy(self, kind: str, value: str, institution: str = "") -> Account | None:
        """The account behind a proxy: at `institution`, or the default one."""
        if not institution:
            return self._default.get((kind, value))
        return self._proxies.get((kind, value), {}).get(institution)

    def mark(self, account: Account | None) -> Fault | None:
        """The fault the seed put on an account, else on its institution."""
        if account is None:
            return None
        return account.fault or self.institutions[account.institution].fault

    # --- money -------------------------------------------------------------------------------------------------------
    def breaks(self, account: Account, asset: Asset, amount_minor: int, now_ms: int) -> Limit | None:
        """The first limit a payment of `amount_minor` into (> 0) or out of (< 0) `account` breaks, or None."""
        size, balance = abs(amount_minor), account.balance_minor.get(asset, 0)
        ceiling = self.institutions[account.institution].txn_max_minor
        if (account.txn_max_minor and size > account.txn_max_minor) or (ceiling and size > ceiling):
            return Limit.TXN
        if account.day_max_minor or account.year_max_minor:
            day, year = self._periods(now_ms)
            if account.day_max_minor and self._used.get((account.key, day), 0) + size > account.day_max_minor:
                return Limit.DAY
            if account.year_max_minor and self._used.get((account.key, year), 0) + size > account.year_max_minor:
                return Limit.YEAR
        if account.balance_max_minor and balance + amount_minor > account.balance_max_minor:
            return Limit.BALANCE
        if amount_minor < 0 and balance + amount_minor < account.held_minor.get(asset, 0):
            return Limit.FUNDS
        return None

    def book(self, record: Record) -> None:
        """Pay: move the balance, count the limits' use, write the line, keep the outcome. Once per UETR."""
        uetr, _, status, _, _, key, asset, amount_minor, time_ms = record
        assert status is _DONE
        assert key is not None
        before = self.payments.get(uetr)
        assert before is None or before.status is not _DONE, "booked twice"
        account = self.accounts[key]
        account.balance_minor[asset] = account.balance_minor.get(asset, 0) + amount_minor
        if account.day_max_minor or account.year_max_minor:
            for period in self._periods(time_ms):
                self._used[key, period] = self._used.get((key, period), 0) + abs(amount_minor)
        self.lines.append(record)
        self.payments[uetr] = record

    def hold(self, account: Account, asset: Asset, amount_minor: int) -> None:
        """Set `amount_minor` of the balance aside for a payment out of it; a negative amount gives it free again."""
        account.held_minor[asset] = account.held_minor.get(asset, 0) + amount_minor

    def unbook(self, uetr: str) -> None:
        """Take back a booking that a cancel ended: the line is answered by its opposite, the payment stays refused."""
        record = self.payments[uetr]
        assert record.status is PaymentStatus.DONE
        assert record.account is not None
        back = record._replace(amount_minor=-record.amount_minor)
        self.accounts[record.account].balance_minor[record.asset] += back.amount_minor
        self.lines.append(back)

    def keep(self, record: Record) -> None:
        """Keep an outcome that moved no money: refused, or still working."""
        assert record.status is not PaymentStatus.DONE
        self.payments[record.uetr] = record

    def next_reference(self, prefix: str) -> str:
        """A rail reference, unique in these books."""
        self._serial += 1
        return f"{prefix}{self._serial:012d}"

    # --- audits ------------------------------------------------------------------------------------------------------
    def paid(self, uetr: str) -> list[Record]:
        """Every statement line of a UETR: one when it was paid, none when it was not. Reads the whole statement."""
        return [line for line in self.lines if line.uetr == uetr]

    def booked_twice(self) -> dict[str, int]:
        """UETRs with more than one booking, those that were taken back not counted. Empty is right."""
        times: Counter[str] = Counter()
        first: dict[str, int] = {}
        for line in self.lines:
            sign = first.setdefault(line.uetr, line.amount_minor)
            times[line.uetr] += 1 if (line.amount_minor > 0) == (sign > 0) else -1
        return {uetr: count for uetr, count in times.items() if count > 1}

    def page(self, after: int, count: int) -> Iterator[Record]:
        """Payments in order of arrival, from place `after`."""
        return islice(self.payments.values(), after, after + count)

    def balances(self, accounts: Iterable[Account] | None = None) -> list[dict[str, object]]:
        """Accounts with what they hold, without any name."""
        chosen = self.accounts.values() if accounts is None else accounts
        return [
            {
                "institution": account.institution,
                "number": account.number,
                "state": str(account.state),
                "balance_minor": {asset.name: account.balance_minor.get(asset, 0) for asset in sorted(account.assets)},
            }
            for account in chosen
        ]

    def _periods(self, now_ms: int) -> tuple[int, int]:
        """Keys of the day and of the year in Hong Kong; old days are forgotten when the day turns."""
        day = (now_ms + HONG_KONG_MS) // DAY_MS
        if day == self._day:
            return day, self._year
        year = -(EPOCH + timedelta(days=day)).year  # negative: apart from day numbers
        if day > self._day:
            self._day, self._year = day, year
            self._used = {key: used for key, used in self._used.items() if key[1] in (day, year)}
        return day, year
