"""Documents: every vector, check digits as properties, and no person's number in an error."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.document import DocumentType, parse_document
from switch.errors import InvalidValue
from tests.vectors import Vector, vectors

TYPES = {
    "hkid": DocumentType.HKID,
    "mainland_id": DocumentType.MAINLAND_ID,
    "gba_residence_permit": DocumentType.RESIDENCE_PERMIT,
    "home_return_permit": DocumentType.HOME_RETURN_PERMIT,
    "macau_bir": DocumentType.MACAU_BIR,
    "taiwan_permit": DocumentType.TAIWAN_PERMIT,
}
TODAY = date(2026, 11, 23)

CASES = """
# type                number                outcome
  HKID                A1234563              A123456(3)
  HKID                A123456(3             FORMAT
  HKID                ABC123456(3)          FORMAT
  MAINLAND_ID         110101900307845       LEGACY
  MAINLAND_ID         810000199001010019    REGION
  MAINLAND_ID         １１0101199003078451    FORMAT
  MAINLAND_ID         110101203001010014    BIRTH_DATE
  RESIDENCE_PERMIT    110101199003078451    REGION
  HOME_RETURN_PERMIT  M8765432101           M87654321
  HOME_RETURN_PERMIT  HA12345678            FORMAT
  MACAU_BIR           12345678              1234567(8)
  MACAU_BIR           1234567(a)            1234567(A)
  TAIWAN_PERMIT       12345678              12345678
  TAIWAN_PERMIT       1234567890B           LEGACY
  TAIWAN_PERMIT       1234567               FORMAT
  PASSPORT            k12345678             K12345678
  PASSPORT            K1234567890           FORMAT
  PASSPORT            Ｋ12345678             FORMAT
"""


def outcome(type: DocumentType, number: str) -> str:
    try:
        return parse_document(type, number, TODAY).number
    except InvalidValue as error:
        fault = error
    assert not number or number not in str(fault), "the text of an error never holds the value"
    return fault.rule


@pytest.mark.parametrize("vector", vectors(*TYPES), ids=lambda vector: f"{vector.kind}:{vector.input!r}"[:60])
def test_vector(vector: Vector) -> None:
    found = outcome(TYPES[vector.kind], vector.input)
    if vector.reason == "OK":
        assert found == vector.input
    elif vector.reason == "OK_NORMALISED":
        assert found != vector.input
        assert outcome(TYPES[vector.kind], found) == found
    else:
        assert found == vector.reason


@pytest.mark.parametrize("line", [line for line in CASES.splitlines() if line.strip() and not line.startswith("#")])
def test_table(line: str) -> None:
    type, number, expected = line.split()
    assert outcome(DocumentType[type], number) == expected


@pytest.mark.parametrize("vector", vectors("mainland_form_naive18"), ids=lambda vector: str(vector.input))
def test_papers_a_naive_form_rejects_are_taken_under_their_own_type(vector: Vector) -> None:
    taken = [type for type in DocumentType if outcome(type, vector.input) == vector.input]
    assert set(taken) - {DocumentType.PASSPORT}, vector.notes


def test_reissued_home_return_permits_are_one_person() -> None:
    first, second = (parse_document(DocumentType.HOME_RETURN_PERMIT, f"H12345678{n}") for n in ("01", "02"))
    assert first == second


def test_without_a_today_a_birth_date_must_only_exist() -> None:
    with pytest.raises(InvalidValue, match="birth date"):
        parse_document(DocumentType.MAINLAND_ID, "110101199002301017")
    number = next(f"11010120300101001{check}" for check in "0123456789X" if _passes(f"11010120300101001{check}"))
    assert parse_document(DocumentType.MAINLAND_ID, number).number == number
    with pytest.raises(InvalidValue, match="birth date"):
        parse_document(DocumentType.MAINLAND_ID, number, TODAY)


def _passes(number: str) -> bool:
    try:
        return bool(parse_document(DocumentType.MAINLAND_ID, number))
    except InvalidValue:
        return False


@given(st.dates(date(1900, 1, 1), TODAY), st.integers(0, 999), st.sampled_from(["110101", "654202", "440304"]))
def test_eighteen_digits_have_one_check_character(born: date, order: int, region: str) -> None:
    body = f"{region}{born:%Y%m%d}{order:03}"
    assert sum(outcome(DocumentType.MAINLAND_ID, body + check) == body + check for check in "0123456789X") == 1


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=2), st.integers(0, 999_999))
def test_hkid_has_one_check_character(letters: str, digits: int) -> None:
    bodies = [f"{letters}{digits:06}({check})" for check in "0123456789A"]
    assert sum(outcome(DocumentType.HKID, body) == body for body in bodies) == 1
