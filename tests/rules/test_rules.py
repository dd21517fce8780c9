"""The rows that ship are whole and sourced; a faulty file is refused with file, row and field."""

import re
import shutil
from pathlib import Path

import pytest

import switch.rules
from switch.domain.corridor import Corridor, Fee, Hours, Period
from switch.domain.document import DocumentType
from switch.domain.money import Asset
from switch.domain.party import Place
from switch.errors import ConfigError
from switch.limits import CORRIDORS_MAX
from switch.routing import Router
from switch.rules import FILES, PACE_OF_ALL, load_rules

SHIPPED = Path(switch.rules.__file__).parent
RULES = load_rules()
BY_ID = {corridor.id: corridor for corridor in RULES.corridors}

# The corridors of the first issue: from, to, rail, papers, hours.
SHIPS = """
  HK HKD  CN CNY   alipay  HKID+HOME_RETURN_PERMIT+RESIDENCE_PERMIT       00:00-24:00
  HK CNH  CN CNY   alipay  HKID+HOME_RETURN_PERMIT+RESIDENCE_PERMIT       00:00-24:00
  CN CNY  HK HKD   hkfps   MAINLAND_ID+RESIDENCE_PERMIT                   07:00-23:00
  CN CNY  HK CNH   hkfps   MAINLAND_ID+RESIDENCE_PERMIT                   07:00-23:00
  MO MOP  HK HKD   hkfps   -                                              00:00-24:00
  MO HKD  HK HKD   hkfps   -                                              00:00-24:00
  HK HKD  MO MOP   mofps   -                                              00:00-24:00
  HK HKD  MO HKD   mofps   -                                              00:00-24:00
  HK HKD  CN ECNY  ecny    -                                              00:00-24:00
  MO MOP  CN CNY   alipay  MACAU_BIR+HOME_RETURN_PERMIT+RESIDENCE_PERMIT  00:00-24:00
  MO MOP  CN ECNY  ecny    -                                              00:00-24:00
  CN CNY  MO MOP   mofps   MAINLAND_ID+RESIDENCE_PERMIT                   00:00-24:00
  HK HKD  HK HKD   hkfps   -                                              00:00-24:00
  HK CNH  HK CNH   hkfps   -                                              00:00-24:00
"""


def clock(hours: Hours) -> str:
    return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in hours)


@pytest.mark.parametrize("line", [line for line in SHIPS.splitlines() if line.strip()])
def test_ships(line: str) -> None:
    debtor, debit, creditor, credit, rail, papers, hours = line.split()
    pair = (Place[debtor], Place[creditor], Asset[debit], Asset[credit])
    rows = [row for row in RULES.corridors if row[1:5] == pair]
    assert len(rows) == 1
    assert (rows[0].rail, clock(rows[0].hours)) == (rail, hours)
    assert rows[0].papers == tuple(DocumentType[name] for name in papers.split("+") if name != "-")


def test_a_resident_without_a_mainland_id_is_served_wherever_an_18_digit_id_is() -> None:
    """rails.md E1, and the vectors of the residence permit."""
    for row in RULES.corridors:
        if DocumentType.MAINLAND_ID in row.papers:
            assert DocumentType.RESIDENCE_PERMIT in row.papers, row.id


def test_northbound_spares_the_rail_that_carries_no_papers() -> None:
    assert BY_ID["hk-cn.hkd-cny"].papers_from == ("GW_HKFPS",)
    assert BY_ID["mo-cn.mop-cny"].papers_from == ("GW_MOFPS",)


def test_payment_connect_is_free_at_launch() -> None:
    assert RULES.fees["hk-cn.hkd-cny"] == RULES.fees["cn-hk.cny-hkd"] == Fee(0, 0)
    assert RULES.fees["mo-cn.mop-cny"] == Fee(500, 10)


def test_every_row_says_where_from_and_when() -> None:
    sources = [row.source for row in RULES.corridors]
    sources += [limit.source for rows in RULES.limits.values() for limit in rows]
    sources += [gateway.source for gateway in RULES.gateways.values()] + [rate.source for rate in RULES.rates.values()]
    for source in sources:
        assert re.fullmatch(r"(rails\.md|ours)\b.+ \(20\d\d-\d\d-\d\d\)", source), source


def test_rows_that_ship_make_a_table() -> None:
    assert Router(RULES.corridors)
    assert all(row.gateway == RULES.gateways[row.rail].participant for row in RULES.corridors)
    assert {limit.period for row in RULES.corridors for limit in row.limits} == set(Period)


def test_an_operators_file_replaces_ours_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "hours.toml").write_text((SHIPPED / "hours.toml").read_text("utf-8").replace("07:00", "08:30"), "utf-8")
    rules = load_rules(tmp_path)
    assert rules.hours["payment_connect_south"] == Hours(510, 1380)
    assert [row.id for row in rules.corridors] == list(BY_ID)


FAULTS = """
# file             replace                            by                               the error
  corridors.toml   rail = "alipay"                    rail = "alipai"                  corridor 'hk-cn.hkd-cny': field 'rail': 'alipai' is unknown
  corridors.toml   rail = "alipay"                    rail = "hkfps"                   field 'rail': 'hkfps' pays creditors in HK
  corridors.toml   papers = ["HKID",                  papers = ["ID",                  field 'papers': 'ID' is unknown; one of: HKID
  corridors.toml   papers = ["HKID",                  papers = ["HKID", "HKID",        field 'papers': names one thing twice
  corridors.toml   debit_asset = "HKD"                debit_asset = "USD"              field 'debit_asset': 'USD' is unknown
  corridors.toml   debit_asset = "HKD"                debit_asset = "MOP"              field 'limits': 'payment_connect_north.day' counts HKD, the corridor has MOP
  corridors.toml   debtor_place = "HK"                debtor_place = 852               field 'debtor_place': must be a text
  corridors.toml   hours = "always"                   hours = "never"                  field 'hours': 'never' is unknown
  corridors.toml   hours = "always"                   hour = "always"                  field 'hours': is missing
  corridors.toml   hours = "always"                   hours = "always"\\nspeed = 1      field 'speed': is unknown
  corridors.toml   "FAMILY_SUPPORT",                  "FAMILY",                        field 'purposes': 'FAMILY' is unknown
  corridors.toml   papers_from = "institution"\\npurposes   papers_from = "nobody"\\npurposes   field 'papers_from': 'nobody' is unknown
  corridors.toml   id = "hk-cn.cnh-cny"               id = "hk-cn.hkd-cny"             field 'id': 'hk-cn.hkd-cny' stands in the file twice
  corridors.toml   debit_asset = "CNH"                debit_asset = "HKD"              counts CNY, the corridor has HKD
  corridors.toml   gateway = "GW_HKFPS"               gateway = "gateway of fps"       rail 'hkfps': field 'gateway'
  corridors.toml   ["ALIPAY_LOGIN", "ALIPAY_USER"]    []                               field 'schemes': is empty
  corridors.toml   [[rail]]                           [[rails]]                        table 'rails' is unknown; one of:
  limits.toml      max_minor = 1000000                max_minor = 10000.00             field 'max_minor': must be a whole number
  limits.toml      max_minor = 1000000                max_minor = 0                    field 'max_minor': must be 1 to
  limits.toml      max_minor = 1000000                max_minor = true                 field 'max_minor': must be a whole number
  limits.toml      currency = "HKD"                   currency = "CNH"                 field 'currency': 'CNH' is unknown
  limits.toml      reference = "cny_usd"              reference = "cny_eur"            field 'reference': 'cny_eur' is unknown
  limits.toml      reference = "cny_usd"              reference = "cny_hkd"            field 'reference': 'cny_hkd' leads to HKD, the limit is in USD
  limits.toml      wallet_level = 4                   wallet_level = 5                 field 'wallet_level': must be 1 to 4
  limits.toml      id = "mainland_quota.year"         id = "mainland_quota"            field 'id': must be group.period
  limits.toml      counter = "payment_connect_north.day"   counter = "other.day"       field 'counter': 'other.day' is unknown
  limits.toml      counter = "payment_connect_north.day"   counter = "payment_connect_north.year"  field 'period': differs
  limits.toml      date = 2026-11-23                  date = "2026-11-23"              field 'date': must be a date
  hours.toml       close = "23:00"                    close = "06:00"                  field 'close': must be after open
  hours.toml       open = "07:00"                     open = "7:00"                    field 'open': must be a time HH:MM
  hours.toml       id = "always"                      id = "al ways"                   hours 1: field 'id'
  purposes.toml    title = "Support of family"        title = " "                      purpose 'FAMILY_SUPPORT': field 'title': is empty
  purposes.toml    id = "SALARY"                      id = "FAMILY_SUPPORT"            field 'id': 'FAMILY_SUPPORT' stands in the file twice
  fees.toml        corridor = "hk-cn.hkd-cny"         corridor = "hk-cn"               field 'corridor': 'hk-cn' is unknown
  fees.toml        basis_points = 10                  basis_points = -1                field 'basis_points': must be 0 to 10000
  rates.toml       numerator = 10000                  numerator = 0                    field 'numerator': must be 1 to
  rates.toml       [[rate]]                           [[rate                           is not TOML
"""


@pytest.mark.parametrize("line", [line for line in FAULTS.splitlines() if line.strip() and not line.startswith("#")])
def test_a_faulty_file_names_file_row_and_field(tmp_path: Path, line: str) -> None:
    file, old, new, expected = re.split(r"\s{2,}", line.strip().replace("\\n", "\n"))
    text = (SHIPPED / file).read_text("utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_rules(tmp_path)
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)


PACE = """
[[pace]]
participant = "HKWALLET"
per_second = 500
source = "ours: a test"
date = 2026-11-26
"""


def test_nobody_has_a_pace_until_it_is_agreed(tmp_path: Path) -> None:
    assert set(RULES.paces.values()) == {0}
    (tmp_path / "paces.toml").write_text(PACE + PACE.replace("HKWALLET", PACE_OF_ALL).replace("500", "20"), "utf-8")
    gateways = dict.fromkeys((gateway.participant for gateway in RULES.gateways.values()), 0)
    assert load_rules(tmp_path).paces == {"HKWALLET": 500, PACE_OF_ALL: 20, **gateways}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("= 500", "= 0", "field 'per_second': must be 1 to"),
        ("= 500", "= 0.5", "field 'per_second': must be a whole number"),
        ("HKWALLET", "hkwallet", "field 'participant'"),
        ("= 500", "= 500\nburst = 1", "field 'burst': is unknown"),
    ],
)
def test_a_faulty_pace_names_row_and_field(tmp_path: Path, old: str, new: str, expected: str) -> None:
    (tmp_path / "paces.toml").write_text(PACE.replace(old, new), "utf-8")
    with pytest.raises(ConfigError, match=f"^paces.toml: pace '.+': {expected}"):
        load_rules(tmp_path)


def test_two_rows_may_not_take_the_same(tmp_path: Path) -> None:
    text = (SHIPPED / "corridors.toml").read_text("utf-8")
    row = text[text.index('[[corridor]]\nid = "hk-hk.hkd"') : text.index('[[corridor]]\nid = "hk-hk.cnh"')]
    (tmp_path / "corridors.toml").write_text(text + "\n" + row.replace("hk-hk.hkd", "again"), "utf-8")
    with pytest.raises(ConfigError, match=r"corridor 'again': field 'schemes': corridor 'hk-hk\.hkd' takes ACCOUNT"):
        load_rules(tmp_path)
    (tmp_path / "corridors.toml").write_text(
        text + "\n" + row.replace("hk-hk.hkd", "again").replace("rail =", 'creditor_agent = "012"\nrail ='), "utf-8"
    )
    assert load_rules(tmp_path).corridors[-1].creditor_agent == "012"


def test_folder_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        load_rules(tmp_path / "absent")
    (tmp_path / "corridor.toml").write_text("", "utf-8")
    with pytest.raises(ConfigError, match=r"corridor\.toml is unknown; one of: rates\.toml"):
        load_rules(tmp_path)


def test_a_table_without_a_corridor_is_refused(tmp_path: Path) -> None:
    for file in FILES:
        shutil.copy(SHIPPED / file, tmp_path)
    (tmp_path / "corridors.toml").write_text("", "utf-8")
    with pytest.raises(ConfigError, match=f"holds 0 corridors; 1 to {CORRIDORS_MAX}"):
        load_rules(tmp_path)


def test_corridor_fields_are_all_read() -> None:
    """A field added to the row type must come from the file."""
    filled = {name for row in RULES.corridors for name, value in zip(Corridor._fields, row, strict=True) if value}
    assert set(Corridor._fields) - filled == {"creditor_agent"}
