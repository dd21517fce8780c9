"""ISO 20022 camt.053.001.08 (statement) and camt.054.001.08 (debit and credit notification).

Version 8, the version of 2019, is the first whose references of an entry hold a UETR, by which every rail here removes
repeats (rails.md F3), and the one that RTGS systems took for their reports. IBPS's own notices are camt.053.001.02 and
camt.054.001.02 (rails.md C1): they have no place for a UETR, whose 36 characters do not fit a Max35Text either.

One statement per asset, for an account has one currency: CNY, CNH and ECNY are three accounts in CNY.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from switch.domain.money import Asset, format_amount
from switch.limits import MAX35_CHARS
from switch.reports.account import Account, AccountBalance, AccountLine, credit_or_debit, hong_kong_time

__all__ = ["to_camt053", "to_camt054"]

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.{}.001.08"
_MAX500_CHARS: Final = 500  # ISO 20022 Max500Text
# Characters no XML 1.0 document may hold: a rail's reference is foreign text.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_camt053(account: Account) -> bytes:
    """BkToCstmrStmt: a statement per asset, with opening and closing balances."""
    document, message = _message(account, "053", "BkToCstmrStmt")
    for balance in account.balances:
        statement = _report(message, account, balance.asset, "Stmt")
        _balance(statement, balance.asset, "OPBD", balance.opening_minor, account.open_time_ms)
        _balance(statement, balance.asset, "CLBD", balance.closing_minor, account.cut_time_ms)
        _entries(statement, account, balance)
        _text(statement, "AddtlStmtInf", _about(account))
    return _bytes(document)


def to_camt054(account: Account) -> bytes:
    """BkToCstmrDbtCdtNtfctn: the entries per asset, without balances."""
    document, message = _message(account, "054", "BkToCstmrDbtCdtNtfctn")
    for balance in account.balances:
        notification = _report(message, account, balance.asset, "Ntfctn")
        _entries(notification, account, balance)
        _text(notification, "AddtlNtfctnInf", _about(account))
    return _bytes(document)


# --- what both have --------------------------------------------------------------------------------------------------
def _message(account: Account, kind: str, name: str) -> tuple[Element, Element]:
    document = Element("Document", {"xmlns": _NAMESPACE.format(kind)})
    message = SubElement(document, name)
    header = SubElement(message, "GrpHdr")
    _text(header, "MsgId", _max35(f"{account.window_id}.{account.participant}.{kind}"))
    _text(header, "CreDtTm", hong_kong_time(account.close_time_ms))
    return document, message


def _report(message: Element, account: Account, asset: Asset, name: str) -> Element:
    report = SubElement(message, name)
    _text(report, "Id", _max35(f"{account.window_id}.{account.participant}.{asset.name}"))
    _text(report, "ElctrncSeqNb", str(account.number))
    _text(report, "CreDtTm", hong_kong_time(account.close_time_ms))
    period = SubElement(report, "FrToDt")
    _text(period, "FrDtTm", hong_kong_time(account.open_time_ms))
    _text(period, "ToDtTm", hong_kong_time(account.cut_time_ms))
    held = SubElement(report, "Acct")
    _path(held, "Id/Othr/Id", f"{account.participant}.{asset.name}")
    _text(held, "Ccy", asset.iso)
    _path(held, "Ownr/Id/OrgId/Othr/Id", account.participant)
    _path(held, "Svcr/FinInstnId/Othr/Id", account.settlement_agent)
    return report


def _balance(report: Element, asset: Asset, code: str, amount_minor: int, time_ms: int) -> None:
    balance = SubElement(report, "Bal")
    _path(balance, "Tp/CdOrPrtry/Cd", code)
    _amount(balance, asset, amount_minor)
    _path(balance, "Dt/DtTm", hong_kong_time(time_ms))


def _entries(report: Element, account: Account, balance: AccountBalance) -> None:
    lines = list(account.lines_of(balance.asset))
    _summary(report, balance.asset, lines)
    for number, line in enumerate(lines, 1):
        _entry(report, number, line)


def _summary(report: Element, asset: Asset, lines: Sequence[AccountLine]) -> None:
    debits = [line.amount_minor for line in lines if line.amount_minor > 0]
    credits = [-line.amount_minor for line in lines if line.amount_minor <= 0]
    net_minor = sum(debits) - sum(credits)
    summary = SubElement(report, "TxsSummry")
    total = _sums(summary, "TtlNtries", asset, [*debits, *credits])
    net = SubElement(total, "TtlNetNtry")
    _text(net, "Amt", format_amount(asset.iso, abs(net_minor)))
    _text(net, "CdtDbtInd", credit_or_debit(net_minor))
    _sums(summary, "TtlCdtNtries", asset, credits)
    _sums(summary, "TtlDbtNtries", asset, debits)


def _sums(summary: Element, name: str, asset: Asset, amounts_minor: Sequence[int]) -> Element:
    total = SubElement(summary, name)
    _text(total, "NbOfNtries", str(len(amounts_minor)))
    _text(total, "Sum", format_amount(asset.iso, sum(amounts_minor)))
    return total


def _entry(report: Element, number: int, line: AccountLine) -> None:
    entry = SubElement(report, "Ntry")
    _text(entry, "NtryRef", str(number))
    _amount(entry, line.asset, line.amount_minor)
    _path(entry, "Sts/Cd", "BOOK")
    _path(entry, "BookgDt/DtTm", hong_kong_time(line.final_time_ms))
    domain = SubElement(SubElement(entry, "BkTxCd"), "Domn")
    _text(domain, "Cd", "PMNT")
    family = SubElement(domain, "Fmly")
    _text(family, "Cd", "IRCT" if line.amount_minor > 0 else "RRCT")  # issued, received real-time credit transfers
    _text(family, "SubFmlyCd", "OTHR")
    _transaction(SubElement(SubElement(entry, "NtryDtls"), "TxDtls"), line)


def _transaction(details: Element, line: AccountLine) -> None:
    references = SubElement(details, "Refs")
    if line.end_to_end_id:
        _text(references, "EndToEndId", line.end_to_end_id)
    _text(references, "UETR", line.uetr)
    fits = 0 < len(line.rail_reference) <= MAX35_CHARS
    if fits:
        _text(references, "ClrSysRef", line.rail_reference)
    _amount(details, line.asset, line.amount_minor)
    _path(details, "RltdAgts/DbtrAgt/FinInstnId/Othr/Id", line.debtor_agent)
    rest = "" if fits or not line.rail_reference else f", reference {line.rail_reference}"
    _text(details, "AddtlTxInf", f"rail {line.rail}{rest}"[:_MAX500_CHARS])


def _about(account: Account) -> str:
    return f"settlement window {account.window_id}, sealed {account.seal.hex()}"


# --- XML -------------------------------------------------------------------------------------------------------------
def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = _NOT_XML.sub("?", text)


def _path(parent: Element, path: str, text: str) -> None:
    """A value at the end of elements that hold nothing else."""
    *names, last = path.split("/")
    for name in names:
        parent = SubElement(parent, name)
    _text(parent, last, text)


def _amount(parent: Element, asset: Asset, amount_minor: int) -> None:
    """Amounts have no sign; who owes whom is said beside them."""
    amount = SubElement(parent, "Amt", {"Ccy": asset.iso})
    amount.text = format_amount(asset.iso, abs(amount_minor))
    _text(parent, "CdtDbtInd", credit_or_debit(amount_minor))


def _max35(name: str) -> str:
    """A name for people where it fits, else one that is as unique."""
    return name if len(name) <= MAX35_CHARS else sha256(name.encode()).hexdigest()[:MAX35_CHARS]


def _bytes(document: Element) -> bytes:
    indent(document)
    found: bytes = tostring(document, encoding="UTF-8", xml_declaration=True)
    return found + b"\n"
