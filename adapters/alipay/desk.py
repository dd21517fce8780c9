"""The mock rail's books at work: what a request does to wallets, transfers and trades, without any HTTP.

A number (`out_biz_no`, `out_trade_no`) names one payment for ever: a repeat gets the first outcome, another body under
the same number is refused. Ours, not the platform's: a refused payment can be queried, and a cancel of a number that
was never seen closes it for good (the platform has no such memory; there only the age of a message helps).

A payment code of the seed stays good, as if its owner showed a fresh one each time. A wallet of tier `confirms` is
asked by its app and agrees at the first query CONFIRM_MS later (code 10003 until then); one of tier `ignores` never
answers, and its trade closes when it times out.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from adapters.alipay import spec
from adapters.alipay.codec import Reply, Request, china_time
from adapters.alipay.rules import AMOUNT_MINOR_MAX, CONFIRM_MS, PAY_TIMEOUT_MS, code_of
from adapters.alipay.statement import key_of
from adapters.kit.books import Account, AccountState, Books, Limit, PaymentStatus, Record
from switch.domain.money import Asset

__all__ = ["HOUSE", "Desk"]

HOUSE: Final = "ALIPAY"  # the one institution of the seed
_NUMBER: Final = re.compile(r"[0-9A-Za-z_]{1,64}", re.ASCII)  # letters, digits, underscore: the platform's rule
_SUCCESS: Final = spec.Result("10000", "Success")
_WAITING: Final = spec.Result("10003", "order success pay inprocess")
_STATE: Final = {AccountState.CLOSED: "PAYEE_ACCOUNT_STATUS_ERROR", AccountState.BLOCKED: "PAYEE_USERINFO_STATUS_ERROR"}
_TRANSFER_LIMIT: Final = {
    Limit.TXN: "EXCEED_LIMIT_SM_AMOUNT",
    Limit.DAY: "EXCEED_LIMIT_UNRN_DM_AMOUNT",
    Limit.YEAR: "PERMIT_CHECK_RECEIVE_LIMIT",
    Limit.BALANCE: "PAYEE_TRUSTEESHIP_ACC_OVER_LIMIT",
}
_TRADE_LIMIT: Final = {
    Limit.TXN: "ACQ.BEYOND_PER_RECEIPT_RESTRICTION",
    Limit.DAY: "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR",
    Limit.YEAR: "ACQ.BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR",  # the books count years, the platform months
    Limit.FUNDS: "ACQ.BUYER_BALANCE_NOT_ENOUGH",
}
_TRANSFER_STATUS: Final = {
    PaymentStatus.DONE: "SUCCESS",
    PaymentStatus.REFUSED: "FAIL",
    PaymentStatus.WORKING: "DEALING",
}


@dataclass(slots=True)
class _Order:
    """What the rail keeps of one number beside the books' record."""

    number: str
    trade: bool
    action: str | None = None  # what a cancel did: close, refund or nothing (""); None: not cancelled
    refunds: dict[str, int] = field(default_factory=dict)  # out_request_no -> minor units

    @property
    def key(self) -> str:
        """The UETR behind a number of the switch; a number of anybody else stands for itself."""
        return key_of(self.number)


class Desk:
    """Every call is one step on the books; `now_ms` is the rail's clock."""

    def __init__(self, books: Books, now_ms: Callable[[], int]) -> None:
        self.books = books
        self._now_ms = now_ms
        self._orders: dict[str, _Order] = {}  # by number
        self._by_reference: dict[str, _Order] = {}  # trades, by trade_no

    # --- a payment ---------------------------------------------------------------------------------------------------
    def account(self, asked: Request) -> Account | None:
        """The wallet a payment concerns: the payee of a transfer, the payer behind a code."""
        if asked.method is spec.PAY:
            return self.books.by_proxy("CODE", asked.record.auth_code)
        if asked.record.identity_type == "ALIPAY_USER_ID":
            return self.books.account(HOUSE, asked.record.identity)
        return self.books.by_proxy("LOGON", asked.record.identity)

    def repeat(self, asked: Request) -> Reply | None:
        """The first outcome of a payment that is known; None: it is new."""
        order = self._orders.get(_number(asked.record))
        if order is None:
            return None
        kept = self._look(order)
        if order.action is not None:
            return refusal("ACQ.TRADE_HAS_CLOSE")
        if order.trade is not (asked.method is spec.PAY) or kept.digest != _digest(asked):
            return refusal("ACQ.CONTEXT_INCONSISTENT" if asked.method is spec.PAY else "PAYMENT_INFO_INCONSISTENCY")
        return self._reply(order, kept)

    def work(self, asked: Request) -> Reply:
        """Keep a new payment as under way; `settle` or `refuse` ends it."""
        return self._keep(asked, self._record(asked, PaymentStatus.WORKING, "10003"))

    def refuse(self, asked: Request, sub_code: str) -> Reply:
        """Refuse a payment with the rail's word, and keep that."""
        return self._keep(asked, self._record(asked, PaymentStatus.REFUSED, sub_code))

    def settle(self, asked: Request) -> Reply:
        """Pay a payment that is new or under way, or refuse it, by the rules of the rail."""
        number = _number(asked.record)
        if (order := self._orders.get(number)) is not None and order.action is not None:
            return refusal("ACQ.TRADE_HAS_CLOSE")  # cancelled while it was under way
        account = self.account(asked)
        sub_code = self._trade_refusal(asked, account) if asked.method is spec.PAY else self._refusal(asked, account)
        if sub_code:
            return self.refuse(asked, sub_code)
        assert account is not None
        if asked.method is spec.PAY and account.tier in ("confirms", "ignores"):
            return self.work(asked)
        return self._keep(asked, self._record(asked, PaymentStatus.DONE, "10000"))

    def _refusal(self, asked: Request, payee: Account | None) -> str:
        transfer: spec.TransferRequest = asked.record
        by_id = transfer.identity_type == "ALIPAY_USER_ID"
        if _NUMBER.fullmatch(transfer.out_biz_no) is None or not (by_id or transfer.name):
            return "INVALID_PARAMETER"
        if payee is None:
            return "PAYEE_ACCOUNT_NOT_EXSIT" if by_id else "PAYEE_NOT_EXIST"
        if payee.state is not AccountState.OPEN:
            return _STATE[payee.state]
        if transfer.name and _folded(transfer.name) != _folded(payee.holder):
            return "PAYEE_USER_INFO_ERROR"
        if Asset.CNY not in payee.assets:
            return "NO_ACCOUNT_RECEIVE_PERMISSION"
        if transfer.trans_amount_minor > AMOUNT_MINOR_MAX:
            return "EXCEED_LIMIT_SM_AMOUNT"
        limit = self.books.breaks(payee, Asset.CNY, transfer.trans_amount_minor, self._now_ms())
        return "" if limit is None else _TRANSFER_LIMIT[limit]

    def _trade_refusal(self, asked: Request, payer: Account | None) -> str:
        trade: spec.PayRequest = asked.record
        if _NUMBER.fullmatch(trade.out_trade_no) is None:
            return "ACQ.INVALID_PARAMETER"
        if payer is None:
            return "ACQ.PAYMENT_AUTH_CODE_INVALID"
        if payer.state is not AccountState.OPEN:
            return "ACQ.BUYER_ENABLE_STATUS_FORBID"
        if trade.total_amount_minor > AMOUNT_MINOR_MAX:
            return "ACQ.TOTAL_FEE_EXCEED"
        limit = self.books.breaks(payer, Asset.CNY, -trade.total_amount_minor, self._now_ms())
        return "" if limit is None else _TRADE_LIMIT[limit]

    # --- questions and what follows a payment ------------------------------------------------------------------------
    def ask(self, asked: Request) -> Reply:
        """Query, cancel or refund."""
        if asked.method is spec.TRANSFER_QUERY:
            return self._query_transfer(asked.record)
        if asked.method is spec.QUERY:
            return self._query_trade(asked.record)
        if asked.method is spec.CANCEL:
            return self._cancel(asked.record)
        assert asked.method is spec.REFUND
        return self._refund(asked.record)

    def _query_transfer(self, asked: spec.TransferQueryRequest) -> Reply:
        order = self._orders.get(asked.out_biz_no)
        if order is None or order.trade:
            return refusal("ORDER_NOT_EXIST")
        kept = self._look(order)
        refused = kept.status is PaymentStatus.REFUSED
        answer = spec.TransferQueryAnswer(
            order.number, kept.reference, _TRANSFER_STATUS[kept.status], kept.amount_minor,
            pay_date="" if refused else china_time(kept.time_ms), error_code=kept.code if refused else "",
        )  # fmt: skip
        return Reply(_SUCCESS, answer)

    def _query_trade(self, asked: spec.TradeKey) -> Reply:
        order = self._trade(asked)
        if order is None:
            return refusal("ACQ.TRADE_NOT_EXIST")
        kept, amount_minor, code = self._look(order), 0, ""
        amount_minor = abs(kept.amount_minor)
        if kept.status is PaymentStatus.WORKING:
            status = "WAIT_BUYER_PAY"
        elif kept.status is PaymentStatus.REFUSED:
            status, code = "TRADE_CLOSED", "" if order.action is not None else kept.code
        else:
            status = "TRADE_CLOSED" if sum(order.refunds.values()) == amount_minor else "TRADE_SUCCESS"
        paid = china_time(kept.time_ms) if kept.status is PaymentStatus.DONE else ""
        answer = spec.QueryAnswer(
            kept.reference, order.number, status, amount_minor, _user(kept), self._masked(kept), paid, code
        )
        return Reply(_SUCCESS, answer)

    def _cancel(self, asked: spec.TradeKey) -> Reply:
        """Close an unpaid trade, give a paid one back, shut the door on one that never came."""
        order = self._trade(asked)
        if order is None and not asked.out_trade_no:
            return refusal("ACQ.TRADE_NOT_EXIST")
        if order is None:
            order = _Order(asked.out_trade_no, trade=True, action="")
            self._file(order, Record(
                order.key, b"", PaymentStatus.REFUSED, "ACQ.TRADE_HAS_CLOSE", self._reference(trade=True), None,
                Asset.CNY, 0, self._now_ms(),
            ))  # fmt: skip
        elif order.action is None:
            kept = self._look(order)
            paid = kept.status is PaymentStatus.DONE
            if paid and order.refunds:
                return refusal("ACQ.TRADE_STATUS_ERROR")
            if paid:
                self.books.unbook(order.key)
            if kept.status is not PaymentStatus.REFUSED:
                closed = kept._replace(status=PaymentStatus.REFUSED, code="ACQ.TRADE_HAS_CLOSE")
                self.books.keep(closed)
            order.action = "refund" if paid else "close"
        trade_no = self.books.payments[order.key].reference if order.action else ""
        return Reply(_SUCCESS, spec.CancelAnswer(order.number, "N", trade_no, order.action or ""))

    def _refund(self, asked: spec.RefundRequest) -> Reply:
        """Give back part or all of a paid trade; a part without its own number is the whole trade's one refund."""
        order = self._trade(spec.TradeKey(asked.out_trade_no, asked.trade_no))
        if order is None:
            return refusal("ACQ.TRADE_NOT_EXIST")
        kept = self._look(order)
        if kept.status is not PaymentStatus.DONE:
            return refusal("ACQ.TRADE_STATUS_ERROR")
        part = asked.out_request_no or order.number
        fresh = part not in order.refunds
        if not fresh and order.refunds[part] != asked.refund_amount_minor:
            return refusal("ACQ.DISCORDANT_REPEAT_REQUEST")
        if fresh and sum(order.refunds.values()) + asked.refund_amount_minor > abs(kept.amount_minor):
            return refusal("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
        if fresh:
            order.refunds[part] = asked.refund_amount_minor
            self.books.book(kept._replace(
                uetr=f"{order.key}/{part}", amount_minor=asked.refund_amount_minor, time_ms=self._now_ms()
            ))  # fmt: skip
        answer = spec.RefundAnswer(
            kept.reference, order.number, "Y" if fresh else "N", sum(order.refunds.values()), _user(kept),
            china_time(self._now_ms()),
        )  # fmt: skip
        return Reply(_SUCCESS, answer)

    # --- keeping -----------------------------------------------------------------------------------------------------
    def _look(self, order: _Order) -> Record:
        """The record as it is now: a payer who was asked may have agreed, or not answered in time."""
        kept = self.books.payments[order.key]
        if kept.status is not PaymentStatus.WORKING or not order.trade or kept.account is None:
            return kept
        payer, age_ms = self.books.accounts[kept.account], self._now_ms() - kept.time_ms
        if payer.tier == "confirms" and age_ms >= CONFIRM_MS:
            limit = self.books.breaks(payer, Asset.CNY, kept.amount_minor, self._now_ms())
            if limit is None:
                self.books.book(kept._replace(status=PaymentStatus.DONE, code="10000"))
            else:
                self.books.keep(kept._replace(status=PaymentStatus.REFUSED, code=_TRADE_LIMIT[limit]))
        elif payer.tier == "ignores" and age_ms >= PAY_TIMEOUT_MS:
            self.books.keep(kept._replace(status=PaymentStatus.REFUSED, code="ACQ.PAYER_TIME_OUT"))
        return self.books.payments[order.key]

    def _keep(self, asked: Request, record: Record) -> Reply:
        number = _number(asked.record)
        order = self._orders.get(number) or _Order(number, asked.method is spec.PAY)
        self._file(order, record)
        return self._reply(order, record)

    def _file(self, order: _Order, record: Record) -> None:
        if record.status is PaymentStatus.DONE:
            self.books.book(record)
        else:
            self.books.keep(record)
        self._orders[order.number] = order
        if order.trade:
            self._by_reference[record.reference] = order

    def _record(self, asked: Request, status: PaymentStatus, code: str) -> Record:
        trade, account = asked.method is spec.PAY, self.account(asked)
        amount_minor = -asked.record.total_amount_minor if trade else asked.record.trans_amount_minor
        order = _Order(_number(asked.record), trade)
        before = self.books.payments.get(order.key)
        reference = self._reference(trade=trade) if before is None else before.reference
        key = None if account is None else account.key
        return Record(order.key, _digest(asked), status, code, reference, key, Asset.CNY, amount_minor, self._now_ms())

    def _reference(self, *, trade: bool) -> str:
        """28 digits: the day in China, a product, a serial."""
        day = china_time(self._now_ms())[:10].replace("-", "")
        return self.books.next_reference(f"{day}{'21001004' if trade else '11007000'}")

    def _trade(self, asked: spec.TradeKey) -> _Order | None:
        if asked.trade_no:
            return self._by_reference.get(asked.trade_no)
        order = self._orders.get(asked.out_trade_no)
        return order if order is not None and order.trade else None

    def _reply(self, order: _Order, kept: Record) -> Reply:
        """The answer to a transfer or pay whose outcome is `kept`."""
        if kept.status is PaymentStatus.REFUSED:
            return refusal(kept.code)
        when = china_time(kept.time_ms)
        done = kept.status is PaymentStatus.DONE
        if not order.trade:
            answer = spec.TransferAnswer(
                order.number, kept.reference, _TRANSFER_STATUS[kept.status], trans_date=when if done else ""
            )
            return Reply(_SUCCESS, answer)
        amount_minor = abs(kept.amount_minor)
        trade = spec.PayAnswer(
            kept.reference, order.number, _user(kept), self._masked(kept), amount_minor, amount_minor if done else 0,
            when if done else "",
        )  # fmt: skip
        return Reply(_SUCCESS if done else _WAITING, trade)

    def _masked(self, kept: Record) -> str:
        """The payer's user id as the platform masks a login."""
        user = _user(kept)
        return f"{user[:3]}***{user[-4:]}" if user else ""


def refusal(sub_code: str) -> Reply:
    """An answer that refuses with the rail's word; nothing is kept."""
    return Reply(spec.Result(*code_of(sub_code), sub_code), None)


def _number(record: Any) -> str:
    number: str = record.out_biz_no if isinstance(record, spec.TransferRequest) else record.out_trade_no
    return number


def _digest(asked: Request) -> bytes:
    return sha256(repr(asked.record).encode()).digest()


def _user(kept: Record) -> str:
    return "" if kept.account is None else kept.account[1]


def _folded(name: str) -> str:
    """A name as it is compared: full-width and half-width alike, no spaces, no case."""
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()
