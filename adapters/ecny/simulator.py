"""A mock of the centre and of the wallet operators behind it: wallets with tiers, balances and limits, in memory.

What it promises follows rails.md D4: a 902 at once, then a 226; a 900 where the centre itself refuses; a 911 for what
it cannot read or whose signature is wrong; 412 tells the truth; a 909 where the answer was late. It de-duplicates on
the UETR.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from adapters.ecny import codec, rules
from adapters.ecny.codec import Address, Message, Parts
from adapters.ecny.signing import Signer, signer_for
from adapters.ecny.spec import (
    CONVERT_REQUEST,
    QUERY_REQUEST,
    BusinessConfirm,
    CommunicationConfirm,
    ConvertRequest,
    ConvertResponse,
    Fault,
    FinalNotice,
    QueryRequest,
    QueryResponse,
)
from adapters.ecny.statement import STATEMENT
from adapters.kit.books import Account, AccountState, Books, Limit, PaymentStatus, Record
from adapters.kit.clock import wall_ms
from adapters.kit.control import ControlServer
from adapters.kit.faults import FaultKind, FaultTable, Operation
from adapters.kit.mock_server import MockPorts, MockServer, Reply
from adapters.kit.module import SimulatorOptions
from adapters.kit.seed import load_seed
from adapters.kit.statement_pages import StatementPages
from switch.domain.identifiers import parse_ecny_wallet_id
from switch.domain.money import Asset
from switch.errors import CodecError, InvalidValue
from switch.limits import CLOCK_SKEW_MS_MAX

__all__ = ["EcnySimulator"]

_CODE_OF_LIMIT: Final = {Limit.TXN: "R901", Limit.DAY: "R902", Limit.YEAR: "R903", Limit.BALANCE: "R904"}
_DONE, _REFUSED, _WORKING = "PR00", "PR01", "PR02"
_STATUS: Final = {PaymentStatus.DONE: _DONE, PaymentStatus.REFUSED: _REFUSED, PaymentStatus.WORKING: _WORKING}
# Faults in what is decided, not in how it is said.
_DECIDING: Final = frozenset({FaultKind.SLOW, FaultKind.REFUSE, FaultKind.OFFLINE, FaultKind.MAINTENANCE})
_MOBILE, _WALLET_ID = "MOBILE", "WALLET_ID"  # kinds of proxy: names of switch.domain.party.Scheme
# Refusals that are the centre's own and come as a 900; the rest are a wallet operator's and come as a 226. Ours.
_CENTRE_CODES: Final = frozenset(
    rules.CODE_OF[reason]
    for reason in ("RAIL_EXPIRED", "RAIL_DUPLICATE", "CREDITOR_AGENT_UNKNOWN", "CREDITOR_AGENT_OFFLINE", "REGULATORY")
)


class EcnySimulator(MockPorts):
    """Implements kit.module.Simulator. One event loop owns it; signatures are computed in place, so it is slow too."""

    def __init__(self, options: SimulatorOptions, *, now_ms: Callable[[], int] = wall_ms) -> None:
        self.books = load_seed(options.seed or Path(__file__).with_name("seed.toml"))
        _register(self.books)
        signing = options.signing
        unable = frozenset() if signing else frozenset({FaultKind.BAD_SIGNATURE})
        self.faults = FaultTable(supported=frozenset(FaultKind) - unable, codes=rules.REASON_OF)
        self._signer: Signer = signer_for(signing, options.keys_dir, rules.CENTRE_KEY, rules.SWITCH_KEY)
        self._valid_ms = options.message_valid_ms
        self._address = Address(rules.CENTRE, options.institution, "D")
        self._now_ms = now_ms
        self._serial = 0
        self._repeats: dict[str, list[ConvertRequest]] = {}  # asked again while the first was being worked on
        self._server = MockServer(options.host, options.port, self._handle, self.faults, spoil_signature=_spoil)
        self._control = ControlServer(
            options.host, options.control_port, self.faults, self.books, trace=self._server.trace,
            statements=StatementPages(self.books, STATEMENT, options.institution),
        )  # fmt: skip

    # --- one message -------------------------------------------------------------------------------------------------
    def _handle(self, payload: bytes) -> Reply | None:
        try:
            parts = codec.split(payload)
        except CodecError:
            return None  # it does not even say whom to answer
        try:
            message = codec.read(parts, self._signer)
        except CodecError as error:
            if error.path in ("DSG", "DEP") or error.rule == "KEY":
                return Reply((self._discard(parts, rules.FAULT_SIGNATURE, "核签未通过"),))  # the words of the sample
            return Reply((self._discard(parts, rules.FAULT_FORMAT, "报文格式错误"),))
        if isinstance(message, ConvertRequest):
            try:
                rules.check_msg_id(message.msg_id)
                rules.check_batch_id(message.batch_id)
            except InvalidValue:
                return Reply((self._discard(parts, rules.FAULT_FORMAT, "报文标识号错误"),))
            return self._convert(message)
        if isinstance(message, QueryRequest):
            return self._query(message)
        return None  # what a participant does not send

    # --- 225 ---------------------------------------------------------------------------------------------------------
    def _convert(self, request: ConvertRequest) -> Reply:
        wallet = self._wallet(request)
        trouble = self.faults.take(Operation.PREPARE, self.books.mark(wallet))
        known = self.books.payments.get(request.uetr)
        if known is not None:
            # What was decided stays decided: a fault acts on a repeat by its delivery alone.
            decides = trouble is None or trouble.kind in _DECIDING
            return Reply((self._received(request), self._repeated(request, known)), None if decides else trouble)
        if trouble is None:
            return Reply((self._received(request), self._settle(request, wallet)))
        match trouble.kind:
            case FaultKind.SILENT:
                return Reply(fault=trouble)
            case FaultKind.REFUSE:
                return Reply((self._received(request), self._refuse(request, wallet, trouble.code)), trouble)
            case FaultKind.OFFLINE | FaultKind.MAINTENANCE:
                code = rules.CODE_OF["CREDITOR_AGENT_OFFLINE"]
                return Reply((self._received(request), self._refuse(request, wallet, code)), trouble)
            case FaultKind.SLOW:
                self._keep(request, wallet, PaymentStatus.WORKING, _WORKING)
                arrived_ms = self._now_ms()
                return Reply(fault=trouble, finish=lambda: self._finish(request, wallet, arrived_ms))
            case FaultKind.SILENT_THEN_LATE:
                self._settle(request, wallet)
                return Reply((self._notice(request),), trouble)
            case FaultKind.TWICE:
                return Reply((self._received(request), self._settle(request, wallet)), trouble)
            case _:  # faults of the one answer that counts
                return Reply((self._settle(request, wallet),), trouble)

    def _repeated(self, request: ConvertRequest, known: Record) -> bytes:
        """A UETR that was here before: its first outcome, or a refusal that leaves the first as it is."""
        if known.digest != _digest(request):
            return self._answer(request, _REFUSED, rules.CODE_OF["RAIL_DUPLICATE"])
        if known.status is PaymentStatus.WORKING:
            self._repeats.setdefault(request.uetr, []).append(request)
        return self._answer(request, _STATUS[known.status], _reject_code(known) or "")

    def _finish(self, request: ConvertRequest, wallet: Account | None, arrived_ms: int) -> tuple[bytes, ...]:
        """The end of slow work: the answer, and a notice for each repeat that was told to wait."""
        answer = self._settle(request, wallet, arrived_ms)
        return (answer, *(self._notice(repeat) for repeat in self._repeats.pop(request.uetr, ())))

    def _settle(self, request: ConvertRequest, wallet: Account | None, arrived_ms: int | None = None) -> bytes:
        """Pay or refuse, and say so. What counts is when the request arrived, not how long it was worked on."""
        code = self._refusal(request, wallet, self._now_ms() if arrived_ms is None else arrived_ms)
        if code:
            return self._refuse(request, wallet, code)
        self.books.book(self._record(request, wallet, PaymentStatus.DONE, _DONE))
        return self._answer(request, _DONE)

    def _refuse(self, request: ConvertRequest, wallet: Account | None, code: str) -> bytes:
        self._keep(request, wallet, PaymentStatus.REFUSED, code)
        return self._answer(request, _REFUSED, code)

    def _keep(self, request: ConvertRequest, wallet: Account | None, status: PaymentStatus, code: str) -> None:
        self.books.keep(self._record(request, wallet, status, code))

    def _record(self, request: ConvertRequest, wallet: Account | None, status: PaymentStatus, code: str) -> Record:
        uetr, amount_minor, key = request.uetr, request.amount_minor, wallet.key if wallet else None
        return Record(
            uetr, _digest(request), status, code, request.msg_id, key, Asset.ECNY, amount_minor, self._now_ms()
        )

    def _wallet(self, request: ConvertRequest) -> Account | None:
        operator = "" if request.creditor_party == rules.CENTRE else request.creditor_party
        text = request.creditor_wallet
        if text.startswith("+"):
            return self.books.by_proxy(_MOBILE, text, operator)
        return self.books.account(operator, text) if operator else self.books.by_proxy(_WALLET_ID, text)

    def _refusal(self, request: ConvertRequest, wallet: Account | None, now_ms: int) -> str:
        """The RjctCd that refuses, or "". The order is part of the mock: age, operator, wallet, name, limits."""
        age_ms = now_ms - request.creation_time_ms
        if not -CLOCK_SKEW_MS_MAX <= age_ms <= self._valid_ms:
            return rules.CODE_OF["RAIL_EXPIRED"]
        if request.creditor_party != rules.CENTRE and request.creditor_party not in self.books.institutions:
            return rules.CODE_OF["CREDITOR_AGENT_UNKNOWN"]
        if wallet is None:
            mobile = request.creditor_wallet.startswith("+")
            return rules.CODE_OF["PROXY_UNKNOWN" if mobile else "CREDITOR_ACCOUNT_UNKNOWN"]
        if wallet.state is not AccountState.OPEN:
            closed = wallet.state is AccountState.CLOSED
            return rules.CODE_OF["CREDITOR_ACCOUNT_CLOSED" if closed else "CREDITOR_ACCOUNT_BLOCKED"]
        if not rules.same_name(request.creditor_name, wallet.holder):
            return rules.CODE_OF["CREDITOR_NAME_MISMATCH"]
        limit = self.books.breaks(wallet, Asset.ECNY, request.amount_minor, now_ms)
        return "" if limit is None else _CODE_OF_LIMIT[limit]

    # --- 411 ---------------------------------------------------------------------------------------------------------
    def _query(self, request: QueryRequest) -> Reply:
        trouble = self.faults.take(Operation.ENQUIRE)
        if trouble is None or trouble.kind is FaultKind.MAINTENANCE:
            return Reply((self._report(request),))
        if trouble.kind in (FaultKind.REFUSE, FaultKind.OFFLINE):
            code = trouble.code or rules.CODE_OF["CREDITOR_AGENT_OFFLINE"]
            return Reply((self._confirm(request, code),), trouble)
        return Reply((self._report(request),), trouble, finish=lambda: (self._report(request),))

    # --- what it says ------------------------------------------------------------------------------------------------
    def _answer(self, request: ConvertRequest, status: str, code: str = "") -> bytes:
        """A 226, or a 900 where the centre itself refuses."""
        if code in _CENTRE_CODES:
            return self._confirm(request, code)
        group = self._group(226, request)
        response = ConvertResponse._make((
            *group, *_original(request, CONVERT_REQUEST.name), status, code or None, None, request.batch_id,
        ))  # fmt: skip
        return self._write(response, group[0], request.msg_id)

    def _confirm(self, request: ConvertRequest | QueryRequest, code: str) -> bytes:
        asked = CONVERT_REQUEST if isinstance(request, ConvertRequest) else QUERY_REQUEST
        group = self._group(900, request)
        confirm = BusinessConfirm(*group, *_original(request, asked.name), _REFUSED, None, code, None)
        return self._write(confirm, group[0], request.msg_id)

    def _notice(self, request: ConvertRequest) -> bytes:
        known = self.books.payments[request.uetr]
        group, original = self._group(909, request), _original(request, CONVERT_REQUEST.name)
        notice = FinalNotice(*group, *original, _STATUS[known.status], rules.PROCESSED, _reject_code(known), None)
        return self._write(notice, group[0], request.msg_id)

    def _report(self, request: QueryRequest) -> bytes:
        known = self.books.payments.get(request.uetr)
        report = QueryResponse(
            *self._group(412, request),
            query_msg_id=request.msg_id,
            query_party=request.instructing_party,
            query_status=_DONE,
            status=_STATUS[known.status] if known else None,
            process_code=rules.PROCESSED if known else rules.NEVER_SEEN,
            reject_code=_reject_code(known) if known else None,
            reject_text=None,
            original_msg_id=request.original_msg_id,
            original_party=request.original_party,
            original_type=CONVERT_REQUEST.name,
        )
        return self._write(report, report.msg_id, request.msg_id)

    def _received(self, request: ConvertRequest) -> bytes:
        original = _original(request, CONVERT_REQUEST.name)
        confirm = CommunicationConfirm(request.creation_time_ms, *original, _DONE, None)
        return self._write(confirm, self._next_id(902, request.msg_id), request.msg_id)

    def _discard(self, parts: Parts, code: str, text: str) -> bytes:
        asked = parts.header.msg_id
        # A header's id may be longer than a MsgId; then no participant of the rail wrote it.
        fault = Fault(code=code, text=text, actor=rules.CENTRE, original_msg_id=asked if len(asked) <= 35 else None)
        return self._write(fault, self._next_id(911, asked), asked)

    def _group(self, number: int, request: ConvertRequest | QueryRequest) -> tuple[str, int, str, str, str]:
        """GrpHdr of an answer: msg_id, creation_time_ms, instructing_party, instructed_party, uetr."""
        creation_ms = self._now_ms() // 1000 * 1000
        return self._next_id(number, request.msg_id), creation_ms, rules.CENTRE, self._address.receiver, request.uetr

    def _next_id(self, number: int, asked: str) -> str:
        self._serial += 1
        return rules.msg_id(number, self._now_ms(), f"{self._serial}:{asked}".encode())

    def _write(self, message: Message, msg_id: str, ref_id: str) -> bytes:
        return codec.write(message, self._address, msg_id, ref_id, self._now_ms(), self._signer)


def _original(request: ConvertRequest | QueryRequest, kind: str) -> tuple[str, str, str]:
    """original_msg_id, original_party, original_type."""
    return request.msg_id, request.instructing_party, kind


def _reject_code(known: Record) -> str | None:
    return known.code if known.status is PaymentStatus.REFUSED else None


def _digest(request: ConvertRequest) -> bytes:
    """Of all that says who pays whom how much; a repeat may be written at another time. As good as this process lasts."""
    _, _, *parties, _, debtor, kind, name, account, agreement, payee, named, wallet, level, sort, label = request
    said = (*parties, debtor, kind, name, account, agreement, payee, named, wallet, level, sort, label)
    return hash(said).to_bytes(8, "big", signed=True)


def _register(books: Books) -> None:
    """Give every wallet its tier's ceilings, and let the centre find it by its id alone."""
    for wallet in books.accounts.values():
        parse_ecny_wallet_id(wallet.number)
        tier = rules.TIERS[wallet.tier]
        wallet.txn_max_minor, wallet.day_max_minor = tier.txn_max_minor, tier.day_max_minor
        wallet.year_max_minor, wallet.balance_max_minor = tier.year_max_minor, tier.balance_max_minor
        books.add_proxy(_WALLET_ID, wallet.number, wallet)


def _spoil(payload: bytes) -> bytes:
    """The same answer under a signature that is well-formed and wrong."""
    place = payload.index(b":DSG:") + 5
    return payload[:place] + (b"B" if payload[place : place + 1] == b"A" else b"A") + payload[place + 1 :]
