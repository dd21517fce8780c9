"""The summary of dcep.711 and its detail files: both directions, and a summary that is not that of its files."""

from pathlib import Path

import pytest
from hypothesis import given

from adapters.ecny import RAIL
from adapters.ecny.rules import REASON_OF, check_batch_id, check_msg_id
from adapters.ecny.signing import sm3
from adapters.kit.statement import Statement, StatementLine
from adapters.wire import parse_xml
from switch.domain.money import Asset
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError
from tests.adapters.statement_cases import DAY, UETRS, assert_statement_golden, at, changed, damage_of, statements

GOLDEN = Path(__file__).with_name("golden") / "statement"
SUMMARY = "dcep711-Z2999900000018-20261125.xml"
EARLY, LATE = "B202611250000_00_01.txt", "B202611250000_23_01.txt"
DONE, REFUSED, REVERSED = LineStatus.DONE, LineStatus.REFUSED, LineStatus.REVERSED
LINES = (
    StatementLine(UETRS[0], Asset.ECNY, 182_40, DONE, "PR00", "20261125999122500000000000001000", at("00:00:00")),
    StatementLine(UETRS[1], Asset.ECNY, 10_00, REFUSED, "R021", "20261125999122500000000000002000", at("00:00:01")),
    StatementLine(UETRS[2], Asset.ECNY, -5_00, DONE, "PR00", "20261125999122523000000000003000", at("23:00:00")),
    StatementLine(UETRS[0], Asset.ECNY, -182_40, REVERSED, "PR00", "20261125999122523000000000004000", at("23:59:59")),
)
STATEMENT = Statement(RAIL.institution, DAY, LINES, {})
FILES = RAIL.statement.write(STATEMENT)


def test_golden() -> None:
    assert_statement_golden(GOLDEN, FILES)
    assert RAIL.statement.read(FILES, RAIL.institution, DAY) == STATEMENT


@given(statements(RAIL, "PR00", tuple(REASON_OF)))
def test_a_statement_comes_back(statement: Statement) -> None:
    read = RAIL.statement.read(RAIL.statement.write(statement), RAIL.institution, DAY)
    assert read.lines == statement.lines


def test_the_hash_is_sm3_over_names_and_contents() -> None:
    content = b"".join(name.encode() + b"\n" + FILES[name] for name in (EARLY, LATE))
    assert f"<ReconIndex>0x{sm3(content).hex()}<".encode() in FILES[SUMMARY]


def test_its_ids_are_those_of_the_rail() -> None:
    chk = parse_xml(FILES[SUMMARY]).children[0]
    assert (chk.tag, chk.namespace) == ("ReconSummaryChk", "urn:cbcc:std:dcep:2020:tech:xsd:dcep.711.001.01")
    head, summary = chk.children
    check_msg_id(head.children[0].text)
    check_batch_id(summary.children[0].children[0].text)


def test_a_day_without_a_payment_is_a_summary_alone() -> None:
    empty = STATEMENT._replace(lines=())
    files = RAIL.statement.write(empty)
    assert list(files) == [SUMMARY]
    assert RAIL.statement.read(files, RAIL.institution, DAY) == empty


_CHK = "ReconSummaryChk/SummaryChkInf"
DAMAGE = [
    # the summary: of the batch, of a group, of a type and status
    ("<CntNb>4<", "<CntNb>3<", f"{_CHK}/SummaryHdr/CntNb MISMATCH"),
    ('<CntAmt Ccy="CNY">379.80<', '<CntAmt Ccy="CNY">379.81<', f"{_CHK}/SummaryHdr/CntAmt MISMATCH"),
    ("<DbtCntNb>2<", "<DbtCntNb>3<", f"{_CHK}/SummaryHdr/DbtCntNb MISMATCH"),
    ('<CdtCntAmt Ccy="CNY">187.40<', '<CdtCntAmt Ccy="CNY">187.41<', f"{_CHK}/SummaryHdr/CdtCntAmt MISMATCH"),
    ("<Nb>00</Nb><CntNb>2<", "<Nb>00</Nb><CntNb>1<", "SummaryGrp[1]/CntNb MISMATCH"),
    ("<BizSts>PR01</BizSts><CntNb>1<", "<BizSts>PR01</BizSts><CntNb>2<", "SummaryGrp[1]/ChkPayInf[2]/CntNb MISMATCH"),
    ("<BizSts>PR01<", "<BizSts>PR00<", "SummaryGrp[1]/ChkPayInf[2]/BizSts MISMATCH"),
    ("<BizSts>PR01<", "<BizSts>PR09<", "ChkPayInf[2]/BizSts CODE"),
    ("<MsgTp>dcep.801.001.01<", "<MsgTp>dcep.802.001.01<", "SummaryGrp[2]/ChkPayInf[2]/MsgTp MISMATCH"),
    ("<FileInfNb>2<", "<FileInfNb>1<", f"{_CHK}/DtlFileInf/FileInfNb MISMATCH"),
    ("<ReconIndex>0x", "<ReconIndex>1x", f"{_CHK}/ReconIndex MISMATCH"),
    ("/trade/23/", "/trade/22/", "FileInf[2]/FilePath MISMATCH"),
    ("B202611250000<", "B202611240000<", f"{_CHK}/SummaryHdr/BatchId MISMATCH"),
    ('Ccy="CNY"', 'Ccy="HKD"', f"{_CHK}/SummaryHdr/CntAmt/@Ccy CONST"),
    ("<SummaryBody>", "<SummaryBody>x", "SummaryGrp PLACE"),
    ("<ChkPayList>", "<ChkPayList><!-- -->", " MARKUP"),
    ("Z2999900000018</InstdDrctPty>", "Z2999900000019</InstdDrctPty>", "ReconSummaryChk/GrpHdr/InstdPty/InstdDrctPty MISMATCH"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "refused"), DAMAGE, ids=[old for old, _, _ in DAMAGE])
def test_damage_to_the_summary_is_refused_with_its_place(old: str, new: str, refused: str) -> None:
    assert damage_of(RAIL, changed(FILES, SUMMARY, old, new)) == f"{SUMMARY}/{refused}"


DETAIL_DAMAGE = [
    ("2|192.40", "3|192.40", "line[1] MISMATCH"),
    ("2|192.40", "2|192.41", "line[1] MISMATCH"),
    ("|182.40|", "|182.41|", "line[1] MISMATCH"),
    ("|182.40|", "|182,40|", "line[2]/amount FORMAT"),
    ("|PR01|", "|PR00|", "line[3] MISMATCH"),
    ("|dcep.225.001.01|", "|dcep.221.001.01|", "line[2] MISMATCH"),
    ("|CNY|", "|HKD|", "line[2]/currency CODE"),
    ("T00:00:01", "T01:00:01", "line[3]/time DAY"),
    ("2026-11-25T00:00:01", "2026-11-24T00:00:01", "line[3]/time DAY"),
    (UETRS[1], "a payment", "line[3]/description FORMAT"),
    ("|Z2999900000018|Z2999900000018|", "|Z2999900000018|Z2999900000019|", "line[2]/paying CODE"),
    ("|20261125999122500000000000002000|", f"|{'2' * 36}|", "line[3]/msg_id FORMAT"),
    ("|CNY|182.40|", "|182.40|", "line[2] COLUMNS"),
    ("<end>", "<end>\n<end>", "line[4] COLUMNS"),
    ("<end>\n", "", "line[4] MISSING"),
]


@pytest.mark.parametrize(
    ("old", "new", "refused"), DETAIL_DAMAGE, ids=[f"{old}>{new}" for old, new, _ in DETAIL_DAMAGE]
)
def test_damage_to_a_detail_file_is_refused_with_its_line(old: str, new: str, refused: str) -> None:
    assert damage_of(RAIL, changed(FILES, EARLY, old, new)) == f"{EARLY}/{refused}"


def test_what_no_sum_tells_the_hash_does() -> None:
    other = changed(FILES, EARLY, UETRS[0], UETRS[7])
    assert damage_of(RAIL, other) == f"{SUMMARY}/{_CHK}/ReconIndex MISMATCH"
    swapped = {**FILES, EARLY: FILES[LATE], LATE: FILES[EARLY]}
    assert damage_of(RAIL, swapped) == f"{EARLY}/line[2]/time DAY"


def test_files_are_the_ones_that_are_listed() -> None:
    assert damage_of(RAIL, {EARLY: FILES[EARLY], LATE: FILES[LATE]}) == f"{SUMMARY} MISSING"
    assert damage_of(RAIL, {SUMMARY: FILES[SUMMARY], EARLY: FILES[EARLY]}) == f"{LATE} MISSING"
    assert damage_of(RAIL, {**FILES, "more.txt": b""}) == "more.txt UNKNOWN"
    assert damage_of(RAIL, changed(FILES, SUMMARY, f"<FileName>{LATE}", f"<FileName>{EARLY}")) == f"{LATE} UNKNOWN"


@pytest.mark.parametrize("change", [{"code": "PR02"}, {"asset": Asset.CNY}])
def test_a_line_the_form_does_not_take_is_not_written(change: dict[str, object]) -> None:
    line = LINES[0]._replace(**change)  # type: ignore[arg-type]
    with pytest.raises(CodecError, match="CODE"):
        RAIL.statement.write(STATEMENT._replace(lines=(line,)))
