"""Business days and cut times. Pure, in Hong Kong time: its day is that of Macao and of the Mainland."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from switch.domain.charges import HONG_KONG
from switch.domain.settlement import Arrangement
from switch.errors import ConfigError

__all__ = ["Calendar", "is_business_day", "next_cut"]

_MINUTE_MS: Final = 60_000
_DAYS_AHEAD_MAX: Final = 60  # no place closes for so long; a calendar that says so is wrong
_SATURDAY: Final = 5


class Calendar(NamedTuple):
    """When one place settles, in the years that are known. Rows of rules/calendars.toml."""

    id: str  # HK, MO, CN
    years: frozenset[int]
    holidays: frozenset[date]
    working: frozenset[date]  # days of a weekend that are worked
    sources: tuple[str, ...]  # one of each year


def is_business_day(calendar: Calendar, day: date) -> bool:
    """Raises ConfigError: nothing is known of the year. Guessing that it has no holidays would cut on one."""
    if day.year not in calendar.years:
        raise ConfigError(f"calendars.toml: calendar {calendar.id!r} has no row for {day.year}; add it")
    if day.weekday() >= _SATURDAY:
        return day in calendar.working
    return day not in calendar.holidays


def next_cut(arrangement: Arrangement, calendars: Mapping[str, Calendar], after_ms: int) -> int | None:
    """The first scheduled cut after `after_ms`, itself excluded; Unix ms. None: it is cut by hand only.

    Raises:
        ConfigError: a calendar has no row for a year that must be looked at, or no business day comes.
    """
    if not arrangement.cut_minutes:
        return None
    kept = [calendars[name] for name in arrangement.calendars]
    first = datetime.fromtimestamp(after_ms // 1000, HONG_KONG).date()
    for ahead in range(_DAYS_AHEAD_MAX):
        day = first + timedelta(days=ahead)
        midnight_ms = int(datetime(day.year, day.month, day.day, tzinfo=HONG_KONG).timestamp()) * 1000
        found = _first_after(after_ms, (midnight_ms + minute * _MINUTE_MS for minute in arrangement.cut_minutes))
        # The day is judged only when it has a cut left: the last one of a known year needs nothing of the next.
        if found is not None and all(is_business_day(calendar, day) for calendar in kept):
            return found
    raise ConfigError(
        f"calendars.toml: no day within {_DAYS_AHEAD_MAX} is a business day of all of "
        f"{', '.join(arrangement.calendars)}, which {arrangement.id!r} needs"
    )


def _first_after(after_ms: int, cuts: Iterable[int]) -> int | None:
    return next((cut_ms for cut_ms in cuts if cut_ms > after_ms), None)
