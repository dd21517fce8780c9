"""The store in memory: ports.PaymentStore, QuoteStore and ParticipantStore, faithful to their promises, one shard.

Each call takes effect at once and whole, and gives way to the loop once before it answers, as a round trip would.
`fail_next` makes the next calls of one name fail with StoreUnavailable, before or after they took effect.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeVar

from switch.domain.money import Asset, Money
from switch.domain.payment import TRANSITIONS, Hold, Payment, State, Transition
from switch.domain.position import Position
from switch.domain.quote import Quote, QuoteState
from switch.errors import Refused, StoreUnavailable
from switch.ports import Archive, Change, Clock, Durability, Participant, Prepared, RailAck
from tests.fake_outbox import FakeOutboxes

__all__ = ["FakeStore"]

_T = TypeVar("_T")


class FakeStore(FakeOutboxes):
    """All three ports over one state, as one server would keep it."""

    def __init__(self, clock: Clock, archive: Archive | None = None) -> None:
        super().__init__(clock, archive)
        self.calls: defaultdict[str, int] = defaultdict(int)  # how often each step was called
        self._failures: list[tuple[str, bool]] = []
        self._held: dict[str, asyncio.Event] = {}
        self._next_look: dict[str, int] = {}
        self._reserved: defaultdict[tuple[str, Asset], int] = defaultdict(int)
        self._quotes: dict[str, Quote] = {}
        self._quote_used_by: dict[str, str] = {}
        self._quote_held: set[str] = set()

    def fail_next(self, step: str, *, done: bool = False, times: int = 1) -> None:
        """The next `times` calls of `step` raise StoreUnavailable; `done`: after the step was done."""
        self._failures += [(step, done)] * times

    def hold(self, step: str) -> asyncio.Event:
        """Calls of `step` wait, before it is done, until the event is set."""
        event = self._held[step] = asyncio.Event()
        return event

    async def _trip(self, step: str) -> None:
        """The way there. Raises when a failure before the step is due."""
        self.calls[step] += 1
        await (self._held[step].wait() if step in self._held else asyncio.sleep(0))
        self._fail(step, False)

    def _fail(self, step: str, done: bool) -> None:
        if (step, done) in self._failures:
            self._failures.remove((step, done))
            raise StoreUnavailable("scripted")

    # --- payments ----------------------------------------------------------------------------------------------------
    async def prepare(self, hold: Hold, quote_id: str) -> Prepared:
        await self._trip("prepare")
        instruction = hold.instruction
        known = self._requests.get((hold.participant, instruction.request_id))
        if known is not None:
            began = await self._one(hold.participant, known)
            assert began is not None
            return Prepared(False, began)
        if hold.uetr in self.payments or hold.uetr in self._gone:
            raise Refused("UETR_REUSED", field="uetr")
        self._check_participant(hold.participant)
        refusal = self._quote_fault(hold, quote_id) or self._limit_fault(hold) or self._cap_fault(hold)
        self._requests[hold.participant, instruction.request_id] = hold.uetr
        if refusal is not None:
            figures = dict(refusal.figures) | ({"field": refusal.field} if refusal.field else {})
            step = Transition(
                State.ABORTED, hold.prepared_time_ms, refusal.reason.name, figures=tuple(sorted(figures.items()))
            )
            payment = Payment(hold, (step,))
            self._keep(payment)
            self._emit(payment)
        else:
            if quote_id:
                self._quote_used_by[quote_id] = hold.uetr
            self._reserve(hold, 1)
            payment = Payment(hold, (Transition(State.PREPARED, hold.prepared_time_ms),))
            self._keep(payment)
            self._next_look[hold.uetr] = hold.overdue_time_ms
        self._fail("prepare", True)
        return Prepared(True, payment)

    async def prepare_all(self, holds: Sequence[Hold]) -> list[Prepared | Exception]:
        return await _each(self.prepare(hold, hold.instruction.quote_id) for hold in holds)

    async def finish_all(self, moves: Sequence[tuple[Hold, Transition]]) -> list[Payment | Exception]:
        return await _each(self._move(_STEP_OF[step.state], hold, step) for hold, step in moves)

    def _check_participant(self, participant_id: str) -> Participant:
        participant = self.participants.get(participant_id)
        if participant is None:
            raise Refused("PARTICIPANT_UNKNOWN")
        if participant.suspended:
            raise Refused("PARTICIPANT_SUSPENDED")
        return participant

    def _quote_fault(self, hold: Hold, quote_id: str) -> Refused | None:
        if not quote_id:
            return None
        quote = self._quotes.get(quote_id)
        if quote is None:
            raise Refused("QUOTE_UNKNOWN", field="quote_id")
        if quote.participant != hold.participant:
            raise Refused("QUOTE_MISMATCH", field="quote_id")
        if quote.expiry_time_ms <= self._clock.now_ms():
            return Refused("QUOTE_EXPIRED", field="quote_id")
        return Refused("QUOTE_USED", field="quote_id") if quote_id in self._quote_used_by else None

    async def limit_use(self, participant: str, counters: Sequence[tuple[str, str]]) -> list[int]:
        return [self._counters[counter] for counter in counters]

    def _limit_fault(self, hold: Hold) -> Refused | None:
        for charge in sorted(hold.charges, key=lambda charge: charge.period_key[0]):
            used = self._counters[charge.period_key, charge.counter]
            if used + charge.amount_minor > charge.max_minor:
                return Refused(
                    "DAY_LIMIT" if charge.period_key.startswith("d") else "YEAR_LIMIT",
                    figures={
                        "limit_id": charge.limit_id,
                        "limit_minor": str(charge.max_minor),
                        "left_minor": str(max(0, charge.max_minor - used)),
                    },
                )
        return None

    def _cap_fault(self, hold: Hold) -> Refused | None:
        asset, amount = hold.instruction.debit
        cap = dict(self.participants[hold.participant].caps).get(asset, 0)
        used = self._used[hold.participant, asset]
        if used + amount <= cap:
            return None
        figures = {"asset": asset.name, "limit_minor": str(cap), "left_minor": str(max(0, cap - used))}
        return Refused("NET_DEBIT_CAP_EXCEEDED", figures=figures)

    def _reserve(self, hold: Hold, sign: int) -> None:
        asset, amount = hold.instruction.debit
        self._reserved[hold.participant, asset] += sign * amount
        self._used[hold.participant, asset] += sign * amount
        for charge in hold.charges:
            self._counters[charge.period_key, charge.counter] += sign * charge.amount_minor

    def _keep(self, payment: Payment) -> None:
        self.payments[payment.hold.uetr] = payment
        self._change(payment)

    async def _move(self, name: str, hold: Hold, step: Transition) -> Payment:
        await self._trip(name)
        payment = self.payments[hold.uetr]
        if step.state in TRANSITIONS[payment.state]:
            payment = Payment(hold, (*payment.history, step))
            self._keep(payment)
            if step.state.final:
                self._end(payment)
        self._fail(name, True)
        return payment

    def _end(self, payment: Payment) -> None:
        hold = payment.hold
        self._reserve(hold, -1)
        if payment.state is State.COMMITTED:
            asset, amount = hold.instruction.debit
            self._used[hold.participant, asset] += amount
            for charge in hold.charges:  # what was paid stays used
                self._counters[charge.period_key, charge.counter] += charge.amount_minor
            for entry in hold.entries:
                self._net[entry.participant, entry.asset] += entry.amount_minor
        del self._next_look[hold.uetr]
        self._emit(payment)

    async def commit(self, hold: Hold, ack: RailAck, time_ms: int) -> Payment:
        step = Transition(State.COMMITTED, time_ms, rail_code=ack.rail_code, rail_reference=ack.rail_reference)
        return await self._move("commit", hold, step)

    async def abort(self, hold: Hold, reason: str, rail_code: str, time_ms: int) -> Payment:
        return await self._move("abort", hold, Transition(State.ABORTED, time_ms, reason, rail_code))

    async def doubt(self, hold: Hold, time_ms: int) -> Payment:
        return await self._move("doubt", hold, Transition(State.IN_DOUBT, time_ms))

    async def get(self, participant: str, uetr: str) -> Payment | None:
        await self._trip("get")
        return await self._one(participant, uetr)

    async def _one(self, participant: str, uetr: str) -> Payment | None:
        payment = self.payments.get(uetr) or await self._from_archive(participant, uetr)
        return payment if payment is not None and payment.hold.participant == participant else None

    async def get_by_request(self, participant: str, request_id: str) -> Payment | None:
        await self._trip("get_by_request")
        uetr = self._requests.get((participant, request_id))
        return None if uetr is None else await self._one(participant, uetr)

    async def list_payments(
        self, participant: str, *, state: State | None, from_time_ms: int, to_time_ms: int, token: str, count: int
    ) -> tuple[list[Payment], str]:
        await self._trip("list_payments")
        if self._archive is not None and not token.isdigit():  # those that left come first
            time_ms, _, uetr = token.partition(".")
            asked: Any = {"state": state, "from_time_ms": from_time_ms, "to_time_ms": to_time_ms, "count": count}
            facts = await self._archive.list_payments(participant, after=(int(time_ms or "0"), uetr), **asked)
            if facts:
                last = f"{facts[-1].prepared_time_ms}.{facts[-1].uetr}"
                return [self._notes.open(fact.uetr, fact.note) for fact in facts], last
            token = ""
        own = [payment for payment in self.payments.values() if payment.hold.participant == participant]
        first = int(token or "0")
        found: list[Payment] = []
        for place, payment in enumerate(own[first:], first):
            if not from_time_ms <= payment.hold.prepared_time_ms < to_time_ms or state not in (None, payment.state):
                continue
            if len(found) == count:
                return found, str(place)
            found.append(payment)
        return found, ""

    async def changes(self, participant: str, token: str, count: int) -> list[Change]:
        await self._trip("changes")
        first = int(token.partition("-")[0] or "0")
        return self._changes[participant][first : first + count]

    async def changes_end(self, participant: str) -> str:
        await self._trip("changes_end")
        return f"{len(self._changes[participant])}-0"

    async def overdue(self, before_time_ms: int, count: int) -> list[Payment]:
        await self._trip("overdue")
        due = sorted((time_ms, uetr) for uetr, time_ms in self._next_look.items() if time_ms < before_time_ms)
        return [self.payments[uetr] for _, uetr in due[:count]]

    async def reschedule(self, hold: Hold, overdue_time_ms: int) -> None:
        await self._trip("reschedule")
        if hold.uetr in self._next_look:
            self._next_look[hold.uetr] = overdue_time_ms

    def next_look_ms(self, uetr: str) -> int | None:
        """When recovery looks at a payment next; None: never, it is final."""
        return self._next_look.get(uetr)

    async def positions(self, participant: str = "") -> list[Position]:
        await self._trip("positions")
        caps = {(each.id, asset): cap for each in self.participants.values() for asset, cap in each.caps}
        keys = sorted({*caps, *self._net, *self._used})
        return [
            Position(*key, self._net[key], self._reserved[key], self._used[key], caps.get(key, 0))
            for key in keys
            if participant in ("", key[0])
        ]

    async def holds(self) -> tuple[int, int]:
        await self._trip("holds")
        times = [self.payments[uetr].hold.prepared_time_ms for uetr in self._next_look]
        return len(times), min(times, default=0)

    @property
    def shards(self) -> int:
        return 1

    async def durability(self) -> Durability:
        await self._trip("durability")
        return Durability("memory", False, "no", "noeviction", 0, False, "nothing outlives this process")

    # --- quotes ------------------------------------------------------------------------------------------------------
    async def create_quote(self, quote: Quote) -> None:
        await self._trip("create_quote")
        provider = self.participants.get(quote.provider)
        key = (quote.provider, quote.credit.asset)
        cap = dict(provider.caps).get(quote.credit.asset, 0) if provider and not provider.suspended else 0
        if self._used[key] + quote.credit.amount_minor > cap:
            raise Refused("NO_RATE")
        self._hold_quote(quote.provider, quote.credit, 1)
        self._quotes[quote.id] = quote
        self._quote_held.add(quote.id)

    def _hold_quote(self, provider: str, credit: Money, sign: int) -> None:
        self._used[provider, credit.asset] += sign * credit.amount_minor
        self._reserved[provider, credit.asset] += sign * credit.amount_minor

    async def get_quote(self, participant: str, quote_id: str) -> tuple[Quote, QuoteState, str] | None:
        await self._trip("get_quote")
        quote = self._quotes.get(quote_id)
        if quote is None or quote.participant != participant:
            return None
        if used_by := self._quote_used_by.get(quote_id):
            return quote, QuoteState.USED, used_by
        expired = quote.expiry_time_ms <= self._clock.now_ms()
        return quote, QuoteState.EXPIRED if expired else QuoteState.OPEN, ""

    async def end_quotes(self, quotes: Sequence[Quote]) -> None:
        await self._trip("end_quotes")
        await self._release([quote.id for quote in quotes if quote.id in self._quote_held])

    async def release_quotes(self, now_ms: int, count: int) -> int:
        await self._trip("release_quotes")
        return await self._release(sorted(self._quote_held)[:count])

    async def _release(self, quote_ids: Sequence[str]) -> int:
        """What decides is the store's clock, as it is for a payment that would use the quote: never the caller's."""
        released, now_ms = 0, self._clock.now_ms()
        for quote_id in quote_ids:
            quote, used_by = self._quotes[quote_id], self._quote_used_by.get(quote_id)
            state = self._state(used_by) if used_by else None
            if quote.expiry_time_ms > now_ms if state is None else not state.final:
                continue
            self._hold_quote(quote.provider, quote.credit, -1)
            if state is State.COMMITTED:
                self._used[quote.provider, quote.credit.asset] += quote.credit.amount_minor
            self._quote_held.discard(quote_id)
            released += 1
        return released


_STEP_OF = {State.COMMITTED: "commit", State.ABORTED: "abort", State.IN_DOUBT: "doubt"}


async def _each(calls: Iterable[Awaitable[_T]]) -> list[_T | Exception]:
    """What each gives, or the error it raises, as if it were called alone."""
    told: list[_T | Exception] = []
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
        told.append(answer)
    return told
