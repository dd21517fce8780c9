"""Accounts that reports are made of."""

from switch.domain.money import Asset
from switch.reports import Account, AccountBalance, AccountLine
from tests.fakes import NOON_MS

__all__ = ["ACCOUNT", "EMPTY", "account"]

HOUR_MS = 3_600_000


def _line(asset: Asset, amount_minor: int, place: int, debtor_agent: str, **more: str) -> AccountLine:
    uetr = f"0000000{place}-0000-4000-8000-00000000000{place}"
    reference = more.get("reference", f"FRN2026112300{place}")
    return AccountLine(
        asset,
        amount_minor,
        uetr,
        debtor_agent,
        more.get("end_to_end_id", ""),
        more.get("rail", "near"),
        reference,
        NOON_MS - HOUR_MS + place,
    )


def account(balances: tuple[AccountBalance, ...], *lines: AccountLine) -> Account:
    return Account(
        "ALFA",
        "hkd-rtgs.7",
        7,
        "hkd-rtgs",
        "SA_HKD",
        NOON_MS - 5 * HOUR_MS,
        NOON_MS,
        NOON_MS + 1_234,
        bytes(range(32)),
        balances,
        lines,
    )


# Two assets; own payments and others', a reference too long for ISO, characters that files must carry over, a zero.
ACCOUNT = account(
    (AccountBalance(Asset.HKD, 30_000, 12_345, 500), AccountBalance(Asset.CNH, -700, 0, 10**15 + 5)),
    _line(Asset.HKD, 12_340, 1, "ALFA", end_to_end_id='INV "7", <A&B>'),
    _line(Asset.HKD, -500, 2, "BRAVO", rail="far", reference="X" * 64),
    _line(Asset.CNH, -(10**15 + 5), 3, "BRAVO", reference=""),
    _line(Asset.HKD, 5, 4, "ALFA", end_to_end_id="發票-9", reference="bad\x01ref"),
)
EMPTY = account((AccountBalance(Asset.HKD, 0, 0, 0),))
