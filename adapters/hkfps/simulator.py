"""A mock FPS hub and all the banks behind it: accounts, proxies, limits, and pacs.002 answers in the hub's own bytes."""

import time
import uuid
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from adapters.hkfps import codec, rules
from adapters.hkfps.spec import (
    CREDIT_TRANSFER,
    ENQUIRY_SERVICE,
    HUB,
    PAYMENT_SERVICE,
    STATUS_REPORT,
    STATUS_REQUEST,
    StatusReport,
    Transfer,
    report_codec,
    transfer_codec,
)
from adapters.kit.books import Account, AccountState, Limit, PaymentStatus, Record
from adapters.kit.control import ControlServer
from adapters.kit.faults import Fault, FaultKind, FaultTable, Operation
from adapters.kit.inbound import Outgoing
from adapters.kit.mock_server import MockServer, Reply
from adapters.kit.module import SimulatorOptions
from adapters.kit.seed import load_seed
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme
from switch.errors import CodecError, InvalidValue
from switch.limits import CLOCK_SKEW_MS_MAX

__all__ = ["FpsSimulator"]

SEED = Path(__file__).with_name("seed.toml")
INBOUND_BUDGET_MS = 10_000
_LIMIT_CODE = {Limit.TXN: "AM02", Limit.DAY: "AM14", Limit.YEAR: "AM14", Limit.BALANCE: "AM14", Limit.FUNDS: "AM04"}
_STATE_CODE = {AccountState.OPEN: "", AccountState.CLOSED: "AC04", AccountState.BLOCKED: "AC06"}
_STATUS = {PaymentStatus.DONE: "ACSC", PaymentStatus.REFUSED: "RJCT", PaymentStatus.WORKING: "ACCP"}
# FPS answers are not signed yet (the signature comes with AppHdr/Sgntr), so that fault cannot be shown.
_FAULTS = frozenset(FaultKind) - {FaultKind.BAD_SIGNATURE}


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class FpsSimulator:
    """adapters.kit.module.Simulator for FPS. De-duplicates on TxId: a repeat gets the first outcome."""

    def __init__(self, options: SimulatorOptions, now_ms: Callable[[], int] = _wall_ms) -> None:
        self._institution = options.institution
        self._valid_ms = options.message_valid_ms
        self._now_ms = now_ms
        self.books = load_seed(options.seed or SEED)
        self.faults = FaultTable(supported=_FAULTS, codes=rules.CODES)
        self._server = MockServer(options.host, options.port, self._handle, self.faults)
        self._control = ControlServer(
            options.host, options.control_port, self.faults, self.books, self._inbound, self._server.trace
        )
        self._outgoing: Outgoing[tuple[PaymentStatus, str]] = Outgoing(self._server.push)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def control_port(self) -> int:
        return self._control.port

    async def start(self) -> None:
        """Bind both ports."""
        await self._server.start()
        await self._control.start()

    async def close(self) -> None:
        """Hang up on everybody; the books are gone with the process."""
        await self._outgoing.close()
        await self._control.close()
        await self._server.close()

    # --- what comes in -----------------------------------------------------------------------------------------------
    def _handle(self, payload: bytes) -> Reply | None:
        kind = codec.kind_of(payload)
        try:
            if kind == CREDIT_TRANSFER.name:
                return self._transfer(payload, codec.read_transfer(payload))
            if kind == STATUS_REQUEST.name:
                return self._enquiry(payload)
            if kind == STATUS_REPORT.name:
                self._answered(report_codec.read(payload))
        except CodecError:
            return self._unreadable(payload)
        return None  # a message this hub does not know goes nowhere

    def _transfer(self, payload: bytes, transfer: Transfer) -> Reply:
        account = self._find(transfer)
        fault = self.faults.take(Operation.PREPARE, self.books.mark(account))
        uetr = codec.uetr_of(transfer.tx_id)
        digest = blake2b(codec.body_of(payload), digest_size=16).digest()
        seen = self.books.payments.get(uetr)
        if seen is not None:
            return Reply((self._repeat(transfer.tx_id, seen, digest),), _delivery(fault))
        if fault is not None and fault.kind is FaultKind.SILENT:
            return Reply((), fault)
        now_ms = self._now_ms()
        asset = rules.ASSETS[transfer.currency]
        code = _forced(fault) or self._check(transfer, account, asset, now_ms)
        record = Record(
            uetr,
            digest,
            PaymentStatus.REFUSED if code else PaymentStatus.DONE,
            code or rules.ACCEPTED,
            "" if code else self.books.next_reference("FPS"),
            account.key if account else None,
            asset,
            transfer.amount_minor,
            now_ms,
        )
        if fault is not None and fault.kind is FaultKind.SLOW and not code:
            self.books.keep(record._replace(status=PaymentStatus.WORKING))
            return Reply((), fault, finish=lambda: (self._settle(transfer.tx_id, record),))
        return Reply((self._settle(transfer.tx_id, record),), fault)

    def _settle(self, tx_id: str, record: Record) -> bytes:
        """Book a payment, or keep its refusal, and say so."""
        if record.status is PaymentStatus.DONE:
            self.books.book(record)
        else:
            self.books.keep(record)
        return self._say(tx_id, PAYMENT_SERVICE, record)

    def _repeat(self, tx_id: str, seen: Record, digest: bytes) -> bytes:
        """A TxId that came before: its first outcome, or a refusal when the body is another one."""
        if seen.digest != digest:
            return self._report(tx_id, PAYMENT_SERVICE, "RJCT", reason=rules.DUPLICATE)
        return self._say(tx_id, PAYMENT_SERVICE, seen)

    def _enquiry(self, payload: bytes) -> Reply:
        tx_id = codec.read_request(payload).tx_id
        fault = self.faults.take(Operation.ENQUIRE)
        seen = self.books.payments.get(codec.uetr_of(tx_id))
        if seen is None:
            answer = self._report(tx_id, ENQUIRY_SERVICE, "RJCT", reason=rules.NEVER_SEEN)
        else:
            answer = self._say(tx_id, ENQUIRY_SERVICE, seen)
        return Reply((answer,), fault)

    def _unreadable(self, payload: bytes) -> Reply | None:
        """A message that breaks the format. A transfer whose TxId still stands is refused, and stays refused."""
        tx_id = codec.tx_id_seen(payload)
        if codec.kind_of(payload) != CREDIT_TRANSFER.name or not tx_id:
            return None
        try:
            uetr = codec.uetr_of(tx_id)
        except CodecError:
            return Reply((self._report(tx_id, PAYMENT_SERVICE, "RJCT", reason=rules.FORMAT),))
        digest = blake2b(codec.body_of(payload), digest_size=16).digest()
        seen = self.books.payments.get(uetr)
        if seen is not None:
            return Reply((self._repeat(tx_id, seen, digest),))
        refused = Record(uetr, digest, PaymentStatus.REFUSED, rules.FORMAT, "", None, Asset.HKD, 0, self._now_ms())
        return Reply((self._settle(tx_id, refused),))

    # --- the rules, in this order ------------------------------------------------------------------------------------
    def _check(self, transfer: Transfer, account: Account | None, asset: Asset, now_ms: int) -> str:
        """The code a transfer is refused with, "" when it is paid."""
        age_ms = now_ms - transfer.created_ms
        if age_ms > self._valid_ms:
            return rules.EXPIRED
        if age_ms < -CLOCK_SKEW_MS_MAX:
            return rules.FORMAT  # from the future
        if transfer.creditor_agent != HUB and transfer.creditor_agent not in self.books.institutions:
            return "AGNT"
        if account is None:
            return "AC01" if transfer.creditor_scheme == "BBAN" else "BE23"
        if state := _STATE_CODE[account.state]:
            return state
        if asset not in account.assets:
            return "AM03"
        if transfer.verify == "PERFORM_PYE_VRF" and not rules.same_name(transfer.creditor_name, account.holder):
            return "BE01"
        limit = self.books.breaks(account, asset, transfer.amount_minor, now_ms)
        return _LIMIT_CODE[limit] if limit else ""

    def _find(self, transfer: Transfer) -> Account | None:
        """The account a transfer is for: by number at its agent, or by proxy, at the default agent unless one is named."""
        agent = transfer.creditor_agent
        if transfer.creditor_scheme == "BBAN":
            return self.books.account(agent, transfer.creditor_account or "")
        kind = transfer.creditor_scheme or "EMAL"
        value = transfer.creditor_account or transfer.creditor_email or ""
        return self.books.by_proxy(kind, value, "" if agent == HUB else agent)

    # --- what goes out -----------------------------------------------------------------------------------------------
    def _say(self, tx_id: str, service: str, record: Record) -> bytes:
        refused = record.status is PaymentStatus.REFUSED
        return self._report(
            tx_id,
            service,
            _STATUS[record.status],
            reason=record.code if refused else "",
            reference=record.reference if record.status is PaymentStatus.DONE else "",
        )

    def _report(self, tx_id: str, service: str, status: str, *, reason: str = "", reference: str = "") -> bytes:
        now_ms, to = self._now_ms(), self._institution
        return codec.report(tx_id, service, status, now_ms, HUB, to, reason=reason, reference=reference)

    # --- payments from a bank on FPS to us ---------------------------------------------------------------------------
    async def _inbound(self, call: dict[str, Any]) -> dict[str, Any]:
        """Control call: institution, number (who pays), amount_minor, asset, scheme, creditor, name, place.

        Optional: uetr, end_to_end_id, purpose, remark, budget_ms. Answers with uetr, outcome (done, refused, working) and
        code. A payment that is still working goes on being sent until it is answered.
        """
        account = self.books.account(call["institution"], call["number"])
        if account is None:
            raise InvalidValue("CONTROL", "no such account on this rail")
        asset, amount_minor = Asset[call["asset"]], int(call["amount_minor"])
        uetr = call.get("uetr") or str(uuid.uuid4())
        now_ms = self._now_ms()
        if uetr not in self.books.payments:
            limit = self.books.breaks(account, asset, -amount_minor, now_ms)
            if asset not in account.assets or limit:
                return {"uetr": uetr, "outcome": "refused", "code": _LIMIT_CODE[limit] if limit else "AM03"}
        transfer = self._outbound(call, account, asset, uetr, now_ms)
        payload = transfer_codec.write(transfer)
        seen = self.books.payments.get(uetr)
        if seen is None:
            digest = blake2b(codec.body_of(payload), digest_size=16).digest()
            working = Record(uetr, digest, PaymentStatus.WORKING, "", "", account.key, asset, -amount_minor, now_ms)
            self.books.keep(working)
            self.books.hold(account, asset, amount_minor)
        elif seen.status is not PaymentStatus.WORKING:
            return {"uetr": uetr, "outcome": str(seen.status), "code": seen.code}
        outcome = await self._outgoing.push(uetr, payload, int(call.get("budget_ms", INBOUND_BUDGET_MS)))
        status, code = outcome or (PaymentStatus.WORKING, "")
        return {"uetr": uetr, "outcome": str(status), "code": code}

    def _outbound(self, call: dict[str, Any], account: Account, asset: Asset, uetr: str, now_ms: int) -> Transfer:
        tx_id = codec.tx_id_of(uetr)
        document_type, _, document = account.document.partition(":")
        code = rules.SCHEME_CODE[Scheme[call["scheme"]]]
        email = code == "EMAL"
        return Transfer(
            sender=HUB,
            receiver=self._institution,
            header_id=tx_id,
            header_time=codec.header_time(now_ms),
            message_id=tx_id,
            created_ms=now_ms,
            end_to_end_id=call.get("end_to_end_id") or f"E2E-{tx_id[:24]}",
            tx_id=tx_id,
            verify="SKIP_PYE_VRF",
            category=rules.category_of(call.get("purpose", "")),
            currency=asset.iso,
            amount_minor=int(call["amount_minor"]),
            debtor_name=account.holder,
            debtor_document=document or None,
            debtor_document_type=document_type or None,
            debtor_place=Place.HK.name,
            debtor_email=None,
            debtor_account=account.number,
            debtor_scheme="BBAN",
            debtor_agent=account.institution,
            creditor_agent=self._institution,
            creditor_name=call["name"],
            creditor_place=Place[call["place"]].name,
            creditor_email=call["creditor"] if email else None,
            creditor_account=None if email else call["creditor"],
            creditor_scheme=None if email else code,
            purpose=call.get("purpose") or None,
            remark=call.get("remark") or None,
        )

    def _answered(self, answer: StatusReport) -> None:
        """The switch's answer to a payment of ours: the first final one counts, a repeat changes nothing."""
        uetr = codec.uetr_of(answer.tx_id)
        record = self.books.payments.get(uetr)
        if record is None or record.status is not PaymentStatus.WORKING or record.amount_minor >= 0:
            return
        if answer.status not in ("ACSC", "RJCT", "CNCL"):
            return
        assert record.account is not None
        self.books.hold(self.books.accounts[record.account], record.asset, record.amount_minor)
        if answer.status == "ACSC":
            done = record._replace(
                status=PaymentStatus.DONE, code=rules.ACCEPTED, reference=self.books.next_reference("FPS")
            )
            self.books.book(done)
            self._outgoing.answered(uetr, (PaymentStatus.DONE, rules.ACCEPTED))
        else:
            code = answer.reason or answer.status
            self.books.keep(record._replace(status=PaymentStatus.REFUSED, code=code))
            self._outgoing.answered(uetr, (PaymentStatus.REFUSED, code))


def _forced(fault: Fault | None) -> str:
    """The code a fault refuses with, "" when it is of another kind."""
    if fault is None:
        return ""
    if fault.kind is FaultKind.REFUSE:
        return fault.code
    return rules.AGENT_OFFLINE if fault.kind in (FaultKind.OFFLINE, FaultKind.MAINTENANCE) else ""


def _delivery(fault: Fault | None) -> Fault | None:
    """A fault as it acts on a repeat, which neither books nor refuses anything: only its delivery is left."""
    if fault is None or fault.kind in (FaultKind.REFUSE, FaultKind.OFFLINE, FaultKind.MAINTENANCE):
        return None
    return fault
