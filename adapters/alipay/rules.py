"""The rail's own rules: what it takes, how old a request may be, and what its codes mean to us.

A code that stands in no table is an answer we do not recognise, and that is doubt: never a failure, never a success.
"""

import re
from enum import Enum
from typing import Final

from switch.errors import REASONS
from switch.ports import Outcome

__all__ = [
    "AMOUNT_MINOR_MAX",
    "AMOUNT_MINOR_MIN",
    "AUTH_CODE",
    "EMAIL",
    "GATEWAY_PATH",
    "MAINLAND_MOBILE",
    "POLL_FIRST_MS",
    "POLL_MS_MAX",
    "SOCKETS_PER_CONNECTION",
    "SUB_CODES",
    "USER_ID",
    "Meaning",
    "code_of",
    "meaning_of",
    "reason_of",
]

AMOUNT_MINOR_MIN: Final = 1  # 0.01 yuan; rails.md C5
AMOUNT_MINOR_MAX: Final = 100_000_000_00  # 100,000,000 yuan; rails.md C5
AUTH_CODE: Final = re.compile(r"(?:2[5-9]|30)\d{14,22}", re.ASCII)  # 16-24 digits starting 25 to 30; rails.md C5
USER_ID: Final = re.compile(r"2088\d{12}", re.ASCII)  # rails.md C5: buyer_user_id 2088...
MAINLAND_MOBILE: Final = re.compile(r"1[3-9]\d{9}", re.ASCII)  # 11 digits; mainland numbering, general knowledge
EMAIL: Final = re.compile(r"[^@\s]{1,40}@[^@\s]{1,40}", re.ASCII)

GATEWAY_PATH: Final = "/gateway.do"  # rails.md C5
POLL_FIRST_MS: Final = 200  # first query after "waiting for the payer"; doubles up to POLL_MS_MAX
POLL_MS_MAX: Final = 2_000  # the till guide polls every 3-5 s for a minute; our budget for one prepare is 8 s
SOCKETS_PER_CONNECTION: Final = 64  # HTTP/1.1 carries one call at a time: one `connections` is this many sockets

TRANSFER_TITLE: Final = "Bayswitch"  # what the payee's bill shows as title; the payer's own words are in the remark
PAY_SUBJECT: Final = "Payment"  # when the merchant gave no remark
PAY_TIMEOUT: Final = "1m"  # an unconfirmed trade is closed after this, the shortest the platform takes
PAY_TIMEOUT_MS: Final = 60_000  # the same
CONFIRM_MS: Final = 1_000  # the simulator's payer who is asked agrees after this

# What the states of a transfer and of a trade say. A state that stands in no table of spec.py is malformed: doubt.
STATES: Final[dict[str, Outcome]] = {
    "SUCCESS": Outcome.DONE,
    "FAIL": Outcome.REFUSED,
    "DEALING": Outcome.WORKING,
    "INIT": Outcome.WORKING,
    "WAIT_PAY": Outcome.WORKING,
    "TRADE_SUCCESS": Outcome.DONE,
    "TRADE_FINISHED": Outcome.DONE,
    "WAIT_BUYER_PAY": Outcome.WORKING,
    "TRADE_CLOSED": Outcome.REFUSED,
}


class Meaning(Enum):
    """What an answer lets us say of the payment it was asked about."""

    DONE = "done"
    WORKING = "working"  # it stands with the rail or the payer: ask again
    REFUSED = "refused"
    NEVER_SEEN = "never seen"
    DOUBT = "doubt"  # nothing can be said


# sub_code -> our reason. Sources: [c2] and the platform's lists of common and business error codes. SYSTEM_ERROR and
# its kin stand nowhere here on purpose: the platform's own advice for them is to query, that is, doubt.
SUB_CODES: Final[dict[str, str]] = {
    # the request itself, refused at the gateway (codes 40001, 40002, 40003, 40006): nothing was begun
    "isv.invalid-signature": "RAIL_SIGNATURE",
    "isv.invalid-signature-type": "RAIL_SIGNATURE",
    "isv.missing-signature": "RAIL_SIGNATURE",
    "isv.missing-signature-key": "RAIL_SIGNATURE",
    "isv.missing-signature-config": "RAIL_SIGNATURE",
    "isv.invalid-timestamp": "RAIL_EXPIRED",  # also the mock's word for a request older than it takes
    "isv.missing-timestamp": "RAIL_FORMAT",
    "isv.missing-method": "RAIL_FORMAT",
    "isv.missing-version": "RAIL_FORMAT",
    "isv.missing-app-id": "RAIL_FORMAT",
    "isv.invalid-method": "RAIL_FORMAT",
    "isv.invalid-format": "RAIL_FORMAT",
    "isv.invalid-charset": "RAIL_FORMAT",
    "isv.invalid-parameter": "RAIL_FORMAT",
    "isv.illegal-json": "RAIL_FORMAT",
    "isv.invalid-app-id": "RAIL_REFUSED",
    "isv.insufficient-isv-permissions": "RAIL_REFUSED",
    "isv.app-call-limited": "RAIL_UNAVAILABLE",  # 40005: throttled at the gateway, nothing was begun
    "isv.method-call-limited": "RAIL_UNAVAILABLE",
    # alipay.fund.trans.uni.transfer (40004)
    "INVALID_PARAMETER": "RAIL_FORMAT",
    "PARAM_ILLEGAL": "RAIL_FORMAT",
    "PAYEE_NOT_EXIST": "PROXY_UNKNOWN",
    "PAYEE_ACCOUNT_NOT_EXSIT": "CREDITOR_ACCOUNT_UNKNOWN",  # the platform's spelling
    "PAYEE_ACC_OCUPIED": "PROXY_UNKNOWN",  # the platform's spelling: one login of several accounts names none
    "PAYEE_USER_INFO_ERROR": "CREDITOR_NAME_MISMATCH",
    "PAYEE_CERT_INFO_ERROR": "CREDITOR_NAME_MISMATCH",
    "PAYEE_ACCOUNT_STATUS_ERROR": "CREDITOR_ACCOUNT_CLOSED",
    "PAYEE_USERINFO_STATUS_ERROR": "CREDITOR_ACCOUNT_BLOCKED",
    "BLOCK_USER_FORBBIDEN_RECIEVE": "CREDITOR_ACCOUNT_BLOCKED",  # the platform's spelling
    "NO_ACCOUNT_RECEIVE_PERMISSION": "CREDITOR_ACCOUNT_BLOCKED",
    "PAYEE_NOT_RELNAME_CERTIFY": "REGULATORY",
    "PERMIT_CHECK_RECEIVE_LIMIT": "WALLET_TIER_LIMIT",
    "PERM_AML_NOT_REALNAME_REV": "REGULATORY",
    "PERMIT_CHECK_PERM_LIMITED": "REGULATORY",
    "PERMIT_NON_BANK_LIMIT_PAYEE": "REGULATORY",
    "SECURITY_CHECK_FAILED": "REGULATORY",
    "EXCEED_LIMIT_SM_AMOUNT": "RAIL_AMOUNT_LIMIT",
    "EXCEED_LIMIT_SM_MIN_AMOUNT": "RAIL_AMOUNT_LIMIT",
    "EXCEED_LIMIT_DM_AMOUNT": "RAIL_AMOUNT_LIMIT",
    "EXCEED_LIMIT_DM_MAX_AMOUNT": "RAIL_AMOUNT_LIMIT",
    "EXCEED_LIMIT_DC_RECEIVED": "WALLET_TIER_LIMIT",
    "EXCEED_LIMIT_UNRN_DM_AMOUNT": "WALLET_TIER_LIMIT",
    "PAYEE_TRUSTEESHIP_ACC_OVER_LIMIT": "WALLET_BALANCE_LIMIT",
    "REMARK_HAS_SENSITIVE_WORD": "RAIL_REFUSED",
    "PAYER_BALANCE_NOT_ENOUGH": "RAIL_REFUSED",  # our own account at the rail, not a person's
    "BALANCE_IS_NOT_ENOUGH": "RAIL_REFUSED",
    "PAYER_STATUS_ERROR": "RAIL_REFUSED",
    "PAYER_NOT_EXIST": "RAIL_REFUSED",
    "PAYMENT_FAIL": "RAIL_REFUSED",
    "PAYMENT_TIME_EXPIRE": "RAIL_EXPIRED",
    "PAYMENT_INFO_INCONSISTENCY": "RAIL_DUPLICATE",  # this out_biz_no is another transfer
    "INST_PAY_UNABLE": "CREDITOR_AGENT_OFFLINE",
    # alipay.trade.* (40004)
    "ACQ.INVALID_PARAMETER": "RAIL_FORMAT",
    "ACQ.PAYMENT_AUTH_CODE_INVALID": "PAYER_CODE_INVALID",
    "ACQ.AUTH_NO_ERROR": "PAYER_CODE_INVALID",
    "ACQ.BUYER_BALANCE_NOT_ENOUGH": "PAYER_FUNDS",
    "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH": "PAYER_FUNDS",
    "ACQ.NO_PAYMENT_INSTRUMENTS_AVAILABLE": "PAYER_FUNDS",
    "ACQ.TOTAL_FEE_EXCEED": "RAIL_AMOUNT_LIMIT",
    "ACQ.BEYOND_PER_RECEIPT_RESTRICTION": "RAIL_AMOUNT_LIMIT",
    "ACQ.BEYOND_PAY_RESTRICTION": "RAIL_AMOUNT_LIMIT",
    "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR": "WALLET_TIER_LIMIT",
    "ACQ.BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR": "WALLET_TIER_LIMIT",
    "ACQ.ERROR_BUYER_CERTIFY_LEVEL_LIMIT": "WALLET_TIER_LIMIT",
    "ACQ.BUYER_ENABLE_STATUS_FORBID": "CREDITOR_ACCOUNT_BLOCKED",  # the shown wallet; see client.py on who it is
    "ACQ.SELLER_BEEN_BLOCKED": "RAIL_REFUSED",
    "ACQ.PAYMENT_REQUEST_HAS_RISK": "REGULATORY",
    "ACQ.CONTEXT_INCONSISTENT": "RAIL_DUPLICATE",
    "ACQ.TRADE_BUYER_NOT_MATCH": "RAIL_DUPLICATE",
    "ACQ.TRADE_HAS_CLOSE": "RAIL_REFUSED",
    "ACQ.EXIST_FORBIDDEN_WORD": "RAIL_REFUSED",
    "ACQ.ACCESS_FORBIDDEN": "RAIL_REFUSED",
    "ACQ.PARTNER_ERROR": "RAIL_REFUSED",
    "ACQ.INVALID_STORE_ID": "RAIL_REFUSED",
    "ACQ.PAYMENT_FAIL": "RAIL_REFUSED",
    "ACQ.INST_PAY_UNABLE": "CREDITOR_AGENT_OFFLINE",  # ours, after the transfer's word
    "ACQ.PAYER_TIME_OUT": "RAIL_REFUSED",  # ours: the payer did not confirm in timeout_express
}
assert set(SUB_CODES.values()) <= set(REASONS)

# Words for a question about a payment the rail does not know.
_NEVER_SEEN: Final = {"ORDER_NOT_EXIST", "ACQ.TRADE_NOT_EXIST"}
# The trade is there already: what became of it, only a query says.
_ASK: Final = {"ACQ.TRADE_HAS_SUCCESS"}
_GATEWAY_CODES: Final = {"40001", "40002", "40003", "40005", "40006"}


def meaning_of(code: str, sub_code: str) -> Meaning:
    """What the head of an answer means, before its body is looked at. 20000 and all we do not know are DOUBT."""
    if code == "10000":
        return Meaning.DONE
    if code == "10003" or (code == "40004" and sub_code in _ASK):
        return Meaning.WORKING
    if code == "40004" and sub_code in _NEVER_SEEN:
        return Meaning.NEVER_SEEN
    known = sub_code in SUB_CODES and sub_code.startswith("isv.") == (code in _GATEWAY_CODES)
    return Meaning.REFUSED if known and (code == "40004" or code in _GATEWAY_CODES) else Meaning.DOUBT


def reason_of(sub_code: str) -> str:
    """Our reason for a refusal that is certain, whatever word the rail has for it."""
    return SUB_CODES.get(sub_code, "RAIL_REFUSED")


def code_of(sub_code: str) -> tuple[str, str]:
    """The `code` and `msg` that stand before a sub_code; what the simulator writes. From the common error codes."""
    if sub_code.startswith("isp."):
        return "20000", "Service Currently Unavailable"
    if not sub_code.startswith("isv."):
        return "40004", "Business Failed"
    if sub_code == "isv.missing-signature-config":
        return "40003", "Insufficient Conditions"
    if sub_code.startswith("isv.missing"):
        return "40001", "Missing Required Arguments"
    if sub_code.endswith("call-limited"):
        return "40005", "Call Limited"
    if sub_code.startswith("isv.insufficient"):
        return "40006", "Insufficient Permissions"
    return "40002", "Invalid Arguments"
