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
    VERIFIED,
    Transfer,
    order_view,
    request_codec,
    status_view,
    transfer_codec,
)
from adapters.kit.books import PaymentStatus
from adapters.kit.iso_transfer import to_switch
from adapters.kit.push_codec import ACCEPTED, REFUSED, Answer, Debit, Order, Question, Told, answer_of, body_of, kind_of
from switch.domain.party import Place

__all__ = ["read_message", "tell_asker", "tell_payer", "transfer_seen", "transfer_to_switch", "write_transfer"]

_TX_ID: Final = re.compile(rb"[:<]TxId>\s*([0-9a-f]{32})\s*<")
_STATUS_OF: Final = {PaymentStatus.DONE: ACCEPTED, PaymentStatus.REFUSED: REFUSED, PaymentStatus.WORKING: "ACCP"}
_CREDIT_TRANSFER, _STATUS_REQUEST, _STATUS_REPORT = CREDIT_TRANSFER.name, STATUS_REQUEST.name, STATUS_REPORT.name


def read_message(payload: bytes) -> Order | Question | Answer | None:
    """What the hub is asked or told. None: no message of FPS. Raises CodecError."""
    kind = kind_of(payload)
    if kind == _CREDIT_TRANSFER:
        return _order_of(payload)
    if kind == _STATUS_REQUEST:
        return Question(uetr_of(request_codec.read(payload).tx_id))
    if kind == _STATUS_REPORT:
        answer = status_view.read(payload)
        return answer_of(uetr_of(answer.tx_id), answer)
    return None


def _order_of(payload: bytes) -> Order:
    tx_id, created_ms, currency, amount_minor, agent, scheme, number, email, verify, name = order_view.read(payload)
    checked_name = name if verify == VERIFIED else None
    return Order._make((
        uetr_of(tx_id), body_of(payload), rules.ASSETS[currency], amount_minor, created_ms, "" if agent == HUB else agent,
        "" if scheme == rules.BY_NUMBER else scheme or rules.BY_EMAIL, number or email or "", checked_name,
    ))  # fmt: skip


def transfer_seen(payload: bytes) -> tuple[str, bytes] | None:
    """UETR, not checked, and body of a transfer that cannot be read as a whole; None: nothing to answer to."""
    found = _TX_ID.search(payload) if kind_of(payload) == _CREDIT_TRANSFER else None
    return (hyphened(found[1].decode("ascii")), body_of(payload)) if found else None


def tell_payer(told: Told, institution: str) -> bytes:
    """pacs.002.001.08 in answer to a transfer."""
    return _told(told, PAYMENT_SERVICE, institution)


def tell_asker(told: Told, institution: str) -> bytes:
    """pacs.002.001.08 in answer to a pacs.028."""
    return _told(told, ENQUIRY_SERVICE, institution)


def _told(told: Told, service: str, institution: str) -> bytes:
    uetr, status, code, reference, now_ms = told
    return report(
        tx_id_of(uetr), service, _STATUS_OF[status], now_ms, HUB, institution, reason=code, reference=reference
    )


def transfer_to_switch(debit: Debit, institution: str) -> Transfer:
    """A payment of a bank on FPS to somebody behind the switch."""
    return make_transfer(to_switch(debit, institution, HUB, Place.HK), verified=False)


def write_transfer(transfer: Transfer) -> bytes:
    """A record -> pacs.008.001.06. Raises CodecError."""
    return transfer_codec.write(transfer)
