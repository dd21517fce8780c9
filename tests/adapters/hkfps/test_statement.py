"""The end-of-day statement of FPS: its schema, both directions, and every damage refused with its place."""

from pathlib import Path

import pytest
from hypothesis import given
from pyiso20022.camt import camt_053_001_02
from pyiso20022.head.head_001_001_01 import AppHdr

from adapters.hkfps import RAIL
from adapters.kit.push_codec import ISO_REASONS
from adapters.kit.statement import Statement, StatementLine
from switch.domain.money import Asset
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError
from tests.adapters.statement_cases import DAY, UETRS, assert_statement_golden, at, changed, damage_of, statements
from tests.iso20022 import assert_valid, part

GOLDEN = Path(__file__).with_name("golden") / "statement"
HKD, CNY = "camt053-999-20261125-HKD.xml", "camt053-999-20261125-CNY.xml"
DONE, REFUSED, REVERSED = LineStatus.DONE, LineStatus.REFUSED, LineStatus.REVERSED
LINES = (
    StatementLine(UETRS[0], Asset.HKD, 123_45, DONE, "ACSC", "FPS000000000001", at("00:00:00")),
    StatementLine(UETRS[1], Asset.HKD, -500_00, DONE, "ACSC", "FPS000000000002", at("09:30:00")),
    StatementLine(UETRS[2], Asset.HKD, 77_00, REFUSED, "AC04", "", at("10:00:01")),
    StatementLine(UETRS[3], Asset.CNH, 8_00, DONE, "ACSC", "FPS000000000003", at("12:00:00")),
    StatementLine(UETRS[3], Asset.CNH, -8_00, REVERSED, "ACSC", "FPS000000000004", at("23:59:59")),
)
STATEMENT = Statement(RAIL.institution, DAY, LINES, {Asset.HKD: 1_000_00})
FILES = RAIL.statement.write(STATEMENT)


def test_golden() -> None:
    assert_statement_golden(GOLDEN, FILES)
    assert RAIL.statement.read(FILES, RAIL.institution, DAY) == STATEMENT


@given(statements(RAIL, "ACSC", tuple(ISO_REASONS)))
def test_a_statement_keeps_its_schema_and_comes_back(statement: Statement) -> None:
    files = RAIL.statement.write(statement)
    assert RAIL.statement.read(files, RAIL.institution, DAY) == statement
    for message in files.values():
        assert_valid(part(message, "Document"), camt_053_001_02.Document)
        assert_valid(part(message, "AppHdr"), AppHdr)


def test_an_indented_statement_is_the_same() -> None:
    files = {name: data.replace(b"><", b">\n  <") for name, data in FILES.items()}
    assert RAIL.statement.read(files, RAIL.institution, DAY) == STATEMENT


_STMT = "FpsPylds/BizData/Document/BkToCstmrStmt/Stmt"
DAMAGE = [
    # every figure that is said twice: counts, sums, balances
    ("<NbOfNtries>3<", "<NbOfNtries>2<", f"{HKD}/{_STMT}/TxsSummry/TtlNtries/NbOfNtries MISMATCH"),
    ("<Sum>700.45<", "<Sum>700.44<", f"{HKD}/{_STMT}/TxsSummry/TtlNtries/Sum MISMATCH"),
    ("<TtlNetNtryAmt>299.55<", "<TtlNetNtryAmt>299.54<", f"{HKD}/{_STMT}/TxsSummry/TtlNtries/TtlNetNtryAmt MISMATCH"),
    ("<NbOfNtries>1<", "<NbOfNtries>0<", f"{HKD}/{_STMT}/TxsSummry/TtlCdtNtries/NbOfNtries MISMATCH"),
    ("<Sum>500.00<", "<Sum>501.00<", f"{HKD}/{_STMT}/TxsSummry/TtlCdtNtries/Sum MISMATCH"),
    ("<NbOfNtries>2<", "<NbOfNtries>1<", f"{HKD}/{_STMT}/TxsSummry/TtlDbtNtries/NbOfNtries MISMATCH"),
    ("<Sum>200.45<", "<Sum>200.46<", f"{HKD}/{_STMT}/TxsSummry/TtlDbtNtries/Sum MISMATCH"),
    (">1000.00<", ">1000.01<", f"{HKD}/Bal[2]/Amt MISMATCH"),
    (">623.45<", ">623.46<", f"{HKD}/Bal[2]/Amt MISMATCH"),
    ("<Cd>OPBD</Cd>", "<Cd>CLBD</Cd>", f"{HKD}/Bal[1] MISMATCH"),
    ("<Dt><Dt>2026-11-25<", "<Dt><Dt>2026-11-24<", f"{HKD}/Bal[1] MISMATCH"),
    # the entries
    (">123.45<", ">123.46<", f"{HKD}/{_STMT}/TxsSummry/TtlNtries/Sum MISMATCH"),
    (">123.45<", ">1e2<", f"{HKD}/Ntry[1]/Amt FORMAT"),
    ("<Sts>INFO<", "<Sts>BOOK<", f"{HKD}/Bal[2]/Amt MISMATCH"),
    ("<Sts>BOOK<", "<Sts>INFO<", f"{HKD}/Bal[2]/Amt MISMATCH"),
    ("<Sts>BOOK<", "<Sts>PDNG<", f"{HKD}/Ntry[1]/Sts CODE"),
    ("2026-11-25T09:30:00.000", "2026-11-26T09:30:00.000", f"{HKD}/Ntry[2]/BookgDt/DtTm DAY"),
    ("0f1e2d3c4b5a46978897a6b5c4d3e2f1", "0f1e2d3c4b5a16978897a6b5c4d3e2f1", f"{HKD}/Ntry[2]/NtryDtls/TxDtls/Refs/TxId UETR"),
    ("<RtrInf><Rsn><Prtry>AC04</Prtry></Rsn></RtrInf>", "", f"{HKD}/Ntry[3]/Sts MISMATCH"),
    ("<Cd>PAYC01</Cd>", "<Cd>PAYC02</Cd>", f"{HKD}/Ntry[1]/BkTxCd/Prtry/Cd CONST"),
    ("<Ntry>", '<Ntry><X xmlns="">1</X>', f"{HKD}/Ntry[1] UNKNOWN"),
    ("</Ntry><Ntry>", "</Ntry>and<Ntry>", f"{HKD}/Ntry PLACE"),
    ("</Ntry></Stmt>", "</Ntry><Ntry></Stmt>", f"{HKD}/Ntry PLACE"),
    # what could hide an entry, or reach outside
    ("<Ntry>", "<!-- <Ntry>", f"{HKD}/ MARKUP"),
    ("<FpsMsg", "<!DOCTYPE x><FpsMsg", f"{HKD}/ MARKUP"),
    ("<FpsMsg", "<?x y?><FpsMsg", f"{HKD}/ MARKUP"),
    # whose and which it is
    ("<Id>999</Id>", "<Id>998</Id>", f"{HKD}/{_STMT}/Acct/Id/Othr/Id MISMATCH"),
    ("<PgNb>1<", "<PgNb>2<", f"{HKD}/FpsPylds/BizData/Document/BkToCstmrStmt/GrpHdr/MsgPgntn/PgNb MISMATCH"),
    ("<FrDtTm>2026-11-25", "<FrDtTm>2026-11-24", f"{HKD}/{_STMT}/FrToDt/FrDtTm MISMATCH"),
    ("<Ccy>HKD</Ccy>", "<Ccy>CNY</Ccy>", f"{HKD}/{_STMT}/Acct/Ccy MISMATCH"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "refused"), DAMAGE, ids=[old for old, _, _ in DAMAGE])
def test_damage_is_refused_with_its_place(old: str, new: str, refused: str) -> None:
    assert damage_of(RAIL, changed(FILES, HKD, old, new)) == refused


def test_an_entry_in_another_currency_is_refused() -> None:
    moved = changed(FILES, CNY, 'Ccy="CNY">8.00<', 'Ccy="HKD">8.00<')
    assert damage_of(RAIL, moved) == f"{CNY}/Ntry[1]/Amt/@Ccy MISMATCH"


def test_an_entry_that_is_gone_or_stands_twice_is_refused() -> None:
    entry = FILES[HKD].index(b"<Ntry>"), FILES[HKD].index(b"</Ntry>") + len(b"</Ntry>")
    first = FILES[HKD][slice(*entry)].decode()
    for other in ("", first * 2):
        assert damage_of(RAIL, changed(FILES, HKD, first, other)).endswith("TtlNtries/NbOfNtries MISMATCH")


def test_files_and_days_are_the_ones_asked_for() -> None:
    assert damage_of(RAIL, {HKD: FILES[HKD]}) == f"{CNY} MISSING"
    assert damage_of(RAIL, {**FILES, "more.xml": b""}) == "more.xml UNKNOWN"
    assert damage_of(RAIL, {HKD: FILES[CNY], CNY: FILES[HKD]}).startswith(f"{HKD}/")
    assert damage_of(RAIL, FILES, DAY.replace(day=26)) == "camt053-999-20261126-CNY.xml MISSING"
    assert damage_of(RAIL, FILES, institution="998") == "camt053-998-20261125-CNY.xml MISSING"


@pytest.mark.parametrize("end", [0, 1, 100, -1, -500, -1500])
def test_a_file_that_is_cut_short_is_refused(end: int) -> None:
    assert damage_of(RAIL, {**FILES, HKD: FILES[HKD][:end]}).startswith(HKD)


def test_a_booking_has_no_other_word_than_that_it_is_settled() -> None:
    line = LINES[0]._replace(code="ACCP")
    with pytest.raises(CodecError, match="CODE"):
        RAIL.statement.write(Statement(RAIL.institution, DAY, (line,), {}))
