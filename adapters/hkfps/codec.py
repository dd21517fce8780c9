"""FPS bytes ⇄ domain, the switch's side (kit.push_codec.PushCodec). Pure: no I/O, no clock.

A message made from a hold depends on the hold alone: its MsgId is the TxId and its CreDtTm is when the hold was
prepared. A repeat is the same bytes, and once the hold is older than the rail takes, no repeat can be accepted.
"""

import re
from functools import lru_cache
from time import gmtime, strftime
from typing import Final

from adapters.hkfps import rules
from adapters.hkfps.spec import (
    ACCOUNT_CHARS_MAX,
    ENQUIRY_SERVICE,
    HUB,
    NOT_VERIFIED,
    PAYMENT_SERVICE,
    VERIFIED,
    Status,
    StatusReport,
    StatusRequest,
    Transfer,
    report_codec,
    request_codec,
    status_view,
    transfer_codec,
)
from adapters.kit.iso_transfer import PLACE_CODE, CreditTransfer, answer_to, instruction_from, place_of
from adapters.kit.push_codec import ACCEPTED, FORMAT, REFUSED, ack_of, code_of, enquiry_of
from adapters.wire import Finder
from switch.domain.instruction import Instruction
from switch.domain.party import Account, Scheme
from switch.domain.payment import Hold, Payment, State
from switch.errors import CodecError, RailRejected
from switch.ports import Enquiry, RailAck

__all__ = [
    "answer_inbound",
    "correlate",
    "encode_request",
    "encode_transfer",
    "enquiry_key",
    "header_time",
    "hyphened",
    "instruction_of",
    "make_transfer",
    "payment_key",
    "read_ack",
    "read_enquiry",
    "read_report",
    "read_transfer",
    "refuse_inbound",
    "report",
    "transfer_of",
    "tx_id_of",
    "uetr_of",
]

_LOOK: Final = Finder("MsgDefIdr", "BizSvc", "OrgnlTxId", "TxSts")
_UETR_HEX: Final = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})(4[0-9a-f]{3})([89ab][0-9a-f]{3})([0-9a-f]{12})")
_INTERIM: Final = ("RCVD", "ACCP")
_BY_NUMBER: Final = Scheme.ACCOUNT  # a member by its enum's name is looked up slowly


# --- ids and times ---------------------------------------------------------------------------------------------------
def tx_id_of(uetr: str) -> str:
    """UETR -> TxId: the hyphens go (rails.md A2 [f2])."""
    return uetr.replace("-", "")


def uetr_of(tx_id: str) -> str:
    """TxId -> UETR. Raises CodecError: not a lower-case UUIDv4."""
    parts = _UETR_HEX.fullmatch(tx_id)
    if parts is None:
        raise CodecError("PmtId/TxId", "UETR")
    return "-".join(parts.groups())


def hyphened(tx_id: str) -> str:
    """32 characters with the hyphens of a UETR; not checked."""
    return f"{tx_id[:8]}-{tx_id[8:12]}-{tx_id[12:16]}-{tx_id[16:20]}-{tx_id[20:]}"


def header_time(time_ms: int) -> str:
    """Unix ms -> AppHdr CreDt, ISO NormalisedDateTime: UTC, whole seconds, Z."""
    return _header_time(time_ms // 1000)


@lru_cache(maxsize=256)  # thousands of messages share one second
def _header_time(second: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(second))


# --- a look without reading ------------------------------------------------------------------------------------------
def payment_key(uetr: str) -> str:
    """What `correlate` gives for the answer to a payment."""
    return PAYMENT_SERVICE + tx_id_of(uetr)


def enquiry_key(uetr: str) -> str:
    """What `correlate` gives for the answer to an enquiry."""
    return ENQUIRY_SERVICE + tx_id_of(uetr)


def correlate(payload: bytes) -> str | None:
    """The key of an answer: what it answers (BizSvc) and about which payment. None: a payment from the rail.

    "" for an interim status (RCVD, ACCP) of a payment: the final one follows, nobody is answered yet. Raises
    CodecError when the message says neither. Only a place to put it: the whole message is checked when it is read.
    """
    place = place_of(payload, _LOOK, 32)
    if place is None:
        return None
    service, tx_id, status = place
    return "" if service == PAYMENT_SERVICE and status in _INTERIM else service + tx_id


# --- the switch asks -------------------------------------------------------------------------------------------------
def transfer_of(hold: Hold, institution: str) -> Transfer:
    """The transfer a hold stands for, dated with the hold. The debtor's document stays here: FPS does not need it.

    One step from hold to record, in the order of the table, for it is made for every payment.

    Raises:
        RailRejected: an asset or an address that FPS does not carry.
    """
    _, _, uetr, end_to_end_id, _, credit, debtor, creditor, agent, purpose, remark, _ = hold.instruction
    asset, amount_minor = credit
    debtor_name, debtor_place, debtor_account, _ = debtor
    name, place, account, _ = creditor
    currency, time_ms, tx_id = rules.CURRENCY.get(asset), hold.prepared_time_ms, uetr.replace("-", "")
    if currency is None:
        raise RailRejected("CURRENCY_NOT_ACCEPTED", "AM03")
    if account.scheme not in rules.PAYABLE:
        raise RailRejected("RAIL_FORMAT", FORMAT)
    debtor_email, debtor_number, debtor_scheme = _split(debtor_account)
    email, number, scheme = _split(account)
    # A proxy was looked up by the payer, who saw the masked name; an account number is checked against the name.
    verify = VERIFIED if account.scheme is _BY_NUMBER else NOT_VERIFIED
    return Transfer._make((
        institution, HUB, tx_id, _header_time(time_ms // 1000), tx_id, time_ms,
        end_to_end_id, tx_id, verify, rules.category_of(purpose), currency, amount_minor,
        debtor_name, None, None, PLACE_CODE[debtor_place], debtor_email, debtor_number, debtor_scheme,
        institution, agent or HUB,  # the hub: a proxy is to find the agent
        name, PLACE_CODE[place], email, number, scheme,
        purpose or None, remark or None,
    ))  # fmt: skip


def encode_transfer(hold: Hold, institution: str) -> bytes:
    """Hold -> pacs.008.001.06. The same bytes for the same hold.

    Raises:
        RailRejected: FPS cannot carry it (asset, address kind, a name over 40 characters, ...); nothing was sent.
    """
    try:
        return transfer_codec.write(transfer_of(hold, institution))
    except CodecError as error:
        raise RailRejected("RAIL_FORMAT", FORMAT) from error


def encode_request(uetr: str, institution: str, message_id: str, now_ms: int) -> bytes:
    """Ask what became of a UETR: pacs.028.001.01. `message_id` is new for each."""
    tx_id = tx_id_of(uetr)
    return request_codec.write(
        StatusRequest(institution, HUB, message_id, header_time(now_ms), message_id, now_ms, tx_id, tx_id)
    )


def read_report(payload: bytes, service: str, uetr: str) -> Status:
    """An answer to what we asked. Raises RailSilent: it cannot be read, or answers something else."""
    return answer_to(status_view.read, payload, service, tx_id_of(uetr))


def read_ack(payload: bytes, uetr: str) -> RailAck:
    """The answer to a payment. Raises RailRejected, or RailSilent: unreadable, of another question, not final."""
    return ack_of(read_report(payload, PAYMENT_SERVICE, uetr))


def read_enquiry(payload: bytes, uetr: str) -> Enquiry:
    """The answer to an enquiry. Raises RailSilent: one that says nothing usable."""
    return enquiry_of(read_report(payload, ENQUIRY_SERVICE, uetr))


# --- the switch is asked ---------------------------------------------------------------------------------------------
def read_transfer(payload: bytes) -> Transfer:
    """pacs.008.001.06 -> its record. Raises CodecError with the path of the field, never its value."""
    return transfer_codec.read(payload)


def instruction_of(transfer: Transfer) -> Instruction:
    """A payment from a bank on FPS. Raises CodecError: no UETR, no address, or an unknown document type."""
    uetr = uetr_of(transfer.tx_id)
    debtor = _joined("DbtrAcct", transfer.debtor_email, transfer.debtor_account, transfer.debtor_scheme)
    creditor = _joined("CdtrAcct", transfer.creditor_email, transfer.creditor_account, transfer.creditor_scheme)
    purpose = rules.purpose_of(transfer.category, transfer.purpose)
    return instruction_from(transfer, uetr, rules.ASSETS, debtor, creditor, purpose)


def answer_inbound(transfer: Transfer, payment: Payment, institution: str, now_ms: int) -> bytes:
    """How a payment from the rail ended, as pacs.002.001.08. `payment` is final."""
    assert payment.state.final
    if payment.state is State.COMMITTED:
        return report(transfer.tx_id, PAYMENT_SERVICE, ACCEPTED, now_ms, institution, HUB, reference=transfer.tx_id)
    return refuse_inbound(transfer, code_of(payment.history[-1].reason), institution, now_ms)


def refuse_inbound(transfer: Transfer, code: str, institution: str, now_ms: int) -> bytes:
    """A payment from the rail that was aborted, is not for us, or that no instruction can be made of."""
    return report(transfer.tx_id, PAYMENT_SERVICE, REFUSED, now_ms, institution, HUB, reason=code)


# --- records ---------------------------------------------------------------------------------------------------------
def make_transfer(made: CreditTransfer, *, verified: bool) -> Transfer:
    """A transfer in either direction; `verified`: the receiver checks the creditor's name."""
    tx_id, debtor, creditor = tx_id_of(made.uetr), made.debtor, made.creditor
    debtor_email, debtor_account, debtor_scheme = _split(debtor.account)
    creditor_email, creditor_account, creditor_scheme = _split(creditor.account)
    return Transfer(
        sender=made.sender,
        receiver=made.receiver,
        header_id=tx_id,
        header_time=header_time(made.created_ms),
        message_id=tx_id,
        created_ms=made.created_ms,
        end_to_end_id=made.end_to_end_id,
        tx_id=tx_id,
        verify=VERIFIED if verified else NOT_VERIFIED,
        category=rules.category_of(made.purpose),
        currency=made.money.asset.iso,
        amount_minor=made.money.amount_minor,
        debtor_name=debtor.name,
        debtor_document=debtor.document.number if debtor.document else None,
        debtor_document_type=debtor.document.type.name if debtor.document else None,
        debtor_place=PLACE_CODE[debtor.place],
        debtor_email=debtor_email,
        debtor_account=debtor_account,
        debtor_scheme=debtor_scheme,
        debtor_agent=made.debtor_agent,
        creditor_agent=made.creditor_agent,
        creditor_name=creditor.name,
        creditor_place=PLACE_CODE[creditor.place],
        creditor_email=creditor_email,
        creditor_account=creditor_account,
        creditor_scheme=creditor_scheme,
        purpose=made.purpose or None,
        remark=made.remark or None,
    )


def report(
    tx_id: str,
    service: str,
    status: str,
    now_ms: int,
    sender: str,
    receiver: str,
    *,
    reason: str = "",
    reference: str = "",
) -> bytes:
    """pacs.002.001.08 about one payment; `service` says what it answers. Its id is made of what it says."""
    prefix = "Q" if service == ENQUIRY_SERVICE else "S"
    message_id = f"{prefix}{tx_id}"
    return report_codec.write(
        StatusReport._make((
            sender, receiver, message_id, service, header_time(now_ms), message_id, now_ms,
            tx_id, tx_id, status, reason or None, None, reference or None,
        ))
    )  # fmt: skip


# --- addresses -------------------------------------------------------------------------------------------------------
def _split(account: Account) -> tuple[str | None, str | None, str | None]:
    """An address -> (e-mail, account, scheme). An e-mail goes to CtctDtls, whatever longer login it is."""
    scheme, value, _ = account
    code = rules.SCHEME_CODE.get(scheme)
    if code == rules.BY_EMAIL or (len(value) > ACCOUNT_CHARS_MAX and "@" in value):
        return value, None, None
    if code is None:
        raise RailRejected("RAIL_FORMAT", FORMAT)
    return None, value, code


def _joined(path: str, email: str | None, account: str | None, scheme: str | None) -> Account:
    """The inverse of `_split`. Exactly one of the two places holds the address."""
    if email is not None and account is None and scheme is None:
        return Account(Scheme.EMAIL, email)
    if email is None and account is not None and scheme is not None:
        return Account(rules.SCHEME_OF[scheme], account)
    raise CodecError(path, "ADDRESS")
