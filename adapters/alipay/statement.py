"""The end-of-day statement of this rail: the account bill that alipay.data.dataservice.bill.downloadurl.query gives for
bill_type signcustomer, every movement of our balance, transfers and trades alike.

Facts (public readers of such files): CSV in GBK; a head of lines with #; the twelve columns below; an outgoing amount is
written with its minus; two lines of totals, outgoing and incoming, and the time of export close the file; a cell that
must stay text ends in a tab. A payment stands under the number our client sent (out_biz_no, out_trade_no), in column
商户订单号. The bill lists movements, so a payment that was refused is in none.
Ours: the account is named by app_id, as this mock knows us; 商品名称, 对方账号 (it would be personal) and 备注 are
empty; no cell holds a comma, so none is quoted; the bill is exported at the end of its day.
Read back, the running balance, both totals and their counts must agree with the rows.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from adapters.alipay.codec import china_time, parse_china_time, payment_number
from adapters.kit.statement import Statement, StatementFormat, StatementLine, day_bounds, only_files
from switch.domain.money import Asset, format_amount
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError, InvalidValue

__all__ = ["STATEMENT", "key_of"]

_PAID: Final = "10000"
_COLUMNS: Final = (
    "账务流水号", "业务流水号", "商户订单号", "商品名称", "发生时间", "对方账号", "收入金额（+元）", "支出金额（-元）",
    "账户余额（元）", "交易渠道", "业务类型", "备注",
)  # fmt: skip
_CHANNEL: Final = "支付宝"
_TRANSFER, _TRADE, _GIVEN_BACK = "转账", "在线支付", "交易退款"
_BEGIN: Final = "#-----------------------------------------账务明细列表----------------------------------------"
_END: Final = "#----------------------------------------账务明细列表结束-------------------------------------"
_EXPORTED: Final = re.compile(r"#导出时间：\[\d{4}年\d\d月\d\d日 \d\d:\d\d:\d\d\]", re.ASCII)
_AMOUNT: Final = re.compile(r"(-?)(\d{1,13})\.(\d\d)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9A-Za-z_]{1,64}", re.ASCII)  # letters, digits, underscore: the platform's rule
_DIGITS: Final = re.compile(r"\d{1,64}", re.ASCII)
_HEX_UUID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_FOREIGN: Final = "no:"


def key_of(number: str) -> str:
    """The UETR behind a number of the switch; a number of anybody else stands for itself, behind `no:`."""
    return str(uuid.UUID(hex=number)) if _HEX_UUID.fullmatch(number) else f"{_FOREIGN}{number}"


def _number_of(key: str) -> str:
    return key.removeprefix(_FOREIGN) if key.startswith(_FOREIGN) else payment_number(key)


# --- writing ---------------------------------------------------------------------------------------------------------
def write(statement: Statement) -> dict[str, bytes]:
    """See StatementFormat."""
    lines = [line for line in statement.lines if line.status is not LineStatus.REFUSED]
    balance_minor = -statement.opening_minor.get(Asset.CNY, 0)
    rows = []
    for serial, line in enumerate(lines, 1):
        balance_minor -= line.amount_minor
        rows.append(_row(line, f"{statement.day:%Y%m%d}{serial:08d}", balance_minor))
    exported = f"#导出时间：[{statement.day + timedelta(days=1):%Y年%m月%d日} 00:00:00]"
    text = [*_head(statement.institution, statement.day), *rows, _END, *_totals(lines), exported, ""]
    return {_name(statement.institution, statement.day): "\r\n".join(text).encode("gbk")}


def _name(institution: str, day: date) -> str:
    return f"{institution}_{day:%Y%m%d}_账务明细.csv"


def _head(institution: str, day: date) -> list[str]:
    begin, end = (f"{moment:%Y年%m月%d日} 00:00:00" for moment in (day, day + timedelta(days=1)))
    return [
        "#支付宝账务明细查询",
        f"#账号：[{institution}]",
        f"#起始日期：[{begin}]   终止日期：[{end}]",
        _BEGIN,
        ",".join(_COLUMNS),
    ]


def _row(line: StatementLine, serial: str, balance_minor: int) -> str:
    if line.asset is not Asset.CNY or line.code != _PAID or not line.amount_minor:
        raise CodecError("line", "CODE")  # a movement says no more than that it is one
    got_minor, gone_minor = max(-line.amount_minor, 0), max(line.amount_minor, 0)
    cells = (
        f"{serial}\t", f"{line.reference}\t", f"{_number_of(line.uetr)}\t", "\t", china_time(line.time_ms), "\t",
        _yuan(got_minor), _yuan(-gone_minor), _yuan(balance_minor), _CHANNEL, _kind(line), "",
    )  # fmt: skip
    return ",".join(cells)


def _kind(line: StatementLine) -> str:
    if line.status is LineStatus.REVERSED:
        return _GIVEN_BACK
    return _TRANSFER if line.amount_minor > 0 else _TRADE


def _totals(lines: Sequence[StatementLine]) -> list[str]:
    """What we paid, and what we got."""
    gone = [line.amount_minor for line in lines if line.amount_minor > 0]
    got = [-line.amount_minor for line in lines if line.amount_minor < 0]
    return [f"#支出合计：{len(gone)}笔，共{_yuan(-sum(gone))}元", f"#收入合计：{len(got)}笔，共{_yuan(sum(got))}元"]


def _yuan(minor: int) -> str:
    return format_amount("CNY", minor)


# --- reading ---------------------------------------------------------------------------------------------------------
def read(files: Mapping[str, bytes], institution: str, day: date) -> Statement:
    """See StatementFormat."""
    name = _name(institution, day)
    only_files(files, (name,))
    try:
        return _read(files[name], institution, day)
    except CodecError as error:
        raise CodecError(f"{name}/{error.path}", error.rule) from None


def _read(data: bytes, institution: str, day: date) -> Statement:
    try:
        text = data.decode("gbk").split("\r\n")
    except UnicodeDecodeError:
        raise CodecError("/", "ENCODING") from None
    head = _head(institution, day)
    _same_lines(text, head, 0)
    if _END not in text:
        raise CodecError(f"line[{len(text)}]", "MISSING")
    end = text.index(_END)
    lines: list[StatementLine] = []
    opening_minor, balance_minor, serials = 0, 0, set[str]()
    for place in range(len(head), end):
        path = f"line[{place + 1}]"
        serial, line, after_minor = _read_row(text[place], day, path)
        if not lines:
            balance_minor = after_minor + line.amount_minor
            opening_minor = -balance_minor
        balance_minor -= line.amount_minor
        if balance_minor != after_minor:
            raise CodecError(f"{path}/账户余额（元）", "MISMATCH")
        if serial in serials:
            raise CodecError(f"{path}/账务流水号", "TWICE")
        serials.add(serial)
        lines.append(line)
    totals = _totals(lines)
    _same_lines(text, totals, end + 1)
    closing = text[end + 1 + len(totals) :]
    if len(closing) != 2 or _EXPORTED.fullmatch(closing[0]) is None or closing[1]:
        raise CodecError(f"line[{end + 2 + len(totals)}]", "FORMAT")
    lines.sort(key=lambda line: line.time_ms)
    return Statement(institution, day, tuple(lines), {Asset.CNY: opening_minor} if opening_minor else {})


def _same_lines(text: Sequence[str], wanted: Sequence[str], begin: int) -> None:
    """Lines that say what is known otherwise: the day, the account, the totals of the rows."""
    for place, line in enumerate(wanted, begin):
        if place >= len(text) or text[place] != line:
            raise CodecError(f"line[{place + 1}]", "MISMATCH")


def _read_row(row: str, day: date, path: str) -> tuple[str, StatementLine, int]:
    """The serial of a row, its booking, and the balance after it."""
    cells = [cell.rstrip("\t") for cell in row.split(",")]
    if len(cells) != len(_COLUMNS):
        raise CodecError(path, "COLUMNS")
    cell = dict(zip(_COLUMNS, cells, strict=True))
    for column, pattern in (("账务流水号", _DIGITS), ("业务流水号", _DIGITS), ("商户订单号", _NUMBER)):
        if pattern.fullmatch(cell[column]) is None:
            raise CodecError(f"{path}/{column}", "FORMAT")
    got_minor, gone_minor = _minor(cell, "收入金额（+元）", path), _minor(cell, "支出金额（-元）", path)
    if got_minor < 0 or gone_minor > 0 or bool(got_minor) is bool(gone_minor):
        raise CodecError(f"{path}/收入金额（+元）", "SIGN")
    reversed_ = cell["业务类型"] == _GIVEN_BACK
    line = StatementLine(
        key_of(cell["商户订单号"]), Asset.CNY, -gone_minor - got_minor,
        LineStatus.REVERSED if reversed_ else LineStatus.DONE, _PAID, cell["业务流水号"], _moment(cell, day, path),
    )  # fmt: skip
    if cell["交易渠道"] != _CHANNEL or cell["业务类型"] != _kind(line):
        raise CodecError(f"{path}/业务类型", "CODE")
    return cell["账务流水号"], line, _minor(cell, "账户余额（元）", path)


def _minor(cell: Mapping[str, str], column: str, path: str) -> int:
    match = _AMOUNT.fullmatch(cell[column])
    if match is None or cell[column] == "-0.00":
        raise CodecError(f"{path}/{column}", "FORMAT")
    minor = int(match[2] + match[3])
    return -minor if match[1] else minor


def _moment(cell: Mapping[str, str], day: date, path: str) -> int:
    begin_ms, end_ms = day_bounds(day)
    try:
        time_ms = parse_china_time(cell["发生时间"])
    except InvalidValue as error:
        raise CodecError(f"{path}/发生时间", error.rule) from None
    if not begin_ms <= time_ms < end_ms:
        raise CodecError(f"{path}/发生时间", "DAY")
    return time_ms


STATEMENT: Final = StatementFormat(write, read, refusals=False)
