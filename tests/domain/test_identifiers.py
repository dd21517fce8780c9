"""Identifiers: every vector, and tables for what the vectors leave out."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.identifiers import (
    parse_account,
    parse_alipay_login,
    parse_alipay_user,
    parse_bank_account,
    parse_cnaps_code,
    parse_ecny_wallet_id,
    parse_fps_email,
    parse_fps_id,
    parse_fps_mobile,
    parse_hk_clearing_code,
    parse_max35text,
    parse_participant_id,
    parse_payment_code,
    parse_pboc_institution_id,
    parse_request_id,
    parse_uetr,
)
from switch.domain.party import Scheme
from switch.errors import InvalidValue
from tests.vectors import Vector, vectors

PARSERS: dict[str, Callable[[str], str]] = {
    "uetr": parse_uetr,
    "max35text": parse_max35text,
    "fps_proxy_mobile": parse_fps_mobile,
    "fps_proxy_email": parse_fps_email,
    "fps_id": parse_fps_id,
    "hk_clearing_code": parse_hk_clearing_code,
    "cnaps_code": parse_cnaps_code,
    "pboc_institution_id": parse_pboc_institution_id,
    "ecny_wallet_id": parse_ecny_wallet_id,
}

CASES = """
# kind           text                                   outcome
  uetr           EB6305C9-1F7F-49DE-AED0-16487C27B42D   FORMAT
  uetr           eb6305c9-1f7f-19de-aed0-16487c27b42d   VERSION
  uetr           00000000-0000-0000-0000-000000000000   VERSION
  max35text      ␣leading                               SPACE
  max35text      trailing␣                              SPACE
  max35text      two␣␣spaces                            OK
  max35text      123456789012345678901234567890123456   LENGTH
  max35text      参考编号                                OK
  request_id     aZ09._-                                OK
  request_id     a{b}                                   FORMAT
  participant    GW_HKFPS                               OK
  participant    BANK9                                  OK
  participant    bank9                                  FORMAT
  participant    ABCDEFGHIJKLMNOPQ                      LENGTH
  mobile         +852-21234567                          NOT_MOBILE
  mobile         +86-12345678901                        NOT_MOBILE
  mobile         +1-2025550123                          OK
  mobile         +1-12345                               FORMAT
  email          First.Last+tag@bank.com.hk             OK
  email          a..b@bank.hk                           FORMAT
  email          a@-bank.hk                             FORMAT
  email          a@bank.h                               FORMAT
  fps_id         12345678                               LENGTH
  fps_id         123456A                                FORMAT
  fps_id         １２３４５６７                            FORMAT
  clearing       ００４                                    FORMAT
  clearing       0044                                   FORMAT
  institution    X1010411000013                         FORMAT
  institution    C101041100001                          FORMAT
  wallet         002123456789012A                       FORMAT
  alipay_user    2088123412341234                       OK
  alipay_user    2089123412341234                       PREFIX
  alipay_user    208812341234123                        LENGTH
  alipay_login   13800138000                            OK
  alipay_login   +86-13800138000                        OK_NORMALISED
  alipay_login   12800138000                            FORMAT
  alipay_login   user@example.cn                        OK
  payment_code   2512345678901234                       OK
  payment_code   300123456789012345678901               OK
  payment_code   3112345678901234                       PREFIX
  payment_code   251234567890123                        LENGTH
  payment_code   25123456789012345678901234             LENGTH
  payment_code   2512345678901A34                       FORMAT
  account        012-345-6-789012                       OK
  account        12345678901234567890123456789012345    FORMAT
  account        １２３                                    FORMAT
"""
MORE: dict[str, Callable[[str], str]] = {
    **PARSERS,
    "request_id": parse_request_id,
    "participant": parse_participant_id,
    "mobile": parse_fps_mobile,
    "email": parse_fps_email,
    "clearing": parse_hk_clearing_code,
    "institution": parse_pboc_institution_id,
    "wallet": parse_ecny_wallet_id,
    "alipay_user": parse_alipay_user,
    "alipay_login": parse_alipay_login,
    "payment_code": parse_payment_code,
    "account": parse_bank_account,
}


def verdict(parse: Callable[[str], str], text: str) -> str:
    try:
        return "OK" if parse(text) == text else "OK_NORMALISED"
    except InvalidValue as error:
        fault = error
    assert not text or text not in str(fault), "the text of an error never holds the value"
    return fault.rule


@pytest.mark.parametrize("vector", vectors(*PARSERS), ids=lambda vector: f"{vector.kind}:{vector.input!r}"[:60])
def test_vector(vector: Vector) -> None:
    assert verdict(PARSERS[vector.kind], vector.input) == vector.reason


@pytest.mark.parametrize("line", [line for line in CASES.splitlines() if line.strip() and not line.startswith("#")])
def test_table(line: str) -> None:
    kind, text, outcome = line.split()
    assert verdict(MORE[kind], text.replace("␣", " ")) == outcome


def test_empty_is_refused_everywhere() -> None:
    for parse in MORE.values():
        with pytest.raises(InvalidValue):
            parse("")


@pytest.mark.parametrize("vector", vectors("payment_barcode"), ids=lambda vector: str(vector.input)[:30])
def test_shown_codes_of_other_wallets_are_refused(vector: Vector) -> None:
    ours = vector.valid and vector.notes.endswith("rail=ALIPAY")
    assert (verdict(parse_payment_code, vector.input) == "OK") == ours


@pytest.mark.parametrize("scheme", Scheme)
def test_every_scheme_has_a_parser_and_it_is_idempotent(scheme: Scheme) -> None:
    sample = {
        Scheme.ACCOUNT: "012-345-6-789012",
        Scheme.MOBILE: "+852-61234567",
        Scheme.EMAIL: "a@b.hk",
        Scheme.FPS_ID: "1234567",
        Scheme.WALLET_ID: "0021234567890123",
        Scheme.ALIPAY_LOGIN: "13800138000",
        Scheme.ALIPAY_USER: "2088123412341234",
        Scheme.PAYMENT_CODE: "2512345678901234",
    }[scheme]
    assert parse_account(scheme, parse_account(scheme, sample)) == sample


@given(st.sampled_from(Scheme), st.text(max_size=70))
def test_any_text_gets_a_verdict_and_canonical_text_is_ascii(scheme: Scheme, text: str) -> None:
    try:
        canonical = parse_account(scheme, text)
    except InvalidValue:
        return
    assert canonical.isascii()
    assert parse_account(scheme, canonical) == canonical


@given(st.text(alphabet="0123456789", min_size=11, max_size=11))
def test_cnaps_has_one_check_digit(body: str) -> None:
    assert sum(verdict(parse_cnaps_code, body + check) == "OK" for check in "0123456789") == 1
