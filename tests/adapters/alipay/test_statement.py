"""The account bill: its form, both directions, and every damage refused with its line and column."""

from pathlib import Path

import pytest
from hypothesis import given

from adapters.alipay import RAIL
from adapters.alipay.statement import key_of
from adapters.kit.statement import Statement, StatementLine
from switch.domain.money import Asset
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError
from tests.adapters.statement_cases import DAY, UETRS, assert_statement_golden, at, changed, damage_of, statements

GOLDEN = Path(__file__).with_name("golden") / "statement"
NAME = "2021000000000001_20261125_账务明细.csv"
DONE, REFUSED, REVERSED = LineStatus.DONE, LineStatus.REFUSED, LineStatus.REVERSED
LINES = (
    StatementLine(UETRS[0], Asset.CNY, 91_20, DONE, "10000", "2026112511007000000000000001", at("00:00:00")),
    StatementLine(UETRS[1], Asset.CNY, -50_00, DONE, "10000", "2026112521001004000000000002", at("09:30:00")),
    StatementLine(UETRS[1], Asset.CNY, 20_00, REVERSED, "10000", "2026112521001004000000000002", at("09:31:00")),
    StatementLine("no:ORDER_1", Asset.CNY, 1, DONE, "10000", "2026112511007000000000000003", at("23:59:59")),
)
STATEMENT = Statement(RAIL.institution, DAY, LINES, {Asset.CNY: -1_000_00})
FILES = RAIL.statement.write(STATEMENT)


def test_golden() -> None:
    assert_statement_golden(GOLDEN, FILES)
    assert RAIL.statement.read(FILES, RAIL.institution, DAY) == STATEMENT


@given(statements(RAIL, "10000", (), r"[0-9]{1,64}"))
def test_a_bill_comes_back(statement: Statement) -> None:
    read = RAIL.statement.read(RAIL.statement.write(statement), RAIL.institution, DAY)
    assert read.lines == statement.lines
    if statement.lines:  # a bill without a row says no balance
        assert read.opening_minor == statement.opening_minor


def test_what_was_refused_is_in_no_bill() -> None:
    refused = LINES[0]._replace(uetr=UETRS[5], status=REFUSED, code="PAYEE_NOT_EXIST")
    assert RAIL.statement.write(STATEMENT._replace(lines=(*LINES, refused))) == FILES
    assert not RAIL.statement.refusals


def test_a_number_is_the_uetr_without_hyphens() -> None:
    assert f",{UETRS[0].replace('-', '')}\t,".encode() in FILES[NAME]
    assert key_of(UETRS[0].replace("-", "")) == UETRS[0]
    assert key_of("ORDER_1") == "no:ORDER_1"


DAMAGE = [
    # totals, their counts, the running balance
    ("#支出合计：3笔", "#支出合计：2笔", "line[11] MISMATCH"),
    ("共-111.21元", "共-111.20元", "line[11] MISMATCH"),
    ("#收入合计：1笔", "#收入合计：0笔", "line[12] MISMATCH"),
    ("共50.00元", "共51.00元", "line[12] MISMATCH"),
    (",908.80,", ",908.81,", "line[7]/账户余额（元） MISMATCH"),
    (",958.80,", ",958.79,", "line[7]/账户余额（元） MISMATCH"),
    (",938.79,", ",938.78,", "line[9]/账户余额（元） MISMATCH"),
    (",-91.20,", ",-91.21,", "line[11] MISMATCH"),
    (",50.00,", ",50.01,", "line[7]/账户余额（元） MISMATCH"),
    # rows
    (",0.00,-91.20,", ",0.00,91.20,", "line[6]/收入金额（+元） SIGN"),
    (",0.00,-91.20,", ",0.00,0.00,", "line[6]/收入金额（+元） SIGN"),
    (",-91.20,", ",-91.2,", "line[6]/支出金额（-元） FORMAT"),
    ("转账", "在线支付", "line[6]/业务类型 CODE"),
    ("支付宝,转账", "银联,转账", "line[6]/业务类型 CODE"),
    ("2026112500000002", "2026112500000001", "line[7]/账务流水号 TWICE"),
    ("2026-11-25 09:30:00", "2026-11-26 09:30:00", "line[7]/发生时间 DAY"),
    ("2026-11-25 09:30:00", "2026-11-25 25:30:00", "line[7]/发生时间 FORMAT"),
    (",ORDER_1\t", ",ORDER-1\t", "line[9]/商户订单号 FORMAT"),
    (",支付宝,转账,\r\n", ",支付宝,转账\r\n", "line[6] COLUMNS"),
    # head and end
    ("#账号：[2021000000000001]", "#账号：[2021000000000002]", "line[2] MISMATCH"),
    ("起始日期：[2026年11月25日", "起始日期：[2026年11月24日", "line[3] MISMATCH"),
    ("账务流水号,业务流水号", "业务流水号,账务流水号", "line[5] MISMATCH"),
    ("账务明细列表结束", "账务明细列表完", "line[14] MISSING"),
    ("#导出时间：[2026年11月26日 00:00:00]", "#导出时间：", "line[13] FORMAT"),
    ("#支付宝账务明细查询\r\n", "#支付宝账务明细查询\n", "line[1] MISMATCH"),
]


@pytest.mark.parametrize(("old", "new", "refused"), DAMAGE, ids=[str(place) for place in range(len(DAMAGE))])
def test_damage_is_refused_with_its_place(old: str, new: str, refused: str) -> None:
    assert damage_of(RAIL, changed(FILES, NAME, old, new, "gbk")) == f"{NAME}/{refused}"


def test_a_row_that_is_gone_or_stands_twice_is_refused() -> None:
    rows = FILES[NAME].split(b"\r\n")
    for place in range(5, 9):
        for other in (rows[:place] + rows[place + 1 :], rows[: place + 1] + rows[place:]):
            assert damage_of(RAIL, {NAME: b"\r\n".join(other)}).startswith(f"{NAME}/line[")


def test_a_bill_that_is_cut_short_is_refused() -> None:
    for end in range(0, len(FILES[NAME]) - 1, 7):
        assert damage_of(RAIL, {NAME: FILES[NAME][:end]}).startswith(NAME)


def test_files_and_days_are_the_ones_asked_for() -> None:
    assert damage_of(RAIL, {}) == f"{NAME} MISSING"
    assert damage_of(RAIL, {NAME: FILES[NAME].decode("gbk").encode()}).startswith(NAME)
    renamed = {NAME.replace("25", "26"): FILES[NAME]}
    assert damage_of(RAIL, renamed, DAY.replace(day=26)).endswith("line[3] MISMATCH")


def test_a_movement_has_no_other_word_than_that_it_is_one() -> None:
    with pytest.raises(CodecError, match="CODE"):
        RAIL.statement.write(STATEMENT._replace(lines=(LINES[0]._replace(code="10003"),)))
