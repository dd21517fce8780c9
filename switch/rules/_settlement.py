"""Arrangements and calendars: the rows that say what settles together, where and when."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Final

from switch.domain.calendar import Calendar
from switch.domain.identifiers import parse_participant_id
from switch.domain.money import Asset
from switch.domain.settlement import Arrangement
from switch.errors import ConfigError, InvalidValue
from switch.rules._rows import Row, read_tables

__all__ = ["read_arrangements", "read_calendars"]

_ARRANGEMENT_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,23}", re.ASCII)  # it is part of ids a bank's file must hold
_YEARS: Final = (2020, 2100)
_LAST_CUT: Final = 1439


def read_calendars(path: Path) -> dict[str, Calendar]:
    """Calendars by name, each of all its years. Raises ConfigError with file, row and field."""
    calendars: dict[str, Calendar] = {}
    for _, number, data in read_tables(path, "year"):
        row = Row(path.name, "year", number, data)
        name, year = row.name("calendar"), row.integer("year", *_YEARS)
        holidays, working = row.dates("holidays"), row.dates("working")
        known = calendars.get(name, Calendar(name, frozenset(), frozenset(), frozenset(), ()))
        if year in known.years:
            raise row.wrong("year", f"calendar {name!r} has a row for {year} already")
        _check_days(row, year, holidays, working)
        calendars[name] = Calendar(
            name,
            known.years | {year},
            known.holidays | set(holidays),
            known.working | set(working),
            (*known.sources, row.end()),
        )
    return calendars


def _check_days(row: Row, year: int, holidays: Iterable[date], working: Iterable[date]) -> None:
    for field, days in (("holidays", holidays), ("working", working)):
        for day in days:
            if day.year != year:
                raise row.wrong(field, f"{day} is not in {year}")
    for day in working:
        if day.weekday() < 5:
            raise row.wrong("working", f"{day} is a {day:%A}; a working day here is one of a weekend")
        if day in holidays:
            raise row.wrong("working", f"{day} is a holiday too")


def read_arrangements(
    path: Path, calendars: Mapping[str, Calendar], gateways: Mapping[str, str]
) -> dict[str, Arrangement]:
    """Arrangements by id, in the order of the file. `gateways`: the participant of each rail.

    Raises:
        ConfigError: with file, row and field; also when an asset over a rail settles nowhere, or in two places.
    """
    arrangements: dict[str, Arrangement] = {}
    for _, number, data in read_tables(path, "arrangement"):
        row = Row(path.name, "arrangement", number, data)
        if row.key in arrangements:
            raise row.wrong("id", f"{row.key!r} stands in the file twice")
        arrangements[row.key] = _arrangement(row, calendars, gateways)
    _check_cover(path.name, arrangements, gateways)
    return arrangements


def _arrangement(row: Row, calendars: Mapping[str, Calendar], gateways: Mapping[str, str]) -> Arrangement:
    if _ARRANGEMENT_ID.fullmatch(row.key) is None:
        raise row.wrong("id", "must be 1 to 24 of a-z 0-9 _ -, and begin with a letter or digit")
    title, assets = row.text("title"), row.members("assets", Asset)
    if not assets:
        raise row.wrong("assets", "is empty")
    return Arrangement(
        row.key,
        title,
        assets,
        tuple(row.known("rails", rail, gateways) for rail in row.names("rails")),
        _agent(row, gateways),
        _cut_minutes(row),
        _calendars(row, calendars),
        row.end(),
    )


def _agent(row: Row, gateways: Mapping[str, str]) -> str:
    try:
        agent = parse_participant_id(row.text("settlement_agent"))
    except InvalidValue as error:
        raise row.wrong("settlement_agent", str(error)) from error
    if agent in gateways.values():
        raise row.wrong("settlement_agent", f"{agent!r} is a rail's gateway, whose own position is settled")
    return agent


def _cut_minutes(row: Row) -> tuple[int, ...]:
    minutes = row.minutes("cut_times")
    if list(minutes) != sorted(set(minutes)):
        raise row.wrong("cut_times", "must ascend")
    if minutes and minutes[-1] > _LAST_CUT:
        raise row.wrong("cut_times", "24:00 is 00:00 of the next day: say so")
    return minutes


def _calendars(row: Row, calendars: Mapping[str, Calendar]) -> tuple[str, ...]:
    names = tuple(row.known("calendars", name, calendars) for name in row.names("calendars"))
    if not names:
        raise row.wrong("calendars", "is empty")
    return names


def _check_cover(file: str, arrangements: Mapping[str, Arrangement], rails: Iterable[str]) -> None:
    """No entry of any payment may fall outside, and none into two: its asset and rail say where it settles."""
    for asset in Asset:
        for rail in rails:
            takes = [each.id for each in arrangements.values() if each.takes(asset, rail)]
            if len(takes) != 1:
                where = f"to {' and '.join(map(repr, takes))}" if takes else "to none"
                raise ConfigError(
                    f"{file}: {asset.name} over {rail!r} must belong to one arrangement; it belongs {where}"
                )
