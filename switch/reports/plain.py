"""JSON and CSV. Amounts are whole minor units, positive owes; CSV repeats them as a bank would write them."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from switch.domain.money import Asset, format_amount
from switch.reports.account import Account, AccountLine, credit_or_debit, hong_kong_time

__all__ = ["to_csv", "to_json"]

_COLUMNS = (
    "record", "window_id", "participant", "asset", "amount_minor", "amount", "credit_debit", "time",
    "uetr", "debtor_agent", "end_to_end_id", "rail", "rail_reference",
)  # fmt: skip


def to_json(account: Account) -> bytes:
    """One object; names as in the contract."""
    content = {
        "window_id": account.window_id,
        "participant": account.participant,
        "arrangement_id": account.arrangement_id,
        "settlement_agent": account.settlement_agent,
        "open_time": hong_kong_time(account.open_time_ms),
        "cut_time": hong_kong_time(account.cut_time_ms),
        "close_time": hong_kong_time(account.close_time_ms),
        "seal": account.seal.hex(),
        "balances": [
            {
                "asset": balance.asset.name,
                "opening_minor": balance.opening_minor,
                "debits_minor": balance.debits_minor,
                "credits_minor": balance.credits_minor,
                "closing_minor": balance.closing_minor,
                "entries": sum(1 for _ in account.lines_of(balance.asset)),
            }
            for balance in account.balances
        ],
        "entries": [_plain(line) for line in account.lines],
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _plain(line: AccountLine) -> dict[str, Any]:
    plain = line._asdict() | {"asset": line.asset.name, "final_time": hong_kong_time(line.final_time_ms)}
    del plain["final_time_ms"]
    return plain


def to_csv(account: Account) -> bytes:
    """RFC 4180, UTF-8: per asset a row `opening`, one `entry` for each, a row `closing`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(_rows(account))
    return text.getvalue().encode()


def _rows(account: Account) -> Iterator[tuple[str | int, ...]]:
    for balance in account.balances:
        asset = balance.asset
        yield _row(account, "opening", asset, balance.opening_minor, account.open_time_ms)
        for line in account.lines_of(asset):
            yield _row(account, "entry", asset, line.amount_minor, line.final_time_ms, line)
        yield _row(account, "closing", asset, balance.closing_minor, account.cut_time_ms)


def _row(
    account: Account, record: str, asset: Asset, amount_minor: int, time_ms: int, line: AccountLine | None = None
) -> tuple[str | int, ...]:
    amount = format_amount(asset.iso, abs(amount_minor))
    of_payment = (
        (line.uetr, line.debtor_agent, line.end_to_end_id, line.rail, line.rail_reference) if line else ("",) * 5
    )
    return (
        record,
        account.window_id,
        account.participant,
        asset.name,
        amount_minor,
        amount,
        credit_or_debit(amount_minor),
        hong_kong_time(time_ms),
        *of_payment,
    )
