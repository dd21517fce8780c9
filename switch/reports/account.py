"""What a statement says: one participant's account of one settlement window, per asset."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from switch.domain.charges import HONG_KONG
from switch.domain.money import Asset

__all__ = ["Account", "AccountBalance", "AccountLine", "credit_or_debit", "hong_kong_time", "misfits"]


class AccountBalance(NamedTuple):
    """Minor units. Positive owes; `debits_minor` and `credits_minor` are >= 0."""

    asset: Asset
    opening_minor: int
    debits_minor: int
    credits_minor: int

    @property
    def closing_minor(self) -> int:
        return self.opening_minor + self.debits_minor - self.credits_minor


class AccountLine(NamedTuple):
    """One entry. `amount_minor` > 0: the participant owes more."""

    asset: Asset
    amount_minor: int
    uetr: str
    debtor_agent: str
    end_to_end_id: str  # "" for other participants' payments
    rail: str
    rail_reference: str
    final_time_ms: int


class Account(NamedTuple):
    """A closed window from the view of one participant. Nothing in it names a person."""

    participant: str
    window_id: str
    number: int
    arrangement_id: str
    settlement_agent: str
    open_time_ms: int
    cut_time_ms: int
    close_time_ms: int
    seal: bytes  # of the window: what this account is a part of
    balances: tuple[AccountBalance, ...]  # at least one
    lines: tuple[AccountLine, ...]  # in the order of the log

    def lines_of(self, asset: Asset) -> Iterator[AccountLine]:
        return (line for line in self.lines if line.asset is asset)


def misfits(account: Account) -> list[str]:
    """What does not add up, in words: entries that do not come to the debits and credits of their asset. [] is right."""
    known = {balance.asset: (balance.debits_minor, balance.credits_minor) for balance in account.balances}
    found: dict[Asset, tuple[int, int]] = dict.fromkeys(known, (0, 0))
    for line in account.lines:
        debits, credits = found.get(line.asset, (0, 0))
        found[line.asset] = debits + max(line.amount_minor, 0), credits + max(-line.amount_minor, 0)
    return [
        f"{asset.name}: entries come to debits {sums[0]} and credits {sums[1]}, "
        f"the balance says {' and '.join(map(str, known.get(asset, (0, 0))))}"
        for asset, sums in found.items()
        if sums != known.get(asset)
    ]


def credit_or_debit(amount_minor: int) -> str:
    """ISO 20022 CreditDebitCode, as the participant sees it: what it owes is a debit; nothing is a credit of nothing."""
    return "DBIT" if amount_minor > 0 else "CRDT"


def hong_kong_time(time_ms: int) -> str:
    """ISO 8601 with milliseconds and +08:00."""
    seconds, rest_ms = divmod(time_ms, 1000)
    moment = datetime.fromtimestamp(seconds, HONG_KONG).replace(microsecond=rest_ms * 1000)
    return moment.isoformat(timespec="milliseconds")
