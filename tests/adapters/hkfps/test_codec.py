"""FPS bytes: round trips, the ISO schemas, answers, and the captured messages."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiso20022.head.head_001_001_01 import AppHdr
from pyiso20022.pacs import pacs_002_001_08, pacs_008_001_06, pacs_028_001_01

from adapters.conformance import hold_of
from adapters.hkfps import RAIL, codec, spec
from adapters.kit.push_codec import ack_of, enquiry_of
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.errors import CodecError, RailRejected
from switch.limits import AMOUNT_MINOR_MAX
from tests.adapters.hkfps.cases import instruction
from tests.adapters.push_cases import assert_golden, outcome_of, remarks, rows_of, texts, uetrs
from tests.iso20022 import assert_valid, part

GOLDEN = Path(__file__).with_name("golden")
UETR = "7f3c2b1a-9d4e-4c6b-8a21-0f5e6d7c8b90"
THEN = 1_795_000_000_123
OURS = RAIL.institution

_names = texts.map(lambda text: text[:40])


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    """What the routing may hand to FPS."""
    asset = draw(st.sampled_from([Asset.HKD, Asset.CNH]))
    money = Money(asset, draw(st.integers(1, AMOUNT_MINOR_MAX)))
    mobile = st.from_regex(r"\+852-[4-9][0-9]{7}", fullmatch=True)
    email = st.from_regex(r"[a-z]{1,30}\.[a-z]{1,20}@[a-z]{1,6}\.hk", fullmatch=True)
    to = draw(
        st.one_of(
            mobile.map(lambda value: Account(Scheme.MOBILE, value)),
            email.map(lambda value: Account(Scheme.EMAIL, value)),
            st.from_regex(r"[0-9]{7}([0-9]{2})?", fullmatch=True).map(lambda value: Account(Scheme.FPS_ID, value)),
            st.from_regex(r"[0-9-]{1,34}", fullmatch=True).map(lambda value: Account(Scheme.ACCOUNT, value)),
        )
    )
    uetr = draw(uetrs)
    return Instruction(
        OURS, uetr, uetr, draw(texts.map(lambda text: text[:35])), money, money,
        Party(draw(_names), draw(st.sampled_from(Place)), Account(Scheme.ALIPAY_USER, "2088000000000001")),
        Party(draw(_names), Place.HK, to), "", draw(st.sampled_from(["SALARY", "FAMILY_SUPPORT", "TUITION"])),
        draw(remarks), "",
    )  # fmt: skip


def _hold(made: Instruction) -> Hold:
    return hold_of(RAIL.name, made, THEN)


# --- transfers -------------------------------------------------------------------------------------------------------
@given(instructions())
def test_a_transfer_says_all_of_the_instruction_and_keeps_its_schema(made: Instruction) -> None:
    payload = codec.encode_transfer(_hold(made), OURS)
    assert codec.instruction_of(codec.read_transfer(payload)) == made
    assert_valid(part(payload, "Document"), pacs_008_001_06.Document)
    assert_valid(part(payload, "AppHdr"), AppHdr)


@given(instructions())
def test_the_same_hold_is_the_same_bytes(made: Instruction) -> None:
    assert codec.encode_transfer(_hold(made), OURS) == codec.encode_transfer(_hold(made), OURS)


CANNOT_BE_CARRIED = """
# why                                   reason                 code
  an asset FPS has not                  CURRENCY_NOT_ACCEPTED  AM03
  onshore renminbi is another asset     CURRENCY_NOT_ACCEPTED  AM03
  a name over 40 characters             RAIL_FORMAT            FF01
  an account over 34 characters         RAIL_FORMAT            FF01
  an address of another rail            RAIL_FORMAT            FF01
  an agent that is no clearing code     RAIL_FORMAT            FF01
"""


def test_what_fps_cannot_carry_is_refused_before_anything_is_sent() -> None:
    made = {
        "an asset FPS has not": instruction(asset=Asset.MOP),
        "onshore renminbi is another asset": instruction(asset=Asset.CNY),
        "a name over 40 characters": instruction(name="X" * 41),
        "an account over 34 characters": instruction(value="1" * 35),
        "an address of another rail": instruction(scheme=Scheme.WALLET_ID, value="0021234567890123"),
        "an agent that is no clearing code": instruction("12"),
    }
    rows = rows_of(CANNOT_BE_CARRIED)
    assert {why for why, _, _ in rows} == set(made)
    for why, reason, code in rows:
        with pytest.raises(RailRejected) as refused:
            codec.encode_transfer(_hold(made[why]), OURS)
        assert (refused.value.reason.name, refused.value.rail_code) == (reason, code), why
        assert "X" * 41 not in str(refused.value)


def test_an_inbound_transfer_carries_the_debtors_document() -> None:
    transfer = codec.transfer_of(_hold(instruction()), OURS)._replace(
        debtor_document="A1234563", debtor_document_type="HKID"
    )
    payload = spec.transfer_codec.write(transfer)
    assert_valid(part(payload, "Document"), pacs_008_001_06.Document)
    assert codec.instruction_of(codec.read_transfer(payload)).debtor.document == Document(DocumentType.HKID, "A1234563")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"tx_id": "7f3c2b1a9d4e1c6b8a210f5e6d7c8b90"}, "PmtId/TxId"),
        ({"creditor_account": None}, "CdtrAcct"),
        ({"creditor_email": "a@b.hk"}, "CdtrAcct"),
        ({"debtor_document": "1", "debtor_document_type": "LIBRARY_CARD"}, "Dbtr/Id/PrvtId/Othr/SchmeNm/Prtry"),
    ],
)
def test_an_inbound_transfer_that_is_no_instruction_names_its_field(change: dict[str, Any], path: str) -> None:
    transfer = codec.transfer_of(_hold(instruction()), OURS)._replace(**change)
    with pytest.raises(CodecError) as refused:
        codec.instruction_of(transfer)
    assert refused.value.path == path


# --- answers ---------------------------------------------------------------------------------------------------------
ANSWERS = """
# service  status  reason  reference  to a payment                 to an enquiry
  PAYC01   ACSC    -       FPS1       ack FPS1                     -
  PAYC01   ACSC    -       -          silent                       -
  PAYC01   RJCT    AC04    -          CREDITOR_ACCOUNT_CLOSED      -
  PAYC01   RJCT    ZZ99    -          RAIL_REFUSED                 -
  PAYC01   RJCT    -       -          silent                       -
  PAYC01   RJCT    AG09    -          silent                       -
  PAYC01   CNCL    -       -          RAIL_REFUSED                 -
  PAYC01   RCVD    -       -          silent                       -
  PAYENQ   ACSC    -       FPS1       -                            DONE
  PAYENQ   RJCT    AG09    -          -                            NEVER_SEEN
  PAYENQ   RJCT    BE01    -          -                            REFUSED
  PAYENQ   ACCP    -       -          -                            WORKING
  PAYENQ   RCVD    -       -          -                            WORKING
  PAYENQ   RJCT    -       -          -                            silent
"""


@pytest.mark.parametrize("row", rows_of(ANSWERS), ids=" ".join)
def test_answers(row: list[str]) -> None:
    service, status, reason, reference, to_payment, to_enquiry = row
    payload = codec.report(
        codec.tx_id_of(UETR),
        service,
        status,
        THEN,
        "FPS",
        OURS,
        reason=reason.strip("-"),
        reference=reference.strip("-"),
    )
    assert_valid(part(payload, "Document"), pacs_002_001_08.Document)
    assert_valid(part(payload, "AppHdr"), AppHdr)
    answer = codec.read_report(payload, service, UETR)
    if service == "PAYC01":
        assert outcome_of(lambda: ack_of(answer)) == to_payment
    else:
        assert outcome_of(lambda: enquiry_of(answer)) == to_enquiry
    interim = service == "PAYC01" and status in ("RCVD", "ACCP")
    assert codec.correlate(payload) == ("" if interim else service + codec.tx_id_of(UETR))


# --- captured messages -----------------------------------------------------------------------------------------------
def _golden() -> dict[str, tuple[bytes, type[Any]]]:
    account = instruction(uetr=UETR)
    email = instruction("", Scheme.EMAIL, "taiman.chan@example.hk", "陳大文 & Co", uetr=UETR, asset=Asset.CNH)
    tx_id = codec.tx_id_of(UETR)
    return {
        "pacs008_account_hkd.xml": (codec.encode_transfer(_hold(account), OURS), pacs_008_001_06.Document),
        "pacs008_email_cnh.xml": (codec.encode_transfer(_hold(email), OURS), pacs_008_001_06.Document),
        "pacs002_accepted.xml": (
            codec.report(tx_id, "PAYC01", "ACSC", THEN, "FPS", OURS, reference="FPS000000000001"),
            pacs_002_001_08.Document,
        ),
        "pacs002_refused.xml": (
            codec.report(tx_id, "PAYC01", "RJCT", THEN, "FPS", OURS, reason="BE01"),
            pacs_002_001_08.Document,
        ),
        "pacs028_enquiry.xml": (codec.encode_request(UETR, OURS, "E0001", THEN), pacs_028_001_01.Document),
    }


@pytest.mark.parametrize("name", sorted(_golden()))
def test_golden_messages(name: str) -> None:
    assert_golden(GOLDEN / name, *_golden()[name], AppHdr)


def test_golden_has_no_other_files() -> None:
    assert {path.name for path in GOLDEN.glob("*.xml")} == set(_golden())
