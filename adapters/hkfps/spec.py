"""FPS messages as tables. No FPS specification is public: rails.md A2 (observed in public code) is the source, with
the ISO 20022 schemas of head.001.001.01, pacs.008.001.06, pacs.002.001.08 and pacs.028.001.01 for order and lengths.

Where rails.md is silent the choice is ours and marked so:
  - the proxy types MOBN, EMAL, SVID in SchmeNm/Prtry; an e-mail proxy stands in CtctDtls/EmailAdr, for Othr/Id takes 34
    characters and an address has up to 64;
  - the addresses of wallets behind a gateway (EWLT, ALGN, AUSR), which a bank on FPS may pay;
  - Purp/Prtry carries the switch's own purpose beside the FPS category; CtryOfRes carries the place of a party;
  - Dbtr/Id/PrvtId carries the debtor's document inbound, where a corridor asks for papers;
  - a status answer names the payment in OrgnlTxId, and BizSvc tells what it answers: PAYC01 or PAYENQ.
The signature (AppHdr/Sgntr, XML-DSig) has its place: it is passed over when read and not yet written.
"""

from typing import Final, NamedTuple

from adapters.kit.iso_spec import Envelope, code, const, text
from adapters.wire import Field, Kind, XmlCodec

__all__ = [
    "CATEGORIES",
    "CREDIT_TRANSFER",
    "ENQUIRY_SERVICE",
    "ENVELOPE",
    "HUB",
    "NOT_VERIFIED",
    "PAYMENT_SERVICE",
    "SERVICES",
    "STATUS_REPORT",
    "STATUS_REQUEST",
    "VERIFIED",
    "Ordered",
    "Status",
    "StatusReport",
    "StatusRequest",
    "Transfer",
    "order_view",
    "report_codec",
    "request_codec",
    "status_view",
    "transfer_codec",
]

HUB: Final = "FPS"  # MmbId of the hub itself; also CdtrAgt when a proxy is to find the agent (ours)
PAYMENT_SERVICE: Final = "PAYC01"  # real-time credit transfer, high priority
ENQUIRY_SERVICE: Final = "PAYENQ"
STATUSES: Final = ("RCVD", "ACCP", "ACSC", "CNCL", "RJCT")
VERIFIED: Final = "PERFORM_PYE_VRF"  # the receiver checks the creditor's name
NOT_VERIFIED: Final = "SKIP_PYE_VRF"
SERVICES: Final = (
    PAYMENT_SERVICE, "PAYC02", "PAYC03", "PAYD01", ENQUIRY_SERVICE, "ADDR01", "ADMISV",
)  # fmt: skip  # rails.md A2; this rail speaks the first and the fifth
CATEGORIES: Final = (
    "CXSALA", "CXMRCH", "CXTOPU", "CXGOVT", "CXBSNS", "CXPSNL", "CXECNY", "CXOTHS", "DDBILL", "DDECOM", "DDTOPU",
    "DDOTHR", "RPRTRN", "RPRFND", "SWAUTO", "SWMANU", "SWOPCL", "SWRVSL", "CPBADJ", "CPMERG",
)  # fmt: skip  # rails.md A3
SCHEMES: Final = ("BBAN", "MOBN", "EMAL", "SVID", "EWLT", "ALGN", "AUSR")
PLACES: Final = ("HK", "MO", "CN")
NAME_CHARS_MAX: Final = 40  # rails.md A2 [f3]
ACCOUNT_CHARS_MAX: Final = 34  # ISO Max34Text, and rails.md A2 [f3]

ENVELOPE: Final = Envelope(
    root="FpsMsg",
    namespace="urn:hkicl:fps:xsd:fps.envelope.01",
    head="head.001.001.01",
    # ISO NormalisedDateTime: UTC with a Z. Written by codec.header_time; what counts is CreDtTm in the body.
    created=Field("header_time", "CreDt", Kind.ASCII, min_chars=20, max_chars=30),
    member_chars_max=3,
    source="rails.md A2 [x1]; ISO 20022 message definition",
    below="FpsPylds/BizData",
    first=(const("NbOfMsgs", "1"),),
)
_TX: Final = "CdtTrfTxInf"


def _tx_id(at: str) -> Field:
    """The UETR without its hyphens, 32 characters (rails.md A2 [f2])."""
    return Field("tx_id", at, Kind.ASCII, min_chars=32, max_chars=32)


def _address(role: str, at: str) -> tuple[Field, ...]:
    return (
        Field(f"{role}_account", f"{at}/Id/Othr/Id", Kind.TEXT, required=False, max_chars=ACCOUNT_CHARS_MAX),
        code(f"{role}_scheme", f"{at}/Id/Othr/SchmeNm/Prtry", SCHEMES, required=False),
    )


def _email(role: str, at: str) -> Field:
    return Field(f"{role}_email", f"{at}/CtctDtls/EmailAdr", Kind.TEXT, required=False, max_chars=64)


CREDIT_TRANSFER: Final = ENVELOPE.message(
    "pacs.008.001.06",
    "FIToFICstmrCdtTrf",
    (PAYMENT_SERVICE,),
    (
        const("GrpHdr/NbOfTxs", "1"),
        const("GrpHdr/SttlmInf/SttlmMtd", "CLRG"),
        const("GrpHdr/SttlmInf/ClrSys/Prtry", HUB),
        text("end_to_end_id", f"{_TX}/PmtId/EndToEndId", 35),
        _tx_id(f"{_TX}/PmtId/TxId"),
        code("verify", f"{_TX}/PmtTpInf/LclInstrm/Prtry", (VERIFIED, NOT_VERIFIED)),
        code("category", f"{_TX}/PmtTpInf/CtgyPurp/Prtry", CATEGORIES),
        code("currency", f"{_TX}/IntrBkSttlmAmt/@Ccy", ("HKD", "CNY")),
        Field("amount_minor", f"{_TX}/IntrBkSttlmAmt", Kind.AMOUNT),
        const(f"{_TX}/ChrgBr", "SLEV"),
        text("debtor_name", f"{_TX}/Dbtr/Nm", NAME_CHARS_MAX),
        text("debtor_document", f"{_TX}/Dbtr/Id/PrvtId/Othr/Id", 35, required=False),
        text("debtor_document_type", f"{_TX}/Dbtr/Id/PrvtId/Othr/SchmeNm/Prtry", 35, required=False),
        code("debtor_place", f"{_TX}/Dbtr/CtryOfRes", PLACES),
        _email("debtor", f"{_TX}/Dbtr"),
        *_address("debtor", f"{_TX}/DbtrAcct"),
        ENVELOPE.member("debtor_agent", f"{_TX}/DbtrAgt"),
        ENVELOPE.member("creditor_agent", f"{_TX}/CdtrAgt"),
        text("creditor_name", f"{_TX}/Cdtr/Nm", NAME_CHARS_MAX),
        code("creditor_place", f"{_TX}/Cdtr/CtryOfRes", PLACES),
        _email("creditor", f"{_TX}/Cdtr"),
        *_address("creditor", f"{_TX}/CdtrAcct"),
        text("purpose", f"{_TX}/Purp/Prtry", 35, required=False),
        text("remark", f"{_TX}/RmtInf/Ustrd", 140, required=False),
    ),
)


class Transfer(NamedTuple):
    """pacs.008.001.06: pay the creditor. Amounts in minor units, times in Unix ms."""

    sender: str
    receiver: str
    header_id: str
    header_time: str
    message_id: str
    created_ms: int
    end_to_end_id: str
    tx_id: str
    verify: str
    category: str
    currency: str
    amount_minor: int
    debtor_name: str
    debtor_document: str | None
    debtor_document_type: str | None
    debtor_place: str
    debtor_email: str | None
    debtor_account: str | None
    debtor_scheme: str | None
    debtor_agent: str
    creditor_agent: str
    creditor_name: str
    creditor_place: str
    creditor_email: str | None
    creditor_account: str | None
    creditor_scheme: str | None
    purpose: str | None
    remark: str | None


class Ordered(NamedTuple):
    """What the mock hub goes by in a pacs.008.001.06; the rest of it is checked and left."""

    tx_id: str
    created_ms: int
    currency: str
    amount_minor: int
    creditor_agent: str
    creditor_scheme: str | None
    creditor_account: str | None
    creditor_email: str | None
    verify: str
    creditor_name: str


STATUS_REPORT: Final = ENVELOPE.message(
    "pacs.002.001.08",
    "FIToFIPmtStsRpt",
    (PAYMENT_SERVICE, ENQUIRY_SERVICE),
    (
        Field("original_message_id", "OrgnlGrpInfAndSts/OrgnlMsgId", Kind.ASCII),
        const("OrgnlGrpInfAndSts/OrgnlMsgNmId", CREDIT_TRANSFER.name),
        _tx_id("TxInfAndSts/OrgnlTxId"),
        code("status", "TxInfAndSts/TxSts", STATUSES),
        Field("reason", "TxInfAndSts/StsRsnInf/Rsn/Prtry", Kind.ASCII, required=False),
        text("narrative", "TxInfAndSts/StsRsnInf/AddtlInf", 105, required=False),
        Field("reference", "TxInfAndSts/ClrSysRef", Kind.ASCII, required=False),
    ),
)


class StatusReport(NamedTuple):
    """pacs.002.001.08: what became of a payment. `reason` with RJCT and CNCL; `reference` with ACSC."""

    sender: str
    receiver: str
    header_id: str
    service: str
    header_time: str
    message_id: str
    created_ms: int
    original_message_id: str
    tx_id: str
    status: str
    reason: str | None
    narrative: str | None
    reference: str | None


class Status(NamedTuple):
    """What counts in a pacs.002.001.08; the rest of it is checked and left."""

    service: str
    tx_id: str
    created_ms: int
    status: str
    reason: str | None
    reference: str | None


STATUS_REQUEST: Final = ENVELOPE.message(
    "pacs.028.001.01",
    "FIToFIPmtStsReq",
    (ENQUIRY_SERVICE,),
    (
        Field("original_message_id", "OrgnlGrpInf/OrgnlMsgId", Kind.ASCII),
        const("OrgnlGrpInf/OrgnlMsgNmId", CREDIT_TRANSFER.name),
        _tx_id("TxInf/OrgnlTxId"),
    ),
)


class StatusRequest(NamedTuple):
    """pacs.028.001.01: what became of this payment?"""

    sender: str
    receiver: str
    header_id: str
    header_time: str
    message_id: str
    created_ms: int
    original_message_id: str
    tx_id: str


transfer_codec: Final = XmlCodec(CREDIT_TRANSFER, Transfer)
order_view: Final = transfer_codec.view(Ordered)
report_codec: Final = XmlCodec(STATUS_REPORT, StatusReport)
status_view: Final = report_codec.view(Status)
request_codec: Final = XmlCodec(STATUS_REQUEST, StatusRequest)
