"""Limits: the vectors on the rows that ship, what is charged to whom, and when a day turns in Hong Kong."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.charges import HONG_KONG, Usage, charges, check_limits, is_open, minute_of_day, next_opening_ms
from switch.domain.corridor import Hours, LimitRow, Measure, Period, Subject
from switch.domain.document import Document, DocumentType
from switch.domain.money import Asset, Money, parse_amount
from switch.domain.party import Account, Party, Scheme
from switch.errors import Refused
from switch.routing import Router
from switch.rules import load_rules
from tests.routing.tables import corridor, instruction
from tests.vectors import Vector, vectors

RULES = load_rules()
ALWAYS = Hours(0, 1440)
LEVEL = 4  # of the wallets in the ecny vectors

# What a vector calls a rail -> the groups of limits that a corridor of it names.
GROUPS = {
    "payment_connect_north": ("payment_connect_north",),
    "payment_connect_south": ("payment_connect_south", "mainland_quota"),
    "ecny_tier4": ("ecny_tier4",),
    "ecny_tier4_topup": ("ecny_tier4", "ecny_tier4_balance"),
    "macau_easy_transfer": ("macau_easy_transfer",),
    "alipayhk_txn": ("alipayhk_txn",),
    "fps_promptpay": ("fps_promptpay",),
}


def hong_kong(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=HONG_KONG).timestamp()) * 1000


def minor(currency: str, text: str) -> int:
    return 0 if float(text) == 0 else parse_amount(currency, text)


def minute_of(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


@pytest.mark.parametrize("vector", vectors("limit"), ids=lambda vector: " ".join(map(str, vector.input.values())))
def test_vector(vector: Vector) -> None:
    asked = vector.input
    currency = asked["ccy"]
    rows = [row for group in GROUPS[asked["rail"]] for row in RULES.limits[group]]
    money = Money(Asset[currency], parse_amount(currency, asked["amount"]))
    year = asked.get("year_used_usd") or asked.get("year_used", "0")
    used = Usage(
        minor(currency, asked.get("day_used", "0")), minor("USD", year), minor(currency, asked.get("balance", "0"))
    )
    hours, minute = RULES.hours.get(asked["rail"], ALWAYS), minute_of(asked.get("time", "12:00"))
    assert check_limits(rows, hours, money, money, used, minute, LEVEL) == vector.reason


def test_corridors_name_the_groups_of_the_vectors() -> None:
    rows = {corridor.id: {limit.id.rpartition(".")[0] for limit in corridor.limits} for corridor in RULES.corridors}
    assert rows["hk-cn.hkd-cny"] == set(GROUPS["payment_connect_north"])
    assert rows["cn-hk.cny-hkd"] == set(GROUPS["payment_connect_south"])
    assert rows["hk-cn.hkd-ecny"] >= set(GROUPS["ecny_tier4_topup"])
    assert rows["mo-mo.mop"] == set(GROUPS["macau_easy_transfer"])


ORDER = """
# minute  amount  day   year  balance  outcome
  419       101    99     99       99  OUT_OF_HOURS
  420       101    99     99       99  TXN_LIMIT
  420       100    99     99       99  DAY_LIMIT
  420       100     0     99       99  YEAR_LIMIT
  420       100     0      0       99  BALANCE_LIMIT
  420       100     0      0        0  OK
  1380      100     0      0        0  OUT_OF_HOURS
"""


@pytest.mark.parametrize("line", [line for line in ORDER.splitlines() if line.strip() and not line.startswith("#")])
def test_precedence_does_not_hang_on_the_order_of_the_rows(line: str) -> None:
    *figures, expected = line.split()
    minute, amount, day, year, balance = map(int, figures)
    money = Money(Asset.HKD, amount)
    for rows in (list(all_periods()), list(reversed(list(all_periods())))):
        assert check_limits(rows, Hours(420, 1380), money, money, Usage(day, year, balance), minute) == expected


def all_periods(subject: Subject = Subject.DEBTOR_PERSON, level: int = 0) -> list[LimitRow]:
    return [
        LimitRow(f"row.{period.name.lower()}", subject, period, Measure.DEBIT, "HKD", 100, None, level, "test")
        for period in Period
    ]


# --- what is charged -------------------------------------------------------------------------------------------------
NOW = hong_kong("2026-11-23T12:00:00")
DEBTOR = instruction().debtor
WALLET = Account(Scheme.WALLET_ID, "0021234567890123")


def a_hash(text: str) -> str:
    return f"<{len(text)}>"


def test_day_and_year_rows_are_charged_in_their_order() -> None:
    row = corridor(limits=tuple(all_periods()))
    day, year = charges(row, instruction(), NOW, a_hash)
    assert (day.limit_id, day.period_key, day.amount_minor, day.max_minor) == ("row.day", "d20261123", 100, 100)
    assert (year.limit_id, year.period_key) == ("row.year", "y2026")
    assert day.expiry_time_ms > hong_kong("2026-11-24T00:00:00")
    assert year.expiry_time_ms > hong_kong("2027-01-01T00:00:00")


@pytest.mark.parametrize(
    ("moment", "day", "year"),
    [
        ("2026-12-31T23:59:59", "d20261231", "y2026"),
        ("2027-01-01T00:00:00", "d20270101", "y2027"),
        ("2028-02-29T00:00:00", "d20280229", "y2028"),
    ],
)
def test_periods_turn_at_midnight_in_hong_kong(moment: str, day: str, year: str) -> None:
    charged = charges(corridor(limits=tuple(all_periods())), instruction(), hong_kong(moment), a_hash)
    assert [charge.period_key for charge in charged] == [day, year]


def counter(
    debtor: Party = DEBTOR,
    *,
    participant: str = "ALFA",
    wallet: Account = WALLET,
    subject: Subject = Subject.DEBTOR_PERSON,
) -> str:
    row = corridor(limits=tuple(all_periods(subject)))
    asked = instruction()._replace(
        participant=participant, debtor=debtor, creditor=instruction().creditor._replace(account=wallet)
    )
    return charges(row, asked, NOW, lambda text: str(hash(text)))[0].counter


def test_a_person_is_counted_per_institution_by_document_else_by_account() -> None:
    one = DEBTOR._replace(document=Document(DocumentType.HKID, "A123456(3)"))
    moved = one._replace(account=Account(Scheme.ACCOUNT, "99"), name="other spelling")
    assert counter(one) == counter(moved)
    assert counter(one) != counter(one, participant="BRAVO")
    assert counter(one) != counter(one._replace(document=Document(DocumentType.PASSPORT, "A123456(3)")))
    assert counter(DEBTOR) != counter(DEBTOR._replace(account=Account(Scheme.ACCOUNT, "99")))


def test_a_wallet_is_counted_over_all_institutions() -> None:
    subject, other = Subject.CREDITOR_ACCOUNT, WALLET._replace(value="0021234567890124")
    first = counter(subject=subject)
    assert first == counter(subject=subject, wallet=WALLET._replace(level=4), participant="BRAVO")
    assert first != counter(subject=subject, wallet=other)


def test_counters_hold_no_personal_value() -> None:
    asked = instruction(document=DocumentType.HKID)
    personal = [asked.debtor.name, "number", asked.debtor.account.value, asked.creditor.account.value]
    for subject in Subject:
        for charge in charges(corridor(limits=tuple(all_periods(subject))), asked, NOW, lambda text: "hash"):
            assert charge.counter.endswith("|hash")
            assert not any(value in charge.counter.split("|") for value in personal)


def test_tier_rows_count_only_for_wallets_of_that_tier() -> None:
    row = corridor(limits=tuple(all_periods(Subject.CREDITOR_ACCOUNT, level=4)))
    assert len(charges(row, instruction(level=4), NOW, a_hash)) == 2
    assert charges(row, instruction(level=3), NOW, a_hash) == ()
    assert charges(row, instruction(level=0), NOW, a_hash) == ()


def test_rows_that_share_a_counter_are_counted_together() -> None:
    def of(id: str, debit: Money) -> list[tuple[str, int]]:
        row = next(row for row in RULES.corridors if row.id == id)
        charged = charges(row, instruction(debit=debit), NOW, a_hash)
        return [(charge.counter, charge.amount_minor) for charge in charged]

    hkd, cnh = of("hk-cn.hkd-cny", Money(Asset.HKD, 10_000)), of("hk-cn.cnh-cny", Money(Asset.CNH, 10_000))
    assert [name for name, _ in hkd] == [name for name, _ in cnh]
    assert [amount for _, amount in cnh] == [10_950, 10_950]  # 10,000 * 7.85 / 7.1695, rounded up
    south, macau = of("cn-hk.cny-hkd", Money(Asset.CNY, 1)), of("cn-mo.cny-mop", Money(Asset.CNY, 1))
    assert south[-1] == macau[0] == ("mainland_quota.year|ALFA|" + a_hash("account ACCOUNT 1"), 1)


# --- hours -----------------------------------------------------------------------------------------------------------
@given(st.integers(1, 4 * 10**12), st.integers(0, 1439), st.integers(1, 1440))
def test_the_next_opening_is_open_and_is_the_next(now_ms: int, opens: int, closes: int) -> None:
    hours = Hours(min(opens, closes - 1), max(opens + 1, closes))
    opening_ms = next_opening_ms(hours, now_ms)
    assert is_open(hours, opening_ms)
    if is_open(hours, now_ms):
        assert opening_ms == now_ms
    else:
        assert now_ms < opening_ms <= now_ms + 86_400_000
        assert minute_of_day(opening_ms) == hours.open_minute
        assert not is_open(hours, opening_ms - 1)


# --- both sides of one rule ------------------------------------------------------------------------------------------
@given(st.integers(1, 300), st.integers(0, 200), st.integers(0, 200), st.integers(0, 1439))
def test_check_limits_says_what_router_and_store_do(amount: int, day: int, year: int, minute: int) -> None:
    rows = tuple(row for row in all_periods() if row.period is not Period.BALANCE)
    row = corridor(hours=Hours(420, 1380), limits=rows)
    money = Money(Asset.HKD, amount)
    now_ms = hong_kong("2026-11-23T00:00:00") + minute * 60_000
    expected = check_limits(rows, row.hours, money, money, Usage(day, year), minute)
    assert as_the_engine_does(row, money, now_ms, {"row.day": day, "row.year": year}) == expected


def as_the_engine_does(row: object, money: Money, now_ms: int, used: dict[str, int]) -> str:
    """Route, then charge in the order of the rows: what prepare.lua does with the charges."""
    asked = instruction(debit=money)
    try:
        Router([row]).route(asked, now_ms)  # type: ignore[list-item]
    except Refused as refusal:
        return refusal.reason.name
    for charge in charges(row, asked, now_ms, a_hash):  # type: ignore[arg-type]
        if charge.amount_minor > charge.max_minor - used[charge.limit_id]:
            return "DAY_LIMIT" if charge.period_key.startswith("d") else "YEAR_LIMIT"
    return "OK"
