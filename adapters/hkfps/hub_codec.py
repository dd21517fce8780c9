"""FPS bytes, the hub's side (kit.push_codec.HubCodec): what the mock reads and answers. Pure: no I/O, no clock."""

import re
from typing import Final

from adapters.hkfps import rules
from adapters.hkfps.codec import hyphened, make_transfer, report, tx_id_of, uetr_of
from adapters.hkfps.spec import (
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
from adapters.kit.books import PaymentStatus
from adapters.kit.iso_transfer import to_switch
from adapters.kit.push_codec import ACCEPTED, REFUSED, Answer, Debit, Order, Question, Told, answer_of, body_of, kind_of
from switch.domain.party import Place

__all__ = ["read_message", "tell_asker", "tell_payer", "transfer_seen", "transfer_to_switch", "write_transfer"]

_TX_ID: Final = re.compile(rb"[:<]TxId>\s*([0-9a-f]{32})\s*<")
_STATUS_OF: Final = {PaymentStatus.DONE: ACCEPTED, PaymentStatus.REFUSED: REFUSED, PaymentStatus.WORKING: "ACCP"}


def read_message(payload: bytes) -> Order | Question | Answer | None:
    """What the hub is asked or told. None: no message of FPS. Raises CodecError."""
    match kind_of(payload):
        case CREDIT_TRANSFER.name:
            return _order_of(payload, transfer_codec.read(payload))
        case STATUS_REQUEST.name:
            return Question(uetr_of(request_codec.read(payload).tx_id))
        case STATUS_REPORT.name:
            answer = report_codec.read(payload)
            return answer_of(uetr_of(answer.tx_id), answer)
    return None


def _order_of(payload: bytes, transfer: Transfer) -> Order:
    by_number = transfer.creditor_scheme == "BBAN"
    return Order(
        uetr=uetr_of(transfer.tx_id),
        body=body_of(payload),
        asset=rules.ASSETS[transfer.currency],
        amount_minor=transfer.amount_minor,
        created_ms=transfer.created_ms,
        agent="" if transfer.creditor_agent == HUB else transfer.creditor_agent,
        proxy="" if by_number else transfer.creditor_scheme or "EMAL",
        address=transfer.creditor_account or transfer.creditor_email or "",
        checked_name=transfer.creditor_name if transfer.verify == "PERFORM_PYE_VRF" else None,
    )


def transfer_seen(payload: bytes) -> tuple[str, bytes] | None:
    """UETR, not checked, and body of a transfer that cannot be read as a whole; None: nothing to answer to."""
    found = _TX_ID.search(payload) if kind_of(payload) == CREDIT_TRANSFER.name else None
    return (hyphened(found[1].decode("ascii")), body_of(payload)) if found else None


def tell_payer(told: Told, institution: str) -> bytes:
    """pacs.002.001.08 in answer to a transfer."""
    return _told(told, PAYMENT_SERVICE, institution)


def tell_asker(told: Told, institution: str) -> bytes:
    """pacs.002.001.08 in answer to a pacs.028."""
    return _told(told, ENQUIRY_SERVICE, institution)


def _told(told: Told, service: str, institution: str) -> bytes:
    tx_id, status = tx_id_of(told.uetr), _STATUS_OF[told.status]
    return report(tx_id, service, status, told.now_ms, HUB, institution, reason=told.code, reference=told.reference)


def transfer_to_switch(debit: Debit, institution: str) -> Transfer:
    """A payment of a bank on FPS to somebody behind the switch."""
    return make_transfer(to_switch(debit, institution, HUB, Place.HK), verified=False)


def write_transfer(transfer: Transfer) -> bytes:
    """A record -> pacs.008.001.06. Raises CodecError."""
    return transfer_codec.write(transfer)
