"""Fakes for everything the engine asks of the world, and a small world built of them.

`World` is the real engine over the fakes: two participants that pay, one FX provider, two gateways, one operator.
"""

import asyncio
import hashlib
import uuid
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple

from adapters.kit.waves import one_by_one
from switch.domain.corridor import Corridor, Fee, Hours, LimitRow, Measure, Period, Subject
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money, Rate
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.engine import Directory, Paces, Payments, Quotes, Recovery, RecoveryTimes, Watch
from switch.ports import (
    Answered,
    Enquiry,
    InboundHandler,
    Outcome,
    Participant,
    ParticipantStore,
    PaymentStore,
    QuoteStore,
    RailAck,
)
from switch.routing import RouterHolder
from tests.fake_store import FakeStore

__all__ = [
    "CORRIDORS",
    "NOON_MS",
    "PARTICIPANTS",
    "FakeClock",
    "FakeStore",
    "Ports",
    "ScriptedRail",
    "World",
    "instruction",
    "until",
]

NOON_MS = 1_795_406_400_000  # 2026-11-23 12:00 in Hong Kong


class FakeClock:
    """Time that stands still until a test moves it."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, ms: int) -> None:
        self._now_ms += ms


class ScriptedRail:
    """A rail that says what a test tells it, keeps books, and de-duplicates on the UETR as every rail does.

    Without a script it pays. `gate` closed (see `hold`), it answers nothing until it opens.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.paid: dict[str, Hold] = {}
        self.asked: defaultdict[str, list[str]] = defaultdict(list)  # method -> UETRs, in order
        self.handler: InboundHandler | None = None
        self._scripts: defaultdict[str, deque[Any]] = defaultdict(deque)
        self._gate = asyncio.Event()
        self._gate.set()
        self._arrived = asyncio.Event()

    def will(self, method: str, *answers: Any) -> None:
        """The next answers of `method`: a value to return, or an exception to raise."""
        self._scripts[method].extend(answers)

    def hold(self) -> None:
        """Answer nothing until `release`."""
        self._gate.clear()
        self._arrived.clear()

    def release(self) -> None:
        self._gate.set()

    async def arrived(self) -> None:
        """Returns when a call has come since `hold`."""
        await self._arrived.wait()

    async def start(self) -> None:
        return None

    async def close(self) -> None:
        return None

    def listen(self, handler: InboundHandler) -> None:
        self.handler = handler

    async def _asked(self, method: str, hold: Hold) -> Any:
        self.asked[method].append(hold.uetr)
        self._arrived.set()
        await self._gate.wait()
        await asyncio.sleep(0)
        answer = self._scripts[method].popleft() if self._scripts[method] else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        answer: RailAck | None = await self._asked("prepare", hold)
        self.paid.setdefault(hold.uetr, hold)
        return answer or RailAck(f"REF{hold.uetr[:8]}", "ACSC")

    def prepare_all(self, holds: Sequence[Hold], budget_ms: int) -> AsyncGenerator[list[Answered], None]:
        return one_by_one(self.prepare, holds, budget_ms)

    async def enquire(self, hold: Hold, budget_ms: int) -> Enquiry:
        answer: Enquiry | None = await self._asked("enquire", hold)
        return answer or self._truth(hold)

    async def abort(self, hold: Hold, budget_ms: int) -> Enquiry:
        answer: Enquiry | None = await self._asked("abort", hold)
        return answer or self._truth(hold)

    def _truth(self, hold: Hold) -> Enquiry:
        if hold.uetr in self.paid:
            return Enquiry(Outcome.DONE, RailAck(f"REF{hold.uetr[:8]}", "ACSC"))
        return Enquiry(Outcome.NEVER_SEEN)


def _corridor(id: str, debit: Asset, credit: Asset, places: tuple[Place, Place], rail: str, **rules: Any) -> Corridor:
    row: dict[str, Any] = {
        "schemes": (Scheme.MOBILE, Scheme.FPS_ID, Scheme.ACCOUNT),
        "creditor_agent": "",
        "papers": (),
        "purposes": (),
        "hours": Hours(0, 1440),
        "limits": (),
    } | rules
    return Corridor(
        id=id,
        debtor_place=places[0],
        creditor_place=places[1],
        debit_asset=debit,
        credit_asset=credit,
        rail=rail,
        gateway=f"GW_{rail.upper()}",
        source="a test",
        **row,
    )


def _limit(id: str, period: Period, max_minor: int) -> LimitRow:
    return LimitRow(id, Subject.DEBTOR_PERSON, period, Measure.DEBIT, "HKD", max_minor, None, 0, "a test")


# `plain` has no rules, `strict` has all of them, `inbound` is where a rail's own payments go.
CORRIDORS = (
    _corridor("plain", Asset.HKD, Asset.HKD, (Place.HK, Place.HK), "near"),
    _corridor(
        "strict",
        Asset.HKD,
        Asset.CNY,
        (Place.HK, Place.CN),
        "far",
        schemes=(Scheme.ALIPAY_LOGIN, Scheme.ALIPAY_USER),
        papers=(DocumentType.HKID, DocumentType.HOME_RETURN_PERMIT),
        purposes=("FAMILY_SUPPORT", "SALARY"),
        hours=Hours(7 * 60, 23 * 60),
        limits=(
            _limit("strict.txn", Period.TXN, 500_000),
            _limit("strict.day", Period.DAY, 1_000_000),
            _limit("strict.year", Period.YEAR, 1_500_000),
        ),
    ),
    _corridor("mop", Asset.MOP, Asset.HKD, (Place.MO, Place.HK), "near"),
)


def instruction(participant: str = "ALFA", **changes: Any) -> Instruction:
    """HKD 100.00 on `plain`, with fresh ids; `changes` by field name."""
    fields: dict[str, Any] = {
        "participant": participant,
        "request_id": f"r-{uuid.uuid4()}",
        "uetr": str(uuid.uuid4()),
        "end_to_end_id": "E2E-1",
        "debit": Money(Asset.HKD, 10_000),
        "debtor": Party(
            "CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "012345678"), Document(DocumentType.HKID, "A123456(3)")
        ),
        "creditor": Party("WONG SIU MING", Place.HK, Account(Scheme.MOBILE, "+852-61234567")),
        "creditor_agent": "",
        "purpose": "",
        "remark": "",
        "quote_id": "",
    } | changes
    return Instruction(**({"credit": fields["debit"]} | fields))


def _participant(name: str, role: str, *assets: Asset) -> Participant:
    caps = tuple((asset, 10**12) for asset in sorted(assets))
    return Participant(name, name.title(), "HK", (role,), False, caps, NOON_MS)


PARTICIPANTS = (
    _participant("ALFA", "instructing", Asset.HKD, Asset.MOP),
    _participant("BRAVO", "instructing", Asset.HKD),
    _participant("FXONE", "fx_provider", Asset.CNY, Asset.HKD),
    _participant("GW_NEAR", "gateway", Asset.HKD),
    _participant("GW_FAR", "gateway"),
)


class Ports(NamedTuple):
    """The stores a world runs on; by default one FakeStore is all three."""

    payments: PaymentStore
    quotes: QuoteStore
    participants: ParticipantStore


class World:
    """The real engine over the fakes. `near` and `far` are its rails."""

    def __init__(
        self,
        *,
        now_ms: int = NOON_MS,
        hold_ms: int = 10_000,
        fees: dict[str, Fee] | None = None,
        ports: Ports | None = None,
        **times: int,
    ) -> None:
        self.clock = clock = FakeClock(now_ms)
        self.store = FakeStore(clock)
        self.ports = payments, quotes, participants = ports or Ports(self.store, self.store, self.store)
        self.near, self.far = ScriptedRail("near"), ScriptedRail("far")
        rails = {rail.name: rail for rail in (self.near, self.far)}
        self.router = router = RouterHolder(CORRIDORS)
        self.watch = watch = Watch(payments)
        self.paces = Paces({})
        self.quotes = Quotes(store=quotes, participants=participants, router=router, fees=fees or {}, clock=clock)
        self.payments = Payments(
            store=payments,
            quotes=self.quotes,
            router=router,
            rails=rails,
            watch=watch,
            clock=clock,
            paces=self.paces,
            identity_hash=self.identity_hash,
            hold_ms=hold_ms,
        )
        self.directory = Directory(router, payments, clock, self.identity_hash)
        self.recovery = Recovery(
            store=payments,
            quotes=quotes,
            rails=rails,
            payments=self.payments,
            watch=watch,
            clock=clock,
            times=RecoveryTimes(**times),
        )
        self.store.participants.update({each.id: each for each in PARTICIPANTS})

    @staticmethod
    def identity_hash(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    async def quote_rates(self) -> None:
        """FXONE quotes HKD to CNY at 0.9259 and MOP to HKD at the peg."""
        await self.store.set_rate("FXONE", Asset.HKD, Asset.CNY, Rate(9_259, 10_000), "OPERATOR", "test", NOON_MS)
        await self.store.set_rate("FXONE", Asset.MOP, Asset.HKD, Rate(100, 103), "OPERATOR", "test", NOON_MS)


async def until(condition: Callable[[], object], looks: int = 15_000) -> None:
    """Look until `condition()` holds, every 2 ms: sockets are polled in between. Fails after `looks` looks."""
    for _ in range(looks):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("what was waited for did not happen")
