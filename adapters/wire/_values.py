"""What a field's text may be, and the Python value it stands for: the rules of `spec.Kind`, in plain Python.

Every rule that is broken is an InvalidValue that names the rule and never holds the value:
KIND (not the Python type of the kind), LENGTH, CHARACTER, CODE, FORMAT, SIGN, DECIMALS, VERSION, VARIANT, DATE, TIME,
OFFSET. Where several are broken the first in the order of the code speaks.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final, NoReturn

from adapters.wire.spec import Field, Kind
from switch.errors import InvalidValue
from switch.limits import AMOUNT_MINOR_MAX

__all__ = ["COUNT_MAX", "TIME_MS_MAX", "Value", "check_text", "parse_iso_time", "read_value", "write_value"]

Value = str | int

COUNT_MAX: Final = 10**15 - 1  # ISO 20022 Max15NumericText
TIME_MS_MAX: Final = 253_402_271_999_999  # 9999-12-31T23:59:59.999+08:00; the least is 1970-01-01T00:00:00Z
_HONG_KONG_MS: Final = 8 * 3_600_000
_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()

# Controls are refused although XML lets some in: a line end inside a name or a remark is either damage or an attack on
# whoever prints it, and a bare CR would not survive the trip. Surrogates and U+FFFE/U+FFFF are no XML characters.
_NOT_TEXT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NOT_ASCII: Final = re.compile(r"[^\x20-\x7e]")
_NOT_DIGITS: Final = re.compile(r"[^0-9]")

_AMOUNT: Final = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")
_COUNT: Final = re.compile(r"[0-9]+")
_UETR: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{12}")
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))?"
)


def parse_iso_time(text: str) -> int:
    """An ISO 8601 date and time as rails write it -> Unix ms, 1970 to 9999.

    Any offset up to 14 hours or Z; none means +08:00 (dcep samples have none, rails.md D2). A fraction has one to nine
    digits; what is finer than a millisecond is dropped. No leap second and no 24:00, which no rail here writes.

    Raises:
        InvalidValue: rule FORMAT, DATE (no such day, or outside 1970..9999), TIME or OFFSET.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        _refuse("FORMAT", "a time is YYYY-MM-DDTHH:MM:SS, a fraction and an offset at will")
    year, month, day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    days = _day(int(year), int(month), int(day))
    if int(hour) > 23 or int(minute) > 59 or int(second) > 59:
        _refuse("TIME", "no such time of day")
    local = days * _DAY_MS + (int(hour) * 3600 + int(minute) * 60 + int(second)) * 1000
    local += int((fraction or "").ljust(3, "0")[:3])
    offset = _HONG_KONG_MS
    if sign:
        if int(offset_minute) > 59 or int(offset_hour) * 60 + int(offset_minute) > 14 * 60:
            _refuse("OFFSET", "an offset is at most 14 hours")
        offset = (int(offset_hour) * 60 + int(offset_minute)) * (60_000 if sign == "+" else -60_000)
    elif text.endswith("Z"):
        offset = 0
    return _time_in_range(local - offset)


def check_text(kind: Kind, text: str, min_chars: int, max_chars: int) -> str:
    """The text of a TEXT, ASCII or DIGITS field, or InvalidValue: LENGTH, then CHARACTER."""
    if not min_chars <= len(text) <= max_chars:
        _refuse("LENGTH", f"{min_chars} to {max_chars} characters")
    wrong = {Kind.TEXT: _NOT_TEXT, Kind.ASCII: _NOT_ASCII, Kind.DIGITS: _NOT_DIGITS}[kind]
    if wrong.search(text) or (kind is Kind.TEXT and text.strip(" ") != text):
        _refuse("CHARACTER", "a character that this kind of text does not take")
    return text


def read_value(field: Field, text: str) -> Value:
    """The value that `text` stands for, or InvalidValue."""
    if field.kind in (Kind.TEXT, Kind.ASCII, Kind.DIGITS):
        return check_text(field.kind, text, field.min_chars, field.max_chars)
    if field.kind is Kind.CODE:
        return _code(field, text)
    return _READ[field.kind](text)


def write_value(field: Field, value: object) -> str:
    """The text that stands for `value`, not yet escaped, or InvalidValue."""
    if field.kind in _WRITE_NUMBER:
        if not isinstance(value, int) or isinstance(value, bool):
            _refuse("KIND", "an integer is wanted")
        return _WRITE_NUMBER[field.kind](int(value))
    if not isinstance(value, str):
        _refuse("KIND", "text is wanted")
    if field.kind in (Kind.TEXT, Kind.ASCII, Kind.DIGITS):
        return check_text(field.kind, value, field.min_chars, field.max_chars)
    if field.kind is Kind.CODE:
        return _code(field, value)
    _READ[field.kind](value)
    return value


def _refuse(rule: str, message: str) -> NoReturn:
    raise InvalidValue(rule, message)


def _day(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01."""
    try:
        return date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise InvalidValue("DATE", "no such day") from None


def _time_in_range(time_ms: int) -> int:
    if not 0 <= time_ms <= TIME_MS_MAX:
        _refuse("DATE", "a time lies between 1970 and 9999")
    return time_ms


def _code(field: Field, text: str) -> str:
    if text not in field.codes:
        _refuse("CODE", "not in the list of codes")
    return text


def _read_amount(text: str) -> int:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        _refuse("FORMAT", "an amount is digits with at most one point")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if sign:
        _refuse("SIGN", "an amount carries no sign")
    if len(fraction) > 2:
        _refuse("DECIMALS", "an amount has at most two decimals")
    if len(whole) + len(fraction) > 15:
        _refuse("LENGTH", "an amount has at most 15 digits in all")
    minor = int(whole + fraction.ljust(2, "0"))
    if minor > AMOUNT_MINOR_MAX:
        _refuse("LENGTH", "an amount has at most 15 digits in all")
    return minor


def _read_count(text: str) -> int:
    if not _COUNT.fullmatch(text):
        _refuse("FORMAT", "a count is digits")
    if len(text) > 15:
        _refuse("LENGTH", "a count has at most 15 digits")
    return int(text)


def _read_uetr(text: str) -> str:
    match = _UETR.fullmatch(text)
    if match is None:
        _refuse("FORMAT", "a UETR is a lower-case UUID with hyphens")
    if match[1] != "4":
        _refuse("VERSION", "a UETR is a UUID of version 4")
    if match[2] not in "89ab":
        _refuse("VARIANT", "a UETR is a UUID of variant 10")
    return text


def _read_date(text: str) -> str:
    match = _DATE.fullmatch(text)
    if match is None:
        _refuse("FORMAT", "a date is YYYY-MM-DD")
    _day(int(match[1]), int(match[2]), int(match[3]))
    return text


def _read_header_date(text: str) -> str:
    if len(text) != 8 or _NOT_DIGITS.search(text):
        _refuse("DATE", "a header date is yyyyMMdd")
    _day(int(text[:4]), int(text[4:6]), int(text[6:]))
    return text


def _read_header_time(text: str) -> str:
    if len(text) != 6 or _NOT_DIGITS.search(text) or text[:2] > "23" or text[2:4] > "59" or text[4:] > "59":
        _refuse("TIME", "a header time is HHmmss")
    return text


def _in_range(number: int, most: int) -> int:
    if number < 0:
        _refuse("SIGN", "no negative numbers here")
    if number > most:
        _refuse("LENGTH", "at most 15 digits in all")
    return number


def _write_amount(minor: int) -> str:
    whole, cents = divmod(_in_range(minor, AMOUNT_MINOR_MAX), 100)
    return f"{whole}.{cents:02}"


def _write_count(count: int) -> str:
    return str(_in_range(count, COUNT_MAX))


def _write_local_time(time_ms: int) -> str:
    days, in_day = divmod(_time_in_range(time_ms) + _HONG_KONG_MS, _DAY_MS)
    seconds = in_day // 1000
    day = date.fromordinal(days + _EPOCH_DAY).isoformat()
    return f"{day}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _write_date_time(time_ms: int) -> str:
    return f"{_write_local_time(time_ms)}.{time_ms % 1000:03}+08:00"


_READ: Final[Mapping[Kind, Callable[[str], Value]]] = {
    Kind.AMOUNT: _read_amount,
    Kind.COUNT: _read_count,
    Kind.UETR: _read_uetr,
    Kind.DATE_TIME: parse_iso_time,
    Kind.LOCAL_TIME: parse_iso_time,
    Kind.DATE: _read_date,
    Kind.HEADER_DATE: _read_header_date,
    Kind.HEADER_TIME: _read_header_time,
}
_WRITE_NUMBER: Final[Mapping[Kind, Callable[[int], str]]] = {
    Kind.AMOUNT: _write_amount,
    Kind.COUNT: _write_count,
    Kind.DATE_TIME: _write_date_time,
    Kind.LOCAL_TIME: _write_local_time,
}
