"""Limits: what one payment uses of each, and the rule that refuses it. Pure; the store counts, a rail knows balances."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, NamedTuple

from switch.domain.corridor import Corridor, Hours, LimitRow, Period, Subject
from switch.domain.document import Document
from switch.domain.instruction import Instruction
from switch.domain.money import Money
from switch.domain.payment import LimitCharge

__all__ = [
    "HONG_KONG",
    "PersonCounter",
    "Usage",
    "applies",
    "charges",
    "check_limits",
    "is_open",
    "minute_of_day",
    "next_opening_ms",
    "person_counters",
]

HONG_KONG: Final = timezone(timedelta(hours=8))  # the three places share it; no summer time
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_OFFSET_MS: Final = 8 * 3_600_000
_KEPT_AFTER_MS: Final = _DAY_MS  # a counter outlives its period, so that a late abort still finds what it gives back


class Usage(NamedTuple):
    """What a subject has used before this payment, each in the currency of the row that counts it."""

    day_minor: int = 0
    year_minor: int = 0
    balance_minor: int = 0


class PersonCounter(NamedTuple):
    """Where a person's use of one limit row is counted, and until when."""

    row: LimitRow
    counter: str  # as LimitCharge
    period_key: str
    reset_time_ms: int


# --- time in Hong Kong -----------------------------------------------------------------------------------------------
def minute_of_day(now_ms: int) -> int:
    """Minute of the Hong Kong day, 0..1439."""
    return (now_ms + _OFFSET_MS) // _MINUTE_MS % 1440


def is_open(hours: Hours, now_ms: int) -> bool:
    """The last minute is the one before `close_minute`."""
    return hours.open_minute <= minute_of_day(now_ms) < hours.close_minute


def next_opening_ms(hours: Hours, now_ms: int) -> int:
    """`now_ms` while open, else the next opening; Unix ms."""
    minute = minute_of_day(now_ms)
    if hours.open_minute <= minute < hours.close_minute:
        return now_ms
    midnight_ms = (now_ms + _OFFSET_MS) // _DAY_MS * _DAY_MS - _OFFSET_MS
    if minute >= hours.close_minute:
        midnight_ms += _DAY_MS
    return midnight_ms + hours.open_minute * _MINUTE_MS


def _period(period: Period, now_ms: int) -> tuple[str, int]:
    """Key of the Hong Kong day or year of `now_ms`, and the first millisecond after it."""
    return _period_of_day(period, (now_ms + _OFFSET_MS) // _DAY_MS)


@lru_cache(maxsize=16)  # a day's payments share it
def _period_of_day(period: Period, day: int) -> tuple[str, int]:
    """`day`: of Hong Kong, counted from 1 January 1970."""
    midnight = datetime.fromtimestamp((day * _DAY_MS - _OFFSET_MS) // 1000, HONG_KONG)
    if period is Period.YEAR:
        key, end = f"y{midnight.year:04}", midnight.replace(year=midnight.year + 1, month=1, day=1)
    else:
        key, end = f"d{midnight:%Y%m%d}", midnight + timedelta(days=1)
    return key, int(end.timestamp()) * 1000


# --- what a payment uses ---------------------------------------------------------------------------------------------
def applies(row: LimitRow, wallet_level: int) -> bool:
    """Rows of one wallet tier count only when the caller knows the tier; an unknown tier is the rail's to check."""
    return row.wallet_level in (0, wallet_level)


def charges(
    corridor: Corridor, instruction: Instruction, now_ms: int, identity_hash: Callable[[str], str]
) -> tuple[LimitCharge, ...]:
    """What `instruction` uses of the day and year rows of `corridor`, in the order of the rows.

    `identity_hash`: keyed hash of a personal text; its answer goes into the counter's name, the text nowhere.
    A person is counted per institution (the participant that instructs) by document, without one by debtor account;
    a creditor account is counted over all institutions, for its tier's limits are its own.
    """
    charged = []
    for row in corridor.limits:
        if row.period not in (Period.DAY, Period.YEAR) or not applies(row, instruction.creditor.account.level):
            continue
        key, end_ms = _period(row.period, now_ms)
        charged.append(
            LimitCharge(
                row.id,
                f"{row.counter or row.id}|{_subject(row.subject, instruction, identity_hash)}",
                key,
                end_ms + _KEPT_AFTER_MS,
                row.measured(instruction.debit, instruction.credit),
                row.max_minor,
            )
        )
    return tuple(charged)


def person_counters(
    corridor: Corridor, participant: str, document: Document, now_ms: int, identity_hash: Callable[[str], str]
) -> tuple[PersonCounter, ...]:
    """Where the payments of a holder of `document` at `participant` are counted by the day and year rows, in order."""
    subject = f"{participant}|{identity_hash(_document_text(document))}"
    return tuple(
        PersonCounter(row, f"{row.counter or row.id}|{subject}", *_period(row.period, now_ms))
        for row in corridor.limits
        if row.subject is Subject.DEBTOR_PERSON and row.period in (Period.DAY, Period.YEAR)
    )


def _document_text(document: Document) -> str:
    return f"document {document.type.name} {document.number}"


def _subject(subject: Subject, instruction: Instruction, identity_hash: Callable[[str], str]) -> str:
    if subject is Subject.CREDITOR_ACCOUNT:
        account = instruction.creditor.account
        return f"*|{identity_hash(f'account {account.scheme.name} {account.value}')}"
    document = instruction.debtor.document
    if document is not None:
        text = _document_text(document)
    else:
        text = f"account {instruction.debtor.account.scheme.name} {instruction.debtor.account.value}"
    return f"{instruction.participant}|{identity_hash(text)}"


# --- the rule that refuses -------------------------------------------------------------------------------------------
_REASONS: Final = {
    Period.TXN: "TXN_LIMIT",
    Period.DAY: "DAY_LIMIT",
    Period.YEAR: "YEAR_LIMIT",
    Period.BALANCE: "BALANCE_LIMIT",
}


def check_limits(
    rows: Iterable[LimitRow], hours: Hours, debit: Money, credit: Money, used: Usage, minute: int, wallet_level: int = 0
) -> str:
    """The first rule that refuses, or "OK": OUT_OF_HOURS, TXN_LIMIT, DAY_LIMIT, YEAR_LIMIT, BALANCE_LIMIT.

    In one place what the router (hours, TXN), the store (DAY, YEAR) and a rail (BALANCE) decide in theirs: the tests
    hold them to it, and a simulator may call it for its own rows. `minute`: of the Hong Kong day.
    """
    if not hours.open_minute <= minute < hours.close_minute:
        return "OUT_OF_HOURS"
    before = {
        Period.TXN: 0,
        Period.DAY: used.day_minor,
        Period.YEAR: used.year_minor,
        Period.BALANCE: used.balance_minor,
    }
    for row in sorted(rows, key=lambda row: row.period):
        if applies(row, wallet_level) and row.measured(debit, credit) > row.max_minor - before[row.period]:
            return _REASONS[row.period]
    return "OK"
