"""Bytes on the link: golden files, round trips, what is hidden, and what is not believed."""

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ecny import codec, rules
from adapters.ecny.codec import Address, Message
from adapters.ecny.signing import NoSigner, Signer, Sm2Signer, load_pair
from adapters.ecny.spec import (
    MESSAGES,
    SENSITIVE,
    BusinessConfirm,
    CommunicationConfirm,
    ConvertRequest,
    ConvertResponse,
    Fault,
    FinalNotice,
    QueryRequest,
    QueryResponse,
)
from switch.errors import CodecError
from switch.ports import Outcome
from tests.adapters.ecny.builders import NOW_MS, UETR, make_hold

GOLDEN = Path(__file__).with_name("golden")
UP, DOWN = Address(rules.INSTITUTION, rules.CENTRE, "U"), Address(rules.CENTRE, rules.INSTITUTION, "D")
OFF = NoSigner()

HOLD = make_hold("WL04", 1234_56, uetr=UETR, level=4)
REQUEST = codec.convert_request(HOLD, rules.INSTITUTION)
QUERY = codec.query_request(HOLD, rules.INSTITUTION, NOW_MS)._replace(msg_id=rules.msg_id(411, NOW_MS, b"golden"))
ANSWER = (rules.msg_id(226, NOW_MS, b"golden"), NOW_MS // 1000 * 1000, rules.CENTRE, rules.INSTITUTION, UETR)
ORIGINAL = (REQUEST.msg_id, rules.INSTITUTION, "dcep.225.001.01")

PAID = ConvertResponse(*ANSWER, *ORIGINAL, "PR00", None, None, REQUEST.batch_id)
REPORTED = QueryResponse(
    *ANSWER, QUERY.msg_id, rules.INSTITUTION, "PR00", "PR00", rules.PROCESSED, None, None, *ORIGINAL
)
DISCARDED = Fault(rules.FAULT_SIGNATURE, "核签未通过", rules.CENTRE, REQUEST.msg_id)
SAMPLES: dict[str, Message] = {
    "dcep.225": REQUEST,
    "dcep.226 paid": PAID,
    "dcep.226 refused": PAID._replace(status="PR01", reject_code="R901", reject_text="超过限额"),
    "dcep.411": QUERY,
    "dcep.412 paid": REPORTED,
    "dcep.412 never seen": REPORTED._replace(status=None, process_code=rules.NEVER_SEEN),
    "dcep.900 refused": BusinessConfirm(*ANSWER, *ORIGINAL, "PR01", None, "R915", None),
    "dcep.902": CommunicationConfirm(ANSWER[1], *ORIGINAL, "PR00", None),
    "dcep.909 paid": FinalNotice(*ANSWER, *ORIGINAL, "PR00", rules.PROCESSED, None, None),
    "dcep.911 signature": DISCARDED,
}


def on_link(message: Message, signer: Signer = OFF) -> bytes:
    up = isinstance(message, ConvertRequest | QueryRequest)
    msg_id = getattr(message, "msg_id", "20260527999190215301500000000000")
    asked = QUERY.msg_id if isinstance(message, QueryResponse) else REQUEST.msg_id
    ref_id = msg_id if up else asked
    return codec.write(message, UP if up else DOWN, msg_id, ref_id, NOW_MS, signer)


def readable(payload: bytes) -> str:
    """One element a line; the bytes on the link have no line ends but the two after header and block."""
    return payload.decode().replace("\r\n", "\n").replace("><", ">\n<") + "\n"


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, Signer]:
    keys = tmp_path_factory.mktemp("keys")
    switch, centre = load_pair(keys, "switch"), load_pair(keys, "centre")
    return Sm2Signer(switch, centre.public), Sm2Signer(centre, switch.public)


# --- golden ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SAMPLES)
def test_golden(name: str) -> None:
    payload = on_link(SAMPLES[name])
    assert readable(payload) == (GOLDEN / f"{name}.txt").read_text("utf-8")
    assert codec.read(codec.split(payload), OFF) == SAMPLES[name]


def test_every_message_has_a_golden_file() -> None:
    kinds = {name.partition(" ")[0] for name in SAMPLES}
    assert kinds == {spec.name.removesuffix(".001.01") for spec, _ in MESSAGES}
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(SAMPLES)


# --- signed and sealed -----------------------------------------------------------------------------------------------
def test_signed_round_trip_hides_what_is_personal(ends: tuple[Signer, Signer]) -> None:
    switch, centre = ends
    payload = on_link(REQUEST, switch)
    for field in SENSITIVE["dcep.225.001.01"]:
        assert getattr(REQUEST, field).encode() not in payload
    parts = codec.split(payload)
    assert (parts.signer_serial, len(parts.signature)) == (switch.serial, 88)
    assert codec.read(parts, centre) == REQUEST
    with pytest.raises(CodecError, match="DEP"):
        codec.read(parts, OFF)  # an end without keys cannot read it, and does not pretend to


def test_nothing_unsigned_is_believed(ends: tuple[Signer, Signer]) -> None:
    switch, centre = ends
    payload = on_link(SAMPLES["dcep.226 paid"], centre)
    parts = codec.split(payload)
    assert codec.read(parts, switch) == SAMPLES["dcep.226 paid"]
    refused = codec.split(on_link(SAMPLES["dcep.226 refused"], centre))
    spoilt = [
        parts._replace(body=refused.body),
        parts._replace(signature=refused.signature),
        parts._replace(signature=""),
        parts._replace(signer_serial=switch.serial),
        codec.split(on_link(SAMPLES["dcep.226 paid"])),
    ]
    for wrong in spoilt:
        with pytest.raises(CodecError) as caught:
            codec.read(wrong, switch)
        assert (caught.value.path, caught.value.rule) == ("DSG", "SIGNATURE")
    moved = parts._replace(header=parts.header._replace(msg_id="20260527999122615301500000000000"))
    with pytest.raises(CodecError, match="HEADER"):
        codec.read(moved, switch)


def test_a_signed_225_in_clear_is_refused(ends: tuple[Signer, Signer]) -> None:
    switch, centre = ends
    parts = codec.split(on_link(REQUEST))
    signed = parts._replace(signer_serial=switch.serial, signature=switch.sign(parts.body))
    with pytest.raises(CodecError) as caught:
        codec.read(signed, centre)
    assert (caught.value.path, caught.value.rule) == ("DEP", "MISSING")


# --- what cannot be read ---------------------------------------------------------------------------------------------
SPOILT = """
# pattern                         replacement          path                     rule
  ^\\{H:04                        {H:02                version                  VERSION
  dcep.225.001.01(\\s)            dcep.999.001.01\\1   message_type             MESSAGE_TYPE
  U(\\s+)\\}                      X\\1}                direction                DIRECTION
  \\{S::SSN                       {S:SSN               S                        FORMAT
  1234.56                         1234.567             ConvertReq/TrxInf/TrxAmt DECIMALS
  Ccy="CNY"                       Ccy="HKD"            ConvertReq/TrxInf/TrxAmt/@Ccy CONST
  D201                            C201                 ConvertReq/TrxInf/TrxBizTp CONST
  WL04                            WL05                 ConvertReq/CdtrInf/CdtrWltLvl CODE
  </MsgId>                        X</MsgId>            GrpHdr/MsgId             HEADER
  xsd:dcep.225                    xsd:dcep.227         Document                 NAMESPACE
"""


@pytest.mark.parametrize("row", [line.split() for line in SPOILT.splitlines() if line.strip() and "# " not in line])
def test_spoilt(row: list[str]) -> None:
    pattern, replacement, path, rule = row
    text, count = re.subn(pattern, replacement, on_link(REQUEST).decode(), count=1)
    assert count == 1
    with pytest.raises(CodecError) as caught:
        codec.read(codec.split(text.encode()), OFF)
    assert (caught.value.path, caught.value.rule) == (path, rule)


def test_errors_hold_no_personal_value() -> None:
    with pytest.raises(CodecError) as caught:
        on_link(REQUEST._replace(creditor_name="陈" * 61))
    assert str(caught.value) == "ConvertReq/CdtrInf/CdtrNm: LENGTH"


@given(st.binary(max_size=400))
def test_rubbish_is_refused_and_no_more(data: bytes) -> None:
    with pytest.raises(CodecError):
        codec.split(data)


@settings(deadline=None, max_examples=300)
@given(place=st.integers(0, len(on_link(REQUEST)) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(place: int, byte: int) -> None:
    payload = on_link(REQUEST)
    with contextlib.suppress(CodecError):  # anything else is a fault
        codec.read(codec.split(payload[:place] + bytes([byte]) + payload[place + 1 :]), OFF)


@settings(deadline=None, max_examples=300)
@given(place=st.integers(0, len(on_link(SAMPLES["dcep.226 paid"])) - 1), byte=st.integers(0, 255))
def test_an_answer_is_judged_as_strictly_as_it_is_read(place: int, byte: int) -> None:
    paid = on_link(SAMPLES["dcep.226 paid"])
    payload = paid[:place] + bytes([byte]) + paid[place + 1 :]
    try:
        expected: Any = codec.outcome_of(codec.read(codec.split(payload), OFF), REQUEST)
    except CodecError as refused:
        expected = refused.path, refused.rule
    try:
        found: Any = codec.verdict_of(payload, REQUEST, OFF)
    except CodecError as refused:
        found = refused.path, refused.rule
    assert found == expected


# --- what an answer means --------------------------------------------------------------------------------------------
MEANINGS = """
# answer               status  code   outcome   reason
  ConvertResponse      PR00    -      DONE      -
  ConvertResponse      PR01    R901   REFUSED   WALLET_TIER_LIMIT
  ConvertResponse      PR01    R777   REFUSED   RAIL_REFUSED
  ConvertResponse      PR01    -      REFUSED   RAIL_REFUSED
  ConvertResponse      PR02    -      WORKING   -
  ConvertResponse      PR03    -      WORKING   -
  ConvertResponse      PR04    -      WORKING   -
  BusinessConfirm      PR01    R915   REFUSED   RAIL_EXPIRED
  FinalNotice          PR00    -      DONE      -
  FinalNotice          PR01    R021   REFUSED   CREDITOR_ACCOUNT_UNKNOWN
  FinalNotice          PR03    -      WORKING   -
"""


@pytest.mark.parametrize("row", [line.split() for line in MEANINGS.splitlines() if line.strip() and "# " not in line])
def test_meanings(row: list[str]) -> None:
    kind, status, code, outcome, reason = ("" if cell == "-" else cell for cell in row)
    sample: Any = next(message for message in SAMPLES.values() if type(message).__name__ == kind)
    message: Message = sample._replace(status=status, reject_code=code or None)
    verdict = codec.outcome_of(message, REQUEST)
    assert (verdict.outcome.name, verdict.reason) == (outcome, reason)
    payload = on_link(message)
    assert codec.verdict_of(payload, REQUEST, OFF) == verdict
    assert codec.correlate(payload) == (None if verdict.outcome is Outcome.WORKING else REQUEST.msg_id)
    asked = REPORTED._replace(status=status, reject_code=code or None)
    assert codec.outcome_of(asked, QUERY) == verdict


def test_faults_and_acknowledgements() -> None:
    assert codec.outcome_of(DISCARDED, REQUEST).reason == "RAIL_SIGNATURE"
    assert codec.outcome_of(DISCARDED._replace(code=rules.FAULT_FORMAT), REQUEST).reason == "RAIL_FORMAT"
    assert codec.correlate(on_link(SAMPLES["dcep.902"])) is None
    assert codec.correlate(on_link(DISCARDED)) == REQUEST.msg_id
    assert codec.correlate(on_link(REPORTED._replace(status="PR02"))) == QUERY.msg_id  # it answers the question
    with pytest.raises(CodecError):
        codec.correlate(b"{H:04")
    assert codec.outcome_of(SAMPLES["dcep.412 never seen"], QUERY).outcome is Outcome.NEVER_SEEN


def test_answers_about_something_else_say_nothing() -> None:
    wrong: list[tuple[Message, ConvertRequest | QueryRequest]] = [
        (PAID._replace(uetr=UETR[:-1] + "0"), REQUEST),
        (PAID._replace(original_msg_id=QUERY.msg_id), REQUEST),
        (REPORTED, REQUEST),
        (PAID, QUERY),
        (REPORTED._replace(query_msg_id=REQUEST.msg_id), QUERY),
        (REPORTED._replace(status=None), QUERY),
        (DISCARDED._replace(original_msg_id=None), REQUEST),
        (DISCARDED._replace(original_msg_id=QUERY.msg_id), QUERY),
        (SAMPLES["dcep.902"], REQUEST),
        (REQUEST, REQUEST),
    ]
    for message, request in wrong:
        with pytest.raises(CodecError):
            codec.outcome_of(message, request)
