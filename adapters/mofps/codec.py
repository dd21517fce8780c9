"""Easy Transfer bytes ⇄ domain, the switch's side (kit.push_codec.PushCodec). Pure: no I/O, no clock.

A message made from a hold depends on the hold alone: its MsgId is made of the UETR and its CreDtTm is when the hold was
prepared. A repeat is the same bytes, and once the hold is older than the rail takes, no repeat can be accepted.
"""

from typing import Final

from adapters.kit.iso_transfer import PLACE_CODE, CreditTransfer, answer_to, instruction_from, place_of
from adapters.kit.push_codec import ACCEPTED, FORMAT, REFUSED, ack_of, code_of, enquiry_of
from adapters.mofps import rules, spec
from adapters.mofps.spec import ENQUIRY_SERVICE, HUB, PAYMENT_SERVICE, Status, StatusReport, StatusRequest, Transfer
from adapters.wire import Finder
from switch.domain.instruction import Instruction
from switch.domain.payment import Hold, Payment, State
from switch.errors import CodecError, RailRejected
from switch.ports import Enquiry, RailAck

__all__ = [
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

_LOOK: Final = Finder("MsgDefIdr", "BizSvc", "OrgnlUETR", "TxSts")


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
    place = place_of(payload, _LOOK, 36)
    return place and place[0] + place[1]


# --- the switch asks -------------------------------------------------------------------------------------------------
def transfer_of(hold: Hold, institution: str) -> Transfer:
    """The transfer a hold stands for, dated with the hold. The debtor's document stays here: the rail does not need it.

    One step from hold to record, in the order of the table, for it is made for every payment.

    Raises:
        RailRejected: an asset or an address that this rail does not carry.
    """
    _, _, uetr, end_to_end_id, _, credit, debtor, creditor, agent, purpose, remark, _ = hold.instruction
    asset, amount_minor = credit
    debtor_name, debtor_place, debtor_account, _ = debtor
    name, place, account, _ = creditor
    currency, time_ms, message_id = rules.CURRENCY.get(asset), hold.prepared_time_ms, _message_id(uetr)
    if currency is None:
        raise RailRejected("CURRENCY_NOT_ACCEPTED", "AM03")
    if account.scheme not in rules.PAYABLE:
        raise RailRejected("RAIL_FORMAT", FORMAT)
    debtor_number, debtor_proxy_type, debtor_proxy = rules.address_of(debtor_account)
    number, proxy_type, proxy = rules.address_of(account)
    purpose_code, purpose_word = rules.purpose_words(purpose)
    return Transfer._make((
        institution, HUB, message_id, time_ms, message_id, time_ms,
        end_to_end_id, uetr, currency, amount_minor,
        debtor_name, None, None, PLACE_CODE[debtor_place], debtor_number, debtor_proxy_type, debtor_proxy,
        institution, agent or HUB,  # the hub: a proxy is to find the agent
        name, PLACE_CODE[place], number, proxy_type, proxy,
        purpose_code, purpose_word, remark or None,
    ))  # fmt: skip


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


def _report_about(payload: bytes, service: str, uetr: str) -> Status:
    return answer_to(spec.status_view.read, payload, service, uetr)


# --- the switch is asked ---------------------------------------------------------------------------------------------
def read_transfer(payload: bytes) -> Transfer:
    """pacs.008.001.08 -> its record. Raises CodecError with the path of the field, never its value."""
    return spec.transfer_codec.read(payload)


def instruction_of(transfer: Transfer) -> Instruction:
    """A payment from a bank in Macau. Raises CodecError: half an address, or an unknown document type."""
    debtor = rules.account_of("DbtrAcct", transfer.debtor_account, transfer.debtor_proxy_type, transfer.debtor_proxy)
    creditor = rules.account_of(
        "CdtrAcct", transfer.creditor_account, transfer.creditor_proxy_type, transfer.creditor_proxy
    )
    purpose = rules.purpose_of(transfer.purpose_code, transfer.purpose_word)
    return instruction_from(transfer, transfer.uetr, rules.ASSETS, debtor, creditor, purpose)


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
def make_transfer(made: CreditTransfer) -> Transfer:
    """A transfer in either direction."""
    message_id, debtor, creditor = _message_id(made.uetr), made.debtor, made.creditor
    debtor_account, debtor_proxy_type, debtor_proxy = rules.address_of(debtor.account)
    creditor_account, creditor_proxy_type, creditor_proxy = rules.address_of(creditor.account)
    purpose_code, purpose_word = rules.purpose_words(made.purpose)
    return Transfer(
        sender=made.sender,
        receiver=made.receiver,
        header_id=message_id,
        header_ms=made.created_ms,
        message_id=message_id,
        created_ms=made.created_ms,
        end_to_end_id=made.end_to_end_id,
        uetr=made.uetr,
        currency=made.money.asset.iso,
        amount_minor=made.money.amount_minor,
        debtor_name=debtor.name,
        debtor_document=debtor.document.number if debtor.document else None,
        debtor_document_type=debtor.document.type.name if debtor.document else None,
        debtor_place=PLACE_CODE[debtor.place],
        debtor_account=debtor_account,
        debtor_proxy_type=debtor_proxy_type,
        debtor_proxy=debtor_proxy,
        debtor_agent=made.debtor_agent,
        creditor_agent=made.creditor_agent,
        creditor_name=creditor.name,
        creditor_place=PLACE_CODE[creditor.place],
        creditor_account=creditor_account,
        creditor_proxy_type=creditor_proxy_type,
        creditor_proxy=creditor_proxy,
        purpose_code=purpose_code,
        purpose_word=purpose_word,
        remark=made.remark or None,
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
        StatusReport._make((
            *parties, message_id, service, now_ms, message_id, now_ms,
            original, uetr, status, reason or None, reference or None,
        ))
    )  # fmt: skip


def _message_id(uetr: str) -> str:
    """MsgId of the transfer of a UETR: Max35Text holds 36 characters only without the hyphens."""
    return uetr.replace("-", "")
