"""The mock of a push rail: a hub and all the institutions behind it, with accounts, proxies, limits and faults.

A rail gives its codec (pure functions) and its seed; de-duplication, the rules and their order, batches, status
enquiries and payments of the rail's own are here. Refusals are ISO external status reasons (rails.md F3).
"""

import asyncio
import unicodedata
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from adapters.kit.books import Account, AccountState, Limit, PaymentStatus, Record
from adapters.kit.clock import wall_ms
from adapters.kit.control import ControlServer
from adapters.kit.faults import Fault, FaultKind, FaultTable, Operation
from adapters.kit.inbound import Outgoing
from adapters.kit.mock_server import MockPorts, MockServer, Reply
from adapters.kit.module import SimulatorOptions
from adapters.kit.push_codec import (
    ACCEPTED,
    AGENT_OFFLINE,
    AGENT_UNKNOWN,
    DUPLICATE,
    EXPIRED,
    FORMAT,
    ISO_REASONS,
    NEVER_SEEN,
    Answer,
    Debit,
    HubCodec,
    Order,
    Question,
    Told,
)
from adapters.kit.seed import load_seed
from adapters.kit.statement import StatementFormat
from adapters.kit.statement_pages import StatementPages
from switch.domain.identifiers import parse_uetr
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme
from switch.errors import CodecError, InvalidValue
from switch.limits import CLOCK_SKEW_MS_MAX

__all__ = ["PushSimulator", "same_name"]

INBOUND_BUDGET_MS: Final = 10_000
_LIMIT_CODE: Final = {
    Limit.TXN: "AM02", Limit.DAY: "AM14", Limit.YEAR: "AM14", Limit.BALANCE: "AM14", Limit.FUNDS: "AM04",
}  # fmt: skip
_STATE_CODE: Final = {AccountState.OPEN: "", AccountState.CLOSED: "AC04", AccountState.BLOCKED: "AC06"}
# Members by their enums' names are looked up slowly, and these for every payment.
_PREPARE: Final = Operation.PREPARE
_DONE: Final = PaymentStatus.DONE
_REFUSED: Final = PaymentStatus.REFUSED
# Answers are not signed yet (the place for the signature is AppHdr/Sgntr), so that fault cannot be shown.
_FAULTS: Final = frozenset(FaultKind) - {FaultKind.BAD_SIGNATURE}

T = TypeVar("T")


def same_name(one: str, other: str) -> bool:
    """The payee check: names are compared with compatibility forms, case and runs of space folded."""
    return one == other or _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


# --- the hub ---------------------------------------------------------------------------------------------------------
class PushSimulator(MockPorts, Generic[T]):
    """adapters.kit.module.Simulator of a push rail. De-duplicates on the UETR: a repeat gets the first outcome."""

    def __init__(
        self,
        options: SimulatorOptions,
        codec: HubCodec[T],
        *,
        seed: Path,
        prefix: str,
        statement: StatementFormat,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """`seed` is the rail's own, used when the options name none; `prefix` begins the hub's references."""
        self._codec = codec
        self._institution = options.institution
        self._valid_ms = options.message_valid_ms
        self._prefix = prefix
        self._now_ms = now_ms
        self.books = load_seed(options.seed or seed)
        self._batches: dict[str, tuple[Record, asyncio.TimerHandle]] = {}  # by UETR: what waits to be credited
        self.faults = FaultTable(supported=_FAULTS, codes=ISO_REASONS)
        self._server = MockServer(options.host, options.port, self._handle, self.faults)
        self._control = ControlServer(
            options.host, options.control_port, self.faults, self.books, self._inbound, self._server.trace,
            StatementPages(self.books, statement, options.institution),
        )  # fmt: skip
        self._outgoing: Outgoing[tuple[PaymentStatus, str]] = Outgoing(self._server.push)

    async def close(self) -> None:
        """As MockPorts; what waits for a batch is never credited."""
        for _, batch in self._batches.values():
            batch.cancel()
        self._batches.clear()
        await self._outgoing.close()
        await super().close()

    # --- what comes in -----------------------------------------------------------------------------------------------
    def _handle(self, payload: bytes) -> Reply | None:
        try:
            message = self._codec.read_message(payload)
        except CodecError:
            return self._unreadable(payload)
        if isinstance(message, Order):
            return self._order(message)
        if isinstance(message, Question):
            return self._question(message.uetr)
        if isinstance(message, Answer):
            self._answered(message)
        return None  # a message this hub does not know goes nowhere

    def _order(self, order: Order) -> Reply:
        uetr, body, asset, amount_minor, _, _, _, _, _ = order
        account, digest = self._find(order), _digest(body)
        fault = self.faults.take(_PREPARE, self.books.mark(account))
        seen = self.books.payments.get(uetr)
        if seen is not None:
            return Reply((self._repeat(seen, digest),), _delivery(fault))
        if fault is not None and fault.kind is FaultKind.SILENT:
            return Reply((), fault)
        now_ms = self._now_ms()
        code = _forced(fault) or self._check(order, account, now_ms)
        key = account.key if account else None
        reference = "" if code else self.books.next_reference(self._prefix)
        paid = Record(uetr, digest, _DONE, ACCEPTED, reference, key, asset, amount_minor, now_ms)
        if code or key is None:
            return Reply((self._say(self._refused(paid, code)),), fault)
        if fault is not None and fault.kind is FaultKind.SLOW:
            self.books.keep(paid._replace(status=PaymentStatus.WORKING, code=""))
            return Reply((), fault, finish=lambda: (self._say(self._settle(paid)),))
        if batch_ms := self.books.institutions[key[0]].batch_ms:
            working = paid._replace(status=PaymentStatus.WORKING, code="")
            self.books.keep(working)
            self._later(batch_ms, paid)
            return Reply((self._say(working),), fault)
        self.books.book(paid)
        return Reply((self._say(paid),), fault)

    def _refused(self, record: Record, code: str) -> Record:
        refused = record._replace(status=PaymentStatus.REFUSED, code=code, reference="")
        self.books.keep(refused)
        return refused

    def _settle(self, paid: Record) -> Record:
        """End what was accepted before: paid, unless what was paid meanwhile has used up the account's limits."""
        assert paid.account is not None
        account = self.books.accounts[paid.account]
        limit = self.books.breaks(account, paid.asset, paid.amount_minor, paid.time_ms)
        if limit:
            return self._refused(paid, _LIMIT_CODE[limit])
        self.books.book(paid)
        return paid

    def _later(self, batch_ms: int, paid: Record) -> None:
        batch = asyncio.get_running_loop().call_later(batch_ms / 1000, self._run_batch, paid.uetr)
        self._batches[paid.uetr] = paid, batch

    def _run_batch(self, uetr: str) -> None:
        paid, batch = self._batches.pop(uetr)
        batch.cancel()
        self._settle(paid)

    def run_batches(self) -> None:
        """Credit now whatever waits for a batch."""
        for uetr in list(self._batches):
            self._run_batch(uetr)

    def _repeat(self, seen: Record, digest: bytes) -> bytes:
        """A UETR that came before: its first outcome, or a refusal when the body is another one."""
        if seen.digest != digest:
            return self._refuse(seen.uetr, DUPLICATE)
        return self._say(seen)

    def _question(self, uetr: str) -> Reply:
        fault = self.faults.take(Operation.ENQUIRE)
        seen = self.books.payments.get(uetr)
        now_ms = self._now_ms()
        told = _told(seen, now_ms) if seen else Told(uetr, PaymentStatus.REFUSED, NEVER_SEEN, "", now_ms)
        return Reply((self._codec.tell_asker(told, self._institution),), fault)

    def _unreadable(self, payload: bytes) -> Reply | None:
        """A message that breaks the format. A transfer whose UETR still stands is refused, and stays refused."""
        found = self._codec.transfer_seen(payload)
        if found is None:
            return None
        uetr, digest = found[0], _digest(found[1])
        try:
            parse_uetr(uetr)
        except InvalidValue:
            return Reply((self._refuse(uetr, FORMAT),))  # no id to keep it under
        seen = self.books.payments.get(uetr)
        if seen is not None:
            return Reply((self._repeat(seen, digest),))
        refused = Record(uetr, digest, PaymentStatus.REFUSED, FORMAT, "", None, Asset.HKD, 0, self._now_ms())
        self.books.keep(refused)
        return Reply((self._say(refused),))

    # --- the rules, in this order ------------------------------------------------------------------------------------
    def _check(self, order: Order, account: Account | None, now_ms: int) -> str:
        """The code an order is refused with, "" when it is paid."""
        _, _, asset, amount_minor, created_ms, agent, proxy, _, checked_name = order
        age_ms = now_ms - created_ms
        if age_ms > self._valid_ms:
            return EXPIRED
        if age_ms < -CLOCK_SKEW_MS_MAX:
            return FORMAT  # from the future
        if agent and agent not in self.books.institutions:
            return AGENT_UNKNOWN
        if account is None:
            return "BE23" if proxy else "AC01"
        if state := _STATE_CODE[account.state]:
            return state
        if asset not in account.assets:
            return "AM03"
        if checked_name is not None and not same_name(checked_name, account.holder):
            return "BE01"
        limit = self.books.breaks(account, asset, amount_minor, now_ms)
        return _LIMIT_CODE[limit] if limit else ""

    def _find(self, order: Order) -> Account | None:
        """The account an order is for: by number at its agent, or by proxy, at the default agent unless one is named."""
        _, _, _, _, _, agent, proxy, address, _ = order
        return self.books.by_proxy(proxy, address, agent) if proxy else self.books.account(agent, address)

    # --- what goes out -----------------------------------------------------------------------------------------------
    def _say(self, record: Record) -> bytes:
        return self._codec.tell_payer(_told(record, self._now_ms()), self._institution)

    def _refuse(self, uetr: str, code: str) -> bytes:
        """A refusal that leaves the first outcome as it is."""
        told = Told(uetr, PaymentStatus.REFUSED, code, "", self._now_ms())
        return self._codec.tell_payer(told, self._institution)

    # --- payments of the rail's own, to us ---------------------------------------------------------------------------
    async def _inbound(self, call: dict[str, Any]) -> dict[str, Any]:
        """Control call: institution, number (who pays), amount_minor, asset, scheme, creditor, name, place.

        Optional: uetr, end_to_end_id, purpose, remark, budget_ms. Answers with uetr, outcome (done, refused, working) and
        code. A payment that is still working goes on being sent until it is answered.
        """
        account = self.books.account(call["institution"], call["number"])
        if account is None:
            raise InvalidValue("CONTROL", "no such account on this rail")
        uetr = call.get("uetr") or str(uuid.uuid4())
        debit = Debit(
            uetr=uetr,
            end_to_end_id=call.get("end_to_end_id") or f"E2E-{uetr.replace('-', '')[:24]}",
            account=account,
            asset=Asset[call["asset"]],
            amount_minor=int(call["amount_minor"]),
            scheme=Scheme[call["scheme"]],
            address=call["creditor"],
            name=call["name"],
            place=Place[call["place"]],
            purpose=call.get("purpose", ""),
            remark=call.get("remark", ""),
            created_ms=self._now_ms(),
        )
        return {"uetr": uetr, **await self._pay_switch(debit, int(call.get("budget_ms", INBOUND_BUDGET_MS)))}

    async def _pay_switch(self, debit: Debit, budget_ms: int) -> dict[str, str]:
        """Set the money aside and send the payment; a repeat of one that runs waits for the same answer."""
        account, uetr = debit.account, debit.uetr
        seen = self.books.payments.get(uetr)
        if seen is None:
            limit = self.books.breaks(account, debit.asset, -debit.amount_minor, debit.created_ms)
            if debit.asset not in account.assets or limit:
                return {"outcome": str(PaymentStatus.REFUSED), "code": _LIMIT_CODE[limit] if limit else "AM03"}
        payload = self._codec.write_transfer(self._outbound(debit))
        if seen is None:
            self.books.keep(
                Record(
                    uetr, _digest(payload), PaymentStatus.WORKING, "", "", account.key, debit.asset,
                    -debit.amount_minor, debit.created_ms,
                )
            )  # fmt: skip
            self.books.hold(account, debit.asset, debit.amount_minor)
        elif seen.status is not PaymentStatus.WORKING:
            return {"outcome": str(seen.status), "code": seen.code}
        outcome = await self._outgoing.push(uetr, payload, budget_ms)
        status, code = outcome or (PaymentStatus.WORKING, "")
        return {"outcome": str(status), "code": code}

    def _outbound(self, debit: Debit) -> T:
        return self._codec.transfer_to_switch(debit, self._institution)

    def _answered(self, answer: Answer) -> None:
        """The switch's answer to a payment of ours: the first final one counts, a repeat changes nothing."""
        record = self.books.payments.get(answer.uetr)
        if record is None or record.status is not PaymentStatus.WORKING or record.amount_minor >= 0:
            return
        if answer.status is PaymentStatus.WORKING:
            return
        assert record.account is not None
        self.books.hold(self.books.accounts[record.account], record.asset, record.amount_minor)
        if answer.status is PaymentStatus.DONE:
            reference = self.books.next_reference(self._prefix)
            self.books.book(record._replace(status=PaymentStatus.DONE, code=ACCEPTED, reference=reference))
        else:
            self._refused(record, answer.code)
        self._outgoing.answered(answer.uetr, (answer.status, answer.code))


def _digest(body: bytes) -> bytes:
    """Good for as long as this process, as the books are."""
    return hash(body).to_bytes(8, "big", signed=True)


def _told(record: Record, now_ms: int) -> Told:
    uetr, _, status, code, reference, _, _, _, _ = record
    return Told(uetr, status, code if status is _REFUSED else "", reference if status is _DONE else "", now_ms)


def _forced(fault: Fault | None) -> str:
    """The code a fault refuses with, "" when it is of another kind."""
    if fault is None:
        return ""
    if fault.kind is FaultKind.REFUSE:
        return fault.code
    return AGENT_OFFLINE if fault.kind in (FaultKind.OFFLINE, FaultKind.MAINTENANCE) else ""


def _delivery(fault: Fault | None) -> Fault | None:
    """A fault as it acts on a repeat, which neither books nor refuses anything: only its delivery is left."""
    if fault is None or fault.kind in (FaultKind.REFUSE, FaultKind.OFFLINE, FaultKind.MAINTENANCE):
        return None
    return fault
