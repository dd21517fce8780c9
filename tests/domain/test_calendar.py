"""Cut times: Hong Kong time, business days of every calendar, and never a guess about a year nobody described."""

from datetime import date, datetime

import pytest

from switch.domain.calendar import Calendar, next_cut
from switch.domain.charges import HONG_KONG
from switch.domain.money import Asset
from switch.domain.settlement import Arrangement
from switch.errors import ConfigError

CALENDARS = {
    "A": Calendar(
        "A", frozenset({2026}), frozenset({date(2026, 11, 25)}), frozenset({date(2026, 11, 28)}), ("a test",)
    ),
    "B": Calendar("B", frozenset({2026, 2027}), frozenset({date(2026, 11, 27)}), frozenset(), ("a test",)),
    "NEVER": Calendar(
        "NEVER",
        frozenset({2026, 2027}),
        frozenset(date.fromordinal(date(2026, 11, 1).toordinal() + each) for each in range(400)),
        frozenset(),
        ("a test",),
    ),
}


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=HONG_KONG).timestamp() * 1000)


def arrangement(calendars: str, *minutes: int) -> Arrangement:
    return Arrangement("x", "X", (Asset.HKD,), (), "SA", minutes, tuple(calendars.split("+")), "a test")


# 2026-11-23 is a Monday. A: 25th off, Saturday 28th worked. B: 27th off.
CASES = """
# calendars  after                    next cut at 12:00 or 17:00
  A          2026-11-23T00:00         2026-11-23T12:00
  A          2026-11-23T11:59:59.999  2026-11-23T12:00
  A          2026-11-23T12:00         2026-11-23T17:00
  A          2026-11-23T17:00         2026-11-24T12:00
  A          2026-11-24T17:00         2026-11-26T12:00
  A          2026-11-27T18:00         2026-11-28T12:00
  A          2026-11-28T18:00         2026-11-30T12:00
  B          2026-11-26T23:59         2026-11-30T12:00
  A+B        2026-11-24T17:00         2026-11-26T12:00
  A+B        2026-11-26T17:00         2026-11-30T12:00
  A          2026-12-31T13:00         2026-12-31T17:00
  B          2026-12-31T17:00         2027-01-01T12:00
"""


@pytest.mark.parametrize("line", CASES.strip().splitlines()[1:], ids=lambda line: "-".join(line.split()))
def test_next_cut(line: str) -> None:
    calendars, after, expected = line.split()
    assert next_cut(arrangement(calendars, 720, 1020), CALENDARS, ms(after)) == ms(expected)


def test_midnight_is_the_first_minute_of_its_day() -> None:
    assert next_cut(arrangement("A", 0), CALENDARS, ms("2026-11-23T00:00")) == ms("2026-11-24T00:00")


def test_by_hand_only_needs_no_calendar() -> None:
    assert next_cut(arrangement("A"), CALENDARS, ms("2031-01-01T00:00")) is None


def test_an_unknown_year_is_refused_not_taken_for_one_without_holidays() -> None:
    with pytest.raises(ConfigError, match=r"calendar 'A' has no row for 2027; add it"):
        next_cut(arrangement("A", 720), CALENDARS, ms("2026-12-31T12:00"))


def test_a_calendar_without_business_days_is_refused() -> None:
    with pytest.raises(ConfigError, match="no day within 60 is a business day of all of NEVER, which 'x' needs"):
        next_cut(arrangement("NEVER", 720), CALENDARS, ms("2026-11-23T00:00"))
