"""Amounts and conversions against the vectors, and against fractions."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction, differing_field
from switch.domain.money import (
    ISO_MINOR_DIGITS,
    PEG_HKD_MOP,
    Asset,
    Money,
    Rate,
    Rounding,
    convert,
    format_amount,
    parse_amount,
    parse_minor,
)
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.position import FEE_PARTICIPANT, Entry, entries_of, unbalanced
from switch.domain.quote import Quote
from switch.errors import InvalidValue
from switch.limits import AMOUNT_MINOR_MAX, RATE_TERM_MAX
from tests.vectors import Vector, vectors

AMOUNTS = st.integers(1, AMOUNT_MINOR_MAX)
TERMS = st.integers(1, RATE_TERM_MAX)


@pytest.mark.parametrize("vector", vectors("amount"), ids=lambda vector: str(vector.input))
def test_amount_vector(vector: Vector) -> None:
    try:
        parse_amount(vector.input["ccy"], vector.input["value"])
        found = "OK"
    except InvalidValue as error:
        found = error.rule
    assert found == vector.reason


@pytest.mark.parametrize("vector", vectors("amount_minor"), ids=lambda vector: str(vector.input))
def test_amount_minor_vector(vector: Vector) -> None:
    try:
        assert parse_minor(vector.input["ccy"], vector.input["minor"]) == vector.input["minor"]
        found = "OK"
    except InvalidValue as error:
        found = error.rule
    assert found == vector.reason


@pytest.mark.parametrize("vector", vectors("fx_peg"), ids=lambda vector: str(vector.input))
def test_peg_vector(vector: Vector) -> None:
    asked = vector.input
    rate = PEG_HKD_MOP if asked["from"] == "HKD" else Rate(PEG_HKD_MOP.denominator, PEG_HKD_MOP.numerator)
    minor = convert(parse_amount(asked["from"], asked["amount"]), rate, Rounding.HALF_UP)
    assert f"= {format_amount(asked['to'], minor)};" in vector.notes


@given(st.sampled_from(sorted(ISO_MINOR_DIGITS)), AMOUNTS)
def test_what_is_written_is_read_back(currency: str, minor: int) -> None:
    assert parse_amount(currency, format_amount(currency, minor)) == minor
    assert parse_minor(currency, minor) == minor


@given(st.sampled_from(sorted(ISO_MINOR_DIGITS)), st.text(alphabet="0123456789.+-eE, ０", max_size=18))
def test_any_text_is_an_amount_or_names_its_rule(currency: str, text: str) -> None:
    rule, minor = "", 0
    try:
        minor = parse_amount(currency, text)
    except InvalidValue as error:
        rule = error.rule
    if rule:
        assert rule in ("FORMAT", "SIGN", "DECIMALS", "ZERO", "LENGTH")
    else:
        assert Fraction(text) * 10 ** ISO_MINOR_DIGITS[currency] == minor


@given(AMOUNTS, TERMS, TERMS)
def test_convert_is_the_fraction_rounded_as_named(amount: int, numerator: int, denominator: int) -> None:
    rate, exact = Rate(numerator, denominator), Fraction(amount * numerator, denominator)
    down, up = exact.__floor__(), exact.__ceil__()
    assert convert(amount, rate, Rounding.DOWN) == down
    assert convert(amount, rate, Rounding.UP) == up
    assert convert(amount, rate, Rounding.HALF_UP) == (up if exact - down >= Fraction(1, 2) else down)


@given(AMOUNTS, st.integers(1, 10**6), st.integers(1, 10**6))
def test_there_and_back_never_gains(amount: int, numerator: int, denominator: int) -> None:
    there = convert(amount, Rate(numerator, denominator), Rounding.DOWN)
    assert convert(there, Rate(denominator, numerator), Rounding.DOWN) <= amount
    assert (
        convert(convert(amount, Rate(numerator, denominator), Rounding.UP), Rate(denominator, numerator), Rounding.UP)
        >= amount
    )


def an_instruction(debit: Money, credit: Money) -> Instruction:
    debtor = Party("D", Place.HK, Account(Scheme.ACCOUNT, "1"), Document(DocumentType.HKID, "A123456(3)"))
    creditor = Party("C", Place.CN, Account(Scheme.ALIPAY_LOGIN, "13800138000"))
    return Instruction("ALFA", "r", "u", "e", debit, credit, debtor, creditor, "", "SALARY", "", "q")


@given(st.integers(2, AMOUNT_MINOR_MAX), AMOUNTS, st.data())
def test_entries_sum_to_zero_with_the_provider_included(debit: int, credit: int, data: st.DataObject) -> None:
    fee = data.draw(st.integers(0, debit - 1))
    instruction = an_instruction(Money(Asset.HKD, debit), Money(Asset.CNY, credit))
    quote = Quote("q", "ALFA", "c", "", *instruction[4:6], fee, Rate(1, 1), Rounding.DOWN, "FXP", 0, 1)
    entries = entries_of(instruction, "GATE", quote)
    assert unbalanced(entries) == {}
    assert entries[0] == Entry("ALFA", Asset.HKD, debit)
    assert Entry("GATE", Asset.CNY, -credit) in entries
    assert sum(entry.amount_minor for entry in entries if entry.participant == FEE_PARTICIPANT) == -fee
    assert unbalanced(entries[1:]) == {Asset.HKD: -debit}


@given(AMOUNTS)
def test_entries_of_one_asset(amount: int) -> None:
    money = Money(Asset.MOP, amount)
    assert entries_of(an_instruction(money, money), "GATE", None) == (
        Entry("ALFA", Asset.MOP, amount),
        Entry("GATE", Asset.MOP, -amount),
    )


def test_the_first_differing_field_is_named_by_its_path() -> None:
    first = an_instruction(Money(Asset.HKD, 5), Money(Asset.CNY, 4))
    assert differing_field(first, first) == ""
    assert differing_field(first, first._replace(debit=Money(Asset.HKD, 6))) == "debit.amount_minor"
    assert differing_field(first, first._replace(creditor=first.creditor._replace(name="X"))) == "creditor.name"
    assert differing_field(first, first._replace(remark="x")) == "remark"
