"""Forms and answers: equal after the way there and back, and refused with the path of the member otherwise."""

import random
import string
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import pytest

from adapters.alipay import codec, spec
from adapters.alipay.rules import AMOUNT_MINOR_MAX
from adapters.alipay.signing import read_json, signer_of, verifier_of, write_json
from adapters.wire.spec import Field, Kind
from switch.domain.party import Scheme
from switch.errors import CodecError, InvalidValue, RailRejected, RailSilent
from switch.ports import Enquiry, Outcome, RailAck
from tests.adapters.alipay.cases import hold_to

APP = "2021000000000001"
TIME_MS = 1_751_333_415_000  # 2025-07-01 09:30:15 in China
SEED = 20260


# --- there and back --------------------------------------------------------------------------------------------------
_ASCII = "".join(chr(code) for code in range(33, 127))
_TEXT = _ASCII + '测试甲乙丙丁戊己庚辛汇款学费é中&=%+"\\{}😀'


def _value(field: Field, rng: random.Random) -> str | int:
    if not field.required and rng.random() < 0.3:
        return 0 if field.kind is Kind.AMOUNT else ""
    if field.kind is Kind.AMOUNT:
        return rng.randrange(1, 10 ** rng.randrange(1, 11))
    if field.kind is Kind.CODE:
        return rng.choice(field.codes)
    alphabet = {Kind.TEXT: _TEXT, Kind.ASCII: _ASCII, Kind.DIGITS: string.digits}[field.kind]
    return "".join(rng.choices(alphabet, k=rng.randint(field.min_chars, min(field.max_chars, 40))))


def _record(body: spec.Body[Any], rng: random.Random) -> Any:
    return body.record(*(_value(field, rng) for field in body.fields if not field.const))


def test_a_hundred_thousand_messages_are_equal_after_the_way_there_and_back() -> None:
    """Half requests, half answers, all methods, unsigned: what the rail reads is what we wrote, and the reverse."""
    rng = random.Random(SEED)
    methods = list(spec.METHODS.values())
    for turn in range(50_000):
        method = methods[turn % len(methods)]
        asked = _record(method.request, rng)
        time_ms = rng.randrange(1_700_000_000, 1_900_000_000) * 1000
        read = codec.decode_request(codec.encode_request(method, asked, APP, time_ms, None), None)
        assert (read.method, read.record, read.time_ms) == (method, asked, time_ms), (SEED, turn)
        reply = codec.Reply(spec.Result("10000", "Success"), _record(method.answer, rng))
        assert codec.decode_answer(method, codec.encode_answer(method, reply, None), None) == reply, (SEED, turn)


def test_signed_messages_are_equal_and_no_byte_may_change(keys_dir: Path) -> None:
    rng = random.Random(SEED)
    app, rail = signer_of(keys_dir, "app"), signer_of(keys_dir, "rail")
    check_app, check_rail = verifier_of(keys_dir, "app"), verifier_of(keys_dir, "rail")
    for method in spec.METHODS.values():
        asked = _record(method.request, rng)
        body = codec.encode_request(method, asked, APP, TIME_MS, app)
        assert codec.decode_request(body, check_app).record == asked
        reply = codec.Reply(spec.Result("10000", "Success"), _record(method.answer, rng))
        answer = codec.encode_answer(method, reply, rail)
        assert codec.decode_answer(method, answer, check_rail) == reply
        for data, decode, meant in (
            (body, lambda data: codec.decode_request(data, check_app).record, asked),
            (answer, lambda data, method=method: codec.decode_answer(method, data, check_rail), reply),
        ):
            for _ in range(200):
                place = rng.randrange(len(data))
                changed = data[:place] + bytes([data[place] ^ (1 << rng.randrange(7))]) + data[place + 1 :]
                try:
                    read = decode(changed)
                except CodecError:
                    continue
                assert read == meant, "a changed message may be taken only when it says the same, as %2b does for %2B"


def test_the_form_is_the_one_of_the_platform(keys_dir: Path) -> None:
    call = codec.prepare_of(
        hold_to(Scheme.MOBILE, "+86-13800138000", 123_45, remark="学费", uetr=str(uuid.UUID(int=1)))
    )
    form = dict(parse_qsl(codec.encode_request(call.method, call.record, APP, TIME_MS, None).decode("ascii")))
    assert form.pop("biz_content") == (
        '{"out_biz_no":"00000000000000000000000000000001","trans_amount":"123.45",'
        '"product_code":"TRANS_ACCOUNT_NO_PWD","biz_scene":"DIRECT_TRANSFER","order_title":"Bayswitch",'
        '"payee_info":{"identity":"13800138000","identity_type":"ALIPAY_LOGON_ID","name":"测试甲"},"remark":"学费"}'
    )
    assert form == {
        "app_id": APP, "charset": "utf-8", "format": "JSON", "method": "alipay.fund.trans.uni.transfer",
        "sign_type": "RSA2", "timestamp": "2025-07-01 09:30:15", "version": "1.0",
    }  # fmt: skip


def test_a_code_is_paid_as_a_trade() -> None:
    call = codec.prepare_of(hold_to(Scheme.PAYMENT_CODE, "28763443825664394", 100, uetr=str(uuid.UUID(int=2))))
    assert codec.write_object(call.method.request, call.record) == {
        "out_trade_no": "00000000000000000000000000000002", "scene": "bar_code", "auth_code": "28763443825664394",
        "subject": "Payment", "total_amount": "1.00", "product_code": "FACE_TO_FACE_PAYMENT", "timeout_express": "1m",
    }  # fmt: skip


# --- what is refused -------------------------------------------------------------------------------------------------
# change of a good request (name=value, URL-encoded; "-" leaves the parameter out)    path        rule
BAD_REQUESTS = """
  method=alipay.trade.fly                       method        CODE
  method=-                                      method        MISSING
  timestamp=2025-07-01T09:30:15                 timestamp     FORMAT
  timestamp=2025-02-30%2009:30:15               timestamp     FORMAT
  charset=gbk                                   charset       CODE
  sign_type=RSA                                 sign_type     CODE
  version=2.0                                   version       CODE
  biz_content=[]                                biz_content   FORMAT
  biz_content={                                 json          FORMAT
  biz_content={}                                out_trade_no  MISSING
  app_id=%C2%A0                                 app_id        FORMAT
  app_id=%FF                                    form          FORMAT
  x=1&x=2                                       form          TWICE
  auth_code=123                                 auth_code     LENGTH
  auth_code=28763443825664394x                  auth_code     FORMAT
  scene=wave                                    scene         CODE
  total_amount=0.00                             total_amount  ZERO
  total_amount=-1                               total_amount  SIGN
  total_amount=1.001                            total_amount  DECIMALS
  total_amount=1e2                              total_amount  FORMAT
  total_amount=1234567890123456                 total_amount  LENGTH
  subject=%20a                                  subject       FORMAT
  subject=a%0Ab                                 subject       FORMAT
"""
GOOD = {
    "out_trade_no": "GBA1",
    "scene": "bar_code",
    "auth_code": "28763443825664394",
    "subject": "mock",
    "total_amount": "1.00",
}


@pytest.mark.parametrize("line", BAD_REQUESTS.strip().splitlines())
def test_a_bad_request_is_refused_with_its_path(line: str) -> None:
    change, path, rule = line.split()
    name, _, value = change.partition("=")
    content, form = dict(GOOD), {
        "app_id": APP, "method": "alipay.trade.pay", "charset": "utf-8", "sign_type": "RSA2",
        "timestamp": "2025-07-01+09:30:15", "version": "1.0",
    }  # fmt: skip
    if name in content:
        content[name] = parse_qsl(f"v={value}", keep_blank_values=True)[0][1]
    form["biz_content"] = quote_plus(write_json(content))
    if value == "-":
        del form[name]
    elif name not in content:
        form[name] = value
    data = "&".join(f"{key}={text}" for key, text in form.items()).encode()
    with pytest.raises(CodecError) as error:
        codec.decode_request(data, None)
    assert (error.value.path, error.value.rule) == (path, rule)
    assert value in ("-", "{", "[]", "1") or value not in str(error.value)


def test_amounts_may_be_numbers_and_are_never_floats() -> None:
    body = codec.encode_request(
        spec.PAY, spec.PayRequest("N1", "bar_code", "28763443825664394", "s", 12_10), APP, TIME_MS, None
    )
    as_number = body.replace(quote_plus('"12.10"').encode(), b"12.1")
    assert as_number != body
    assert codec.decode_request(as_number, None).record.total_amount_minor == 12_10


def test_times_are_those_of_china() -> None:
    assert codec.china_time(TIME_MS + 999) == "2025-07-01 09:30:15"
    assert codec.parse_china_time("2025-07-01 09:30:15") == TIME_MS
    assert codec.parse_china_time("1970-01-01 08:00:00") == 0
    with pytest.raises(InvalidValue):
        codec.parse_china_time("2025-07-01 24:00:00")


def test_an_answer_under_another_name_is_no_answer() -> None:
    reply = codec.Reply(spec.Result("10000", "Success"), spec.CancelAnswer("N1", "N"))
    data = codec.encode_answer(spec.CANCEL, reply, None)
    with pytest.raises(CodecError):
        codec.decode_answer(spec.QUERY, data, None)
    with pytest.raises(CodecError):
        codec.decode_answer(spec.CANCEL, b"\xff" + data, None)
    with pytest.raises(CodecError):
        codec.decode_answer(spec.CANCEL, data + b" " * 70_000, None)


def test_an_error_response_is_read_for_any_method(keys_dir: Path) -> None:
    reply = codec.Reply(spec.Result("40002", "Invalid Arguments", "isv.invalid-app-id"), None)
    data = codec.encode_answer(None, reply, signer_of(keys_dir, "rail"))
    assert codec.decode_answer(spec.PAY, data, verifier_of(keys_dir, "rail")) == reply
    unsigned = codec.encode_answer(None, reply, None)
    with pytest.raises(codec.Unsigned):
        codec.decode_answer(spec.PAY, unsigned, verifier_of(keys_dir, "rail"))


def test_empty_members_count_as_absent() -> None:
    members = read_json('{"code":"10000","msg":"Success","sub_code":"","sub_msg":null}')
    assert codec.read_object(spec.RESULT, members) == spec.Result("10000", "Success")


# --- what answers mean -----------------------------------------------------------------------------------------------
UETR = str(uuid.UUID(int=3))
NUMBER = UETR.replace("-", "")
PAYEE = hold_to(Scheme.ALIPAY_LOGIN, "13800138000", 500, uetr=UETR)
SHOWN = hold_to(Scheme.PAYMENT_CODE, "28763443825664394", 500, uetr=UETR)
OK = spec.Result("10000", "Success")
ACK = RailAck("T1", "10000")

PREPARED: list[tuple[Any, codec.Reply, object]] = [
    (PAYEE, codec.Reply(OK, spec.TransferAnswer(NUMBER, "T1", "SUCCESS")), ACK),
    (PAYEE, codec.Reply(OK, spec.TransferAnswer(NUMBER, "T1", "DEALING")), None),
    (PAYEE, codec.Reply(OK, spec.TransferAnswer(NUMBER, "T1", "FAIL")), RailRejected),
    (PAYEE, codec.Reply(OK, spec.TransferAnswer("OTHER", "T1", "SUCCESS")), RailSilent),
    (SHOWN, codec.Reply(OK, spec.PayAnswer("T1", NUMBER, total_amount_minor=500)), ACK),
    (SHOWN, codec.Reply(OK, spec.PayAnswer("T1", NUMBER, total_amount_minor=501)), RailSilent),
    (SHOWN, codec.Reply(spec.Result("10003", "wait"), spec.PayAnswer("T1", NUMBER)), None),
    (SHOWN, codec.Reply(spec.Result("40004", "", "ACQ.TRADE_HAS_SUCCESS"), None), None),
    (SHOWN, codec.Reply(spec.Result("40004", "", "ACQ.SYSTEM_ERROR"), None), RailSilent),
    (SHOWN, codec.Reply(spec.Result("20000", "", "isp.unknow-error"), None), RailSilent),
    (SHOWN, codec.Reply(spec.Result("40002", "", "isv.invalid-signature"), None), RailRejected),
    (SHOWN, codec.Reply(spec.Result("40004", "", "isv.invalid-signature"), None), RailSilent),
    (SHOWN, codec.Reply(spec.Result("40002", "", "ACQ.AUTH_NO_ERROR"), None), RailSilent),
    (SHOWN, codec.Reply(spec.Result("99999", "", "ACQ.AUTH_NO_ERROR"), None), RailSilent),
    (SHOWN, codec.Reply(spec.Result("40004", "", "ACQ.AUTH_NO_ERROR"), None), RailRejected),
    (PAYEE, codec.Reply(spec.Result("40004", "", "ORDER_NOT_EXIST"), None), RailSilent),
]


@pytest.mark.parametrize(("hold", "reply", "expected"), PREPARED)
def test_what_an_answer_to_a_prepare_means(hold: Any, reply: codec.Reply, expected: object) -> None:
    if isinstance(expected, type):
        with pytest.raises(expected):
            codec.prepared(hold, reply)
    else:
        assert codec.prepared(hold, reply) == expected


ENQUIRED: list[tuple[Any, codec.Reply, object]] = [
    (PAYEE, codec.Reply(OK, spec.TransferQueryAnswer(NUMBER, "T1", "SUCCESS", 500)), Enquiry(Outcome.DONE, ACK)),
    (PAYEE, codec.Reply(OK, spec.TransferQueryAnswer(NUMBER, "T1", "SUCCESS", 499)), RailSilent),
    (PAYEE, codec.Reply(OK, spec.TransferQueryAnswer(NUMBER, "T1", "INIT", 500)), Enquiry(Outcome.WORKING)),
    (
        PAYEE,
        codec.Reply(OK, spec.TransferQueryAnswer(NUMBER, "T1", "FAIL", 500, error_code="PAYEE_NOT_EXIST")),
        Enquiry(Outcome.REFUSED, None, "PROXY_UNKNOWN", "PAYEE_NOT_EXIST"),
    ),
    (
        PAYEE,
        codec.Reply(OK, spec.TransferQueryAnswer(NUMBER, "T1", "FAIL", 500)),
        Enquiry(Outcome.REFUSED, None, "RAIL_REFUSED", "FAIL"),
    ),
    (PAYEE, codec.Reply(spec.Result("40004", "", "ORDER_NOT_EXIST"), None), Enquiry(Outcome.NEVER_SEEN)),
    (PAYEE, codec.Reply(spec.Result("40002", "", "isv.invalid-signature"), None), RailSilent),
    (PAYEE, codec.Reply(spec.Result("40004", "", "PAYEE_NOT_EXIST"), None), RailSilent),
    (PAYEE, codec.Reply(spec.Result("20000", "", "isp.unknow-error"), None), RailSilent),
    (SHOWN, codec.Reply(OK, spec.QueryAnswer("T1", NUMBER, "TRADE_FINISHED", 500)), Enquiry(Outcome.DONE, ACK)),
    (SHOWN, codec.Reply(OK, spec.QueryAnswer("T1", NUMBER, "WAIT_BUYER_PAY", 500)), Enquiry(Outcome.WORKING)),
    (
        SHOWN,
        codec.Reply(OK, spec.QueryAnswer("T1", NUMBER, "TRADE_CLOSED", 500)),
        Enquiry(Outcome.REFUSED, None, "RAIL_REFUSED", "TRADE_CLOSED"),
    ),
    (SHOWN, codec.Reply(spec.Result("40004", "", "ACQ.TRADE_NOT_EXIST"), None), Enquiry(Outcome.NEVER_SEEN)),
]


@pytest.mark.parametrize(("hold", "reply", "expected"), ENQUIRED)
def test_what_an_answer_to_an_enquiry_means(hold: Any, reply: codec.Reply, expected: object) -> None:
    if isinstance(expected, type):
        with pytest.raises(expected):
            codec.enquired(hold, reply)
    else:
        assert codec.enquired(hold, reply) == expected


CANCELLED: list[tuple[spec.CancelAnswer | None, object]] = [
    (spec.CancelAnswer(NUMBER, "N", "T1", "close"), Enquiry(Outcome.REFUSED, None, "RAIL_REFUSED", "close")),
    (spec.CancelAnswer(NUMBER, "N", "T1", "refund"), Enquiry(Outcome.REFUSED, None, "RAIL_REFUSED", "refund")),
    (spec.CancelAnswer(NUMBER, "N"), Enquiry(Outcome.NEVER_SEEN)),
    (spec.CancelAnswer(NUMBER, "Y"), Enquiry(Outcome.WORKING)),
    (spec.CancelAnswer("OTHER", "N"), RailSilent),
    (None, RailSilent),
]


@pytest.mark.parametrize(("answer", "expected"), CANCELLED)
def test_what_an_answer_to_a_cancel_means(answer: spec.CancelAnswer | None, expected: object) -> None:
    reply = codec.Reply(OK if answer else spec.Result("40004", "", "ACQ.SYSTEM_ERROR"), answer)
    if isinstance(expected, type):
        with pytest.raises(expected):
            codec.cancelled(SHOWN, reply)
    else:
        assert codec.cancelled(SHOWN, reply) == expected


def test_amounts_of_the_rail() -> None:
    for amount_minor, fine in ((1, True), (AMOUNT_MINOR_MAX, True), (AMOUNT_MINOR_MAX + 1, False)):
        hold = hold_to(Scheme.ALIPAY_LOGIN, "13800138000", amount_minor)
        if fine:
            assert codec.prepare_of(hold).record.trans_amount_minor == amount_minor
        else:
            with pytest.raises(RailRejected):
                codec.prepare_of(hold)
