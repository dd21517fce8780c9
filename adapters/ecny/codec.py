"""Bytes <-> messages <-> domain of the digital-currency rail. Pure: no clock, no I/O.

Two steps on the way in: `split` is cheap and trusts nothing, `read` checks the signature (milliseconds), reads the XML
and opens the sealed fields.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from adapters.ecny import rules
from adapters.ecny.signing import MESSAGE_KEY_BYTES, Signer, open_text, seal_text
from adapters.ecny.spec import (
    CONVERT_REQUEST,
    HEADER,
    MESSAGES,
    SENSITIVE,
    BusinessConfirm,
    CommunicationConfirm,
    ConvertRequest,
    ConvertResponse,
    Fault,
    FinalNotice,
    Header,
    QueryRequest,
    QueryResponse,
    sealed,
)
from adapters.wire import HeaderCodec, XmlCodec
from switch.domain.payment import Hold
from switch.errors import CodecError
from switch.ports import Enquiry, Outcome, RailAck

__all__ = [
    "Address",
    "Message",
    "Parts",
    "convert_request",
    "is_interim",
    "outcome_of",
    "query_request",
    "read",
    "split",
    "write",
]

Message = (
    ConvertRequest
    | ConvertResponse
    | QueryRequest
    | QueryResponse
    | BusinessConfirm
    | CommunicationConfirm
    | FinalNotice
    | Fault
)

_HEADER: Final = HeaderCodec(HEADER, Header)
_CODECS: Final[Mapping[str, XmlCodec[Any]]] = {spec.name: XmlCodec(spec, record) for spec, record in MESSAGES}
_SEALED: Final[Mapping[str, XmlCodec[Any]]] = {
    spec.name: XmlCodec(sealed(spec), record) for spec, record in MESSAGES if spec.name in SENSITIVE
}
_TYPE_OF: Final[Mapping[type, str]] = {record: spec.name for spec, record in MESSAGES}

# SSN: serial of the key that signed, NSN: serial of the key the envelope is for (both empty when signing is off);
# DEP: the message key under SM2, empty when nothing is encrypted; DSG: SM2 signature over SM3 of the XML bytes.
_SECURITY: Final = re.compile(
    rb"\{S::SSN:([0-9A-F]{0,16}):NSN:([0-9A-F]{0,16}):DEP:([A-Za-z0-9+/=]{0,256}):DSG:([A-Za-z0-9+/=]{0,128})\}\r\n"
)

_ACKNOWLEDGEMENT: Final = _TYPE_OF[CommunicationConfirm]
_PENDING: Final = re.compile(rb"<(RspsnSts|PrcSts)>PR0[234]</\1>")


class Address(NamedTuple):
    """Who writes to whom; `direction` U is up to the centre, D is down from it."""

    sender: str
    receiver: str
    direction: str


class Parts(NamedTuple):
    """One message taken apart, nothing of it believed yet."""

    header: Header
    signer_serial: str
    envelope: str
    signature: str
    body: bytes


# --- bytes -----------------------------------------------------------------------------------------------------------
def write(message: Message, address: Address, msg_id: str, ref_id: str, time_ms: int, signer: Signer) -> bytes:
    """The message as it stands on the link, without the length. With a signing signer: tens of milliseconds.

    Raises:
        CodecError: path of the first field that the table does not take.
    """
    name = _TYPE_OF[type(message)]
    body = _CODECS[name].write(message)
    envelope = ""
    if signer.enabled and name in SENSITIVE:
        key = secrets.token_bytes(MESSAGE_KEY_BYTES)
        body, envelope = _SEALED[name].write(_seal(name, message, key)), signer.wrap(key)
    header = Header(address.sender, address.receiver, *rules.stamp(time_ms), name, msg_id, ref_id, address.direction)
    security = f"{{S::SSN:{signer.serial}:NSN:{signer.peer_serial}:DEP:{envelope}:DSG:{signer.sign(body)}}}\r\n"
    return _HEADER.write(header) + security.encode("ascii") + body


def split(payload: bytes) -> Parts:
    """Header, signature block and body. Raises CodecError: a header field, or S when the block is not one."""
    header = _HEADER.read(payload[: _HEADER.length])
    block = _SECURITY.match(payload, _HEADER.length)
    if block is None:
        raise CodecError("S", "FORMAT")
    signer_serial, _, envelope, signature = (group.decode("ascii") for group in block.groups())
    return Parts(header, signer_serial, envelope, signature, payload[block.end() :])


def read(parts: Parts, signer: Signer) -> Message:
    """The message, its signature checked and its sealed fields open. With a signing signer: tens of milliseconds.

    Raises:
        CodecError: DSG SIGNATURE; DEP or a sealed field's name KEY, FORMAT; else the path of the XML field. The value
            is in none of them.
    """
    name = parts.header.message_type
    if parts.signer_serial != signer.peer_serial and signer.enabled:
        raise CodecError("DSG", "SIGNATURE")  # a key that is not the other end's
    if not signer.verify(parts.body, parts.signature):
        raise CodecError("DSG", "SIGNATURE")
    if parts.envelope:
        key = signer.unwrap(parts.envelope)
        if name not in SENSITIVE:
            raise CodecError("DEP", "UNKNOWN")
        message = _open(name, _SEALED[name].read(parts.body), key)
        _CODECS[name].write(message)  # the plain table judges what was hidden
    else:
        if signer.enabled and name in SENSITIVE:
            raise CodecError("DEP", "MISSING")
        message = _CODECS[name].read(parts.body)
    if getattr(message, "msg_id", parts.header.msg_id) != parts.header.msg_id:
        raise CodecError("GrpHdr/MsgId", "HEADER")  # the header is not signed: it must agree with what is
    return message  # type: ignore[no-any-return]  # one of Message, by the tables


def _seal(name: str, message: Any, key: bytes) -> Any:
    return message._replace(**{field: seal_text(key, field, getattr(message, field)) for field in SENSITIVE[name]})


def _open(name: str, message: Any, key: bytes) -> Any:
    return message._replace(**{field: open_text(key, field, getattr(message, field)) for field in SENSITIVE[name]})


def is_interim(parts: Parts) -> bool:
    """Whether an answer only says that the end is still to come: a 902, or a status of PR02, PR03 or PR04.

    Told from the unchecked bytes: to believe it wrongly is to wait on, which is what silence is.
    """
    kind = parts.header.message_type
    return kind == _ACKNOWLEDGEMENT or (kind != _TYPE_OF[QueryResponse] and _PENDING.search(parts.body) is not None)


# --- domain -> messages ----------------------------------------------------------------------------------------------
def convert_request(hold: Hold, institution: str) -> ConvertRequest:
    """The 225 that pays the creditor of `hold`. The same hold gives the same message, to the last character.

    It is dated with the hold, not with its sending: a repeat of an old one is refused by its age like the first.
    """
    instruction = hold.instruction
    debtor, creditor = instruction.debtor, instruction.creditor
    party = instruction.creditor_agent or rules.CENTRE  # a mobile names no operator: the centre finds it
    return ConvertRequest(
        msg_id=rules.payment_msg_id(hold.uetr, hold.prepared_time_ms),
        creation_time_ms=hold.prepared_time_ms // 1000 * 1000,
        instructing_party=institution,
        instructed_party=party,
        uetr=hold.uetr,
        purpose=rules.PURPOSE,
        amount_minor=instruction.credit.amount_minor,
        batch_id=rules.batch_id(hold.prepared_time_ms),
        debtor_party=institution,
        debtor_account_type=rules.ACCOUNT_TYPE,
        debtor_name=debtor.name,
        debtor_account=debtor.account.value,
        agreement=None,
        creditor_party=party,
        creditor_name=creditor.name,
        creditor_wallet=creditor.account.value,
        creditor_level=f"WL0{creditor.account.level}" if creditor.account.level else None,
        creditor_type=rules.WALLET_TYPE,
        wallet_name=None,
    )


def query_request(hold: Hold, institution: str, time_ms: int) -> QueryRequest:
    """A 411 about `hold`. Every one has an id of its own, so that its answer is not taken for an earlier one's."""
    return QueryRequest(
        msg_id=rules.msg_id(411, time_ms, secrets.token_bytes(16)),
        creation_time_ms=time_ms // 1000 * 1000,
        instructing_party=institution,
        instructed_party=rules.CENTRE,
        uetr=hold.uetr,
        original_msg_id=rules.payment_msg_id(hold.uetr, hold.prepared_time_ms),
        original_party=institution,
        original_type=CONVERT_REQUEST.name,
        original_purpose=rules.PURPOSE,
    )


# --- messages -> domain ----------------------------------------------------------------------------------------------
def outcome_of(message: Message, request: ConvertRequest | QueryRequest) -> Enquiry:
    """What `message` says of the payment of `request`, whose answer it came as.

    Raises:
        CodecError: it is about something else, or no answer to this kind of request: nothing is known.
    """
    if isinstance(message, Fault):
        return _fault(message, request)
    if not isinstance(message, ConvertResponse | QueryResponse | BusinessConfirm | FinalNotice):
        raise CodecError("MesgType", "UNEXPECTED")
    if message.uetr != request.uetr:
        raise CodecError("GrpHdr/Rmk", "OTHER")
    if isinstance(request, ConvertRequest):
        if isinstance(message, QueryResponse):
            raise CodecError("MesgType", "UNEXPECTED")
        if message.original_msg_id != request.msg_id:
            raise CodecError("OrgnlGrpHdr/OrgnlMsgId", "OTHER")
        return _status(message.status, message.reject_code, request.msg_id)
    if not isinstance(message, QueryResponse):
        raise CodecError("MesgType", "UNEXPECTED")  # a 900 refuses the question, not the payment
    if message.query_msg_id != request.msg_id:
        raise CodecError("BizQryRef/QryRef", "OTHER")
    if message.status is None:
        if message.process_code != rules.NEVER_SEEN:
            raise CodecError("BizRpt/TrnRs", "MISSING")
        return Enquiry(Outcome.NEVER_SEEN, rail_time_ms=message.creation_time_ms)
    return _status(message.status, message.reject_code, request.original_msg_id)


def _status(status: str, reject_code: str | None, reference: str) -> Enquiry:
    if status == "PR00":
        return Enquiry(Outcome.DONE, RailAck(reference, status))
    if status == "PR01":
        code = reject_code or ""
        return Enquiry(Outcome.REFUSED, reason=rules.REASON_OF.get(code, "RAIL_REFUSED"), rail_code=code or status)
    return Enquiry(Outcome.WORKING)  # PR02 processing; PR03 and PR04 are presumptions, not ends


def _fault(fault: Fault, request: ConvertRequest | QueryRequest) -> Enquiry:
    if fault.original_msg_id != request.msg_id or isinstance(request, QueryRequest):
        raise CodecError("MesgType", "UNEXPECTED")
    return Enquiry(Outcome.REFUSED, reason=rules.reason_of_fault(fault.code), rail_code=fault.code)
