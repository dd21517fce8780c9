"""The end-of-day statement of Easy Transfer: its schema, both directions, and damage; the rest as for every ISO rail."""

from pathlib import Path

import pytest
from hypothesis import given
from pyiso20022.camt import camt_053_001_08
from pyiso20022.head.head_001_001_02 import AppHdr

from adapters.kit.push_codec import ISO_REASONS
from adapters.kit.statement import Statement, StatementLine
from adapters.mofps import RAIL
from switch.domain.money import Asset
from switch.domain.reconciliation import LineStatus
from tests.adapters.statement_cases import DAY, UETRS, assert_statement_golden, at, changed, damage_of, statements
from tests.iso20022 import assert_valid, part

GOLDEN = Path(__file__).with_name("golden") / "statement"
MOP, HKD = "camt053-999-20261125-MOP.xml", "camt053-999-20261125-HKD.xml"
DONE, REFUSED, REVERSED = LineStatus.DONE, LineStatus.REFUSED, LineStatus.REVERSED
LINES = (
    StatementLine(UETRS[0], Asset.MOP, 105_06, DONE, "ACSC", "MOET000000000001", at("00:00:00")),
    StatementLine(UETRS[1], Asset.HKD, -30_00, DONE, "ACSC", "MOET000000000002", at("08:00:00")),
    StatementLine(UETRS[2], Asset.MOP, 9_00, REFUSED, "BE23", "", at("08:00:01")),
    StatementLine(UETRS[0], Asset.MOP, -105_06, REVERSED, "ACSC", "MOET000000000003", at("23:59:59")),
)
STATEMENT = Statement(RAIL.institution, DAY, LINES, {Asset.MOP: -20_00})
FILES = RAIL.statement.write(STATEMENT)


def test_golden() -> None:
    assert_statement_golden(GOLDEN, FILES)
    assert RAIL.statement.read(FILES, RAIL.institution, DAY) == STATEMENT


@given(statements(RAIL, "ACSC", tuple(ISO_REASONS)))
def test_a_statement_keeps_its_schema_and_comes_back(statement: Statement) -> None:
    files = RAIL.statement.write(statement)
    assert RAIL.statement.read(files, RAIL.institution, DAY) == statement
    for message in files.values():
        assert_valid(part(message, "Document"), camt_053_001_08.Document)
        assert_valid(part(message, "AppHdr"), AppHdr)


_SUMMARY = f"{MOP}/Document/BkToCstmrStmt/Stmt/TxsSummry"
DAMAGE = [
    ("<NbOfNtries>3<", "<NbOfNtries>4<", f"{_SUMMARY}/TtlNtries/NbOfNtries MISMATCH"),
    ("<Sum>219.12<", "<Sum>219.13<", f"{_SUMMARY}/TtlNtries/Sum MISMATCH"),
    ("<Amt>9.00</Amt>", "<Amt>9.01</Amt>", f"{_SUMMARY}/TtlNtries/TtlNetNtry/Amt MISMATCH"),
    (
        "</Amt><CdtDbtInd>DBIT</CdtDbtInd></TtlNetNtry>",
        "</Amt><CdtDbtInd>CRDT</CdtDbtInd></TtlNetNtry>",
        f"{_SUMMARY}/TtlNtries/TtlNetNtry/CdtDbtInd MISMATCH",
    ),
    ('"MOP">105.06<', '"MOP">105.05<', f"{_SUMMARY}/TtlNtries/Sum MISMATCH"),
    ("<Cd>INFO</Cd>", "<Cd>BOOK</Cd>", f"{MOP}/Bal[2]/Amt MISMATCH"),
    (">20.00<", ">20.01<", f"{MOP}/Bal[2]/Amt MISMATCH"),
    ("<RvslInd>true<", "<RvslInd>false<", f"{MOP}/Ntry[3]/RvslInd CODE"),
    (UETRS[2], UETRS[2].upper(), f"{MOP}/Ntry[2]/NtryDtls/TxDtls/Refs/UETR FORMAT"),
    ("<LastPgInd>false<", "<LastPgInd>true<", f"{MOP}/Document/BkToCstmrStmt/GrpHdr/MsgPgntn/LastPgInd MISMATCH"),
]


@pytest.mark.parametrize(("old", "new", "refused"), DAMAGE, ids=[old for old, _, _ in DAMAGE])
def test_damage_is_refused_with_its_place(old: str, new: str, refused: str) -> None:
    assert damage_of(RAIL, changed(FILES, MOP, old, new)) == refused


def test_a_currency_that_was_lost_is_missed() -> None:
    assert damage_of(RAIL, {MOP: FILES[MOP]}) == f"{HKD} MISSING"
