"""The rules of a corridor in the order of precedence, and the words of each refusal. Shared by both routers."""

from datetime import datetime
from typing import NamedTuple

from switch.domain.charges import HONG_KONG, applies, is_open, next_opening_ms
from switch.domain.corridor import Corridor, LimitRow, Measure, Period
from switch.domain.document import DocumentType
from switch.domain.money import Money
from switch.errors import Refused

__all__ = ["Verdict", "explain", "refusal", "txn_fault"]


class Verdict(NamedTuple):
    """What the rules of a corridor say of a question. `reason` is "" when nothing stands against it now."""

    reason: str
    open_time_ms: int  # now, or the next opening; Unix ms


def explain(corridor: Corridor, document: DocumentType | None, purpose: str, debit: Money, now_ms: int) -> Verdict:
    """The first rule that would refuse, in the order of REASONS. None, "" and an amount of 0: not asked, so not refused.

    A rule on the credit side is left out unless both assets are the same: without a quote the credit is not known.
    """
    opens_ms = next_opening_ms(corridor.hours, now_ms)
    return Verdict(_first_fault(corridor, document, purpose, debit, now_ms), opens_ms)


def _first_fault(corridor: Corridor, document: DocumentType | None, purpose: str, debit: Money, now_ms: int) -> str:
    if corridor.papers and document is not None and document not in corridor.papers:
        return "PAPERS_NOT_ACCEPTED"
    if corridor.purposes and purpose and purpose not in corridor.purposes:
        return "PURPOSE_NOT_ALLOWED"
    if not is_open(corridor.hours, now_ms):
        return "OUT_OF_HOURS"
    same_asset = corridor.debit_asset is corridor.credit_asset
    rows = tuple(row for row in corridor.limits if same_asset or row.measure is Measure.DEBIT)
    return "TXN_LIMIT" if txn_fault(rows, debit, debit, 0) else ""


def txn_fault(rows: tuple[LimitRow, ...], debit: Money, credit: Money, wallet_level: int) -> LimitRow | None:
    """The first row that takes less in one payment."""
    for row in rows:
        if row.period is Period.TXN and applies(row, wallet_level) and row.measured(debit, credit) > row.max_minor:
            return row
    return None


def refusal(reason: str, corridor: Corridor, now_ms: int, row: LimitRow | None = None) -> Refused:
    """The refusal with its field and its figures: what would pass, never what was given."""
    if reason.startswith("PAPERS"):
        figures = {"papers": ",".join(document.name for document in corridor.papers)}
        return Refused(reason, field="debtor.document", figures=figures)
    if reason.startswith("PURPOSE"):
        return Refused(reason, field="purpose", figures={"purposes": ",".join(corridor.purposes)})
    if reason == "OUT_OF_HOURS":
        opens = datetime.fromtimestamp(next_opening_ms(corridor.hours, now_ms) // 1000, HONG_KONG)
        open_minute, close_minute = corridor.hours
        return Refused(
            reason,
            figures={"opens": opens.isoformat(), "open": _clock(open_minute), "close": _clock(close_minute)},
        )
    assert reason == "TXN_LIMIT"
    assert row is not None
    side = "debit" if row.measure is Measure.DEBIT else "credit"
    figures = {"limit_minor": str(row.max_minor), "currency": row.currency, "limit_id": row.id}
    return Refused(reason, field=f"{side}.amount_minor", figures=figures)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
