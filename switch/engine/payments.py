"""Submit: who asks for a payment, who joins one that runs, who waits for it, and for how long. The path is flight.py."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from switch.domain.instruction import Instruction, differing_field
from switch.domain.payment import Hold, Payment, State, Transition
from switch.engine.admission import Admission
from switch.engine.flight import Execution, Path, Submitted, ended
from switch.engine.paces import Paces
from switch.engine.quotes import Quotes
from switch.engine.watch import Watch
from switch.errors import Refused
from switch.limits import HOLD_MS_MAX, INBOUND_REFUSALS_KEPT
from switch.ports import UNMETERED, Clock, InboundHandler, Meter, PaymentStore, Rail
from switch.routing import RouterHolder

__all__ = ["Payments", "Running", "Submitted"]

# Nothing is final: a rail that hears "refused" now could be told a lie.
_UNDECIDED = ("OVERLOADED", "PACE_EXCEEDED", "DEADLINE_PASSED")


class Running(NamedTuple):
    """An execution that has begun, and runs on whoever waits for it. `joined`: another call began it."""

    instruction: Instruction
    execution: Execution
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
        paces: Paces,
        hold_ms: int = HOLD_MS_MAX,
        meter: Meter = UNMETERED,
    ) -> None:
        self._admission = Admission()
        self._paces = paces
        prepared = self._admission.prepared
        self._path = Path(store, quotes, router, rails, watch, clock, identity_hash, hold_ms, meter, prepared)
        self._store = store
        self._quotes = quotes
        self._clock = clock
        self._hold_ms = hold_ms
        self._running: dict[tuple[str, str], Running] = {}
        self._flights: set[asyncio.Task[None]] = set()
        self._refused_inbound: OrderedDict[tuple[str, str], Payment] = OrderedDict()

    @property
    def running(self) -> int:
        """Payments this process is working on."""
        return len(self._running)

    def is_running(self, participant: str, request_id: str) -> bool:
        """True while this process itself will end the payment: recovery leaves it alone.

        A repeat that waits for an outcome ends nothing: a caller who keeps asking must not keep recovery away.
        """
        running = self._running.get((participant, request_id))
        return running is not None and running.execution.asking

    def no_room(self, participant: str) -> Refused | None:
        """Why it may begin nothing now: PACE_EXCEEDED or OVERLOADED; None: it may.

        A batch is let in whole: whoever asks first need not read one that is not.
        """
        wait_ms = self._paces.wait_ms(participant, self._clock.now_ms())
        if wait_ms:
            return Refused("PACE_EXCEEDED", figures={"retry_after_ms": str(wait_ms)})
        return None if self._admission.has_room(participant) else Refused("OVERLOADED")

    async def submit(self, instruction: Instruction, budget_ms: int) -> Submitted:
        """Pay, or answer what became of this request before.

        The payment runs on when the caller's budget ends or the caller is cancelled: then the answer is where it
        stands (PREPARED, IN_DOUBT). Safe to repeat with the same request_id, for ever.

        Raises:
            Refused: no trace was left, or a kept refusal (see errors.REASONS).
            StoreUnavailable: what was done is unknown; repeat.
        """
        (running,) = self.begin((instruction,))
        if isinstance(running, Refused):
            raise running
        await self.wait((running,), budget_ms)
        return await self.outcome(running)

    def begin(self, instructions: Sequence[Instruction]) -> list[Running | Refused]:
        """The executions of these requests, all of one participant: new ones, which fly together, or those that run.

        Refused, and nothing begun: PACE_EXCEEDED, OVERLOADED, REQUEST_MISMATCH. Safe to repeat, as `submit`.
        """
        begun: list[Running | Refused] = []
        flight: list[Execution] = []
        # Asked once: what comes together flies together.
        refused = self.no_room(instructions[0].participant) if instructions else None
        for instruction in instructions:
            key = (instruction.participant, instruction.request_id)
            running = self._running.get(key)
            if running is not None:
                field = differing_field(running.instruction, instruction)
                again = Running(instruction, running.execution, joined=True)
                begun.append(Refused("REQUEST_MISMATCH", field=field) if field else again)
            elif refused is not None:
                begun.append(refused)
            else:
                execution = Execution(instruction, self._ended)
                self._running[key] = running = Running(instruction, execution)
                begun.append(running)
                flight.append(execution)
        if flight:
            participant, now_ms = flight[0].instruction.participant, self._clock.now_ms()
            self._admission.entered(participant, len(flight))
            self._paces.began(participant, len(flight), now_ms)
            task = asyncio.get_running_loop().create_task(self._path.fly(flight, now_ms))
            self._flights.add(task)
            task.add_done_callback(self._flights.discard)
        return begun

    def _ended(self, execution: Execution) -> None:
        del self._running[execution.instruction.participant, execution.instruction.request_id]
        self._admission.left(execution.instruction.participant)

    async def wait(self, running: Sequence[Running], budget_ms: int) -> None:
        """Return when all have ended, or after the budget; then ask for each `outcome`."""
        await ended([each.execution for each in running], budget_ms)

    async def outcome(self, running: Running) -> Submitted:
        """What became of it; of one that still runs, where it stands. Raises as `submit`."""
        if not running.execution.over:
            return await self._where_it_stands(running.instruction, running.joined)
        result = running.execution.result()
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
            Refused: one of _UNDECIDED; StoreUnavailable: not decided, the rail asks again.
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
        return (await self._path.replay(_priced_as(earlier.instruction, instruction), earlier)).payment

    async def drain(self) -> None:
        """Wait until every running payment has ended; new ones may still be begun by whoever calls."""
        while self._flights:
            await asyncio.wait(self._flights)

    async def _where_it_stands(self, instruction: Instruction, joined: bool) -> Submitted:
        """The caller's time is up. The request may have been there before, and with another body."""
        payment = await self._store.get_by_request(instruction.participant, instruction.request_id)
        if payment is None:
            raise Refused("DEADLINE_PASSED")
        self._path.check_same(payment, instruction)
        return Submitted(payment, joined)


def _priced_as(known: Instruction, repeated: Instruction) -> Instruction:
    """A rail's repeat with what we priced ourselves the first time (credit, quote): that is not the rail's to say."""
    return repeated._replace(credit=known.credit, quote_id=known.quote_id)
