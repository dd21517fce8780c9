"""Random schedules of trouble, thousands of them: whatever happens, money is moved once or not at all, and told as it is."""

import asyncio
import logging
import random
from collections import defaultdict
from typing import Any

import pytest

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Payment, State, kept_refusal
from switch.engine import QuoteRequest
from switch.errors import Refused, StoreUnavailable
from tests.engine.model import QUOTE_MS, Process, Weather, WeatherRail, WeatherStore, run
from tests.fakes import instruction

SEEDS = 2_000
CALLERS = 7
CALM_S_MAX = 1_800  # by then everything open has ended
STORM_S = 25.0
NOT_DECIDED = ("DEADLINE_PASSED", "OVERLOADED")
PAYEE = Party("李雷", Place.CN, Account(Scheme.ALIPAY_LOGIN, "13800138000"))
PEOPLE = [
    Party(f"PERSON {number}", Place.HK, Account(Scheme.ACCOUNT, f"1{number}"), Document(DocumentType.HKID, str(number)))
    for number in range(2)
]


class Storm:
    """One seed: the callers, and what they were told."""

    def __init__(self, seed: int) -> None:
        self.weather = weather = Weather(seed)
        self.dice = weather.dice
        self.store = WeatherStore(weather)
        self.rails = {name: WeatherRail(name, weather) for name in ("near", "far")}
        self.processes: list[Process] = []
        self.told: defaultdict[str, set[Payment]] = defaultdict(set)  # final answers, by UETR
        self.refused: list[tuple[Instruction, str]] = []
        self.known: list[Instruction] = []  # what callers have begun, for others to copy, twist and steal from

    def start(self) -> Process:
        process = Process(self.weather, self.store, self.rails)
        self.processes.append(process)
        return process

    # --- one caller --------------------------------------------------------------------------------------------------
    async def caller(self) -> None:
        await self.weather.travel(STORM_S)
        asked = await self.choose()
        if asked is None:
            return
        self.known.append(asked)
        if asked.debit.asset is Asset.MOP:
            await self.bring(asked)
        else:
            await self.submit(asked)

    async def choose(self) -> Instruction | None:
        """A payment of some kind, new or made of one that is known."""
        kind = self.dice.choice(("plain", "plain", "quoted", "quoted", "inbound", "copy", "twist", "thief", "reuse"))
        if kind == "inbound":
            place = Party("HO KA", Place.MO, Account(Scheme.ACCOUNT, "99"))
            return self.fresh(debit=Money(Asset.MOP, self.dice.randint(1_000, 20_000)), debtor=place)
        if kind == "quoted":
            return await self.quoted()
        other = self.dice.choice(self.known) if self.known else None
        if other is None or kind == "plain" or (other.debit.asset is Asset.MOP and kind != "copy"):
            return self.fresh(self.dice.choice(("ALFA", "BRAVO")), debit=Money(Asset.HKD, self.dice.randint(1, 30_000)))
        if kind == "copy":
            return other
        if kind == "twist":
            return other._replace(remark="another")
        if kind == "thief":
            return self.fresh("BRAVO" if other.participant == "ALFA" else "ALFA", uetr=other.uetr)
        return other._replace(request_id=f"r-{self.weather.uuid()}", uetr=str(self.weather.uuid()))  # reuse its quote

    def fresh(self, participant: str = "ALFA", **changes: Any) -> Instruction:
        ids = {"request_id": f"r-{self.weather.uuid()}", "uetr": str(self.weather.uuid())}
        return instruction(participant, **(ids | changes))

    async def quoted(self) -> Instruction | None:
        """The price is asked for once; who gets none, or is cut off, does not pay."""
        debit = Money(Asset.HKD, self.dice.randint(1_000, 30_000))
        request = QuoteRequest(
            "ALFA", debit, True, Asset.CNY, Place.HK, Place.CN, Scheme.ALIPAY_LOGIN, ""
        )  # fmt: skip
        process = self.dice.choice(self.processes)
        call = process.call(process.quotes.create(request))
        await asyncio.wait((call,))
        if call.cancelled() or call.exception():
            return None
        quote = call.result()
        if self.weather.happens(0.1):
            await self.weather.travel(2 * QUOTE_MS / 1000)
        return self.fresh(
            debit=debit, credit=quote.credit, creditor=PAYEE, purpose="SALARY", quote_id=quote.id,
            debtor=self.dice.choice(PEOPLE),
        )  # fmt: skip

    async def submit(self, asked: Instruction) -> None:
        """As a careful provider: again with the same request_id until there is an answer, or it gives up."""
        while True:
            budget_ms = self.dice.choice((0, 50, 1_000, 12_000))
            process = self.dice.choice(self.processes)
            call = process.call(process.payments.submit(asked, budget_ms))
            if self.weather.happens(0.15):
                await self.weather.travel(3.0)
                call.cancel()
            await asyncio.wait((call,))
            if self.weather.happens(0.05):
                return  # never asks again
            if not call.cancelled() and self.ended(asked, call):
                return
            await self.weather.travel(5.0)

    def ended(self, asked: Instruction, call: "asyncio.Task[Any]") -> bool:
        error = call.exception()
        if isinstance(error, Refused):
            if error.reason.name not in NOT_DECIDED:
                self.refused.append((asked, error.reason.name))
            return error.reason.name not in NOT_DECIDED
        if error is not None:
            assert isinstance(error, StoreUnavailable | ValueError), repr(error)  # ValueError: an adapter's fault
            return False
        payment = call.result().payment
        assert payment.instruction == asked
        if payment.state.final:
            self.told[asked.uetr].add(payment)
        return bool(payment.state.final)

    async def bring(self, asked: Instruction) -> None:
        """As a rail with a payment of its own: again and again until it is answered."""
        while True:
            process = self.dice.choice(self.processes)
            call = process.call(process.payments.receiver("ALFA")(asked))
            if self.weather.happens(0.2):
                await self.weather.travel(1.0)
                call.cancel()
            await asyncio.wait((call,))
            if not call.cancelled():
                error = call.exception()
                assert error is None or isinstance(error, Refused | StoreUnavailable | ValueError), repr(error)
                if error is None and call.result().state.final:
                    if call.result().hold.entries:  # else a refusal that was never recorded
                        self.told[asked.uetr].add(call.result())
                    return
            await self.weather.travel(2.0)

    # --- all of it ---------------------------------------------------------------------------------------------------
    async def trouble(self) -> None:
        """Callers call while processes die and come back."""
        self.start()
        self.start()
        callers = [asyncio.create_task(self.caller()) for _ in range(CALLERS)]
        for _ in range(self.dice.randint(0, 4)):
            await self.weather.travel(STORM_S / 3)
            dying = self.processes.pop(self.dice.randrange(2))
            dying.die()
            self.start()
        await asyncio.sleep(STORM_S)
        self.weather.storm = False
        await asyncio.gather(*callers)
        for process in self.processes:
            process.die()
        self.processes = []

    async def calm(self) -> Process:
        """One process and good weather: everything that is open ends by itself."""
        process = self.start()
        loop = asyncio.get_running_loop()
        end = loop.time() + CALM_S_MAX
        while self.store._next_look or self.store._quote_held or not all(rail.quiet for rail in self.rails.values()):
            assert loop.time() < end, "something does not end"
            await asyncio.sleep(3.0)
        return process


# --- what must hold --------------------------------------------------------------------------------------------------
def check_money(storm: Storm) -> None:
    """Paid once and if and only if COMMITTED; nothing reserved; the positions are the sum of what was committed."""
    store = storm.store
    paid = storm.rails["near"].times_paid + storm.rails["far"].times_paid
    committed = {uetr for uetr, payment in store.payments.items() if payment.state is State.COMMITTED}
    assert set(paid) == committed, "paid and not committed, or committed and not paid"
    assert set(paid.values()) <= {1}, "paid twice"
    net: defaultdict[tuple[str, Asset], int] = defaultdict(int)
    used: defaultdict[tuple[str, Asset], int] = defaultdict(int)
    counters: defaultdict[tuple[str, str], int] = defaultdict(int)
    for uetr in committed:
        hold = store.payments[uetr].hold
        used[hold.participant, hold.instruction.debit.asset] += hold.instruction.debit.amount_minor
        if hold.instruction.quote_id:
            used["FXONE", hold.instruction.credit.asset] += hold.instruction.credit.amount_minor
        for entry in hold.entries:
            net[entry.participant, entry.asset] += entry.amount_minor
        for charge in hold.charges:
            counters[charge.period_key, charge.counter] += charge.amount_minor
    for asset in Asset:
        assert sum(amount for (_, one), amount in net.items() if one is asset) == 0
    assert drop_zeros(store._net) == drop_zeros(net)
    assert drop_zeros(store._reserved) == {}
    assert drop_zeros(store._used) == drop_zeros(used)
    assert drop_zeros(store._counters) == drop_zeros(counters)
    for (participant, asset), amount in used.items():
        assert amount <= dict(store.participants[participant].caps)[asset], "over the cap"
    quotes = [
        store.payments[uetr].instruction.quote_id for uetr in committed if store.payments[uetr].instruction.quote_id
    ]
    assert len(quotes) == len(set(quotes)), "a quote paid twice"


def drop_zeros(sums: dict[Any, int]) -> dict[Any, int]:
    return {key: amount for key, amount in sums.items() if amount}


def check_events(storm: Storm) -> None:
    """One event for every final payment, in a gapless order per debtor agent."""
    facts = [entry.fact for entry in storm.store._outbox]
    assert {fact.uetr: fact.state for fact in facts} == {u: one.state for u, one in storm.store.payments.items()}
    assert len(facts) == len(storm.store.payments)
    for agent in ("ALFA", "BRAVO"):
        sequence = [fact.sequence for fact in facts if fact.debtor_agent == agent]
        assert sequence == list(range(1, len(sequence) + 1))


async def check_answers(storm: Storm, process: Process) -> None:
    """Every answer is the record's, and stays it; a refusal is kept, or left no trace."""
    for uetr, answers in storm.told.items():
        assert answers == {storm.store.payments[uetr]}, "two answers, or not the record's"
    for payment in list(storm.store.payments.values()):
        asked, refusal = payment.instruction, kept_refusal(payment)
        if refusal is None:
            assert await process.payments.submit(asked, 12_000) == (payment, True)
            continue
        with pytest.raises(Refused) as again:
            await process.payments.submit(asked, 12_000)
        assert again.value.reason is refusal.reason
    for asked, reason in storm.refused:
        if reason == "REQUEST_MISMATCH":
            continue  # said of one that ran at that moment, and may have left no trace
        known = storm.store._requests.get((asked.participant, asked.request_id))
        kept = known is not None and storm.store.payments[known].instruction == asked
        assert not kept or storm.store.payments[asked.uetr].history[-1].reason == reason, "refused, and not kept so"


async def one_storm(seed: int) -> None:
    storm = Storm(seed)
    await storm.trouble()
    process = await storm.calm()
    check_money(storm)
    check_events(storm)
    await check_answers(storm, process)
    assert process.payments.running == 0
    assert not process.recovery._asking
    process.die()


def test_whatever_the_weather(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "bayswitch")
    first = random.SystemRandom().randrange(1 << 32)
    for seed in range(first, first + SEEDS):
        monkeypatch.setattr("switch.engine.quotes.uuid.uuid4", Weather(~seed).uuid)
        try:
            run(one_storm(seed))
            assert not caplog.records, "a record says the opposite of its rail"
        except BaseException:
            print(f"seed {seed}")
            raise
