"""Easy Transfer bytes: round trips, the ISO schemas, answers, and the captured messages."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiso20022.head.head_001_001_02 import AppHdr
from pyiso20022.pacs import pacs_002_001_10, pacs_008_001_08, pacs_028_001_03

from adapters.conformance import hold_of
from adapters.kit.books import Account as Held
from adapters.kit.books import PaymentStatus
from adapters.kit.push_codec import Answer, Debit, Order, Question, Told
from adapters.mofps import RAIL, codec, hub_codec, rules, spec
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.errors import CodecError, RailRejected
from switch.limits import AMOUNT_MINOR_MAX
from tests.adapters.mofps.cases import LEONG, instruction
from tests.adapters.push_cases import assert_golden, outcome_of, remarks, rows_of, texts, uetrs
from tests.iso20022 import assert_valid, part

GOLDEN = Path(__file__).with_name("golden")
UETR = "7f3c2b1a-9d4e-4c6b-8a21-0f5e6d7c8b90"
THEN = 1_795_000_000_123
OURS = RAIL.institution

_names = texts.map(lambda text: text[:140])
_numbers = st.from_regex(r"[0-9-]{1,34}", fullmatch=True)
_fps_ids = st.from_regex(r"[0-9]{7}([0-9]{2})?", fullmatch=True)
_purposes = st.sampled_from(["", "PERSONAL", "OTHER", *rules.PURPOSE_CODE])

_own = st.one_of(
    st.from_regex(r"\+853-6[0-9]{7}", fullmatch=True).map(lambda value: Account(Scheme.MOBILE, value)),
    _fps_ids.map(lambda value: Account(Scheme.FPS_ID, value)),
    _numbers.map(lambda value: Account(Scheme.ACCOUNT, value)),
)
_behind_us = st.one_of(
    _own,
    st.from_regex(r"\+86-1[3-9][0-9]{9}", fullmatch=True).map(lambda value: Account(Scheme.ALIPAY_LOGIN, value)),
    st.from_regex(r"2088[0-9]{12}", fullmatch=True).map(lambda value: Account(Scheme.ALIPAY_USER, value)),
    st.from_regex(r"00[0-9]{14}", fullmatch=True).map(lambda value: Account(Scheme.WALLET_ID, value)),
    st.from_regex(r"[a-z]{1,40}@[a-z]{1,20}\.hk", fullmatch=True).map(lambda value: Account(Scheme.EMAIL, value)),
)


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    """What the routing may hand to Easy Transfer."""
    money = Money(draw(st.sampled_from([Asset.MOP, Asset.HKD])), draw(st.integers(1, AMOUNT_MINOR_MAX)))
    uetr = draw(uetrs)
    return Instruction(
        OURS, uetr, uetr, draw(texts.map(lambda text: text[:35])), money, money,
        Party(draw(_names), draw(st.sampled_from(Place)), draw(_behind_us)),
        Party(draw(_names), Place.MO, draw(_own)), "", draw(_purposes), draw(remarks), "",
    )  # fmt: skip


def _hold(made: Instruction) -> Hold:
    return hold_of(RAIL.name, made, THEN)


def _told(status: PaymentStatus, code: str = "", reference: str = "") -> Told:
    return Told(UETR, status, code, reference, THEN)


# --- transfers -------------------------------------------------------------------------------------------------------
@given(instructions())
def test_a_transfer_says_all_of_the_instruction_and_keeps_its_schema(made: Instruction) -> None:
    payload = codec.encode_transfer(_hold(made), OURS)
    assert codec.instruction_of(codec.read_transfer(payload)) == made
    assert_valid(part(payload, "Document"), pacs_008_001_08.Document)
    assert_valid(part(payload, "AppHdr"), AppHdr)
    assert codec.encode_transfer(_hold(made), OURS) == payload


@given(_behind_us, _names, _purposes, st.sampled_from(Place))
def test_a_payment_of_a_bank_in_macau_reaches_us_whole(to: Account, name: str, purpose: str, place: Place) -> None:
    held = Held("101", LEONG[2], LEONG[3], frozenset([Asset.MOP]), document="MACAU_BIR:1234567(8)")
    debit = Debit(
        UETR, "E2E-1", held, Asset.MOP, 500_00, to.scheme, to.value, name, place, purpose, "school", THEN
    )  # fmt: skip
    payload = hub_codec.write_transfer(hub_codec.transfer_to_switch(debit, OURS))
    assert_valid(part(payload, "Document"), pacs_008_001_08.Document)
    made = codec.instruction_of(codec.read_transfer(payload))
    assert made.creditor == Party(name, place, to)
    assert made.debtor.document == Document(DocumentType.MACAU_BIR, "1234567(8)")
    assert (made.participant, made.request_id, made.creditor_agent) == ("101", UETR, "")
    assert (made.purpose, made.remark, made.credit) == (purpose, "school", Money(Asset.MOP, 500_00))


CANNOT_BE_CARRIED = """
# why                                  reason                 code
  an asset this rail has not           CURRENCY_NOT_ACCEPTED  AM03
  a digital pataca is another asset    CURRENCY_NOT_ACCEPTED  AM03
  a name over 140 characters           RAIL_FORMAT            FF01
  an account over 34 characters        RAIL_FORMAT            FF01
  an e-mail address                    RAIL_FORMAT            FF01
  an address of another rail           RAIL_FORMAT            FF01
  a payer by a shown code              RAIL_FORMAT            FF01
  an agent that is no code             RAIL_FORMAT            FF01
"""


def test_what_the_rail_cannot_carry_is_refused_before_anything_is_sent() -> None:
    by_code = Party("CHAN TAI MAN", Place.HK, Account(Scheme.PAYMENT_CODE, "2512345678901234"))
    made = {
        "an asset this rail has not": instruction(asset=Asset.CNY),
        "a digital pataca is another asset": instruction(asset=Asset.EMOP),
        "a name over 140 characters": instruction(name="X" * 141),
        "an account over 34 characters": instruction(value="1" * 35),
        "an e-mail address": instruction("", Scheme.EMAIL, "kaman.leong@example.mo"),
        "an address of another rail": instruction(scheme=Scheme.WALLET_ID, value="0021234567890123"),
        "a payer by a shown code": instruction()._replace(debtor=by_code),
        "an agent that is no code": instruction("12"),
    }
    rows = rows_of(CANNOT_BE_CARRIED)
    assert {why for why, _, _ in rows} == set(made)
    for why, reason, code in rows:
        with pytest.raises(RailRejected) as refused:
            codec.encode_transfer(_hold(made[why]), OURS)
        assert (refused.value.reason.name, refused.value.rail_code) == (reason, code), why
        assert str(refused.value) == f"{reason} ({code})"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"creditor_proxy": None}, "CdtrAcct/Prxy"),
        ({"creditor_proxy_type": None}, "CdtrAcct/Prxy"),
        ({"debtor_proxy": "1"}, "DbtrAcct/Prxy"),
        ({"debtor_document": "1", "debtor_document_type": "LIBRARY_CARD"}, "Dbtr/Id/PrvtId/Othr/SchmeNm/Prtry"),
        ({"debtor_document": "1"}, "Dbtr/Id/PrvtId/Othr/SchmeNm/Prtry"),
    ],
)
def test_an_inbound_transfer_that_is_no_instruction_names_its_field(change: dict[str, Any], path: str) -> None:
    made = instruction("", Scheme.MOBILE, "+853-66123456")
    transfer = codec.transfer_of(_hold(made), OURS)._replace(**change)
    with pytest.raises(CodecError) as refused:
        codec.instruction_of(transfer)
    assert refused.value.path == path


# --- answers ---------------------------------------------------------------------------------------------------------
ANSWERS = """
# status  reason  reference  to a payment             to an enquiry
  ACSC    -       MOET1      ack MOET1                DONE
  ACSC    -       -          silent                   silent
  RJCT    AC04    -          CREDITOR_ACCOUNT_CLOSED  REFUSED
  RJCT    ZZ99    -          RAIL_REFUSED             REFUSED
  RJCT    -       -          silent                   silent
  RJCT    AG09    -          silent                   NEVER_SEEN
  ACSP    -       -          silent                   WORKING
  PDNG    -       -          silent                   WORKING
"""


@pytest.mark.parametrize("row", rows_of(ANSWERS), ids=" ".join)
def test_answers(row: list[str]) -> None:
    status, reason, reference, to_payment, to_enquiry = row
    template = spec.report_codec.read(hub_codec.tell_payer(_told(PaymentStatus.DONE, reference="x"), OURS))
    report = template._replace(status=status, reason=reason.strip("-") or None, reference=reference.strip("-") or None)
    payment = spec.report_codec.write(report._replace(service=spec.PAYMENT_SERVICE))
    enquiry = spec.report_codec.write(report._replace(service=spec.ENQUIRY_SERVICE))
    for payload in (payment, enquiry):
        assert_valid(part(payload, "Document"), pacs_002_001_10.Document)
        assert_valid(part(payload, "AppHdr"), AppHdr)
    assert outcome_of(lambda: codec.read_ack(payment, UETR)) == to_payment
    assert outcome_of(lambda: codec.read_enquiry(enquiry, UETR)) == to_enquiry
    assert codec.correlate(payment) == codec.payment_key(UETR)  # an interim status too: it ends the wait
    assert codec.correlate(enquiry) == codec.enquiry_key(UETR)
    for read, other in ((codec.read_ack, enquiry), (codec.read_enquiry, payment)):
        assert outcome_of(partial(read, other, UETR)) == "silent"


def test_an_answer_that_is_no_end_is_told_as_working() -> None:
    payload = hub_codec.tell_payer(_told(PaymentStatus.WORKING), OURS)
    assert hub_codec.read_message(payload) == Answer(UETR, PaymentStatus.WORKING, "")


# --- what the hub makes of a message ---------------------------------------------------------------------------------
def test_the_hub_reads_what_we_write() -> None:
    account = codec.encode_transfer(_hold(instruction(uetr=UETR)), OURS)
    order = hub_codec.read_message(account)
    assert isinstance(order, Order)
    assert (order.agent, order.proxy, order.address, order.checked_name) == ("101", "", LEONG[2], LEONG[3])
    assert (order.uetr, order.asset, order.amount_minor, order.created_ms) == (UETR, Asset.MOP, 123_45, THEN)
    mobile = codec.encode_transfer(_hold(instruction("", Scheme.MOBILE, "+853-66123456", uetr=UETR)), OURS)
    order = hub_codec.read_message(mobile)
    assert isinstance(order, Order)
    assert (order.agent, order.proxy, order.address, order.checked_name) == ("", "MOBN", "+853-66123456", None)
    assert hub_codec.read_message(codec.encode_request(UETR, OURS, "E1", THEN)) == Question(UETR)
    assert hub_codec.read_message(account.replace(b"pacs.008", b"pacs.009")) is None


# --- captured messages -----------------------------------------------------------------------------------------------
def _golden() -> dict[str, tuple[bytes, type[Any]]]:
    account = instruction(uetr=UETR)
    mobile = instruction("", Scheme.MOBILE, "+853-66123456", "梁嘉敏 & Co", uetr=UETR, asset=Asset.HKD)
    return {
        "pacs008_account_mop.xml": (codec.encode_transfer(_hold(account), OURS), pacs_008_001_08.Document),
        "pacs008_mobile_hkd.xml": (codec.encode_transfer(_hold(mobile), OURS), pacs_008_001_08.Document),
        "pacs002_accepted.xml": (
            hub_codec.tell_payer(_told(PaymentStatus.DONE, reference="MOET000000000001"), OURS),
            pacs_002_001_10.Document,
        ),
        "pacs002_refused.xml": (
            hub_codec.tell_payer(_told(PaymentStatus.REFUSED, "BE01"), OURS),
            pacs_002_001_10.Document,
        ),
        "pacs002_working.xml": (hub_codec.tell_asker(_told(PaymentStatus.WORKING), OURS), pacs_002_001_10.Document),
        "pacs028_enquiry.xml": (codec.encode_request(UETR, OURS, "E0001", THEN), pacs_028_001_03.Document),
    }


@pytest.mark.parametrize("name", sorted(_golden()))
def test_golden_messages(name: str) -> None:
    assert_golden(GOLDEN / name, *_golden()[name], AppHdr)


def test_golden_has_no_other_files() -> None:
    assert {path.name for path in GOLDEN.glob("*.xml")} == set(_golden())
