"""The messages of the digital-currency rail as data: the 202-character header and the dcep bodies.

The specification of this rail is not public. The tables follow what one public bank connector shows: rails.md D2 and
D3, key [d1]. Where that source is silent the choice is ours and the row says "ours"; a real participant replaces rows,
not code.

One message on the link, after the 4-byte length of adapters/wire:

    header          202 characters, ends in }CRLF                                        [d1]
    {S::SSN:<sn>:NSN:<sn>:DEP:<envelope>:DSG:<signature>}CRLF   see codec.py    [d1]; the texts inside: ours
    XML             UTF-8, one Document                                                   [d1]
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from adapters.wire.spec import Field, HeaderField, HeaderSpec, Kind, XmlSpec

__all__ = [
    "BUSINESS_CONFIRM",
    "COMMUNICATION_CONFIRM",
    "CONVERT_REQUEST",
    "CONVERT_RESPONSE",
    "FAULT",
    "FINAL_NOTICE",
    "HEADER",
    "MESSAGES",
    "QUERY_REQUEST",
    "QUERY_RESPONSE",
    "SENSITIVE",
    "BusinessConfirm",
    "CommunicationConfirm",
    "ConvertRequest",
    "ConvertResponse",
    "Fault",
    "FinalNotice",
    "Header",
    "QueryRequest",
    "QueryResponse",
    "sealed",
]

_SOURCE: Final = "rails.md D2, D3 [d1]"

# --- lengths ---------------------------------------------------------------------------------------------------------
_MSG_ID: Final = 35  # XSD-like type in [d1]; the builder writes 32
_PARTY: Final = 14  # institution id: class letter and 13 digits, rails.md C2
_NAME: Final = 60  # [d1]
_ACCOUNT: Final = 34  # wallet and account ids, D1: "DTOs allow up to 34"
_REASON_TEXT: Final = 105  # ours

# --- code lists, D3 --------------------------------------------------------------------------------------------------
STATUS: Final = ("PR00", "PR01", "PR02", "PR03", "PR04")
WALLET_LEVELS: Final = ("WL01", "WL02", "WL03", "WL04")
WALLET_TYPES: Final = ("WT01", "WT02", "WT03", "WT09", "WT10")
ACCOUNT_TYPES: Final = tuple(f"AT0{n}" for n in range(8))
MESSAGE_TYPES: Final = tuple(f"dcep.{n}.001.01" for n in (225, 226, 411, 412, 900, 902, 909, 911))

# --- header ----------------------------------------------------------------------------------------------------------
HEADER: Final = HeaderSpec(
    "dcep header",
    (
        HeaderField("begin", 3, const="{H:", rule="FORMAT"),
        HeaderField("version", 2, const="04", rule="VERSION"),
        HeaderField("sender", _PARTY, required=True),
        HeaderField("sender_system", 4, const="DCEP"),
        HeaderField("receiver", _PARTY, required=True),
        HeaderField("receiver_system", 4, const="DCEP"),
        HeaderField("date", 8, Kind.HEADER_DATE, required=True),
        HeaderField("time", 6, Kind.HEADER_TIME, required=True),
        HeaderField("structure", 3, const="XML"),
        HeaderField("message_type", 20, Kind.CODE, codes=MESSAGE_TYPES, required=True, rule="MESSAGE_TYPE"),
        HeaderField("msg_id", 40, required=True),
        HeaderField("ref_id", 40, required=True),  # of a request: its own msg_id; of an answer: the request's
        HeaderField("priority", 1, const="3"),  # the sample's; no list is public
        HeaderField(
            "direction", 1, Kind.CODE, codes=("U", "D"), required=True, rule="DIRECTION"
        ),  # U in the sample; D back: ours
        HeaderField("sender_reserved", 10),
        HeaderField("receiver_reserved", 10),
        HeaderField("centre_reserved", 10),
        HeaderField("reserved", 9),
        HeaderField("end", 3, const="}\r\n", rule="FORMAT"),
    ),
    _SOURCE,
)


class Header(NamedTuple):
    """Times are Hong Kong time (which is Beijing time), whole seconds."""

    sender: str
    receiver: str
    date: str  # yyyyMMdd
    time: str  # HHmmss
    message_type: str
    msg_id: str
    ref_id: str
    direction: str
    sender_reserved: str = ""
    receiver_reserved: str = ""
    centre_reserved: str = ""
    reserved: str = ""


# --- bodies ----------------------------------------------------------------------------------------------------------
def _message(number: int, body: str, *fields: Field) -> XmlSpec:
    name = f"dcep.{number}.001.01"
    placed = tuple(field._replace(at=f"{body}/{field.at}") for field in fields)
    return XmlSpec(name, "Document", {"": f"urn:cbcc:std:dcep:2020:tech:xsd:{name}"}, placed, _SOURCE)


# Rmk carries the UETR, because the rail de-duplicates on it and no dcep field is made for it: ours.
_GROUP_HEADER: Final = (
    Field("msg_id", "GrpHdr/MsgId", Kind.ASCII, max_chars=_MSG_ID),
    Field("creation_time_ms", "GrpHdr/CreDtTm", Kind.LOCAL_TIME),
    Field("instructing_party", "GrpHdr/InstgPty/InstgDrctPty", Kind.ASCII, min_chars=_PARTY, max_chars=_PARTY),
    Field("instructed_party", "GrpHdr/InstdPty/InstdDrctPty", Kind.ASCII, min_chars=_PARTY, max_chars=_PARTY),
    Field("uetr", "GrpHdr/Rmk", Kind.UETR),
)


def _original(at: str) -> tuple[Field, Field, Field]:
    return (
        Field("original_msg_id", f"{at}/OrgnlMsgId", Kind.ASCII, max_chars=_MSG_ID),
        Field("original_party", f"{at}/OrgnlInstgPty", Kind.ASCII, min_chars=_PARTY, max_chars=_PARTY),
        Field("original_type", f"{at}/OrgnlMT", Kind.CODE, codes=MESSAGE_TYPES),
    )


_BATCH: Final = Field("batch_id", "TrxInf/BatchId", Kind.ASCII, min_chars=13, max_chars=13)
_REJECT_CODE: Final = Field("reject_code", "RjctCd", Kind.ASCII, required=False, min_chars=4, max_chars=4)
_REJECT_TEXT: Final = Field("reject_text", "RjctInf", Kind.TEXT, required=False, max_chars=_REASON_TEXT)
_PROCESS_CODE: Final = Field("process_code", "PrcCd", Kind.ASCII, required=False, min_chars=9, max_chars=9)


def _at(group: str, *fields: Field) -> tuple[Field, ...]:
    return tuple(field._replace(at=f"{group}/{field.at}") for field in fields)


CONVERT_REQUEST: Final = _message(
    225,
    "ConvertReq",
    *_GROUP_HEADER,
    Field("business_type", "TrxInf/TrxBizTp", Kind.CODE, const="D201"),  # D3; the sample's C201 is the other direction
    Field("purpose", "TrxInf/TrxCtgyPurpCd", Kind.DIGITS, min_chars=5, max_chars=5),
    Field("amount_minor", "TrxInf/TrxAmt", Kind.AMOUNT),
    Field("currency", "TrxInf/TrxAmt/@Ccy", Kind.CODE, const="CNY"),  # e-CNY has no ISO code of its own
    _BATCH,
    Field("debtor_party", "DbtrInf/DbtrPtyId", Kind.ASCII, min_chars=_PARTY, max_chars=_PARTY),
    Field("debtor_account_type", "DbtrInf/DbtAcctTp", Kind.CODE, codes=ACCOUNT_TYPES),  # DbtAcctTp, sic
    Field("debtor_name", "DbtrInf/DbtrNm", Kind.TEXT, max_chars=_NAME),
    Field("debtor_account", "DbtrInf/DbtrAcct", Kind.ASCII, max_chars=_ACCOUNT),
    Field("agreement", "DbtrInf/SgnNo", Kind.ASCII, required=False, max_chars=_ACCOUNT),  # of an attached account, 433
    Field("creditor_party", "CdtrInf/CdtrPtyId", Kind.ASCII, min_chars=_PARTY, max_chars=_PARTY),
    Field("creditor_name", "CdtrInf/CdtrNm", Kind.TEXT, max_chars=_NAME),
    # A wallet id, or the mobile that opened the wallet (it starts with +): ours.
    Field("creditor_wallet", "CdtrInf/CdtrWltId", Kind.ASCII, max_chars=_ACCOUNT),
    Field("creditor_level", "CdtrInf/CdtrWltLvl", Kind.CODE, required=False, codes=WALLET_LEVELS),
    Field("creditor_type", "CdtrInf/CdtrWltTp", Kind.CODE, codes=WALLET_TYPES),
    Field("wallet_name", "CdtrInf/CdtrWltNm", Kind.TEXT, required=False, max_chars=_NAME),
)


class ConvertRequest(NamedTuple):
    """dcep.225: take money at our side, put e-CNY into the creditor's wallet."""

    msg_id: str
    creation_time_ms: int  # whole seconds
    instructing_party: str
    instructed_party: str
    uetr: str
    purpose: str
    amount_minor: int
    batch_id: str
    debtor_party: str
    debtor_account_type: str
    debtor_name: str
    debtor_account: str
    agreement: str | None
    creditor_party: str
    creditor_name: str
    creditor_wallet: str
    creditor_level: str | None
    creditor_type: str
    wallet_name: str | None


CONVERT_RESPONSE: Final = _message(
    226,
    "ConvertRsp",
    *_GROUP_HEADER,
    *_original("OrgnlGrpHdr"),
    *_at("RspsnInf", Field("status", "RspsnSts", Kind.CODE, codes=STATUS), _REJECT_CODE, _REJECT_TEXT),
    _BATCH._replace(at="RspsnInf/BatchId"),
)


class ConvertResponse(NamedTuple):
    """dcep.226: what the wallet's operator did."""

    msg_id: str
    creation_time_ms: int
    instructing_party: str
    instructed_party: str
    uetr: str
    original_msg_id: str
    original_party: str
    original_type: str
    status: str
    reject_code: str | None
    reject_text: str | None
    batch_id: str


QUERY_REQUEST: Final = _message(
    411,
    "TxStsQryReq",
    *_GROUP_HEADER,
    *_original("OrgnlGrpHdr"),
    Field("original_business_type", "OrgnlGrpHdr/OrgnlBizTp", Kind.CODE, const="D201"),
    Field("original_purpose", "OrgnlGrpHdr/OrgnlBizKind", Kind.DIGITS, min_chars=5, max_chars=5),
    # The sample's OrgnlDbtrWltId and OrgnlCdtrWltId are left out: personal, and the UETR says enough.
)


class QueryRequest(NamedTuple):
    """dcep.411: what became of a payment."""

    msg_id: str
    creation_time_ms: int
    instructing_party: str
    instructed_party: str
    uetr: str
    original_msg_id: str
    original_party: str
    original_type: str
    original_purpose: str


QUERY_RESPONSE: Final = _message(
    412,
    "TxStsQryRsp",
    *_GROUP_HEADER,
    Field("query_msg_id", "BizQryRef/QryRef", Kind.ASCII, max_chars=_MSG_ID),
    Field("query_party", "BizQryRef/QryNm", Kind.ASCII, min_chars=_PARTY, max_chars=_PARTY),
    Field("query_status", "BizQryRef/QryRs", Kind.CODE, codes=STATUS),  # of the query itself: PR00 answered
    Field("status", "BizRpt/TrnRs", Kind.CODE, required=False, codes=STATUS),  # of the payment; none: never seen (ours)
    *_at("BizRpt/Rsn", _PROCESS_CODE._replace(required=True), _REJECT_CODE, _REJECT_TEXT),
    *_original("BizRpt/OrgnlTxInf"),
)


class QueryResponse(NamedTuple):
    """dcep.412: the answer. `status` None and `process_code` NEVER_SEEN when the rail has no such UETR."""

    msg_id: str
    creation_time_ms: int
    instructing_party: str
    instructed_party: str
    uetr: str
    query_msg_id: str
    query_party: str
    query_status: str
    status: str | None
    process_code: str
    reject_code: str | None
    reject_text: str | None
    original_msg_id: str
    original_party: str
    original_type: str


BUSINESS_CONFIRM: Final = _message(
    900,
    "CmonConf",
    *_GROUP_HEADER,
    *_original("OrgnlGrpHdr"),
    *_at("CmonConfInf", Field("status", "PrcSts", Kind.CODE, codes=STATUS), _PROCESS_CODE, _REJECT_CODE, _REJECT_TEXT),
)


class BusinessConfirm(NamedTuple):
    """dcep.900: the centre's own word on a request that it did not pass on (its checks failed)."""

    msg_id: str
    creation_time_ms: int
    instructing_party: str
    instructed_party: str
    uetr: str
    original_msg_id: str
    original_party: str
    original_type: str
    status: str
    process_code: str | None
    reject_code: str | None
    reject_text: str | None


COMMUNICATION_CONFIRM: Final = _message(
    902,
    "ComConf",
    Field("original_time_ms", "ConfInf/OrigSndDtTm", Kind.LOCAL_TIME),
    *_original("ConfInf"),
    Field("status", "ConfInf/PrcSts", Kind.CODE, codes=STATUS),
    Field("remark", "ConfInf/Remark", Kind.TEXT, required=False, max_chars=_REASON_TEXT),
)


class CommunicationConfirm(NamedTuple):
    """dcep.902: the bytes have arrived and could be read. Says nothing about the payment."""

    original_time_ms: int
    original_msg_id: str
    original_party: str
    original_type: str
    status: str
    remark: str | None


FINAL_NOTICE: Final = _message(
    909,
    "TxEndNtfctn",
    *_GROUP_HEADER,
    *_original("OrgnlGrpHdr"),
    # The sample repeats the whole original in OrgnlMsgCntt/Cntt, names and all; here it stays out: ours.
    *_at("OrgnlMsgCntt", Field("status", "PrcSts", Kind.CODE, codes=STATUS), _PROCESS_CODE._replace(required=True)),
    *_at("OrgnlMsgCntt", _REJECT_CODE, _REJECT_TEXT),
)


class FinalNotice(NamedTuple):
    """dcep.909: how a payment ended whose answer was late; comes unasked."""

    msg_id: str
    creation_time_ms: int
    instructing_party: str
    instructed_party: str
    uetr: str
    original_msg_id: str
    original_party: str
    original_type: str
    status: str
    process_code: str
    reject_code: str | None
    reject_text: str | None


FAULT: Final = _message(
    911,
    "Fault",
    Field("code", "faultcode", Kind.ASCII, min_chars=9, max_chars=9),
    Field("text", "faultstring", Kind.TEXT, max_chars=_REASON_TEXT),
    Field("actor", "faultactor", Kind.ASCII, required=False, min_chars=_PARTY, max_chars=_PARTY),
    Field("original_msg_id", "detail", Kind.ASCII, required=False, max_chars=_MSG_ID),  # prose in the sample; ours
)


class Fault(NamedTuple):
    """dcep.911: the message was thrown away and nothing was done.

    `original_msg_id` says which, under the signature: the header's ref_id alone could be anybody's. None: it could not
    be read.
    """

    code: str
    text: str
    actor: str | None
    original_msg_id: str | None


MESSAGES: Final[tuple[tuple[XmlSpec, type], ...]] = (
    (CONVERT_REQUEST, ConvertRequest),
    (CONVERT_RESPONSE, ConvertResponse),
    (QUERY_REQUEST, QueryRequest),
    (QUERY_RESPONSE, QueryResponse),
    (BUSINESS_CONFIRM, BusinessConfirm),
    (COMMUNICATION_CONFIRM, CommunicationConfirm),
    (FINAL_NOTICE, FinalNotice),
    (FAULT, Fault),
)

# Fields that travel under SM4 when signing is on: the row 225 of D2.
SENSITIVE: Final[Mapping[str, tuple[str, ...]]] = {
    CONVERT_REQUEST.name: ("debtor_name", "debtor_account", "creditor_name", "creditor_wallet"),
}

# What one sealed field may take: base64 of 12 bytes of nonce, at most 4 a character of _NAME, 16 of tag.
_SEALED_CHARS_MAX: Final = -(-(12 + 4 * _NAME + 16) // 3) * 4


def sealed(spec: XmlSpec) -> XmlSpec:
    """The table of a message whose sensitive fields hold ciphertext. The plain table still judges what they hide."""
    names = SENSITIVE[spec.name]
    wide = tuple(
        field._replace(kind=Kind.ASCII, min_chars=1, max_chars=_SEALED_CHARS_MAX) if field.name in names else field
        for field in spec.fields
    )
    return spec._replace(name=f"{spec.name} sealed", fields=wide)
