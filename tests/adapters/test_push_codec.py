"""The codec of every push rail: what it passes over, where an answer belongs, and the twins on generated messages."""

import random

import pytest

from adapters.conformance import ended, hold_of
from adapters.kit.books import PaymentStatus
from adapters.kit.iso_transfer import CreditTransfer
from adapters.kit.push_codec import ISO_REASONS, Answer, Question, Told, code_of
from switch.domain.party import Scheme
from switch.errors import CodecError, RailRejected, RailSilent
from tests.adapters.push_cases import NOON, PushCases
from tests.adapters.wire.agreement import assert_twins_agree, mutations, verdict
from tests.iso20022 import assert_valid, part

UETR = "7f3c2b1a-9d4e-4c6b-8a21-0f5e6d7c8b90"
OTHER = "7f3c2b1a-9d4e-4c6b-8a21-0f5e6d7c8b91"


def test_a_signature_is_passed_over(cases: PushCases) -> None:
    payload = cases.transfer(cases.instruction())
    signature = b'<Sgntr><S xmlns="http://www.w3.org/2000/09/xmldsig#">AA==</S></Sgntr></AppHdr>'
    signed = payload.replace(b"</AppHdr>", signature)
    assert signed != payload
    assert cases.codec.read_transfer(signed) == cases.codec.read_transfer(payload)


def test_correlate_refuses_what_it_cannot_place(cases: PushCases) -> None:
    assert cases.codec.correlate(cases.transfer(cases.instruction())) is None
    report, service = cases.spec.STATUS_REPORT, cases.spec.PAYMENT_SERVICE
    half = f"<MsgDefIdr>{report.name}</MsgDefIdr><BizSvc>{service}</BizSvc>"
    for payload in (b"", f"<{report.root}/>".encode(), half.encode()):
        with pytest.raises(CodecError):
            cases.codec.correlate(payload)


def test_an_answer_is_placed_by_a_look(cases: PushCases) -> None:
    codec, hub, ours = cases.codec, cases.hub_codec, cases.rail.institution
    told = Told(UETR, PaymentStatus.DONE, "", "R1", NOON)
    for payload, key in (
        (hub.tell_payer(told, ours), codec.payment_key),
        (hub.tell_asker(told, ours), codec.enquiry_key),
    ):
        assert codec.correlate(payload) == key(UETR)
        assert codec.correlate(payload.replace(b"><", b">\n<")) == key(UETR)
        for broken in (payload.replace(b"BizSvc>", b"Svc>"), payload.replace(b"</Orgnl", b"x</Orgnl")):
            with pytest.raises(CodecError):
                codec.correlate(broken)


def test_an_answer_is_read_as_strictly_as_its_whole_table(cases: PushCases) -> None:
    """What counts is made of it; the rest is checked, in every field and in what stands between them."""
    told = Told(UETR, PaymentStatus.DONE, "", "R1", NOON)
    payload, rng = cases.hub_codec.tell_payer(told, cases.rail.institution), random.Random(3)
    mutants = mutations(payload, rng)
    for _ in range(3_000):
        mutant = next(mutants)
        found = verdict(cases.spec.report_codec.read, mutant)
        if found[0] == "taken":
            found = ("taken", cases.spec.Status(*(getattr(found[1], name) for name in cases.spec.Status._fields)))
        else:
            with pytest.raises(RailSilent):
                cases.codec.read_ack(mutant, UETR)
        assert verdict(cases.spec.status_view.read, mutant) == found, mutant


@pytest.mark.parametrize("scheme", list(Scheme))
def test_the_short_way_from_a_hold_is_the_long_way(cases: PushCases, scheme: Scheme) -> None:
    """`transfer_of` and `make_transfer` fill one table from two sides."""
    ours, hub = cases.rail.institution, cases.spec.HUB
    more = {"verified": scheme is Scheme.ACCOUNT} if cases.rail.name == "hkfps" else {}
    for agent, purpose, remark in (("", "", ""), ("012", "SALARY", "rent"), ("012", "TUITION", "")):
        for address in ("61234567", "taiman.chan.of.the.long.address@example.hk"):
            made = cases.instruction(agent, scheme, address, uetr=UETR)._replace(purpose=purpose, remark=remark)
            hold = hold_of(cases.rail.name, made._replace(debtor=made.creditor), NOON)
            if scheme not in cases.rail.schemes:
                with pytest.raises(RailRejected):
                    cases.codec.transfer_of(hold, ours)
                continue
            long = CreditTransfer(
                ours, hub, UETR, NOON, made.end_to_end_id, made.credit, made.creditor, ours, made.creditor, agent or hub,
                purpose, remark,
            )  # fmt: skip
            assert cases.codec.transfer_of(hold, ours) == cases.codec.make_transfer(long, **more)


def test_an_answer_to_another_question_is_silence(cases: PushCases) -> None:
    codec, hub, ours = cases.codec, cases.hub_codec, cases.rail.institution
    told = Told(UETR, PaymentStatus.DONE, "", "R1", NOON)
    to_payer, to_asker = hub.tell_payer(told, ours), hub.tell_asker(told, ours)
    assert codec.read_ack(to_payer, UETR) == codec.read_enquiry(to_asker, UETR).ack
    for read, right, wrong in ((codec.read_ack, to_payer, to_asker), (codec.read_enquiry, to_asker, to_payer)):
        for payload, uetr in ((right, OTHER), (wrong, UETR), (right[:-9], UETR)):
            with pytest.raises(RailSilent):
                read(payload, uetr)


def test_every_reason_of_ours_can_answer_an_inbound_payment(cases: PushCases) -> None:
    made, ours = cases.instruction(uetr=UETR), cases.rail.institution
    transfer = cases.codec.transfer_of(hold_of(cases.rail.name, made, NOON), ours)
    for reason in ("", *sorted(set(ISO_REASONS.values()))):
        payload = cases.codec.answer_inbound(transfer, ended(cases.rail.name, made, reason), ours, NOON)
        assert_valid(part(payload, "Document"), cases.report_document)
        status, code = (PaymentStatus.REFUSED, code_of(reason)) if reason else (PaymentStatus.DONE, "ACSC")
        assert cases.hub_codec.read_message(payload) == Answer(UETR, status, code)


def test_the_uetr_of_a_broken_transfer_is_still_seen(cases: PushCases) -> None:
    codec, hub, ours = cases.codec, cases.hub_codec, cases.rail.institution
    payload = cases.transfer(cases.instruction(uetr=UETR))
    uetr, body = hub.transfer_seen(payload[:-20])
    assert uetr == UETR
    assert body.startswith(b"<CdtTrfTxInf>")
    question = codec.encode_request(UETR, ours, "E1", NOON)
    written = UETR if UETR.encode() in payload else UETR.replace("-", "")
    for nothing in (payload.replace(written.encode(), b"1"), question, b""):
        assert hub.transfer_seen(nothing) is None
    assert hub.read_message(question) == Question(UETR)
    assert hub.read_message(payload.replace(b"pacs.008", b"pacs.009")) is None


@pytest.mark.parametrize(  # 10^5 messages of each rail
    ("message", "record", "count"),
    [
        ("CREDIT_TRANSFER", "Transfer", 25_000),
        ("STATUS_REPORT", "StatusReport", 45_000),
        ("STATUS_REQUEST", "StatusRequest", 30_000),
    ],
)
def test_twins_agree(cases: PushCases, message: str, record: str, count: int) -> None:
    assert_twins_agree(getattr(cases.spec, message), getattr(cases.spec, record), None, count)
