"""The detail files of a day, one for each hour with a payment: text lines <-> statement lines. See statement.py."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from adapters.ecny.rules import CENTRE, stamp
from adapters.ecny.spec import CONVERT_REQUEST
from adapters.kit.statement import StatementLine, day_bounds
from adapters.wire import parse_iso_time
from switch.domain.identifiers import parse_uetr
from switch.domain.money import Asset, format_amount, parse_amount
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError, InvalidValue

__all__ = ["detail_name", "hour_of", "read_details", "type_and_status", "write_details"]

_OUT: Final = CONVERT_REQUEST.name  # 225: our account -> wallet
_IN: Final = "dcep.221.001.01"  # wallet -> our account
_BACK: Final = "dcep.801.001.01"  # the adjustment that takes a payment back
_DONE, _REFUSED = "PR00", "PR01"
_END: Final = "<end>"
_COLUMNS: Final = (
    "time", "message_type", "msg_id", "instructing", "paying", "receiving", "currency", "amount", "status",
    "description",
)  # fmt: skip
_REFERENCE_CHARS_MAX: Final = 35


def detail_name(batch: str, hour: str) -> str:
    """<BatchId>_<Nb>_01: the one file of a group."""
    return f"{batch}_{hour}_01.txt"


def hour_of(time_ms: int) -> str:
    """The hour in Hong Kong, two digits: the number of a group."""
    return stamp(time_ms)[1][:2]


def type_and_status(line: StatementLine) -> tuple[str, str]:
    """MsgTp and BizSts of a line."""
    to_wallet = _OUT if line.amount_minor >= 0 else _IN
    kind = _BACK if line.status is LineStatus.REVERSED else to_wallet
    return kind, _REFUSED if line.status is LineStatus.REFUSED else _DONE


# --- writing ---------------------------------------------------------------------------------------------------------
def write_details(lines: Sequence[StatementLine], institution: str) -> bytes:
    """Raises CodecError: a line this form does not take."""
    total_minor = sum(abs(line.amount_minor) for line in lines)
    rows = [_row(line, institution) for line in lines]
    return "\n".join((f"{len(lines)}|{_yuan(total_minor)}", *rows, _END, "")).encode()


def _row(line: StatementLine, institution: str) -> str:
    kind, status = type_and_status(line)
    refused = line.status is LineStatus.REFUSED
    if line.asset is not Asset.ECNY or (not refused and line.code != _DONE):
        raise CodecError("line", "CODE")  # a booking says no more than that it is one
    paying, receiving = (institution, CENTRE) if line.amount_minor >= 0 else (CENTRE, institution)
    day, clock = stamp(line.time_ms)
    moment = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}"
    description = f"{line.uetr} {line.code}" if refused else line.uetr
    return "|".join((
        moment, kind, line.reference, paying, paying, receiving, "CNY", _yuan(abs(line.amount_minor)), status,
        description,
    ))  # fmt: skip


def _yuan(minor: int) -> str:
    return format_amount("CNY", minor)


# --- reading ---------------------------------------------------------------------------------------------------------
def read_details(data: bytes, institution: str, day: date, hour: str) -> list[StatementLine]:
    """The lines of one hour. Raises CodecError: line[n], and the column where there is one."""
    try:
        text = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise CodecError("/", "ENCODING") from None
    if len(text) < 3 or text[-2:] != [_END, ""]:
        raise CodecError(f"line[{len(text)}]", "MISSING")  # cut off: the mark of its end is not there
    lines = [_line(row, institution, day, hour, f"line[{place}]") for place, row in enumerate(text[1:-2], 2)]
    total_minor = sum(abs(line.amount_minor) for line in lines)
    if text[0] != f"{len(lines)}|{_yuan(total_minor)}":
        raise CodecError("line[1]", "MISMATCH")
    return lines


def _line(row: str, institution: str, day: date, hour: str, path: str) -> StatementLine:
    cells = row.split("|")
    if len(cells) != len(_COLUMNS):
        raise CodecError(path, "COLUMNS")
    cell = dict(zip(_COLUMNS, cells, strict=True))
    uetr, _, code = cell["description"].partition(" ")
    amount_minor = _amount(cell, institution, path)
    statuses = {_BACK: LineStatus.REVERSED} if not code else {}
    status = statuses.get(cell["message_type"], LineStatus.REFUSED if code else LineStatus.DONE)
    line = StatementLine(
        _checked(uetr, path), Asset.ECNY, amount_minor, status, code or _DONE, cell["msg_id"],
        _moment(cell, day, hour, path),
    )  # fmt: skip
    reference = cell["msg_id"]
    if not (reference.isascii() and reference.isprintable() and len(reference) <= _REFERENCE_CHARS_MAX):
        raise CodecError(f"{path}/msg_id", "FORMAT")
    if cell["currency"] != "CNY":
        raise CodecError(f"{path}/currency", "CODE")
    if row != _row(line, institution):  # type, status and parties follow from the rest
        raise CodecError(path, "MISMATCH")
    return line


def _amount(cell: Mapping[str, str], institution: str, path: str) -> int:
    """Signed by who pays."""
    try:
        minor = 0 if cell["amount"] == "0.00" else parse_amount("CNY", cell["amount"])
    except InvalidValue as error:
        raise CodecError(f"{path}/amount", error.rule) from None
    if institution not in (cell["paying"], cell["receiving"]) or cell["paying"] == cell["receiving"]:
        raise CodecError(f"{path}/paying", "CODE")
    return minor if cell["paying"] == institution else -minor


def _checked(uetr: str, path: str) -> str:
    try:
        return parse_uetr(uetr)
    except InvalidValue as error:
        raise CodecError(f"{path}/description", error.rule) from None


def _moment(cell: Mapping[str, str], day: date, hour: str, path: str) -> int:
    try:
        time_ms = parse_iso_time(cell["time"])
    except InvalidValue as error:
        raise CodecError(f"{path}/time", error.rule) from None
    begin_ms, end_ms = day_bounds(day)
    if not begin_ms <= time_ms < end_ms or hour_of(time_ms) != hour:
        raise CodecError(f"{path}/time", "DAY")
    return time_ms
