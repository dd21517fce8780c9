"""The rail's words and ours: every word has a reason, every unknown word is doubt."""

import pytest

from adapters.alipay import RAIL, rules, spec
from adapters.alipay.rules import Meaning, code_of, meaning_of, reason_of
from adapters.alipay.simulator import SEED
from adapters.kit.module import RailModule
from adapters.kit.seed import load_seed
from adapters.wire.spec import Field, Kind
from switch.errors import REASONS
from switch.ports import Outcome
from tests.vectors import Vector, vectors

# code   sub_code                       meaning
MEANINGS = """
  10000  -                              DONE
  10003  -                              WORKING
  20000  isp.unknow-error               DOUBT
  20000  ACQ.AUTH_NO_ERROR              DOUBT
  20001  invalid-auth-token             DOUBT
  40001  isv.missing-signature          REFUSED
  40002  isv.invalid-signature          REFUSED
  40002  isv.invalid-timestamp          REFUSED
  40002  isv.never-heard                DOUBT
  40002  ACQ.AUTH_NO_ERROR              DOUBT
  40004  ACQ.AUTH_NO_ERROR              REFUSED
  40004  PAYEE_NOT_EXIST                REFUSED
  40004  ACQ.TRADE_HAS_SUCCESS          WORKING
  40004  ACQ.TRADE_NOT_EXIST            NEVER_SEEN
  40004  ORDER_NOT_EXIST                NEVER_SEEN
  40002  ORDER_NOT_EXIST                DOUBT
  40004  SYSTEM_ERROR                   DOUBT
  40004  ACQ.SYSTEM_ERROR               DOUBT
  40004  REQUEST_PROCESSING             DOUBT
  40004  A_WORD_OF_TOMORROW             DOUBT
  40004  isv.invalid-signature          DOUBT
  40004  -                              DOUBT
  40005  isv.app-call-limited           REFUSED
  99999  PAYEE_NOT_EXIST                DOUBT
"""


@pytest.mark.parametrize("line", MEANINGS.strip().splitlines())
def test_meaning(line: str) -> None:
    code, sub_code, meaning = line.split()
    assert meaning_of(code, sub_code.strip("-")) is Meaning[meaning]


def test_every_word_is_a_refusal_under_its_own_code_with_an_iso_reason() -> None:
    for sub_code, reason in rules.SUB_CODES.items():
        assert meaning_of(code_of(sub_code)[0], sub_code) is Meaning.REFUSED, sub_code
        assert reason_of(sub_code) == reason
        assert len(REASONS[reason].iso) == 4
        assert REASONS[reason].grpc == "ABORTED"
    assert reason_of("A_WORD_OF_TOMORROW") == "RAIL_REFUSED"


def test_every_state_of_the_spec_has_an_outcome() -> None:
    stated = {
        code
        for method in spec.METHODS.values()
        for field in method.answer.fields
        if field.name in ("status", "trade_status")
        for code in field.codes
    }
    assert stated == set(rules.STATES)
    assert set(rules.STATES.values()) == {Outcome.DONE, Outcome.REFUSED, Outcome.WORKING}


@pytest.mark.parametrize("vector", vectors("payment_barcode"), ids=lambda vector: str(vector.input))
def test_payment_codes_of_the_vectors(vector: Vector) -> None:
    ours = vector.valid and "rail=ALIPAY" in vector.notes  # the others are codes of other wallets, or of none
    assert (rules.AUTH_CODE.fullmatch(vector.input) is not None) == ours


def test_a_table_that_is_wrong_fails_at_import() -> None:
    text = Field("a", "a", Kind.ASCII)
    record = spec.TransferQueryRequest
    for fields in (
        (text,),
        (Field("out_biz_no", "x/y/z", Kind.ASCII),),
        (Field("out_biz_no", "x", Kind.CODE),),
        (Field("out_biz_no", "x", Kind.UETR),),
        (Field("out_biz_no", "x", Kind.ASCII), Field("c", "x", Kind.ASCII, const="c")),
    ):
        with pytest.raises(AssertionError):
            spec.Body("broken", record, *fields)


def test_the_module_and_its_seed() -> None:
    assert isinstance(RAIL, RailModule)
    assert rules.MAINLAND_MOBILE.fullmatch("13800138000")
    books = load_seed(SEED)
    assert all(rules.USER_ID.fullmatch(account.number) for account in books.accounts.values())
    for kind, value in books._proxies:
        pattern = rules.AUTH_CODE if kind == "CODE" else rules.EMAIL if "@" in value else rules.MAINLAND_MOBILE
        assert pattern.fullmatch(value), (kind, value)
