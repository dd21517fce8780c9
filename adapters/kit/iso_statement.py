"""The end-of-day statement of an ISO 20022 rail: camt.053, one message for each currency, in the rail's own envelope.

It is the statement of our settlement account at the hub, so what the rail paid into an account of its own is a debit
(DBIT) here, and what it took from one is a credit. What ISO leaves open, ours:
  - GrpHdr/MsgPgntn numbers the messages of a day, so that a currency that was lost is missed;
  - a refused payment is an entry of status INFO ("provided for information, no booking"), with the rail's reason in
    RtrInf; it counts in TxsSummry as every entry does, and in no balance;
  - a reversal is an entry of its own with RvslInd, and counts the other way;
  - EndToEndId is left out: it is the payer's own text, and the UETR names the payment;
  - a statement is dated with the end of its day, so that the same books give the same bytes.
Read back, all that is said twice must agree: counts and sums, opening and closing balance, pages, days, currencies.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from adapters.kit.iso_spec import Envelope, code, const, text
from adapters.kit.push_codec import ACCEPTED
from adapters.kit.statement import Statement, StatementLine, day_bounds, only_files
from adapters.kit.xml_parts import Part, Place, check_markup, cut, paste
from adapters.wire import Field, Kind, XmlCodec, XmlSpec
from switch.domain.money import Asset
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError

__all__ = ["CAMT_02", "CAMT_08", "IsoStatement", "StatementRail", "Version"]

CREDIT, DEBIT = "CRDT", "DBIT"
_SIDES: Final = (CREDIT, DEBIT)
_BOOKED, _INFORMATION = "BOOK", "INFO"
_OPENING, _CLOSING = "OPBD", "CLBD"
_FREE: Final = {
    "header_id",
    "header_time",
    "message_id",
    "created_ms",
    "statement_id",
    "statement_ms",
}  # the writer's own
_BALANCES: Final = Place("Bal", "<TxsSummry>")
_ENTRIES: Final = Place("Ntry", "</Stmt>")


class Version(NamedTuple):
    """What differs between the versions of camt.053 that are written here."""

    name: str
    entry_status: str
    net: str
    net_side: str


CAMT_02: Final = Version("camt.053.001.02", "Sts", "TtlNtries/TtlNetNtryAmt", "TtlNtries/CdtDbtInd")
CAMT_08: Final = Version(
    "camt.053.001.08", "Sts/Cd", "TtlNtries/TtlNetNtry/Amt", "TtlNtries/TtlNetNtry/CdtDbtInd"
)  # the first with Refs/UETR


class StatementRail(NamedTuple):
    """What one rail puts into its statement."""

    envelope: Envelope
    version: Version
    hub: str
    header_service: str  # BizSvc of the message
    payment_service: str  # BkTxCd/Prtry/Cd of every entry: the service the payment went by
    payment: Field  # below TxDtls/Refs: the id this rail carries a UETR in; its name is payment_id
    id_of: Callable[[str], str]  # UETR -> that id
    uetr_of: Callable[[str], str]  # and back; raises CodecError
    header_time: Callable[[int], str | int]  # Unix ms -> AppHdr/CreDt
    assets: Mapping[str, Asset]  # ISO code -> asset; one message for each


class _Frame(NamedTuple):
    sender: str
    receiver: str
    header_id: str
    header_time: str | int
    message_id: str
    created_ms: int
    page: int
    last_page: str
    statement_id: str
    statement_ms: int
    from_ms: int
    to_ms: int
    account: str
    currency: str
    entries: int
    total_minor: int
    net_minor: int
    net_side: str
    credits: int
    credit_minor: int
    debits: int
    debit_minor: int


class _Balance(NamedTuple):
    kind: str
    currency: str
    amount_minor: int
    side: str
    day: str


class _Entry(NamedTuple):
    currency: str
    amount_minor: int
    side: str
    reversal: str | None
    status: str
    booked_ms: int
    payment_id: str
    reference: str | None
    reason: str | None


class _Sums(NamedTuple):
    """What TxsSummry says of all entries."""

    entries: int
    total_minor: int
    net_minor: int
    net_side: str
    credits: int
    credit_minor: int
    debits: int
    debit_minor: int


# --- tables ----------------------------------------------------------------------------------------------------------
def _frame_spec(rail: StatementRail) -> XmlSpec:
    version, summary = rail.version, "Stmt/TxsSummry"
    envelope = rail.envelope._replace(created=rail.envelope.created._replace(name="header_time"))
    return envelope.message(
        version.name,
        "BkToCstmrStmt",
        (rail.header_service,),
        (
            Field("page", "GrpHdr/MsgPgntn/PgNb", Kind.COUNT),
            code("last_page", "GrpHdr/MsgPgntn/LastPgInd", ("true", "false")),
            Field("statement_id", "Stmt/Id", Kind.ASCII),
            Field("statement_ms", "Stmt/CreDtTm", Kind.DATE_TIME),
            Field("from_ms", "Stmt/FrToDt/FrDtTm", Kind.DATE_TIME),
            Field("to_ms", "Stmt/FrToDt/ToDtTm", Kind.DATE_TIME),
            text("account", "Stmt/Acct/Id/Othr/Id", 34),
            code("currency", "Stmt/Acct/Ccy", tuple(rail.assets)),
            Field("entries", f"{summary}/TtlNtries/NbOfNtries", Kind.COUNT),
            Field("total_minor", f"{summary}/TtlNtries/Sum", Kind.AMOUNT),
            Field("net_minor", f"{summary}/{version.net}", Kind.AMOUNT),
            code("net_side", f"{summary}/{version.net_side}", _SIDES),
            Field("credits", f"{summary}/TtlCdtNtries/NbOfNtries", Kind.COUNT),
            Field("credit_minor", f"{summary}/TtlCdtNtries/Sum", Kind.AMOUNT),
            Field("debits", f"{summary}/TtlDbtNtries/NbOfNtries", Kind.COUNT),
            Field("debit_minor", f"{summary}/TtlDbtNtries/Sum", Kind.AMOUNT),
        ),
    )


def _part_spec(rail: StatementRail, root: str, fields: tuple[Field, ...]) -> XmlSpec:
    namespace = f"urn:iso:std:iso:20022:tech:xsd:{rail.version.name}"
    return XmlSpec(f"{rail.version.name} {root}", root, {"": namespace}, fields, rail.envelope.source)


def _balance_spec(rail: StatementRail) -> XmlSpec:
    return _part_spec(
        rail,
        "Bal",
        (
            code("kind", "Tp/CdOrPrtry/Cd", (_OPENING, _CLOSING)),
            code("currency", "Amt/@Ccy", tuple(rail.assets)),
            Field("amount_minor", "Amt", Kind.AMOUNT),
            code("side", "CdtDbtInd", _SIDES),
            Field("day", "Dt/Dt", Kind.DATE),
        ),
    )


def _entry_spec(rail: StatementRail) -> XmlSpec:
    details = "NtryDtls/TxDtls"
    return _part_spec(
        rail,
        "Ntry",
        (
            code("currency", "Amt/@Ccy", tuple(rail.assets)),
            Field("amount_minor", "Amt", Kind.AMOUNT),
            code("side", "CdtDbtInd", _SIDES),
            code("reversal", "RvslInd", ("true",), required=False),
            code("status", rail.version.entry_status, (_BOOKED, _INFORMATION)),
            Field("booked_ms", "BookgDt/DtTm", Kind.DATE_TIME),
            const("BkTxCd/Prtry/Cd", rail.payment_service),
            rail.payment._replace(name="payment_id", at=f"{details}/Refs/{rail.payment.at}"),
            Field("reference", f"{details}/Refs/ClrSysRef", Kind.ASCII, required=False),
            Field("reason", f"{details}/RtrInf/Rsn/Prtry", Kind.ASCII, required=False),
        ),
    )


# --- both directions -------------------------------------------------------------------------------------------------
class IsoStatement:
    """`write` and `read` of a StatementFormat. Raises ValueError when a table is malformed."""

    def __init__(self, rail: StatementRail) -> None:
        self._rail = rail
        spec = _frame_spec(rail)
        self._checked = tuple(field for field in spec.fields if not field.const and field.name not in _FREE)
        self._frame = XmlCodec(spec, _Frame)
        self._balance = Part(_balance_spec(rail), _Balance)
        self._entry = Part(_entry_spec(rail), _Entry)

    def write(self, statement: Statement) -> dict[str, bytes]:
        """One file for each currency, entries or not. Raises CodecError: a line that the form does not take."""
        return {
            self._name(statement.institution, statement.day, currency): self._message(statement, currency)
            for currency in self._rail.assets
        }

    def read(self, files: Mapping[str, bytes], institution: str, day: date) -> Statement:
        """See StatementFormat."""
        names = {currency: self._name(institution, day, currency) for currency in self._rail.assets}
        only_files(files, names.values())
        lines: list[StatementLine] = []
        opening: dict[Asset, int] = {}
        for page, (currency, name) in enumerate(names.items(), 1):
            try:
                before_minor = self._read_one(files[name], institution, day, currency, page, lines)
            except CodecError as error:
                raise CodecError(f"{name}/{error.path.lstrip('/')}", error.rule) from None
            if before_minor:
                opening[self._rail.assets[currency]] = before_minor
        lines.sort(key=lambda line: line.time_ms)
        return Statement(institution, day, tuple(lines), opening)

    def _name(self, institution: str, day: date, currency: str) -> str:
        return f"camt053-{institution}-{day:%Y%m%d}-{currency}.xml"

    # --- writing -----------------------------------------------------------------------------------------------------
    def _message(self, statement: Statement, currency: str) -> bytes:
        rail, asset = self._rail, self._rail.assets[currency]
        entries = [self._entry_of(line, currency) for line in statement.lines if line.asset is asset]
        opening_minor = -statement.opening_minor.get(asset, 0)
        closing_minor = opening_minor + sum(map(_moved, entries))
        balances = [
            _Balance(kind, currency, abs(minor), _side(minor), statement.day.isoformat())
            for kind, minor in ((_OPENING, opening_minor), (_CLOSING, closing_minor))
        ]
        page = tuple(rail.assets).index(currency) + 1
        frame = self._frame.write(self._frame_of(statement.institution, statement.day, currency, page, entries))
        frame = paste(frame, _ENTRIES, map(self._entry.write, entries))
        return paste(frame, _BALANCES, map(self._balance.write, balances))

    def _frame_of(self, institution: str, day: date, currency: str, page: int, entries: Sequence[_Entry]) -> _Frame:
        """All that stands around balances and entries: of one day and its entries there is one."""
        rail, (from_ms, to_ms) = self._rail, day_bounds(day)
        message_id = f"STMT{institution}{day:%Y%m%d}{currency}"
        last_page = str(page == len(rail.assets)).lower()
        return _Frame(
            rail.hub, institution, message_id, rail.header_time(to_ms), message_id, to_ms, page, last_page, message_id,
            to_ms, from_ms, to_ms, institution, currency, *_sums(entries),
        )  # fmt: skip

    def _entry_of(self, line: StatementLine, currency: str) -> _Entry:
        refused = line.status is LineStatus.REFUSED
        if not refused and line.code != ACCEPTED:
            raise CodecError("Ntry/code", "CODE")  # a booking says no more than that it is one
        return _Entry(
            currency,
            abs(line.amount_minor),
            _side(-line.amount_minor),
            "true" if line.status is LineStatus.REVERSED else None,
            _INFORMATION if refused else _BOOKED,
            line.time_ms,
            self._rail.id_of(line.uetr),
            line.reference or None,
            line.code if refused else None,
        )

    # --- reading -----------------------------------------------------------------------------------------------------
    def _read_one(
        self, data: bytes, institution: str, day: date, currency: str, page: int, lines: list[StatementLine]
    ) -> int:
        """Append the lines of one message; the sum of what was booked before its day, signed as lines are."""
        check_markup(data)
        data, parts = cut(data, _ENTRIES)
        data, balances = cut(data, _BALANCES)
        frame = self._frame.read(data)
        entries = [self._entry.read(part, number) for number, part in enumerate(parts, 1)]
        wanted = self._frame_of(institution, day, currency, page, entries)
        for field in self._checked:
            if getattr(frame, field.name) != getattr(wanted, field.name):
                raise CodecError(field.at, "MISMATCH")
        opening_minor = self._opening(balances, day, currency, sum(map(_moved, entries)))
        lines.extend(self._line_of(entry, currency, day, number) for number, entry in enumerate(entries, 1))
        return -opening_minor

    def _opening(self, parts: Sequence[bytes], day: date, currency: str, moved_minor: int) -> int:
        """The opening balance, once the closing one was seen to follow from it."""
        if len(parts) != 2:
            raise CodecError("Bal", "COUNT")
        found = []
        for number, (part, kind) in enumerate(zip(parts, (_OPENING, _CLOSING), strict=True), 1):
            balance = self._balance.read(part, number)
            wanted = balance._replace(kind=kind, currency=currency, day=day.isoformat())
            if balance != wanted:
                raise CodecError(f"Bal[{number}]", "MISMATCH")
            found.append(balance.amount_minor if balance.side == CREDIT else -balance.amount_minor)
        if found[0] + moved_minor != found[1]:
            raise CodecError("Bal[2]/Amt", "MISMATCH")
        return found[0]

    def _line_of(self, entry: _Entry, currency: str, day: date, number: int) -> StatementLine:
        path, (begin_ms, end_ms) = f"Ntry[{number}]", day_bounds(day)
        if entry.currency != currency:
            raise CodecError(f"{path}/Amt/@Ccy", "MISMATCH")
        if not begin_ms <= entry.booked_ms < end_ms:
            raise CodecError(f"{path}/BookgDt/DtTm", "DAY")
        booked = entry.status == _BOOKED
        if booked is (entry.reason is not None) or (entry.reversal is not None and not booked):
            raise CodecError(f"{path}/{self._rail.version.entry_status}", "MISMATCH")
        try:
            uetr = self._rail.uetr_of(entry.payment_id)
        except CodecError as error:
            raise CodecError(f"{path}/NtryDtls/TxDtls/Refs/{self._rail.payment.at}", error.rule) from None
        done = LineStatus.REVERSED if entry.reversal else LineStatus.DONE
        return StatementLine(
            uetr,
            self._rail.assets[currency],
            entry.amount_minor if entry.side == DEBIT else -entry.amount_minor,
            done if booked else LineStatus.REFUSED,
            entry.reason or ACCEPTED,
            entry.reference or "",
            entry.booked_ms,
        )


def _side(minor: int) -> str:
    """Of our account: a credit is what we get."""
    return CREDIT if minor >= 0 else DEBIT


def _moved(entry: _Entry) -> int:
    """What an entry does to the balance of our account."""
    if entry.status != _BOOKED:
        return 0
    return entry.amount_minor if entry.side == CREDIT else -entry.amount_minor


def _sums(entries: Sequence[_Entry]) -> _Sums:
    credits = [entry.amount_minor for entry in entries if entry.side == CREDIT]
    debits = [entry.amount_minor for entry in entries if entry.side == DEBIT]
    net_minor = sum(credits) - sum(debits)
    return _Sums(
        len(entries), sum(credits) + sum(debits), abs(net_minor), _side(net_minor), len(credits), sum(credits),
        len(debits), sum(debits),
    )  # fmt: skip
