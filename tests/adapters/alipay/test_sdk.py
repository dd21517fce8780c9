"""A client we did not write: python-alipay-sdk pays, queries, cancels and refunds against the mock rail.

It signs with the app's key, sends by GET, checks the rail's signature itself, and takes its timestamp from the local
clock of the machine, so the tests run it in China time.
"""

import asyncio
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alipay import AliPay
from alipay.exceptions import AliPayException, AliPayValidationError

from adapters.alipay import RAIL
from tests.adapters.alipay.cases import Running

CODE = "280000000000000001"


@pytest.fixture
def china_time() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Shanghai"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def sdk(pair: Running, keys_dir: Path, china_time: None) -> AliPay:
    client = AliPay(
        appid=RAIL.institution,
        app_private_key_string=(keys_dir / "app_private.pem").read_text(),
        alipay_public_key_string=(keys_dir / "rail_public.pem").read_text(),
        sign_type="RSA2",
    )
    client._gateway = f"http://127.0.0.1:{pair.simulator.port}/gateway.do"
    return client


def _number() -> str:
    return f"sdk_{uuid.uuid4().hex}"


async def _call(method: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await asyncio.to_thread(method, *args, **kwargs)
    return answer


async def test_pay_query_refund(pair: Running, sdk: AliPay) -> None:
    number = _number()
    paid = await _call(sdk.api_alipay_trade_pay, number, "bar_code", CODE, "茶", total_amount=12.5)
    assert (paid["code"], paid["total_amount"], paid["out_trade_no"]) == ("10000", "12.50", number)
    assert paid["buyer_user_id"] == "2088000000000001"
    again = await _call(sdk.api_alipay_trade_pay, number, "bar_code", CODE, "茶", total_amount=12.5)
    assert again == paid

    found = await _call(sdk.api_alipay_trade_query, out_trade_no=number)
    assert (found["trade_status"], found["trade_no"]) == ("TRADE_SUCCESS", paid["trade_no"])

    part = await _call(sdk.api_alipay_trade_refund, "2.50", out_trade_no=number, out_request_no="R1")
    assert (part["fund_change"], part["refund_fee"]) == ("Y", "2.50")
    repeat = await _call(sdk.api_alipay_trade_refund, "2.50", out_trade_no=number, out_request_no="R1")
    assert (repeat["fund_change"], repeat["refund_fee"]) == ("N", "2.50")
    too_much = await _call(sdk.api_alipay_trade_refund, "10.01", out_trade_no=number, out_request_no="R2")
    assert (too_much["code"], too_much["sub_code"]) == ("40004", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
    rest = await _call(sdk.api_alipay_trade_refund, "10.00", trade_no=paid["trade_no"], out_request_no="R3")
    assert rest["refund_fee"] == "12.50"
    assert (await _call(sdk.api_alipay_trade_query, trade_no=paid["trade_no"]))["trade_status"] == "TRADE_CLOSED"
    assert sum(line.amount_minor for line in pair.simulator.desk.books.lines) == 0


async def test_cancel_gives_back_what_was_paid(pair: Running, sdk: AliPay) -> None:
    number = _number()
    await _call(sdk.api_alipay_trade_pay, number, "bar_code", CODE, "tea", total_amount="1.00")
    for _ in range(2):
        cancelled = await _call(sdk.api_alipay_trade_cancel, out_trade_no=number)
        assert (cancelled["code"], cancelled["retry_flag"], cancelled["action"]) == ("10000", "N", "refund")
    assert (await _call(sdk.api_alipay_trade_query, out_trade_no=number))["trade_status"] == "TRADE_CLOSED"
    late = await _call(sdk.api_alipay_trade_pay, number, "bar_code", CODE, "tea", total_amount="1.00")
    assert late["sub_code"] == "ACQ.TRADE_HAS_CLOSE"
    assert sum(line.amount_minor for line in pair.simulator.desk.books.lines) == 0


async def test_cancel_closes_what_waits_for_its_payer(pair: Running, sdk: AliPay) -> None:
    number = _number()
    waiting = await _call(
        sdk.api_alipay_trade_pay, number, "bar_code", "280000000000000007", "tea", total_amount="1.00"
    )
    assert waiting["code"] == "10003"
    assert (await _call(sdk.api_alipay_trade_query, out_trade_no=number))["trade_status"] == "WAIT_BUYER_PAY"
    assert (await _call(sdk.api_alipay_trade_cancel, out_trade_no=number))["action"] == "close"
    assert pair.simulator.desk.books.lines == []


async def test_cancel_of_a_number_that_never_came(sdk: AliPay) -> None:
    number = _number()
    cancelled = await _call(sdk.api_alipay_trade_cancel, out_trade_no=number)
    assert (cancelled["code"], cancelled["retry_flag"]) == ("10000", "N")
    assert "action" not in cancelled
    unknown = await _call(sdk.api_alipay_trade_cancel, trade_no="2026000000000000000000000000")
    assert unknown["sub_code"] == "ACQ.TRADE_NOT_EXIST"


# what is asked                                              the rail's word
REFUSED = """
  auth_code=280000000000000099                               ACQ.PAYMENT_AUTH_CODE_INVALID
  auth_code=280000000000000003                               ACQ.BUYER_ENABLE_STATUS_FORBID
  auth_code=280000000000000002 total_amount=50.01            ACQ.BUYER_BALANCE_NOT_ENOUGH
  total_amount=100000000.01                                  ACQ.TOTAL_FEE_EXCEED
  out_trade_no=with-hyphen                                   ACQ.INVALID_PARAMETER
  auth_code=12                                               isv.invalid-parameter
  total_amount=1.001                                         isv.invalid-parameter
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
async def test_refusals(sdk: AliPay, line: str) -> None:
    *changes, word = line.split()
    asked = {
        "out_trade_no": _number(),
        "scene": "bar_code",
        "auth_code": CODE,
        "subject": "tea",
        "total_amount": "1.00",
    }
    asked |= dict(change.split("=") for change in changes)
    answer = await _call(sdk.api_alipay_trade_pay, **asked)
    assert answer["sub_code"] == word
    again = await _call(sdk.api_alipay_trade_pay, **asked)
    assert again == answer


async def test_queries_of_nothing(sdk: AliPay) -> None:
    assert (await _call(sdk.api_alipay_trade_query, out_trade_no="nothing"))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    refund = await _call(sdk.api_alipay_trade_refund, "1.00", out_trade_no="nothing")
    assert refund["sub_code"] == "ACQ.TRADE_NOT_EXIST"


async def test_a_bad_signature_of_the_rail_is_seen_by_the_sdk_too(pair: Running, sdk: AliPay) -> None:
    pair.fault("bad_signature", count=1)
    with pytest.raises(AliPayValidationError):
        await _call(sdk.api_alipay_trade_pay, _number(), "bar_code", CODE, "tea", total_amount="1.00")


async def test_a_method_the_rail_does_not_serve(sdk: AliPay) -> None:
    with pytest.raises(AliPayException, match="invalid-method"):
        await _call(sdk.server_api, "alipay.trade.precreate", {"out_trade_no": "1"})


async def test_a_request_in_another_time_zone_is_too_old_or_too_young(sdk: AliPay) -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    answer = await _call(sdk.api_alipay_trade_query, out_trade_no="nothing")
    assert (answer["code"], answer["sub_code"]) == ("40002", "isv.invalid-timestamp")
