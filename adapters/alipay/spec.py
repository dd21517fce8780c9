"""The messages as data: the form parameters of every call, and per method its request and answer objects.

Names, lengths and codes are those of the open platform (rails.md C5 [c1][c2]; the public method reference for
`alipay.fund.trans.*`). The platform has more members than stand here; members a table does not name are skipped when
read, as the platform does. Members marked "ours" are not the platform's.

`at` is the path inside the object. An amount is yuan as decimal text on the wire and integer fen in a record; an
optional member that is absent is "" or 0.
"""

from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from adapters.wire.spec import Field, Kind

__all__ = [
    "CANCEL", "METHODS", "PARAMETERS", "PAY", "QUERY", "REFUND", "RESULT", "TRANSFER", "TRANSFER_QUERY", "Body",
    "CancelAnswer", "Method", "Parameters", "PayAnswer", "PayRequest", "QueryAnswer", "RefundAnswer",
    "RefundRequest", "Result", "TradeKey", "TransferAnswer", "TransferQueryAnswer", "TransferQueryRequest",
    "TransferRequest",
]  # fmt: skip

Record = TypeVar("Record")
Request = TypeVar("Request")
Answer = TypeVar("Answer")

_KINDS: Final = {Kind.TEXT, Kind.ASCII, Kind.DIGITS, Kind.CODE, Kind.AMOUNT}


class Body(Generic[Record]):
    """One object as a table of fields, and the record its values stand in, in the same order."""

    __slots__ = ("fields", "name", "record")

    def __init__(self, name: str, record: Callable[..., Record], *fields: Field) -> None:
        carried = tuple(field.name for field in fields if not field.const)
        assert carried == cast(Any, record)._fields, f"{name}: table and record differ"
        assert len({field.at for field in fields}) == len(fields), f"{name}: a path stands twice"
        for field in fields:
            assert field.kind in _KINDS, f"{name}.{field.name}: no such kind in this rail"
            assert (field.kind is Kind.CODE) == bool(field.codes), f"{name}.{field.name}: codes"
            assert field.at.count("/") <= 1, f"{name}.{field.name}: nested deeper than this rail writes"
        self.name = name
        self.record = record
        self.fields = fields


class Method(NamedTuple, Generic[Request, Answer]):
    """One call: its name, what is asked (`biz_content`) and what a success (code 10000 or 10003) answers."""

    name: str
    request: Body[Request]
    answer: Body[Answer]
    source: str

    @property
    def answer_key(self) -> str:
        """The member of the answer that holds the result: `alipay.trade.pay` -> `alipay_trade_pay_response`."""
        return self.name.replace(".", "_") + "_response"


def _text(at: str, max_chars: int, *, required: bool = True, kind: Kind = Kind.ASCII) -> Field:
    return Field(at.rpartition("/")[2], at, kind, required, max_chars=max_chars)


def _code(at: str, *codes: str, required: bool = True) -> Field:
    return Field(at.rpartition("/")[2], at, Kind.CODE, required, codes=codes)


def _amount(at: str, *, required: bool = True) -> Field:
    return Field(f"{at}_minor", at, Kind.AMOUNT, required)


def _const(at: str, value: str) -> Field:
    return Field(at, at, Kind.ASCII, const=value)


# --- every call ------------------------------------------------------------------------------------------------------
class Parameters(NamedTuple):
    """The form of a request. `timestamp` is yyyy-MM-dd HH:mm:ss, China time (UTC+8)."""

    app_id: str
    method: str
    charset: str
    sign_type: str
    timestamp: str
    version: str
    biz_content: str
    format: str = ""
    sign: str = ""
    notify_url: str = ""
    app_auth_token: str = ""


PARAMETERS: Final = Body(
    "request",
    Parameters,
    _text("app_id", 32),
    _text("method", 128),
    _code("charset", "utf-8", "UTF-8"),
    _code("sign_type", "RSA2"),
    _text("timestamp", 19),
    _code("version", "1.0"),
    _text("biz_content", 32_768, kind=Kind.TEXT),
    _code("format", "JSON", "json", required=False),
    _text("sign", 344, required=False),
    _text("notify_url", 256, required=False),
    _text("app_auth_token", 40, required=False),
)


class Result(NamedTuple):
    """The head of every answer. `sub_msg` is the rail's prose: read, and kept out of everything of ours."""

    code: str
    msg: str
    sub_code: str = ""
    sub_msg: str = ""


RESULT: Final = Body(
    "result",
    Result,
    Field("code", "code", Kind.DIGITS, max_chars=5),
    _text("msg", 64, kind=Kind.TEXT),
    _text("sub_code", 128, required=False),
    _text("sub_msg", 512, required=False, kind=Kind.TEXT),
)


# --- money to a person -----------------------------------------------------------------------------------------------
class TransferRequest(NamedTuple):
    """`identity` with type ALIPAY_USER_ID (2088...) or ALIPAY_LOGON_ID (mobile or email; then `name` is required)."""

    out_biz_no: str
    trans_amount_minor: int
    order_title: str
    identity: str
    identity_type: str
    name: str = ""
    remark: str = ""


class TransferAnswer(NamedTuple):
    out_biz_no: str
    order_id: str
    status: str
    pay_fund_order_id: str = ""
    trans_date: str = ""


_TRANSFER_STATUSES: Final = ("SUCCESS", "FAIL", "DEALING", "INIT", "WAIT_PAY")

TRANSFER: Final = Method(
    "alipay.fund.trans.uni.transfer",
    Body(
        "biz_content",
        TransferRequest,
        _text("out_biz_no", 64),
        _amount("trans_amount"),
        _const("product_code", "TRANS_ACCOUNT_NO_PWD"),
        _const("biz_scene", "DIRECT_TRANSFER"),
        _text("order_title", 128, kind=Kind.TEXT),
        _text("payee_info/identity", 64),
        _code("payee_info/identity_type", "ALIPAY_USER_ID", "ALIPAY_LOGON_ID"),
        _text("payee_info/name", 128, required=False, kind=Kind.TEXT),
        _text("remark", 200, required=False, kind=Kind.TEXT),
    ),
    Body(
        "transfer",
        TransferAnswer,
        _text("out_biz_no", 64),
        _text("order_id", 32),
        _code("status", *_TRANSFER_STATUSES),
        _text("pay_fund_order_id", 32, required=False),
        _text("trans_date", 19, required=False),
    ),
    "open platform, method reference api_28; names as in the python-alipay-sdk call of the same method",
)


class TransferQueryRequest(NamedTuple):
    out_biz_no: str


class TransferQueryAnswer(NamedTuple):
    """`error_code` says why a transfer has status FAIL."""

    out_biz_no: str
    order_id: str
    status: str
    trans_amount_minor: int = 0
    pay_fund_order_id: str = ""
    pay_date: str = ""
    error_code: str = ""
    fail_reason: str = ""


TRANSFER_QUERY: Final = Method(
    "alipay.fund.trans.common.query",
    Body(
        "biz_content",
        TransferQueryRequest,
        _text("out_biz_no", 64),
        _const("product_code", "TRANS_ACCOUNT_NO_PWD"),
        _const("biz_scene", "DIRECT_TRANSFER"),
    ),
    Body(
        "transfer",
        TransferQueryAnswer,
        _text("out_biz_no", 64),
        _text("order_id", 32),
        _code("status", *_TRANSFER_STATUSES),
        _amount("trans_amount", required=False),
        _text("pay_fund_order_id", 32, required=False),
        _text("pay_date", 19, required=False),
        _text("error_code", 128, required=False),
        _text("fail_reason", 512, required=False, kind=Kind.TEXT),
    ),
    "open platform, method reference api_28",
)


# --- a shown code ----------------------------------------------------------------------------------------------------
class PayRequest(NamedTuple):
    """`auth_code`: 16-24 digits starting 25 to 30 (rails.md C5 [q7])."""

    out_trade_no: str
    scene: str
    auth_code: str
    subject: str
    total_amount_minor: int
    product_code: str = ""
    timeout_express: str = ""


class PayAnswer(NamedTuple):
    """`buyer_logon_id` is masked by the rail; with code 10003 the payer has yet to confirm."""

    trade_no: str
    out_trade_no: str
    buyer_user_id: str = ""
    buyer_logon_id: str = ""
    total_amount_minor: int = 0
    receipt_amount_minor: int = 0
    gmt_payment: str = ""


PAY: Final = Method(
    "alipay.trade.pay",
    Body(
        "biz_content",
        PayRequest,
        _text("out_trade_no", 64),
        _code("scene", "bar_code", "security_code"),
        Field("auth_code", "auth_code", Kind.DIGITS, min_chars=16, max_chars=24),
        _text("subject", 256, kind=Kind.TEXT),
        _amount("total_amount"),
        _code("product_code", "FACE_TO_FACE_PAYMENT", "OFFLINE_PAYMENT", required=False),
        _text("timeout_express", 6, required=False),
    ),
    Body(
        "trade",
        PayAnswer,
        _text("trade_no", 64),
        _text("out_trade_no", 64),
        _text("buyer_user_id", 28, required=False),
        _text("buyer_logon_id", 100, required=False),
        _amount("total_amount", required=False),
        _amount("receipt_amount", required=False),
        _text("gmt_payment", 19, required=False),
    ),
    "rails.md C5 [c1][c2]",
)


class TradeKey(NamedTuple):
    """One of the two; `trade_no` wins."""

    out_trade_no: str = ""
    trade_no: str = ""


class QueryAnswer(NamedTuple):
    trade_no: str
    out_trade_no: str
    trade_status: str
    total_amount_minor: int = 0
    buyer_user_id: str = ""
    buyer_logon_id: str = ""
    send_pay_date: str = ""
    close_code: str = ""  # ours: the sub_code with which a TRADE_CLOSED was refused, "" when it was cancelled


_EITHER: Final = (_text("out_trade_no", 64, required=False), _text("trade_no", 64, required=False))

QUERY: Final = Method(
    "alipay.trade.query",
    Body("biz_content", TradeKey, *_EITHER),
    Body(
        "trade",
        QueryAnswer,
        _text("trade_no", 64),
        _text("out_trade_no", 64),
        _code("trade_status", "WAIT_BUYER_PAY", "TRADE_CLOSED", "TRADE_SUCCESS", "TRADE_FINISHED"),
        _amount("total_amount", required=False),
        _text("buyer_user_id", 28, required=False),
        _text("buyer_logon_id", 100, required=False),
        _text("send_pay_date", 19, required=False),
        _text("close_code", 128, required=False),
    ),
    "rails.md C5; statuses from the method reference",
)


class CancelAnswer(NamedTuple):
    """`action` close: it was unpaid; refund: it was paid and the payer has the money back; "": no such trade."""

    out_trade_no: str
    retry_flag: str
    trade_no: str = ""
    action: str = ""


CANCEL: Final = Method(
    "alipay.trade.cancel",
    Body("biz_content", TradeKey, *_EITHER),
    Body(
        "cancel",
        CancelAnswer,
        _text("out_trade_no", 64),
        _code("retry_flag", "Y", "N"),
        _text("trade_no", 64, required=False),
        _code("action", "close", "refund", required=False),
    ),
    "rails.md C5; action and retry_flag from the method reference",
)


class RefundRequest(NamedTuple):
    """One of the two numbers; `out_request_no` tells parts of one trade apart, and repeats of one part from another."""

    refund_amount_minor: int
    out_trade_no: str = ""
    trade_no: str = ""
    out_request_no: str = ""
    refund_reason: str = ""


class RefundAnswer(NamedTuple):
    """`fund_change` N: a repeat that moved nothing. `refund_fee` is all that was refunded of this trade."""

    trade_no: str
    out_trade_no: str
    fund_change: str
    refund_fee_minor: int
    buyer_user_id: str = ""
    gmt_refund_pay: str = ""


REFUND: Final = Method(
    "alipay.trade.refund",
    Body(
        "biz_content",
        RefundRequest,
        _amount("refund_amount"),
        *_EITHER,
        _text("out_request_no", 64, required=False),
        _text("refund_reason", 256, required=False, kind=Kind.TEXT),
    ),
    Body(
        "refund",
        RefundAnswer,
        _text("trade_no", 64),
        _text("out_trade_no", 64),
        _code("fund_change", "Y", "N"),
        _amount("refund_fee"),
        _text("buyer_user_id", 28, required=False),
        _text("gmt_refund_pay", 19, required=False),
    ),
    "method reference; the switch does not send it, the simulator serves it",
)

_ALL: Final[tuple[Method[Any, Any], ...]] = (TRANSFER, TRANSFER_QUERY, PAY, QUERY, CANCEL, REFUND)
METHODS: Final = {method.name: method for method in _ALL}
