"""A rail's end-of-day statement as values: its lines, made from a mock rail's books, and what a form of it must do.

Each rail writes and reads its own form in its own folder (RailModule.statement). A statement is of one Hong Kong day
(UTC+8) and one institution, ours; its times are whole seconds, which every form can say.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Final, NamedTuple

from adapters.kit.books import DAY_MS, EPOCH, HONG_KONG_MS, Books, PaymentStatus, Record
from switch.domain.money import Asset
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError, InvalidValue

__all__ = [
    "STATEMENT_BYTES_MAX",
    "Statement",
    "StatementFormat",
    "StatementLine",
    "day_bounds",
    "day_of",
    "only_files",
    "parse_day",
    "statement_of",
]

_LAST: Final = date(9999, 12, 31)  # the day after it is one, too
STATEMENT_BYTES_MAX: Final = 128 << 20  # all files of one day; 100,000 payments in the widest form here are 80 MiB


class StatementLine(NamedTuple):
    """One booking, or for information one refusal (where the form lists them)."""

    uetr: str
    asset: Asset
    amount_minor: int  # > 0 paid into an account there, < 0 taken from it; a reversal has the other sign of the booking
    status: LineStatus
    code: str  # the rail's word: ACSC, PR00, AC04, ...
    reference: str  # the rail's own id; "" when it gave none
    time_ms: int  # whole seconds


class Statement(NamedTuple):
    """What one rail says of one day."""

    institution: str  # whose statement it is: our code on the rail
    day: date
    lines: tuple[StatementLine, ...]  # in order of time
    opening_minor: Mapping[Asset, int]  # sum of all bookings before the day; {} where the form says none


class StatementFormat(NamedTuple):
    """The form of one rail. Both functions are pure.

    `write` gives the files by name; the same statement is the same bytes. `read` takes exactly those files and checks
    whatever the form says twice: counts, sums, balances, hashes, the day and the institution it is asked for. It raises
    CodecError with the path of what is wrong, file first, never a value.
    """

    write: Callable[[Statement], dict[str, bytes]]
    read: Callable[[Mapping[str, bytes], str, date], Statement]  # files, institution, day
    refusals: bool = True  # False: the form lists bookings only


# --- days ------------------------------------------------------------------------------------------------------------
def day_bounds(day: date) -> tuple[int, int]:
    """A Hong Kong day as Unix ms: its first, and the first after it."""
    begin_ms = (day - EPOCH).days * DAY_MS - HONG_KONG_MS
    return begin_ms, begin_ms + DAY_MS


def day_of(time_ms: int) -> date:
    """The Hong Kong day of a moment."""
    return date.fromordinal(EPOCH.toordinal() + (time_ms + HONG_KONG_MS) // DAY_MS)


def parse_day(text: str) -> date:
    """YYYY-MM-DD. Raises InvalidValue DATE."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidValue("DATE", "a day is YYYY-MM-DD") from None
    if text != day.isoformat() or not EPOCH <= day < _LAST:
        raise InvalidValue("DATE", f"a day is YYYY-MM-DD, from {EPOCH} to before {_LAST}")
    return day


# --- books -> lines --------------------------------------------------------------------------------------------------
def statement_of(books: Books, institution: str, day: date) -> Statement:
    """The statement of one day, read from a mock rail's books; it takes time with all that was ever booked."""
    begin_ms, end_ms = day_bounds(day)
    first: dict[str, int] = {}  # amount of the first booking of a UETR: what has the other sign takes it back
    opening: dict[Asset, int] = {}
    lines = []
    for record in books.lines:
        uetr = _payment_of(record.uetr)
        reversal = (record.amount_minor > 0) != (first.setdefault(uetr, record.amount_minor) > 0)
        if record.time_ms < begin_ms:
            opening[record.asset] = opening.get(record.asset, 0) + record.amount_minor
        elif record.time_ms < end_ms:
            lines.append(_line(record, LineStatus.REVERSED if reversal else LineStatus.DONE))
    for record in books.payments.values():
        refused = record.status is PaymentStatus.REFUSED and record.uetr not in first
        if refused and begin_ms <= record.time_ms < end_ms:
            lines.append(_line(record, LineStatus.REFUSED))
    lines.sort(key=lambda line: line.time_ms)
    return Statement(institution, day, tuple(lines), opening)


def _payment_of(booked: str) -> str:
    """What a booking belongs to: a part that is given back carries its own number behind a slash."""
    return booked.partition("/")[0]


def _line(record: Record, status: LineStatus) -> StatementLine:
    return StatementLine(
        _payment_of(record.uetr), record.asset, record.amount_minor, status, record.code, record.reference,
        record.time_ms // 1000 * 1000,
    )  # fmt: skip


# --- what every form checks ------------------------------------------------------------------------------------------
def only_files(files: Mapping[str, bytes], names: Iterable[str]) -> None:
    """Exactly these files, within STATEMENT_BYTES_MAX. Raises CodecError: MISSING, UNKNOWN or SIZE."""
    wanted = set(names)
    for name in sorted(wanted - files.keys()):
        raise CodecError(name, "MISSING")
    for name in sorted(files.keys() - wanted):
        raise CodecError(name, "UNKNOWN")
    if sum(map(len, files.values())) > STATEMENT_BYTES_MAX:
        raise CodecError("/", "SIZE")
