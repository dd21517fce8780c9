"""Bytes <-> messages <-> domain of the digital-currency rail. Pure: no clock, no I/O.

Two steps on the way in: `split` is cheap and trusts nothing, `read` checks the signature (milliseconds), reads the XML
and opens the sealed fields.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

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
from adapters.wire import Finder, HeaderCodec, XmlCodec
from switch.domain.payment import Hold
from switch.errors import CodecError
from switch.ports import Enquiry, Outcome, RailAck

__all__ = [
    "Address",
    "Message",
    "Parts",
    "Said",
    "convert_request",
    "correlate",
    "outcome_of",
    "query_request",
    "read",
    "split",
    "verdict_of",
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

_UNSIGNED: Final = b"{S::SSN::NSN::DEP::DSG:}\r\n"  # with signing off
_BODY_UNSIGNED: Final = _HEADER.length + len(_UNSIGNED)


class Address(NamedTuple):
    """Who writes to whom; `direction` U is up to the centre, D is down from it."""

    sender: str
    receiver: str
    direction: str


class _Reader(Protocol):
    """A codec, or a view of one."""

    def read(self, data: bytes, /) -> Any: ...


class _Place(NamedTuple):
    """Where an answer belongs: what it is, and the MsgId it is about."""

    message_type: str
    ref_id: str


class _Head(NamedTuple):
    """What counts in the header of an answer once it is placed."""

    message_type: str
    msg_id: str


class Said(NamedTuple):
    """What counts in a 226, a 900 or a 909; the rest of it is checked and left."""

    msg_id: str
    uetr: str
    original_msg_id: str
    status: str
    reject_code: str | None


class Parts(NamedTuple):
    """One message taken apart, nothing of it believed yet."""

    header: Header
    signer_serial: str
    envelope: str
    signature: str
    body: bytes


_PLACE: Final = _HEADER.view(_Place)
_HEAD: Final = _HEADER.view(_Head)
_ACKNOWLEDGEMENT: Final = _TYPE_OF[CommunicationConfirm]
# Where an answer says that the end is still to come, and with what.
_STATUS: Final[Mapping[str, Finder]] = {
    _TYPE_OF[ConvertResponse]: Finder("RspsnSts"),
    _TYPE_OF[BusinessConfirm]: Finder("PrcSts"),
    _TYPE_OF[FinalNotice]: Finder("PrcSts"),
}
_OUTCOMES: Final = (Said, ConvertResponse, QueryResponse, BusinessConfirm, FinalNotice)
_DONE: Final = Outcome.DONE  # a member by its enum's name is looked up slowly, and this one for every payment
_PENDING: Final = (("PR02",), ("PR03",), ("PR04",))
_ANSWERS: Final[Mapping[str, _Reader]] = {**_CODECS, **{name: _CODECS[name].view(Said) for name in _STATUS}}


# --- bytes -----------------------------------------------------------------------------------------------------------
def write(message: Message, address: Address, msg_id: str, ref_id: str, time_ms: int, signer: Signer) -> bytes:
    """The message as it stands on the link, without the length. With a signing signer: tens of milliseconds.

    Raises:
        CodecError: path of the first field that the table does not take.
    """
    name = _TYPE_OF[type(message)]
    body = _CODECS[name].write(message)
    sender, receiver, direction = address
    day, clock = rules.stamp(time_ms)
    header = _HEADER.write(
        Header._make((sender, receiver, day, clock, name, msg_id, ref_id, direction, "", "", "", ""))
    )
    if not signer.enabled:
        return header + _UNSIGNED + body
    envelope = ""
    if name in SENSITIVE:
        key = secrets.token_bytes(MESSAGE_KEY_BYTES)
        body, envelope = _SEALED[name].write(_seal(name, message, key)), signer.wrap(key)
    security = f"{{S::SSN:{signer.serial}:NSN:{signer.peer_serial}:DEP:{envelope}:DSG:{signer.sign(body)}}}\r\n"
    return header + security.encode("ascii") + body


def split(payload: bytes) -> Parts:
    """Header, signature block and body. Raises CodecError: a header field, or S when the block is not one."""
    return Parts._make(_split(payload, _HEADER))


def _split(payload: bytes, header_reader: _Reader) -> tuple[Any, str, str, str, bytes]:
    header = header_reader.read(payload[: _HEADER.length])
    if payload.startswith(_UNSIGNED, _HEADER.length):
        return header, "", "", "", payload[_BODY_UNSIGNED:]
    block = _SECURITY.match(payload, _HEADER.length)
    if block is None:
        raise CodecError("S", "FORMAT")
    signer_serial, _, envelope, signature = (group.decode("ascii") for group in block.groups())
    return header, signer_serial, envelope, signature, payload[block.end() :]


def correlate(payload: bytes) -> str | None:
    """The MsgId an answer is about; None for one that ends nothing: a 902, or a status of PR02, PR03 or PR04.

    Told from unchecked bytes: to believe it wrongly is to wait on, which is what silence is. Raises CodecError: a field
    of the header.
    """
    kind, ref_id = _PLACE.read(payload[: _HEADER.length])
    if kind == _ACKNOWLEDGEMENT or (kind in _STATUS and _STATUS[kind].find(payload) in _PENDING):
        return None
    return ref_id


def read(parts: Parts, signer: Signer) -> Message:
    """The message, its signature checked and its sealed fields open. With a signing signer: tens of milliseconds.

    Raises:
        CodecError: DSG SIGNATURE; DEP or a sealed field's name KEY, FORMAT; else the path of the XML field. The value
            is in none of them.
    """
    return _read(parts, signer, _CODECS)  # type: ignore[no-any-return]  # one of Message, by the tables


def _read(parts: tuple[Any, str, str, str, bytes], signer: Signer, readers: Mapping[str, _Reader]) -> Any:
    header, signer_serial, envelope, signature, body = parts
    name, msg_id = header.message_type, header.msg_id
    if signer.enabled and signer_serial != signer.peer_serial:
        raise CodecError("DSG", "SIGNATURE")  # a key that is not the other end's
    if not signer.verify(body, signature):
        raise CodecError("DSG", "SIGNATURE")
    if envelope:
        key = signer.unwrap(envelope)
        if name not in SENSITIVE:
            raise CodecError("DEP", "UNKNOWN")
        message = _open(name, _SEALED[name].read(body), key)
        _CODECS[name].write(message)  # the plain table judges what was hidden
    else:
        if signer.enabled and name in SENSITIVE:
            raise CodecError("DEP", "MISSING")
        message = readers[name].read(body)
    if getattr(message, "msg_id", msg_id) != msg_id:
        raise CodecError("GrpHdr/MsgId", "HEADER")  # the header is not signed: it must agree with what is
    return message


def _seal(name: str, message: Any, key: bytes) -> Any:
    return message._replace(**{field: seal_text(key, field, getattr(message, field)) for field in SENSITIVE[name]})


def _open(name: str, message: Any, key: bytes) -> Any:
    return message._replace(**{field: open_text(key, field, getattr(message, field)) for field in SENSITIVE[name]})


# --- domain -> messages ----------------------------------------------------------------------------------------------
def convert_request(hold: Hold, institution: str) -> ConvertRequest:
    """The 225 that pays the creditor of `hold`. The same hold gives the same message, to the last character.

    It is dated with the hold, not with its sending: a repeat of an old one is refused by its age like the first.
    """
    _, _, uetr, _, _, (_, amount_minor), debtor, creditor, agent, _, _, _ = hold.instruction
    time_ms, account = hold.prepared_time_ms, creditor.account
    party = agent or rules.CENTRE  # a mobile names no operator: the centre finds it
    return ConvertRequest._make((
        rules.payment_msg_id(uetr, time_ms), time_ms // 1000 * 1000, institution, party, uetr,
        rules.PURPOSE, amount_minor, rules.batch_id(time_ms),
        institution, rules.ACCOUNT_TYPE, debtor.name, debtor.account.value, None,
        party, creditor.name, account.value, f"WL0{account.level}" if account.level else None, rules.WALLET_TYPE, None,
    ))  # fmt: skip


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
def verdict_of(payload: bytes, request: ConvertRequest | QueryRequest, signer: Signer) -> Enquiry:
    """What an answer to `request` says of its payment. Of a 226, a 900 or a 909 no more is made than counts.

    Raises:
        CodecError: as `split`, `read` and `outcome_of`: nothing is known.
    """
    return outcome_of(_read(_split(payload, _HEAD), signer, _ANSWERS), request)


def outcome_of(message: Message | Said, request: ConvertRequest | QueryRequest) -> Enquiry:
    """What `message` says of the payment of `request`, whose answer it came as.

    Raises:
        CodecError: it is about something else, or no answer to this kind of request: nothing is known.
    """
    if isinstance(message, Fault):
        return _fault(message, request)
    if not isinstance(message, _OUTCOMES):
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
        return Enquiry(_DONE, RailAck(reference, status))
    if status == "PR01":
        code = reject_code or ""
        return Enquiry(Outcome.REFUSED, reason=rules.REASON_OF.get(code, "RAIL_REFUSED"), rail_code=code or status)
    return Enquiry(Outcome.WORKING)  # PR02 processing; PR03 and PR04 are presumptions, not ends


def _fault(fault: Fault, request: ConvertRequest | QueryRequest) -> Enquiry:
    if fault.original_msg_id != request.msg_id or isinstance(request, QueryRequest):
        raise CodecError("MesgType", "UNEXPECTED")
    return Enquiry(Outcome.REFUSED, reason=rules.reason_of_fault(fault.code), rail_code=fault.code)
