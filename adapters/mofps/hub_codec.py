"""Easy Transfer bytes, the hub's side (kit.push_codec.HubCodec): what the mock reads and answers. Pure: no I/O, no clock."""

import re
from typing import Final

from adapters.kit.books import PaymentStatus
from adapters.kit.iso_transfer import to_switch
from adapters.kit.push_codec import ACCEPTED, REFUSED, Answer, Debit, Order, Question, Told, answer_of, body_of, kind_of
from adapters.mofps import rules
from adapters.mofps.codec import UETR_BYTES, make_transfer, report
from adapters.mofps.spec import (
    CREDIT_TRANSFER,
    ENQUIRY_SERVICE,
    HUB,
    PAYMENT_SERVICE,
    STATUS_REPORT,
    STATUS_REQUEST,
    Transfer,
    report_codec,
    request_codec,
    transfer_codec,
)
from switch.domain.party import Place

__all__ = ["read_message", "tell_asker", "tell_payer", "transfer_seen", "transfer_to_switch", "write_transfer"]

_OWN: Final = re.compile(rb"[:<]UETR>\s*(" + UETR_BYTES + rb")\s*<")
_STATUS_OF: Final = {
    PaymentStatus.DONE: ACCEPTED,
    PaymentStatus.REFUSED: REFUSED,
    PaymentStatus.WORKING: "ACSP",  # accepted, settlement in process: a batched bank, or a slow one
}


def read_message(payload: bytes) -> Order | Question | Answer | None:
    """What the hub is asked or told. None: no message of this rail. Raises CodecError."""
    match kind_of(payload):
        case CREDIT_TRANSFER.name:
            return _order_of(payload, transfer_codec.read(payload))
        case STATUS_REQUEST.name:
            return Question(request_codec.read(payload).uetr)
        case STATUS_REPORT.name:
            answer = report_codec.read(payload)
            return answer_of(answer.uetr, answer)
    return None


def _order_of(payload: bytes, transfer: Transfer) -> Order:
    account = rules.account_of(
        "CdtrAcct", transfer.creditor_account, transfer.creditor_proxy_type, transfer.creditor_proxy
    )
    return Order(
        uetr=transfer.uetr,
        body=body_of(payload),
        asset=rules.ASSETS[transfer.currency],
        amount_minor=transfer.amount_minor,
        created_ms=transfer.created_ms,
        agent="" if transfer.creditor_agent == HUB else transfer.creditor_agent,
        proxy=transfer.creditor_proxy_type or "",
        address=account.value,
        # A proxy was looked up by the payer, who saw the masked name; an account number is checked against the name.
        checked_name=None if transfer.creditor_proxy_type else transfer.creditor_name,
    )


def transfer_seen(payload: bytes) -> tuple[str, bytes] | None:
    """UETR and body of a transfer that cannot be read as a whole; None when there is nothing to answer to."""
    found = _OWN.search(payload) if kind_of(payload) == CREDIT_TRANSFER.name else None
    return (found[1].decode("ascii"), body_of(payload)) if found else None


def tell_payer(told: Told, institution: str) -> bytes:
    """pacs.002.001.10 in answer to a transfer."""
    return _told(told, PAYMENT_SERVICE, institution)


def tell_asker(told: Told, institution: str) -> bytes:
    """pacs.002.001.10 in answer to a pacs.028."""
    return _told(told, ENQUIRY_SERVICE, institution)


def _told(told: Told, service: str, institution: str) -> bytes:
    status, parties = _STATUS_OF[told.status], (HUB, institution)
    return report(told.uetr, service, status, told.now_ms, parties, reason=told.code, reference=told.reference)


def transfer_to_switch(debit: Debit, institution: str) -> Transfer:
    """A payment of a bank in Macau to somebody behind the switch."""
    return make_transfer(to_switch(debit, institution, HUB, Place.MO))


def write_transfer(transfer: Transfer) -> bytes:
    """A record -> pacs.008.001.08. Raises CodecError."""
    return transfer_codec.write(transfer)
