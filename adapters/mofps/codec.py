"""Easy Transfer bytes ⇄ domain, the switch's side (kit.push_codec.PushCodec). Pure: no I/O, no clock.

A message made from a hold depends on the hold alone: its MsgId is made of the UETR and its CreDtTm is when the hold was
prepared. A repeat is the same bytes, and once the hold is older than the rail takes, no repeat can be accepted.
"""

import re
from typing import Final

from adapters.kit.push_codec import ACCEPTED, FORMAT, REFUSED, ack_of, code_of, enquiry_of
from adapters.mofps import rules, spec
from adapters.mofps.spec import ENQUIRY_SERVICE, HUB, PAYMENT_SERVICE, StatusReport, StatusRequest, Transfer
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Money
from switch.domain.party import Party, Place
from switch.domain.payment import Hold, Payment, State
from switch.errors import CodecError, RailRejected, RailSilent
from switch.ports import Enquiry, RailAck

__all__ = [
    "UETR_BYTES",
    "answer_inbound",
    "correlate",
    "encode_request",
    "encode_transfer",
    "enquiry_key",
    "instruction_of",
    "make_transfer",
    "payment_key",
    "read_ack",
    "read_enquiry",
    "read_transfer",
    "refuse_inbound",
    "report",
    "transfer_of",
]

_SERVICE: Final = re.compile(rb"MsgDefIdr>\s*([a-z0-9.]{1,35})\s*</[^>]*>\s*<[^>]*BizSvc>\s*([A-Z0-9]{1,35})\s*<")
UETR_BYTES: Final = rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_ORIGINAL: Final = re.compile(rb"OrgnlUETR>\s*(" + UETR_BYTES + rb")\s*<")
_TRANSFER: Final = spec.CREDIT_TRANSFER.name.encode("ascii")


# --- a look without reading ------------------------------------------------------------------------------------------
def payment_key(uetr: str) -> str:
    """What `correlate` gives for the answer to a payment."""
    return PAYMENT_SERVICE + uetr


def enquiry_key(uetr: str) -> str:
    """What `correlate` gives for the answer to an enquiry."""
    return ENQUIRY_SERVICE + uetr


def correlate(payload: bytes) -> str | None:
    """The key of an answer: what it answers (BizSvc) and about which payment. None: a payment from the rail.

    Raises CodecError when the message says neither. Only a place to put it: it is checked as a whole when it is read.
    """
    service = _SERVICE.search(payload)
    if service is None:
        raise CodecError("BizMsg", "UNCORRELATED")
    if service[1] == _TRANSFER:
        return None
    original = _ORIGINAL.search(payload, service.end())
    if original is None:
        raise CodecError("BizMsg", "UNCORRELATED")
    return (service[2] + original[1]).decode("ascii")


# --- the switch asks -------------------------------------------------------------------------------------------------
def transfer_of(hold: Hold, institution: str) -> Transfer:
    """The transfer a hold stands for. Raises RailRejected: an asset or an address that this rail does not carry."""
    instruction = hold.instruction
    credit, creditor = instruction.credit, instruction.creditor
    if rules.ASSETS.get(credit.asset.iso) is not credit.asset:
        raise RailRejected("CURRENCY_NOT_ACCEPTED", "AM03")
    if creditor.account.scheme not in rules.PAYABLE:
        raise RailRejected("RAIL_FORMAT", FORMAT)
    return make_transfer(
        sender=institution,
        receiver=HUB,
        uetr=instruction.uetr,
        created_ms=hold.prepared_time_ms,
        end_to_end_id=instruction.end_to_end_id,
        money=credit,
        debtor=instruction.debtor._replace(document=None),  # this rail does not need it
        debtor_agent=institution,
        creditor=creditor,
        creditor_agent=instruction.creditor_agent or HUB,
        purpose=instruction.purpose,
        remark=instruction.remark,
    )


def encode_transfer(hold: Hold, institution: str) -> bytes:
    """Hold -> pacs.008.001.08. The same bytes for the same hold.

    Raises:
        RailRejected: the rail cannot carry it (asset, address kind, a longer account number, ...); nothing was sent.
    """
    try:
        return spec.transfer_codec.write(transfer_of(hold, institution))
    except CodecError as error:
        raise RailRejected("RAIL_FORMAT", FORMAT) from error


def encode_request(uetr: str, institution: str, message_id: str, now_ms: int) -> bytes:
    """Ask what became of a UETR: pacs.028.001.03. `message_id` is new for each."""
    return spec.request_codec.write(
        StatusRequest(institution, HUB, message_id, now_ms, message_id, now_ms, _message_id(uetr), uetr)
    )


def read_ack(payload: bytes, uetr: str) -> RailAck:
    """The answer to a payment.

    Raises:
        RailRejected: refused, finally.
        RailSilent: it cannot be read, answers something else, or is not final (a batched bank's ACSP).
    """
    return ack_of(_report_about(payload, PAYMENT_SERVICE, uetr))


def read_enquiry(payload: bytes, uetr: str) -> Enquiry:
    """The answer to an enquiry. Raises RailSilent: one that says nothing usable."""
    return enquiry_of(_report_about(payload, ENQUIRY_SERVICE, uetr))


def _report_about(payload: bytes, service: str, uetr: str) -> StatusReport:
    try:
        answer = spec.report_codec.read(payload)
    except CodecError as error:
        raise RailSilent(f"unreadable answer: {error}") from error
    if answer.service != service or answer.uetr != uetr:
        raise RailSilent("the answer is to another question")
    return answer


# --- the switch is asked ---------------------------------------------------------------------------------------------
def read_transfer(payload: bytes) -> Transfer:
    """pacs.008.001.08 -> its record. Raises CodecError with the path of the field, never its value."""
    return spec.transfer_codec.read(payload)


def instruction_of(transfer: Transfer) -> Instruction:
    """A payment from a bank in Macau. `participant` is the debtor agent's code: who settles it, routing knows.

    The payee gets what was sent, in the asset that was sent; a conversion is the engine's. The request_id is the UETR,
    so the rail's repeat is our repeat. Raises CodecError: half an address, or an unknown document type.
    """
    money = Money(rules.ASSETS[transfer.currency], transfer.amount_minor)
    document = None
    if transfer.debtor_document is not None:
        kind = DocumentType.__members__.get(transfer.debtor_document_type or "")
        if kind is None:
            raise CodecError("Dbtr/Id/PrvtId/Othr/SchmeNm/Prtry", "CODE")
        document = Document(kind, transfer.debtor_document)
    debtor = rules.account_of("DbtrAcct", transfer.debtor_account, transfer.debtor_proxy_type, transfer.debtor_proxy)
    creditor = rules.account_of(
        "CdtrAcct", transfer.creditor_account, transfer.creditor_proxy_type, transfer.creditor_proxy
    )
    return Instruction(
        participant=transfer.debtor_agent,
        request_id=transfer.uetr,
        uetr=transfer.uetr,
        end_to_end_id=transfer.end_to_end_id,
        debit=money,
        credit=money,
        debtor=Party(transfer.debtor_name, Place[transfer.debtor_place], debtor, document),
        creditor=Party(transfer.creditor_name, Place[transfer.creditor_place], creditor),
        creditor_agent="",  # the payee's own agent lies behind us
        purpose=rules.purpose_of(transfer.purpose_code, transfer.purpose_word),
        remark=transfer.remark or "",
        quote_id="",
    )


def answer_inbound(transfer: Transfer, payment: Payment, institution: str, now_ms: int) -> bytes:
    """How a payment from the rail ended, as pacs.002.001.10. `payment` is final."""
    assert payment.state.final
    if payment.state is not State.COMMITTED:
        return refuse_inbound(transfer, code_of(payment.history[-1].reason), institution, now_ms)
    uetr = transfer.uetr
    return report(uetr, PAYMENT_SERVICE, ACCEPTED, now_ms, (institution, HUB), reference=_message_id(uetr))


def refuse_inbound(transfer: Transfer, code: str, institution: str, now_ms: int) -> bytes:
    """A payment from the rail that was aborted, is not for us, or that no instruction can be made of."""
    return report(transfer.uetr, PAYMENT_SERVICE, REFUSED, now_ms, (institution, HUB), reason=code)


# --- records ---------------------------------------------------------------------------------------------------------
def make_transfer(
    *,
    sender: str,
    receiver: str,
    uetr: str,
    created_ms: int,
    end_to_end_id: str,
    money: Money,
    debtor: Party,
    debtor_agent: str,
    creditor: Party,
    creditor_agent: str,
    purpose: str,
    remark: str,
) -> Transfer:
    """A transfer in either direction."""
    message_id = _message_id(uetr)
    debtor_account, debtor_proxy_type, debtor_proxy = rules.address_of(debtor.account)
    creditor_account, creditor_proxy_type, creditor_proxy = rules.address_of(creditor.account)
    purpose_code, purpose_word = rules.purpose_words(purpose)
    return Transfer(
        sender=sender,
        receiver=receiver,
        header_id=message_id,
        header_ms=created_ms,
        message_id=message_id,
        created_ms=created_ms,
        end_to_end_id=end_to_end_id,
        uetr=uetr,
        currency=money.asset.iso,
        amount_minor=money.amount_minor,
        debtor_name=debtor.name,
        debtor_document=debtor.document.number if debtor.document else None,
        debtor_document_type=debtor.document.type.name if debtor.document else None,
        debtor_place=debtor.place.name,
        debtor_account=debtor_account,
        debtor_proxy_type=debtor_proxy_type,
        debtor_proxy=debtor_proxy,
        debtor_agent=debtor_agent,
        creditor_agent=creditor_agent,
        creditor_name=creditor.name,
        creditor_place=creditor.place.name,
        creditor_account=creditor_account,
        creditor_proxy_type=creditor_proxy_type,
        creditor_proxy=creditor_proxy,
        purpose_code=purpose_code,
        purpose_word=purpose_word,
        remark=remark or None,
    )


def report(
    uetr: str,
    service: str,
    status: str,
    now_ms: int,
    parties: tuple[str, str],
    *,
    reason: str = "",
    reference: str = "",
) -> bytes:
    """pacs.002.001.10 about one payment, from one party to another; `service` says what it answers."""
    original = _message_id(uetr)
    message_id = f"{'Q' if service == ENQUIRY_SERVICE else 'S'}{original}"
    return spec.report_codec.write(
        StatusReport(
            *parties, message_id, service, now_ms, message_id, now_ms, original, uetr, status, reason or None,
            reference or None,
        )
    )  # fmt: skip


def _message_id(uetr: str) -> str:
    """MsgId of the transfer of a UETR: Max35Text holds 36 characters only without the hyphens."""
    return uetr.replace("-", "")
