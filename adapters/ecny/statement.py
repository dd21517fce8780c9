"""The end-of-day statement of the digital-currency rail: the summary of dcep.711 and the detail files it lists.

Facts (rails.md D2-D4 [d1], the sample of 711 and the reader of its files in that connector): the summary counts and sums
a whole batch, its groups, and in each group every message type and status; it lists the detail files by path and name,
and closes with ReconIndex, 0x and 64 hex digits. A detail file is text: a line of count and sum, then
time|message type|MsgId|instructing|paying|receiving institution|currency|yuan|status|description, and <end>.
Ours: one batch is one day, a group is one hour, its number Nb; a debit (Dbt) is what the institution pays; ReconIndex is
SM3 over names and contents of the files; the description carries the UETR, as Rmk does in our messages, and behind it
the RjctCd of a refusal; the centre stands for the wallets' operators. Message type 225 is a payment to a wallet, 221 one
from it, 801 takes one back. The real files lie in sealed archives (.zip.sec); these are what is in them. Header and
signature belong to the link, so the summary is the body alone.
Read back, the summary is made again from the detail files and must be the one that came.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from adapters.ecny.details import detail_name, hour_of, read_details, type_and_status, write_details
from adapters.ecny.rules import CENTRE, batch_id, msg_id
from adapters.ecny.signing import sm3
from adapters.ecny.spec import STATUS
from adapters.kit.statement import Statement, StatementFormat, StatementLine, day_bounds, only_files
from adapters.kit.xml_parts import Part, Place, check_markup, cut_list, paste_list
from adapters.wire import Field, Kind, XmlCodec, XmlSpec
from switch.errors import CodecError

__all__ = ["STATEMENT"]

_NAME: Final = "dcep.711.001.01"
_NAMESPACE: Final = f"urn:cbcc:std:dcep:2020:tech:xsd:{_NAME}"
_SOURCE: Final = "rails.md D2-D4 [d1], sample of dcep.711"
_GROUPS: Final = Place("SummaryBody", "<DtlFileInf>")
_KINDS: Final = Place("ChkPayList", "</SummaryGrp>")
_FILES: Final = Place("FileInfList", "</DtlFileInf>")
_FREE: Final = {"msg_id", "created_ms"}  # the writer's own


# --- tables ----------------------------------------------------------------------------------------------------------
class _Sums(NamedTuple):
    """Of some lines: all, what the institution pays, what it gets."""

    payments: int
    total_minor: int
    debits: int
    debit_minor: int
    credits: int
    credit_minor: int


class _Frame(NamedTuple):
    msg_id: str
    created_ms: int
    instructing_party: str
    instructed_party: str
    batch_id: str
    payments: int
    total_minor: int
    debits: int
    debit_minor: int
    credits: int
    credit_minor: int
    files: int
    recon_index: str


class _Group(NamedTuple):
    number: str
    payments: int
    total_minor: int
    debits: int
    debit_minor: int
    credits: int
    credit_minor: int


class _Kind(NamedTuple):
    message_type: str
    status: str
    payments: int
    total_minor: int
    debits: int
    debit_minor: int
    credits: int
    credit_minor: int


class _File(NamedTuple):
    path: str
    name: str


def _sums_at(above: str) -> tuple[Field, ...]:
    rows = (("", "payments", "total"), ("Dbt", "debits", "debit"), ("Cdt", "credits", "credit"))
    return tuple(
        field
        for side, count, amount in rows
        for field in (
            Field(count, f"{above}{side}CntNb", Kind.COUNT),
            Field(f"{amount}_minor", f"{above}{side}CntAmt", Kind.AMOUNT),
            Field("", f"{above}{side}CntAmt/@Ccy", Kind.CODE, const="CNY"),
        )
    )


def _party(name: str, at: str) -> Field:
    return Field(name, at, Kind.ASCII, min_chars=14, max_chars=14)


_HEAD: Final = "ReconSummaryChk/GrpHdr"
_SUMMARY: Final = "ReconSummaryChk/SummaryChkInf"
_FRAME_SPEC: Final = XmlSpec(
    _NAME,
    "Document",
    {"": _NAMESPACE},
    (
        Field("msg_id", f"{_HEAD}/MsgId", Kind.ASCII),
        Field("created_ms", f"{_HEAD}/CreDtTm", Kind.LOCAL_TIME),
        _party("instructing_party", f"{_HEAD}/InstgPty/InstgDrctPty"),
        _party("instructed_party", f"{_HEAD}/InstdPty/InstdDrctPty"),
        Field("", f"{_HEAD}/Rmk", Kind.TEXT, const="机构对账汇总核对报文"),
        Field("batch_id", f"{_SUMMARY}/SummaryHdr/BatchId", Kind.ASCII, min_chars=13, max_chars=13),
        *_sums_at(f"{_SUMMARY}/SummaryHdr/"),
        Field("files", f"{_SUMMARY}/DtlFileInf/FileInfNb", Kind.COUNT),
        Field("recon_index", f"{_SUMMARY}/ReconIndex", Kind.ASCII, min_chars=66, max_chars=66),
    ),
    _SOURCE,
)


def _part(root: str, *fields: Field) -> XmlSpec:
    return XmlSpec(f"{_NAME} {root}", root, {"": _NAMESPACE}, fields, _SOURCE)


_FRAME: Final = XmlCodec(_FRAME_SPEC, _Frame)
_GROUP: Final = Part(
    _part("SummaryGrp", Field("number", "Nb", Kind.DIGITS, min_chars=2, max_chars=2), *_sums_at("")), _Group
)
_KIND: Final = Part(
    _part(
        "ChkPayInf",
        Field("message_type", "MsgTp", Kind.ASCII, min_chars=15, max_chars=15),
        Field("status", "BizSts", Kind.CODE, codes=STATUS),
        *_sums_at(""),
    ),
    _Kind,
)
_FILE: Final = Part(
    _part(
        "FileInf",
        Field("path", "FilePath", Kind.ASCII, max_chars=128),
        Field("name", "FileNameList/FileName", Kind.ASCII, max_chars=64),
    ),
    _File,
)


# --- a day's lines as records ----------------------------------------------------------------------------------------
class _Summary(NamedTuple):
    """All that a 711 says."""

    frame: _Frame
    groups: tuple[tuple[_Group, tuple[_Kind, ...]], ...]
    files: tuple[_File, ...]


def _sums(lines: Sequence[StatementLine]) -> _Sums:
    debits = [line.amount_minor for line in lines if line.amount_minor >= 0]
    credits = [-line.amount_minor for line in lines if line.amount_minor < 0]
    return _Sums(len(lines), sum(debits) + sum(credits), len(debits), sum(debits), len(credits), sum(credits))


def _by_hour(lines: Sequence[StatementLine]) -> dict[str, list[StatementLine]]:
    hours: dict[str, list[StatementLine]] = {}
    for line in sorted(lines, key=lambda line: line.time_ms):
        hours.setdefault(hour_of(line.time_ms), []).append(line)
    return hours


def _kinds(lines: Sequence[StatementLine]) -> tuple[_Kind, ...]:
    found: dict[tuple[str, str], list[StatementLine]] = {}
    for line in lines:
        found.setdefault(type_and_status(line), []).append(line)
    return tuple(_Kind(*kind, *_sums(found[kind])) for kind in sorted(found))


def _summary(institution: str, day: date, lines: Sequence[StatementLine], details: Mapping[str, bytes]) -> _Summary:
    begin_ms, end_ms = day_bounds(day)
    batch, hours = batch_id(begin_ms), _by_hour(lines)
    index = sm3(b"".join(name.encode() + b"\n" + data for name, data in details.items())).hex()
    files = tuple(
        _File(f"dcrecon/{day:%Y%m%d}/{institution}/trade/{hour}/", detail_name(batch, hour)) for hour in hours
    )
    return _Summary(
        _Frame(
            msg_id(711, end_ms, f"{institution}{day}".encode()), end_ms, CENTRE, institution, batch, *_sums(lines),
            len(files), f"0x{index}",
        ),
        tuple((_Group(hour, *_sums(found)), _kinds(found)) for hour, found in hours.items()),
        files,
    )  # fmt: skip


# --- writing ---------------------------------------------------------------------------------------------------------
def write(statement: Statement) -> dict[str, bytes]:
    """See StatementFormat. An hour without a payment has no file."""
    institution, day = statement.institution, statement.day
    batch = batch_id(day_bounds(day)[0])
    details = {
        detail_name(batch, hour): write_details(lines, institution) for hour, lines in _by_hour(statement.lines).items()
    }
    summary = _summary(institution, day, statement.lines, details)
    groups = [paste_list(_GROUP.write(group), _KINDS, map(_KIND.write, kinds)) for group, kinds in summary.groups]
    message = paste_list(_FRAME.write(summary.frame), _GROUPS, groups)
    message = paste_list(message, _FILES, map(_FILE.write, summary.files))
    return {_summary_name(institution, day): message, **details}


def _summary_name(institution: str, day: date) -> str:
    return f"dcep711-{institution}-{day:%Y%m%d}.xml"


# --- reading ---------------------------------------------------------------------------------------------------------
def read(files: Mapping[str, bytes], institution: str, day: date) -> Statement:
    """See StatementFormat."""
    name = _summary_name(institution, day)
    if name not in files:
        raise CodecError(name, "MISSING")
    try:
        came = _read_summary(files[name])
    except CodecError as error:
        raise CodecError(f"{name}/{error.path.lstrip('/')}", error.rule) from None
    only_files(files, (name, *(file.name for file in came.files)))
    details = {file.name: files[file.name] for file in came.files}
    lines: list[StatementLine] = []
    for (group, _), (detail, data) in zip(came.groups, details.items(), strict=False):
        try:
            lines += read_details(data, institution, day, group.number)
        except CodecError as error:
            raise CodecError(f"{detail}/{error.path}", error.rule) from None
    try:
        _check(came, _summary(institution, day, lines, details))
    except CodecError as error:
        raise CodecError(f"{name}/{error.path}", error.rule) from None
    return Statement(institution, day, tuple(lines), {})


def _read_summary(data: bytes) -> _Summary:
    check_markup(data)
    data, parts = cut_list(data, _GROUPS, "SummaryGrp")
    data, files = cut_list(data, _FILES, "FileInf")
    groups = []
    for number, part in enumerate(parts, 1):
        part, kinds = cut_list(part, _KINDS, "ChkPayInf")
        group = _GROUP.read(part, number)
        groups.append((group, tuple(_KIND.read(kind, place) for place, kind in enumerate(kinds, 1))))
    return _Summary(
        _FRAME.read(data), tuple(groups), tuple(_FILE.read(file, number) for number, file in enumerate(files, 1))
    )


def _check(came: _Summary, made: _Summary) -> None:
    """Raises CodecError MISMATCH, with the first place in which the summary is not that of its files."""
    _same(came.frame, made.frame, _FRAME_SPEC, "")
    if len(came.groups) != len(made.groups):
        raise CodecError("SummaryBody", "COUNT")
    for number, ((group, kinds), (wanted, wanted_kinds)) in enumerate(zip(came.groups, made.groups, strict=True), 1):
        path = f"SummaryGrp[{number}]/"
        _same(group, wanted, _GROUP.spec, path)
        if len(kinds) != len(wanted_kinds):
            raise CodecError(f"{path}ChkPayList", "COUNT")
        for place, (kind, wanted_kind) in enumerate(zip(kinds, wanted_kinds, strict=True), 1):
            _same(kind, wanted_kind, _KIND.spec, f"{path}ChkPayInf[{place}]/")
    if len(came.files) != len(made.files):
        raise CodecError("FileInfList", "COUNT")
    for number, (file, wanted_file) in enumerate(zip(came.files, made.files, strict=True), 1):
        _same(file, wanted_file, _FILE.spec, f"FileInf[{number}]/")


def _same(came: tuple[object, ...], made: tuple[object, ...], spec: XmlSpec, above: str) -> None:
    for field in spec.fields:
        if field.name and field.name not in _FREE and getattr(came, field.name) != getattr(made, field.name):
            raise CodecError(f"{above}{field.at}", "MISMATCH")


STATEMENT: Final = StatementFormat(write, read)
