"""The rules of the rail against the vectors and against its own tables."""

import logging
from collections.abc import Callable

import pytest

from adapters.ecny import rules
from adapters.ecny.spec import HEADER, Header
from adapters.kit.faults import FaultKind
from adapters.wire import HeaderCodec
from switch.domain.document import DocumentType
from switch.domain.identifiers import parse_ecny_wallet_id
from switch.errors import REASONS, CodecError, InvalidValue, Refused
from tests.adapters.ecny.builders import NOW_MS, UETR
from tests.vectors import Vector, vectors


def _header(text: str) -> object:
    try:
        return HeaderCodec(HEADER, Header).read(text.encode("ascii"))
    except CodecError as error:
        raise InvalidValue(error.rule, error.path) from None


CHECKS: dict[str, Callable[[str], object]] = {
    "dcep_header": _header,
    "dcep_msgid": rules.check_msg_id,
    "dcep_batchid": rules.check_batch_id,
    "dcep_status": rules.check_status,
    "dcep_idtype": rules.check_id_type,
    "ecny_wallet_id": parse_ecny_wallet_id,
}


@pytest.mark.parametrize("vector", vectors(*CHECKS), ids=lambda vector: f"{vector.kind}-{vector.reason}")
def test_vectors(vector: Vector) -> None:
    try:
        CHECKS[vector.kind](vector.input)
        verdict = "OK"
    except InvalidValue as error:
        verdict = error.rule
    assert verdict == vector.reason
    assert (verdict == "OK") == vector.valid


def test_every_rail_reason_has_a_code_and_back() -> None:
    rail_reasons = [reason for reason in REASONS.values() if reason.grpc == "ABORTED"]
    # Not words of this rail: codes a payer shows, and what only the switch itself says.
    ours = {"PAYER_CODE_INVALID", "PAYER_FUNDS", "RAIL_UNAVAILABLE", "RAIL_NEVER_SAW_IT"}
    assert {reason.name for reason in rail_reasons} - ours == set(rules.CODE_OF)
    for reason, code in rules.CODE_OF.items():
        assert rules.REASON_OF[code] == reason
    assert rules.CODE_OF["CREDITOR_ACCOUNT_UNKNOWN"] == "R021"  # the one observed with a meaning
    assert FaultKind.REFUSE  # the fault that shows each of them


def test_msg_id_is_of_the_payment() -> None:
    first = rules.payment_msg_id(UETR, NOW_MS)
    assert first == rules.payment_msg_id(UETR, NOW_MS) == rules.check_msg_id(first)
    assert first.startswith("202605279991225153015")  # date, org, cross-bank, 225, time in Hong Kong
    assert len(first) == 32
    assert first != rules.payment_msg_id(UETR[:-1] + "0", NOW_MS)


def test_batch_is_the_hour_in_hong_kong() -> None:
    assert rules.batch_id(NOW_MS) == rules.check_batch_id("B202605271500")
    midnight = 1_779_897_600_000  # 2026-05-28T00:00 in Hong Kong
    assert [rules.batch_id(midnight - 1), rules.batch_id(midnight)] == ["B202605272300", "B202605280000"]


@pytest.mark.parametrize(
    ("text", "rule"), [("B2026052715", "LENGTH"), ("C202605271500", "FORMAT"), ("B202602301500", "DATE")]
)
def test_bad_batches(text: str, rule: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        rules.check_batch_id(text)
    assert caught.value.rule == rule


def test_documents(caplog: pytest.LogCaptureFixture) -> None:
    codes = {}
    with caplog.at_level(logging.INFO):
        for document in DocumentType:
            try:
                codes[document.name] = rules.id_type(document)
            except Refused as refused:
                codes[document.name] = refused.reason.name
    assert codes == {
        "MAINLAND_ID": "IT01",
        "RESIDENCE_PERMIT": "IT01",
        "HOME_RETURN_PERMIT": "IT06",
        "HKID": "PAPERS_NOT_ACCEPTED",
        "MACAU_BIR": "PAPERS_NOT_ACCEPTED",
        "PASSPORT": "IT03",
        "TAIWAN_PERMIT": "IT07",
    }
    assert caplog.messages == ["RESIDENCE_PERMIT has no IDTp, written as IT01"]  # the choice, and no number


@pytest.mark.parametrize(
    ("stated", "same"),
    [
        ("CHAN TAI MAN", True),
        ("Chan Tai  Man", True),
        ("ＣＨＡＮ ＴＡＩ ＭＡＮ", True),
        ("CHAN TAI", False),
        ("", False),
    ],
)
def test_names(stated: str, same: bool) -> None:
    assert rules.same_name(stated, "CHAN TAI MAN") is same
