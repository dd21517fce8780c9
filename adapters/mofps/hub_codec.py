"""Easy Transfer bytes, the hub's side (kit.push_codec.HubCodec): what the mock reads and answers. Pure: no I/O, no clock."""

import re
from typing import Final

from adapters.kit.books import PaymentStatus
from adapters.kit.iso_transfer import to_switch
from adapters.kit.push_codec import ACCEPTED, REFUSED, Answer, Debit, Order, Question, Told, answer_of, body_of, kind_of
from adapters.mofps import rules
from adapters.mofps.codec import make_transfer, report
from adapters.mofps.spec import (
    CREDIT_TRANSFER,
    ENQUIRY_SERVICE,
    HUB,
    PAYMENT_SERVICE,
    STATUS_REPORT,
    STATUS_REQUEST,
    Transfer,
    order_view,
    request_codec,
    status_view,
    transfer_codec,
)
from switch.domain.party import Place

__all__ = ["read_message", "tell_asker", "tell_payer", "transfer_seen", "transfer_to_switch", "write_transfer"]

_OWN: Final = re.compile(rb"[:<]UETR>\s*([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\s*<")
_CREDIT_TRANSFER, _STATUS_REQUEST, _STATUS_REPORT = CREDIT_TRANSFER.name, STATUS_REQUEST.name, STATUS_REPORT.name
_STATUS_OF: Final = {
    PaymentStatus.DONE: ACCEPTED,
    PaymentStatus.REFUSED: REFUSED,
    PaymentStatus.WORKING: "ACSP",  # accepted, settlement in process: a batched bank, or a slow one
}


def read_message(payload: bytes) -> Order | Question | Answer | None:
    """What the hub is asked or told. None: no message of this rail. Raises CodecError."""
    kind = kind_of(payload)
    if kind == _CREDIT_TRANSFER:
        return _order_of(payload)
    if kind == _STATUS_REQUEST:
        return Question(request_codec.read(payload).uetr)
    if kind == _STATUS_REPORT:
        answer = status_view.read(payload)
        return answer_of(answer.uetr, answer)
    return None


def _order_of(payload: bytes) -> Order:
    uetr, created_ms, currency, amount_minor, agent, number, proxy_type, proxy, name = order_view.read(payload)
    account = rules.account_of("CdtrAcct", number, proxy_type, proxy)
    # A proxy was looked up by the payer, who saw the masked name; an account number is checked against the name.
    checked_name = None if proxy_type else name
    return Order._make((
        uetr, body_of(payload), rules.ASSETS[currency], amount_minor, created_ms, "" if agent == HUB else agent,
        proxy_type or "", account.value, checked_name,
    ))  # fmt: skip


def transfer_seen(payload: bytes) -> tuple[str, bytes] | None:
    """UETR and body of a transfer that cannot be read as a whole; None when there is nothing to answer to."""
    found = _OWN.search(payload) if kind_of(payload) == _CREDIT_TRANSFER else None
    return (found[1].decode("ascii"), body_of(payload)) if found else None


def tell_payer(told: Told, institution: str) -> bytes:
    """pacs.002.001.10 in answer to a transfer."""
    return _told(told, PAYMENT_SERVICE, institution)


def tell_asker(told: Told, institution: str) -> bytes:
    """pacs.002.001.10 in answer to a pacs.028."""
    return _told(told, ENQUIRY_SERVICE, institution)


def _told(told: Told, service: str, institution: str) -> bytes:
    uetr, status, code, reference, now_ms = told
    return report(uetr, service, _STATUS_OF[status], now_ms, (HUB, institution), reason=code, reference=reference)


def transfer_to_switch(debit: Debit, institution: str) -> Transfer:
    """A payment of a bank in Macau to somebody behind the switch."""
    return make_transfer(to_switch(debit, institution, HUB, Place.MO))


def write_transfer(transfer: Transfer) -> bytes:
    """A record -> pacs.008.001.08. Raises CodecError."""
    return transfer_codec.write(transfer)
