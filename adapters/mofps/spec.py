"""Easy Transfer's messages as tables. The format of AMCM's Faster Payment System is not public (rails.md B1), so this one
is OURS: ISO 20022 in the versions that carry a proxy, chosen so that a real format can take its place in this file.

  - pacs.008.001.08 is the first version with CdtrAcct/Prxy (rails.md F3 [z1]); pacs.002.001.10 and pacs.028.001.03 are of
    the same release, and all three carry the UETR as an element of its own, so that no other id is needed;
  - head.001.001.02 and the document stand in an envelope BizMsg of ours; BizSvc tells what a status report answers;
  - the account id is mandatory in this release beside Prxy, so it reads NOTPROVIDED where the payee is a proxy;
  - participants have three-digit codes and the hub is AMCM: both made up, in ClrSysMmbId/MmbId;
  - reasons are ISO external codes in Rsn/Cd; purposes ISO external codes in Purp/Cd, or the switch's own word in Prtry;
  - Dbtr/Id/PrvtId carries the debtor's document inbound, where a corridor asks for papers; CtryOfRes the place of a party.
The signature (AppHdr/Sgntr, XML-DSig) has its place: it is passed over when read and not yet written.
"""

from typing import Final, NamedTuple

from adapters.kit.iso_spec import Envelope, code, const, text
from adapters.mofps.rules import ASSETS, PROXY_CODE, PURPOSE_CODE
from adapters.wire import Field, Kind, XmlCodec
from switch.limits import ACCOUNT_CHARS_MAX, NAME_CHARS_MAX, REMARK_CHARS_MAX

__all__ = [
    "CREDIT_TRANSFER",
    "ENQUIRY_SERVICE",
    "ENVELOPE",
    "HUB",
    "PAYMENT_SERVICE",
    "STATUS_REPORT",
    "STATUS_REQUEST",
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

HUB: Final = "AMCM"  # MmbId of the hub itself; also CdtrAgt when a proxy is to find the agent
PAYMENT_SERVICE: Final = "EASYTRANSFER"
ENQUIRY_SERVICE: Final = "STATUSENQUIRY"
STATUSES: Final = ("ACSC", "ACSP", "PDNG", "RJCT")
PLACES: Final = ("HK", "MO", "CN")

ENVELOPE: Final = Envelope(
    root="BizMsg",
    namespace="urn:bayswitch:mofps:envelope.01",
    head="head.001.001.02",
    created=Field("header_ms", "CreDt", Kind.DATE_TIME),
    member_chars_max=4,
    source="ours (rails.md B1: not public); ISO 20022 message definition",
)
_TX: Final = "CdtTrfTxInf"


def _address(role: str, at: str) -> tuple[Field, ...]:
    """An account number, or NOTPROVIDED beside a proxy."""
    return (
        text(f"{role}_account", f"{at}/Id/Othr/Id", 34),  # ISO Max34Text
        code(f"{role}_proxy_type", f"{at}/Prxy/Tp/Prtry", tuple(PROXY_CODE.values()), required=False),
        text(f"{role}_proxy", f"{at}/Prxy/Id", ACCOUNT_CHARS_MAX, required=False),
    )


CREDIT_TRANSFER: Final = ENVELOPE.message(
    "pacs.008.001.08",
    "FIToFICstmrCdtTrf",
    (PAYMENT_SERVICE,),
    (
        const("GrpHdr/NbOfTxs", "1"),
        const("GrpHdr/SttlmInf/SttlmMtd", "CLRG"),
        const("GrpHdr/SttlmInf/ClrSys/Prtry", HUB),
        text("end_to_end_id", f"{_TX}/PmtId/EndToEndId", 35),
        Field("uetr", f"{_TX}/PmtId/UETR", Kind.UETR),
        code("currency", f"{_TX}/IntrBkSttlmAmt/@Ccy", tuple(ASSETS)),
        Field("amount_minor", f"{_TX}/IntrBkSttlmAmt", Kind.AMOUNT),
        const(f"{_TX}/ChrgBr", "SLEV"),
        text("debtor_name", f"{_TX}/Dbtr/Nm", NAME_CHARS_MAX),
        text("debtor_document", f"{_TX}/Dbtr/Id/PrvtId/Othr/Id", 35, required=False),
        text("debtor_document_type", f"{_TX}/Dbtr/Id/PrvtId/Othr/SchmeNm/Prtry", 35, required=False),
        code("debtor_place", f"{_TX}/Dbtr/CtryOfRes", PLACES),
        *_address("debtor", f"{_TX}/DbtrAcct"),
        ENVELOPE.member("debtor_agent", f"{_TX}/DbtrAgt"),
        ENVELOPE.member("creditor_agent", f"{_TX}/CdtrAgt"),
        text("creditor_name", f"{_TX}/Cdtr/Nm", NAME_CHARS_MAX),
        code("creditor_place", f"{_TX}/Cdtr/CtryOfRes", PLACES),
        *_address("creditor", f"{_TX}/CdtrAcct"),
        code("purpose_code", f"{_TX}/Purp/Cd", tuple(PURPOSE_CODE.values()), required=False),
        text("purpose_word", f"{_TX}/Purp/Prtry", 35, required=False),
        text("remark", f"{_TX}/RmtInf/Ustrd", REMARK_CHARS_MAX, required=False),
    ),
)


class Transfer(NamedTuple):
    """pacs.008.001.08: pay the creditor. Amounts in minor units, times in Unix ms."""

    sender: str
    receiver: str
    header_id: str
    header_ms: int
    message_id: str
    created_ms: int
    end_to_end_id: str
    uetr: str
    currency: str
    amount_minor: int
    debtor_name: str
    debtor_document: str | None
    debtor_document_type: str | None
    debtor_place: str
    debtor_account: str
    debtor_proxy_type: str | None
    debtor_proxy: str | None
    debtor_agent: str
    creditor_agent: str
    creditor_name: str
    creditor_place: str
    creditor_account: str
    creditor_proxy_type: str | None
    creditor_proxy: str | None
    purpose_code: str | None
    purpose_word: str | None
    remark: str | None


class Ordered(NamedTuple):
    """What the mock hub goes by in a pacs.008.001.08; the rest of it is checked and left."""

    uetr: str
    created_ms: int
    currency: str
    amount_minor: int
    creditor_agent: str
    creditor_account: str
    creditor_proxy_type: str | None
    creditor_proxy: str | None
    creditor_name: str


STATUS_REPORT: Final = ENVELOPE.message(
    "pacs.002.001.10",
    "FIToFIPmtStsRpt",
    (PAYMENT_SERVICE, ENQUIRY_SERVICE),
    (
        Field("original_message_id", "OrgnlGrpInfAndSts/OrgnlMsgId", Kind.ASCII),
        const("OrgnlGrpInfAndSts/OrgnlMsgNmId", CREDIT_TRANSFER.name),
        Field("uetr", "TxInfAndSts/OrgnlUETR", Kind.UETR),
        code("status", "TxInfAndSts/TxSts", STATUSES),
        Field("reason", "TxInfAndSts/StsRsnInf/Rsn/Cd", Kind.ASCII, required=False, max_chars=4),
        Field("reference", "TxInfAndSts/ClrSysRef", Kind.ASCII, required=False),
    ),
)


class StatusReport(NamedTuple):
    """pacs.002.001.10: what became of a payment. `reason` with RJCT; `reference` with ACSC."""

    sender: str
    receiver: str
    header_id: str
    service: str
    header_ms: int
    message_id: str
    created_ms: int
    original_message_id: str
    uetr: str
    status: str
    reason: str | None
    reference: str | None


class Status(NamedTuple):
    """What counts in a pacs.002.001.10; the rest of it is checked and left."""

    service: str
    uetr: str
    created_ms: int
    status: str
    reason: str | None
    reference: str | None


STATUS_REQUEST: Final = ENVELOPE.message(
    "pacs.028.001.03",
    "FIToFIPmtStsReq",
    (ENQUIRY_SERVICE,),
    (
        Field("original_message_id", "OrgnlGrpInf/OrgnlMsgId", Kind.ASCII),
        const("OrgnlGrpInf/OrgnlMsgNmId", CREDIT_TRANSFER.name),
        Field("uetr", "TxInf/OrgnlUETR", Kind.UETR),
    ),
)


class StatusRequest(NamedTuple):
    """pacs.028.001.03: what became of this payment?"""

    sender: str
    receiver: str
    header_id: str
    header_ms: int
    message_id: str
    created_ms: int
    original_message_id: str
    uetr: str


transfer_codec: Final = XmlCodec(CREDIT_TRANSFER, Transfer)
order_view: Final = transfer_codec.view(Ordered)
report_codec: Final = XmlCodec(STATUS_REPORT, StatusReport)
status_view: Final = report_codec.view(Status)
request_codec: Final = XmlCodec(STATUS_REQUEST, StatusRequest)
