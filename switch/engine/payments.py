"""Submit: the path of one payment. Route, reserve, ask the rail, make it final; three awaits, in this order."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from switch.domain.charges import charges
from switch.domain.instruction import Instruction, differing_field
from switch.domain.payment import Hold, Payment, State, Transition, kept_refusal
from switch.domain.position import entries_of
from switch.engine.quotes import Quotes
from switch.engine.verdict import written
from switch.engine.watch import Watch
from switch.errors import RailRejected, RailSilent, RailUnavailable, Refused
from switch.limits import HOLD_MS_MAX, INBOUND_REFUSALS_KEPT, PAYMENTS_IN_FLIGHT_MAX, RAIL_PREPARE_MS_MAX
from switch.ports import UNMETERED, Clock, InboundHandler, Meter, PaymentStore, Rail, Stage
from switch.routing import RouterHolder

__all__ = ["Payments", "Running", "Submitted"]

_POLL_FIRST_MS = 10  # a copy that runs in another process is looked at after this, then twice as late each time
_POLL_MS_MAX = 320
_ROUTE, _STORE, _COMMIT = Stage.ROUTE, Stage.STORE, Stage.COMMIT
_UNDECIDED = ("OVERLOADED", "DEADLINE_PASSED")  # nothing is final: a rail that hears "refused" now could be told a lie


class Submitted(NamedTuple):
    """`replay`: answered from an execution that another call began."""

    payment: Payment
    replay: bool


class Running(NamedTuple):
    """An execution that has begun, and runs on whoever waits for it. `joined`: another call began it."""

    instruction: Instruction
    task: asyncio.Task[Submitted]
    joined: bool = False


class Payments:
    """Runs payments. One instance per process; any number of processes on one store."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        quotes: Quotes,
        router: RouterHolder,
        rails: Mapping[str, Rail],
        watch: Watch,
        clock: Clock,
        identity_hash: Callable[[str], str],
        hold_ms: int = HOLD_MS_MAX,
        meter: Meter = UNMETERED,
    ) -> None:
        self._store = store
        self._quotes = quotes
        self._router = router
        self._rails = rails
        self._watch = watch
        self._clock = clock
        self._identity_hash = identity_hash
        self._hold_ms = hold_ms
        self._meter = meter
        self._running: dict[tuple[str, str], Running] = {}
        self._ending: set[tuple[str, str]] = set()  # of those, the ones whose rail is being asked
        self._refused_inbound: OrderedDict[tuple[str, str], Payment] = OrderedDict()

    @property
    def running(self) -> int:
        """Payments this process is working on."""
        return len(self._running)

    def is_running(self, participant: str, request_id: str) -> bool:
        """True while this process itself will end the payment: recovery leaves it alone.

        A repeat that waits for an outcome ends nothing: a caller who keeps asking must not keep recovery away.
        """
        return (participant, request_id) in self._ending

    async def submit(self, instruction: Instruction, budget_ms: int) -> Submitted:
        """Pay, or answer what became of this request before.

        The payment runs on when the caller's budget ends or the caller is cancelled: then the answer is where it
        stands (PREPARED, IN_DOUBT). Safe to repeat with the same request_id, for ever.

        Raises:
            Refused: no trace was left, or a kept refusal (see errors.REASONS).
            StoreUnavailable: what was done is unknown; repeat.
        """
        running = self.begin(instruction)
        await asyncio.wait((running.task,), timeout=budget_ms / 1000)
        return await self.outcome(running)

    def begin(self, instruction: Instruction) -> Running:
        """The execution of this request: a new one, or the one that this process is working on.

        Whoever has several waits for their tasks together and asks for each `outcome`. Safe to repeat, as `submit`.

        Raises:
            Refused: OVERLOADED, REQUEST_MISMATCH; nothing was begun.
        """
        key = (instruction.participant, instruction.request_id)
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= PAYMENTS_IN_FLIGHT_MAX:
                raise Refused("OVERLOADED")
            return self._start(key, instruction)
        if field := differing_field(running.instruction, instruction):
            raise Refused("REQUEST_MISMATCH", field=field)
        return Running(instruction, running.task, joined=True)

    async def outcome(self, running: Running) -> Submitted:
        """What became of it; of one that still runs, where it stands. Raises as `submit`."""
        if not running.task.done():
            return await self._where_it_stands(running.instruction, running.joined)
        result = running.task.result()
        return Submitted(result.payment, True) if running.joined else result

    def receiver(self, gateway: str) -> InboundHandler:
        """What a rail calls with a payment of its own: `gateway`, its settlement participant, owes for its banks."""
        return lambda instruction: self.receive(instruction._replace(participant=gateway))

    async def receive(self, instruction: Instruction) -> Payment:
        """A payment that came from a rail: `credit` is not known yet, the corridor and our own quote decide it.

        A repeat by the rail (same participant and request_id) answers the first outcome. What our rules refuse is an
        ABORTED payment that was never recorded: the rail hears the reason, and the sender may try again with a new
        UETR. This process remembers the last INBOUND_REFUSALS_KEPT of them: a repeat that crossed the refusal must not
        be paid because a minute later the rule would let it pass, for the rail has given the money back.

        Raises:
            Refused: OVERLOADED, DEADLINE_PASSED; StoreUnavailable: not decided, the rail asks again.
        """
        key = (instruction.participant, instruction.request_id)
        earlier = self._refused_inbound.get(key)
        if earlier is not None and earlier.instruction == instruction:
            return earlier
        try:
            if earlier is not None:
                raise Refused("REQUEST_MISMATCH", field=differing_field(earlier.instruction, instruction))
            return await self._receive(instruction)
        except Refused as refusal:
            if refusal.reason.name in _UNDECIDED:
                raise
            now_ms = self._clock.now_ms()
            never_held = Hold(instruction, "", "", (), (), now_ms, now_ms)
            refused = Payment(never_held, (Transition(State.ABORTED, now_ms, refusal.reason.name),))
            if refusal.reason.name != "REQUEST_MISMATCH":  # which says nothing of the request it could not be
                self._refused_inbound[key] = refused
                if len(self._refused_inbound) > INBOUND_REFUSALS_KEPT:
                    self._refused_inbound.popitem(last=False)
            return refused

    async def _receive(self, instruction: Instruction) -> Payment:
        key = (instruction.participant, instruction.request_id)
        earlier = await self._store.get_by_request(*key)
        if earlier is None:
            priced = await self._quotes.price_inbound(instruction)
            # A copy may have come while we priced, and got a quote of its own: then its price is the payment's.
            running = self._running.get(key)
            if running is not None:
                priced = _priced_as(running.instruction, instruction)
            try:
                return (await self.submit(priced, self._hold_ms)).payment
            except Refused as refusal:
                earlier = await self._store.get_by_request(*key)
                if refusal.reason.name != "REQUEST_MISMATCH" or earlier is None:
                    raise
        return (await self._replay(_priced_as(earlier.instruction, instruction), earlier)).payment

    async def drain(self) -> None:
        """Wait until every running payment has ended; new ones may still be begun by whoever calls."""
        while self._running:
            await asyncio.wait([running.task for running in self._running.values()])

    # --- one payment -------------------------------------------------------------------------------------------------
    def _start(self, key: tuple[str, str], instruction: Instruction) -> Running:
        task = asyncio.get_running_loop().create_task(self._run(instruction))
        running = self._running[key] = Running(instruction, task)
        task.add_done_callback(lambda ended: self._ended(key, ended))
        return running

    def _ended(self, key: tuple[str, str], task: asyncio.Task[Submitted]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # whoever still waits gets it from the task; when nobody does, it is not an error of the loop

    async def _run(self, instruction: Instruction) -> Submitted:
        """The path. Each line is one step of design section 3; the first refusal ends it."""
        now_ms, meter = self._clock.now_ms(), self._meter
        begun_ns = meter.now_ns()
        try:
            route = self._router.route(instruction, now_ms)
            quote = await self._quotes.enforce(instruction, route)
        except Refused as refusal:
            meter.stage(_ROUTE, begun_ns)
            return await self._replay_or_raise(instruction, refusal)
        hold = Hold(
            instruction,
            route.corridor.id,
            route.rail,
            entries_of(instruction, route.gateway, quote),
            charges(route.corridor, instruction, now_ms, self._identity_hash),
            now_ms,
            now_ms + self._hold_ms,
        )
        routed_ns = meter.stage(_ROUTE, begun_ns)
        try:
            prepared = await self._store.prepare(hold, instruction.quote_id)
        except Refused as refusal:
            meter.refused(refusal.reason.name)
            raise
        finally:
            meter.stage(_STORE, routed_ns)
        if not prepared.fresh:
            return await self._replay(instruction, prepared.payment)
        self._watch.nudge(instruction.participant)
        if kept := kept_refusal(prepared.payment):
            meter.payment(hold, prepared.payment.history[-1], begun_ns)
            raise kept
        key = (instruction.participant, instruction.request_id)
        self._ending.add(key)
        try:
            payment = await self._ask(hold)
        finally:
            self._ending.discard(key)
        meter.payment(hold, payment.history[-1], begun_ns)
        self._watch.nudge(instruction.participant)
        if quote is not None and payment.state.final:
            self._quotes.used(quote)
        return Submitted(payment, False)

    async def _ask(self, hold: Hold) -> Payment:
        """Ask the rail and write down what it said. Silence is a doubt, never a failure."""
        meter = self._meter
        asked_ns = meter.now_ns()
        try:
            ack = await self._rail(hold.rail).prepare(hold, RAIL_PREPARE_MS_MAX)
        except RailRejected as refusal:
            answered_ns = meter.rail(hold.rail, "prepare", "refused", asked_ns)
            reason, code = refusal.reason.name, refusal.rail_code
            payment = written(await self._store.abort(hold, reason, code, self._clock.now_ms()), State.ABORTED)
        except RailUnavailable:
            answered_ns = meter.rail(hold.rail, "prepare", "unavailable", asked_ns)
            payment = await self._store.abort(hold, "RAIL_UNAVAILABLE", "", self._clock.now_ms())
            payment = written(payment, State.ABORTED)
        except RailSilent:
            answered_ns = meter.rail(hold.rail, "prepare", "silent", asked_ns)
            payment = await self._store.doubt(hold, self._clock.now_ms())
        else:
            answered_ns = meter.rail(hold.rail, "prepare", "done", asked_ns)
            payment = written(await self._store.commit(hold, ack, self._clock.now_ms()), State.COMMITTED)
        meter.stage(_COMMIT, answered_ns)
        return payment

    def _rail(self, name: str) -> Rail:
        rail = self._rails.get(name)
        if rail is None:
            raise RailUnavailable(f"rail {name} is not in the settings")
        return rail

    # --- what was there before -----------------------------------------------------------------------------------------
    async def _replay_or_raise(self, instruction: Instruction, refusal: Refused) -> Submitted:
        """A rule refuses now, but the request may have begun when it did not: then its outcome counts."""
        earlier = await self._store.get_by_request(instruction.participant, instruction.request_id)
        if earlier is None:
            self._meter.refused(refusal.reason.name)
            raise refusal
        return await self._replay(instruction, earlier)

    async def _replay(self, instruction: Instruction, earlier: Payment) -> Submitted:
        if field := self._store.differing_field(earlier, instruction):
            raise Refused("REQUEST_MISMATCH", field=field)
        if refusal := kept_refusal(earlier):
            raise refusal
        waited_ms, pause_ms = 0, _POLL_FIRST_MS
        while earlier.state is State.PREPARED and waited_ms < self._hold_ms:
            await asyncio.sleep(pause_ms / 1000)
            waited_ms, pause_ms = waited_ms + pause_ms, min(2 * pause_ms, _POLL_MS_MAX)
            earlier = await self._store.get(instruction.participant, instruction.uetr) or earlier
        return Submitted(earlier, True)

    async def _where_it_stands(self, instruction: Instruction, joined: bool) -> Submitted:
        """The caller's time is up. The request may have been there before, and with another body."""
        payment = await self._store.get_by_request(instruction.participant, instruction.request_id)
        if payment is None:
            raise Refused("DEADLINE_PASSED")
        if field := self._store.differing_field(payment, instruction):
            raise Refused("REQUEST_MISMATCH", field=field)
        if refusal := kept_refusal(payment):
            raise refusal
        return Submitted(payment, joined)


def _priced_as(known: Instruction, repeated: Instruction) -> Instruction:
    """A rail's repeat with what we priced ourselves the first time (credit, quote): that is not the rail's to say."""
    return repeated._replace(credit=known.credit, quote_id=known.quote_id)
