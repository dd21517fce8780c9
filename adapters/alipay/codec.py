"""Bytes <-> records <-> domain of this rail, pure: the form of a request and the signed JSON of an answer, both sides.

The tables of spec.py are interpreted here; what is signed, and how, is signing.py's. Every reader raises CodecError
with the path of the member; the value, which may be personal, stays out.
"""

import re
from calendar import timegm
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote_plus

from adapters.alipay import rules, spec
from adapters.alipay.signing import Signer, Verifier, outer_members, read_json, string_to_sign, write_json
from adapters.alipay.spec import Body, Method, Parameters, Result
from adapters.wire.spec import Field, Kind
from switch.domain.money import Asset, format_amount, parse_amount
from switch.domain.party import Account, Scheme
from switch.domain.payment import Hold
from switch.errors import CodecError, InvalidValue, RailRejected, RailSilent
from switch.limits import RAIL_MESSAGE_BYTES_MAX
from switch.ports import Enquiry, Outcome, RailAck

__all__ = [
    "Call", "Reply", "Request", "Unsigned", "cancel_of", "cancelled", "china_time", "decode_answer",
    "decode_request", "encode_answer", "encode_request", "enquired", "enquiry_of", "parse_china_time",
    "payment_number", "prepare_of", "prepared", "read_object", "write_object",
]  # fmt: skip

Record = TypeVar("Record")

_CURRENCY: Final = "CNY"
_CHINA: Final = timezone(timedelta(hours=8))  # no summer time since 1991
_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_ASCII: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_PARAMETERS_MAX: Final = 32
_ERROR_KEY: Final = "error_response"  # where the gateway answers when it could not tell the method


class Unsigned(CodecError):
    """An answer or request whose signature is missing or wrong."""


# --- time ------------------------------------------------------------------------------------------------------------
def china_time(time_ms: int) -> str:
    """Unix ms -> yyyy-MM-dd HH:mm:ss in China time; milliseconds are cut, so a message looks older, never younger."""
    return _china_time(time_ms // 1000)


@lru_cache(maxsize=64)  # payments come many to a second
def _china_time(second: int) -> str:
    return datetime.fromtimestamp(second, _CHINA).strftime("%Y-%m-%d %H:%M:%S")


def parse_china_time(text: str) -> int:
    """The reverse. Raises InvalidValue FORMAT, also for a day or hour that does not exist."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidValue("FORMAT", "a time is yyyy-MM-dd HH:mm:ss")
    try:
        moment = datetime(*(int(part) for part in match.groups()), tzinfo=_CHINA)  # type: ignore[arg-type,misc]
    except ValueError:
        raise InvalidValue("FORMAT", "no such day or hour") from None
    return timegm(moment.utctimetuple()) * 1000


# --- objects ---------------------------------------------------------------------------------------------------------
def _checked_text(field: Field, value: object) -> str:
    """`value` when it is what the field takes, without its being absent in mind."""
    if not isinstance(value, str):
        raise CodecError(field.at, "FORMAT")
    if field.kind is Kind.CODE:
        if value not in field.codes:
            raise CodecError(field.at, "CODE")
        return value
    if not field.min_chars <= len(value) <= field.max_chars:
        raise CodecError(field.at, "LENGTH")
    pattern = _ASCII if field.kind is Kind.ASCII else _DIGITS if field.kind is Kind.DIGITS else None
    if pattern is not None and pattern.fullmatch(value) is None:
        raise CodecError(field.at, "FORMAT")
    if pattern is None and (value != value.strip() or _CONTROL.search(value)):
        raise CodecError(field.at, "FORMAT")
    return value


def write_object(body: Body[Record], record: Record) -> dict[str, Any]:
    """A record -> the object it stands for, members in the order of the table. Raises CodecError."""
    members: dict[str, Any] = {}
    values: Iterator[Any] = iter(record)  # type: ignore[call-overload]
    for field in body.fields:
        value: Any = field.const or next(values)
        if not value:
            if field.required:
                raise CodecError(field.at, "MISSING")
            continue
        is_amount = field.kind is Kind.AMOUNT
        text = format_amount(_CURRENCY, value) if is_amount else _checked_text(field, value)
        outer, _, inner = field.at.rpartition("/")
        (members.setdefault(outer, {}) if outer else members)[inner] = text
    return members


def read_object(body: Body[Record], members: Mapping[str, Any]) -> Record:
    """The reverse; members the table does not name are skipped. Raises CodecError."""
    values: list[str | int] = []
    for field in body.fields:
        outer, _, inner = field.at.rpartition("/")
        held = members.get(outer, {}) if outer else members
        if not isinstance(held, Mapping):
            raise CodecError(outer, "FORMAT")
        value = held.get(inner)
        if field.const:
            if value != field.const:
                raise CodecError(field.at, "MISSING" if value is None else "CODE")
        elif value is None or value == "":
            if field.required:
                raise CodecError(field.at, "MISSING")
            values.append(0 if field.kind is Kind.AMOUNT else "")
        elif field.kind is Kind.AMOUNT:
            values.append(_read_amount(field, value))
        else:
            values.append(_checked_text(field, value))
    return body.record(*values)


def _read_amount(field: Field, value: object) -> int:
    if not isinstance(value, str):
        raise CodecError(field.at, "FORMAT")
    try:
        return parse_amount(_CURRENCY, value)
    except InvalidValue as error:
        if error.rule == "ZERO" and not field.required:
            return 0  # the platform writes 0.00 for what did not happen
        raise CodecError(field.at, error.rule) from None


# --- bytes ------------------------------------------------------------------------------------------------------------
def _decoded(data: bytes) -> str:
    if len(data) > RAIL_MESSAGE_BYTES_MAX:
        raise CodecError("message", "LENGTH")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CodecError("message", "CHARSET") from None


# --- requests --------------------------------------------------------------------------------------------------------
class Request(NamedTuple):
    """What the rail got. `parameters` is the form as it stood, `time_ms` its timestamp."""

    parameters: Parameters
    record: Any  # the request record of the method
    method: Method[Any, Any]
    time_ms: int


def encode_request(method: Method[Any, Any], record: Any, app_id: str, time_ms: int, signer: Signer | None) -> bytes:
    """A record -> the form body, signed when there is a signer. Raises CodecError: a value the spec does not take."""
    form = {
        "app_id": app_id,
        "biz_content": write_json(write_object(method.request, record)),
        "charset": "utf-8",
        "format": "JSON",
        "method": method.name,
        "sign_type": "RSA2",
        "timestamp": china_time(time_ms),
        "version": "1.0",
    }
    if signer is not None:
        form["sign"] = signer.sign(string_to_sign(form))
    return "&".join(f"{name}={quote_plus(value)}" for name, value in form.items()).encode("ascii")


def decode_request(data: bytes, verifier: Verifier | None) -> Request:
    """The rail's side: form bytes (body or query string) -> what is asked.

    Raises:
        Unsigned: the signature is missing or wrong; nothing else of the request can be believed.
        CodecError: path `method`, `timestamp`, `biz_content` or the member in it.
    """
    form = _form_of(data)
    parameters = read_object(spec.PARAMETERS, form)
    if verifier is not None and not (form.get("sign") and verifier.verifies(string_to_sign(form), form["sign"])):
        raise Unsigned("sign", "SIGNATURE" if form.get("sign") else "MISSING")
    method = spec.METHODS.get(parameters.method)
    if method is None:
        raise CodecError("method", "CODE")
    try:
        time_ms = parse_china_time(parameters.timestamp)
    except InvalidValue as error:
        raise CodecError("timestamp", error.rule) from None
    members = read_json(parameters.biz_content)
    if not isinstance(members, dict):
        raise CodecError("biz_content", "FORMAT")
    return Request(parameters, read_object(method.request, members), method, time_ms)


def _form_of(data: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            _decoded(data), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_PARAMETERS_MAX
        )
    except ValueError:  # UnicodeDecodeError is one
        raise CodecError("form", "FORMAT") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise CodecError("form", "TWICE")
    return form


# --- answers ---------------------------------------------------------------------------------------------------------
class Reply(NamedTuple):
    """What the rail answered. `record` is None unless the code says success (10000) or waiting (10003)."""

    result: Result
    record: Any


def encode_answer(method: Method[Any, Any] | None, reply: Reply, signer: Signer | None) -> bytes:
    """The rail's side: the signed JSON of an answer; `method` None: the request named none that is known."""
    members = write_object(spec.RESULT, reply.result)
    if method is not None and reply.record is not None:
        members |= write_object(method.answer, reply.record)
    text = write_json(members)
    key = _ERROR_KEY if method is None else method.answer_key
    sign = f',"sign":"{signer.sign(text.encode())}"' if signer is not None else ""
    return f'{{"{key}":{text}{sign}}}'.encode()


def decode_answer(method: Method[Any, Any], data: bytes, verifier: Verifier | None) -> Reply:
    """Answer bytes -> what the rail said, its signature checked over the result object as it was sent.

    Raises:
        Unsigned: no signature, or not the rail's: the answer proves nothing.
        CodecError: not an answer to `method`.
    """
    outer = outer_members(_decoded(data))
    key = method.answer_key if method.answer_key in outer else _ERROR_KEY
    if key not in outer:
        raise CodecError(method.answer_key, "MISSING")
    members, text = outer[key]
    if verifier is not None:
        sign = outer.get("sign", ("", ""))[0]
        if not (isinstance(sign, str) and sign and verifier.verifies(text.encode(), sign)):
            raise Unsigned("sign", "SIGNATURE" if sign else "MISSING")
    if not isinstance(members, dict):
        raise CodecError(key, "FORMAT")
    result = read_object(spec.RESULT, members)
    success = result.code in ("10000", "10003") and key == method.answer_key
    return Reply(result, read_object(method.answer, members) if success else None)


# --- a hold and what the rail says of it -----------------------------------------------------------------------------
class Call(NamedTuple):
    """One question to the rail."""

    method: Method[Any, Any]
    record: Any


def payment_number(uetr: str) -> str:
    """The number the rail knows a payment by: the UETR without hyphens, 32 of the 64 characters it takes."""
    return uetr.replace("-", "")


def prepare_of(hold: Hold) -> Call:
    """What asks the rail to pay the creditor of `hold`.

    Raises:
        RailRejected: the rail takes no such payment; found before anything is sent, and the same on every repeat.
    """
    instruction = hold.instruction
    (asset, amount_minor), account = instruction.credit, instruction.creditor.account
    if asset is not Asset.CNY:
        raise RailRejected("CURRENCY_NOT_ACCEPTED")
    if not rules.AMOUNT_MINOR_MIN <= amount_minor <= rules.AMOUNT_MINOR_MAX:
        raise RailRejected("RAIL_AMOUNT_LIMIT")
    number = payment_number(hold.uetr)
    if account.scheme is Scheme.PAYMENT_CODE:
        if rules.AUTH_CODE.fullmatch(account.value) is None:
            raise RailRejected("PAYER_CODE_INVALID")
        subject = instruction.remark or rules.PAY_SUBJECT
        record = spec.PayRequest(
            number, "bar_code", account.value, subject, amount_minor, "FACE_TO_FACE_PAYMENT", rules.PAY_TIMEOUT
        )
        return Call(spec.PAY, record)
    identity, identity_type = _identity(account)
    return Call(
        spec.TRANSFER,
        spec.TransferRequest(
            number,
            amount_minor,
            rules.TRANSFER_TITLE,
            identity,
            identity_type,
            instruction.creditor.name,
            instruction.remark,
        ),
    )


def _identity(account: Account) -> tuple[str, str]:
    value = account.value
    if account.scheme is Scheme.ALIPAY_USER:
        if rules.USER_ID.fullmatch(value) is None:
            raise RailRejected("CREDITOR_ACCOUNT_UNKNOWN")
        return value, "ALIPAY_USER_ID"
    login = value.removeprefix("+86-") if account.scheme in (Scheme.MOBILE, Scheme.ALIPAY_LOGIN) else ""
    is_login = rules.MAINLAND_MOBILE.fullmatch(login) or (
        account.scheme is Scheme.ALIPAY_LOGIN and rules.EMAIL.fullmatch(login)
    )
    if not is_login:
        raise RailRejected("PROXY_UNKNOWN")
    return login, "ALIPAY_LOGON_ID"


def enquiry_of(hold: Hold) -> Call:
    """What asks the rail what became of `hold`."""
    number = payment_number(hold.uetr)
    if hold.instruction.creditor.account.scheme is Scheme.PAYMENT_CODE:
        return Call(spec.QUERY, spec.TradeKey(number))
    return Call(spec.TRANSFER_QUERY, spec.TransferQueryRequest(number))


def cancel_of(hold: Hold) -> Call | None:
    """What closes `hold` at the rail; None: a transfer has no cancel, only its age ends it."""
    if hold.instruction.creditor.account.scheme is not Scheme.PAYMENT_CODE:
        return None
    return Call(spec.CANCEL, spec.TradeKey(payment_number(hold.uetr)))


def prepared(hold: Hold, reply: Reply) -> RailAck | None:
    """The answer to `prepare_of`: paid, or None while rail or payer are at it.

    Raises:
        RailRejected: final.
        RailSilent: an answer that proves nothing (code 20000, a code we do not know, another payment's).
    """
    meaning = rules.meaning_of(reply.result.code, reply.result.sub_code)
    if meaning is rules.Meaning.REFUSED:
        raise RailRejected(rules.reason_of(reply.result.sub_code), reply.result.sub_code)
    if meaning is rules.Meaning.WORKING:
        return None
    if meaning is not rules.Meaning.DONE or reply.record is None:
        raise RailSilent(f"the rail answered {reply.result.code}")
    _check_same(hold, reply.record)
    if isinstance(reply.record, spec.PayAnswer):
        return RailAck(reply.record.trade_no, reply.result.code)
    if reply.record.status == "SUCCESS":
        return RailAck(reply.record.order_id, reply.result.code)
    if reply.record.status == "FAIL":
        raise RailRejected("RAIL_REFUSED", reply.record.status)
    return None


def enquired(hold: Hold, reply: Reply) -> Enquiry:
    """The answer to `enquiry_of`. Raises RailSilent: our question was not answered, by a refusal of it least of all."""
    meaning = rules.meaning_of(reply.result.code, reply.result.sub_code)
    if meaning is rules.Meaning.NEVER_SEEN:
        return Enquiry(Outcome.NEVER_SEEN)
    if meaning is not rules.Meaning.DONE or reply.record is None:
        raise RailSilent(f"the rail answered {reply.result.code} to an enquiry")
    record = reply.record
    _check_same(hold, record)
    if isinstance(record, spec.QueryAnswer):
        # A trade that was paid and wholly given back is closed too: either way the payer has not paid.
        state, reference, code = record.trade_status, record.trade_no, record.close_code
    else:
        state, reference, code = record.status, record.order_id, record.error_code
    outcome = rules.STATES[state]
    if outcome is Outcome.DONE:
        return Enquiry(outcome, RailAck(reference, reply.result.code))
    if outcome is Outcome.REFUSED:
        return Enquiry(outcome, None, rules.reason_of(code), code or state)
    return Enquiry(outcome)


def cancelled(hold: Hold, reply: Reply) -> Enquiry:
    """The answer to `cancel_of`. Raises RailSilent: nothing is known."""
    if rules.meaning_of(reply.result.code, reply.result.sub_code) is not rules.Meaning.DONE or reply.record is None:
        raise RailSilent(f"the rail answered {reply.result.code} to a cancel")
    _check_same(hold, reply.record)
    if reply.record.retry_flag == "Y":
        return Enquiry(Outcome.WORKING)
    if not reply.record.action:
        return Enquiry(Outcome.NEVER_SEEN)
    return Enquiry(Outcome.REFUSED, None, "RAIL_REFUSED", reply.record.action)


def _check_same(hold: Hold, record: Any) -> None:
    """A signed answer proves only what it names: another payment's, or another amount, is no answer to us."""
    number = record.out_biz_no if hasattr(record, "out_biz_no") else record.out_trade_no
    amount_minor = getattr(record, "total_amount_minor", 0) or getattr(record, "trans_amount_minor", 0)
    if number != payment_number(hold.uetr) or amount_minor not in (0, hold.instruction.credit.amount_minor):
        raise RailSilent("the rail answered about another payment")
