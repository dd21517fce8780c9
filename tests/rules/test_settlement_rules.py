"""Arrangements and calendars: what ships is whole, and a faulty file is refused with file, row and field."""

import re
from datetime import date
from pathlib import Path

import pytest

import switch.rules
from switch.domain.calendar import is_business_day
from switch.domain.money import Asset
from switch.errors import ConfigError
from switch.rules import load_rules

SHIPPED = Path(switch.rules.__file__).parent
RULES = load_rules()

SHIPS = """
  hkd-rtgs      HKD        SA_HKD      12:00+17:00  HK
  cnh-clearing  CNH        SA_CNH      12:00+17:00  HK
  cny-onshore   CNY        SA_CNY      11:30+16:30  CN
  ecny          ECNY       SA_ECNY     16:00        CN
  mop-rtgs      MOP        SA_MOP      11:00+16:30  MO
  sandbox       EHKD+EMOP  SA_SANDBOX  15:00        HK+MO
"""


def test_the_arrangements_that_ship() -> None:
    found = {
        row.id: (
            "+".join(asset.name for asset in row.assets),
            row.settlement_agent,
            "+".join(f"{minute // 60:02}:{minute % 60:02}" for minute in row.cut_minutes),
            "+".join(row.calendars),
        )
        for row in RULES.arrangements.values()
    }
    expected = [tuple(line.split()) for line in SHIPS.strip().splitlines()]
    assert [(name, *rest) for name, rest in found.items()] == expected


def test_every_entry_of_every_corridor_settles_in_one_place() -> None:
    for corridor in RULES.corridors:
        for asset in (corridor.debit_asset, corridor.credit_asset):
            assert sum(row.takes(asset, corridor.rail) for row in RULES.arrangements.values()) == 1, corridor.id
    assert {asset for row in RULES.arrangements.values() for asset in row.assets} == set(Asset)


def test_every_row_says_where_from_and_when() -> None:
    sources = [row.source for row in RULES.arrangements.values()]
    sources += [source for calendar in RULES.calendars.values() for source in calendar.sources]
    for source in sources:
        assert re.fullmatch(r"(rails\.md|ours)\b.+ \(20\d\d-\d\d-\d\d\)", source), source


# calendar | day | settles
DAYS = """
HK 2026-02-19 no
HK 2026-02-20 yes
HK 2026-02-21 no
HK 2026-04-07 no
HK 2026-12-28 yes
HK 2027-02-09 no
HK 2027-03-26 no
MO 2026-10-02 no
MO 2026-11-02 no
MO 2026-11-03 yes
MO 2027-12-24 no
CN 2026-02-14 yes
CN 2026-02-15 no
CN 2026-02-16 no
CN 2026-02-24 yes
CN 2026-02-28 yes
CN 2026-09-20 yes
CN 2026-10-07 no
CN 2026-10-10 yes
CN 2026-10-11 no
"""


@pytest.mark.parametrize("line", DAYS.strip().splitlines())
def test_days(line: str) -> None:
    calendar, day, settles = line.split()
    assert is_business_day(RULES.calendars[calendar], date.fromisoformat(day)) is (settles == "yes")


def test_the_years_that_are_known() -> None:
    known = {name: sorted(calendar.years) for name, calendar in RULES.calendars.items()}
    assert known == {"HK": [2026, 2027], "MO": [2026, 2027], "CN": [2026]}
    with pytest.raises(ConfigError, match=r"calendars\.toml: calendar 'CN' has no row for 2027; add it"):
        is_business_day(RULES.calendars["CN"], date(2027, 3, 1))


FAULTS = """
# file               replace                          by                              the error
  arrangements.toml  assets = ["HKD"]                 assets = ["HKD", "CNH"]         CNH over 'hkfps' must belong to one arrangement; it belongs to 'hkd-rtgs' and 'cnh-clearing'
  arrangements.toml  assets = ["HKD"]                 assets = ["USD"]                field 'assets': 'USD' is unknown
  arrangements.toml  assets = ["HKD"]                 assets = []                     field 'assets': is empty
  arrangements.toml  assets = ["EHKD", "EMOP"]        assets = ["EHKD"]               EMOP over 'hkfps' must belong to one arrangement; it belongs to none
  arrangements.toml  rails = []                       rails = ["hkfps"]               HKD over 'mofps' must belong to one arrangement; it belongs to none
  arrangements.toml  rails = []                       rails = ["fps"]                 field 'rails': 'fps' is unknown; one of: alipay
  arrangements.toml  rails = []                       rail = []                       field 'rails': is missing
  arrangements.toml  "SA_HKD"                         "sa hkd"                        field 'settlement_agent'
  arrangements.toml  "SA_HKD"                         "GW_HKFPS"                      field 'settlement_agent': 'GW_HKFPS' is a rail's gateway
  arrangements.toml  ["12:00", "17:00"]               ["17:00", "12:00"]              field 'cut_times': must ascend
  arrangements.toml  ["12:00", "17:00"]               ["12:00", "24:00"]              field 'cut_times': 24:00 is 00:00
  arrangements.toml  ["12:00", "17:00"]               ["noon"]                        field 'cut_times': must be a time HH:MM
  arrangements.toml  calendars = ["HK"]               calendars = ["HKG"]             field 'calendars': 'HKG' is unknown; one of: CN, HK, MO
  arrangements.toml  calendars = ["HK"]               calendars = []                  field 'calendars': is empty
  arrangements.toml  id = "hkd-rtgs"                  id = "HKD-RTGS"                 field 'id': must be 1 to 24 of a-z
  arrangements.toml  id = "cnh-clearing"              id = "hkd-rtgs"                 field 'id': 'hkd-rtgs' stands in the file twice
  arrangements.toml  [[arrangement]]                  [[arrangements]]                table 'arrangements' is unknown
  calendars.toml     2026-01-01,                      2027-01-01,                     year 'HK-2026': field 'holidays': 2027-01-01 is not in 2026
  calendars.toml     2026-02-17,                      2026-01-01,                     field 'holidays': names one day twice
  calendars.toml     2026-01-01,                      "2026-01-01",                   field 'holidays': must be a list of dates
  calendars.toml     2026-01-01,                      2026-01-01T00:00:00,            field 'holidays': must be a list of dates
  calendars.toml     2026-01-04,                      2026-01-05,                     field 'working': 2026-01-05 is a Monday
  calendars.toml     2026-01-04,                      2026-01-03,                     field 'working': 2026-01-03 is a holiday too
  calendars.toml     year = 2027                      year = 2026                     field 'year': calendar 'HK' has a row for 2026 already
  calendars.toml     year = 2026                      year = 26                       field 'year': must be 2020 to 2100
  calendars.toml     working = []                     work = []                       field 'working': is missing
"""


@pytest.mark.parametrize("line", [line for line in FAULTS.splitlines() if line.strip() and not line.startswith("#")])
def test_a_faulty_file_names_file_row_and_field(tmp_path: Path, line: str) -> None:
    file, old, new, expected = re.split(r"\s{2,}", line.strip())
    text = (SHIPPED / file).read_text("utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_rules(tmp_path)
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)
