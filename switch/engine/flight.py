"""The path of payments that began together: route, reserve, ask the rail, make final. One alone is a flight of one.

Each step is taken for all of them, so that they share the store's round trips and the rail's writes. Yet the trouble of
one is its own outcome, and one whose rail is silent keeps nobody back: what the rail has answered becomes final while
the rest waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple

from switch.domain.charges import charges
from switch.domain.corridor import Route
from switch.domain.instruction import Instruction
from switch.domain.payment import Hold, Payment, State, Transition, kept_refusal
from switch.domain.position import entries_of
from switch.domain.quote import Quote
from switch.engine.quotes import Quotes
from switch.engine.verdict import written
from switch.engine.watch import Watch
from switch.errors import RailRejected, RailSilent, RailUnavailable, Refused
from switch.limits import RAIL_PREPARE_MS_MAX
from switch.ports import Answered, Clock, Meter, PaymentStore, Rail, RailAck, Stage
from switch.routing import RouterHolder

__all__ = ["Execution", "Path", "Submitted", "ended"]

_POLL_FIRST_MS: Final = 10  # a copy that runs in another process is looked at after this, then twice as late each time
_POLL_MS_MAX: Final = 320
_ROUTE, _STORE, _COMMIT = Stage.ROUTE, Stage.STORE, Stage.COMMIT
_SAID: Final = {RailAck: "done", RailRejected: "refused", RailUnavailable: "unavailable", RailSilent: "silent"}


class Submitted(NamedTuple):
    """`replay`: answered from an execution that another call began."""

    payment: Payment
    replay: bool


class _Wait:
    """Somebody waits until `left` executions have ended."""

    __slots__ = ("future", "left")

    def __init__(self, left: int, future: "asyncio.Future[None]") -> None:
        self.left = left
        self.future = future

    def one_less(self) -> None:
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(None)


class Execution:
    """One payment that this process works on. `asking`: its rail is being asked, and this process will end it."""

    __slots__ = ("_on_end", "_outcome", "_waits", "asking", "hold", "instruction", "quote")

    def __init__(self, instruction: Instruction, on_end: Callable[["Execution"], None]) -> None:
        self.instruction = instruction
        self.asking = False
        self.hold: Hold
        self.quote: Quote | None = None
        self._on_end = on_end
        self._outcome: Submitted | BaseException | None = None
        self._waits: list[_Wait] = []

    @property
    def over(self) -> bool:
        """Whether there is an outcome."""
        return self._outcome is not None

    def result(self) -> Submitted:
        """The outcome: what became of it, or the error it ended with."""
        assert self._outcome is not None
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def end(self, outcome: Submitted | BaseException) -> None:
        """Only the first outcome counts."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        self.asking = False
        self._on_end(self)
        for wait in self._waits:
            wait.one_less()

    def tell(self, wait: _Wait) -> None:
        self._waits.append(wait)


async def ended(executions: Sequence[Execution], budget_ms: int) -> None:
    """Return when all have ended, or after the budget."""
    running = [each for each in executions if not each.over]
    if not running:
        return
    loop = asyncio.get_running_loop()
    wait = _Wait(len(running), loop.create_future())
    for each in running:
        each.tell(wait)
    timer = loop.call_later(budget_ms / 1000, _give_up, wait.future)
    try:
        await wait.future
    finally:
        timer.cancel()


def _give_up(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Path:
    """What a flight needs of the world. Keeps nothing of any payment."""

    def __init__(
        self,
        store: PaymentStore,
        quotes: Quotes,
        router: RouterHolder,
        rails: Mapping[str, Rail],
        watch: Watch,
        clock: Clock,
        identity_hash: Callable[[str], str],
        hold_ms: int,
        meter: Meter,
        prepared: Callable[[int, int], None],
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
        self._prepared = prepared

    async def fly(self, flight: Sequence[Execution], entered_ms: int) -> None:
        """All of one participant. Each has ended when this returns, also when it is cancelled or fails."""
        fault: BaseException = AssertionError("a flight is over when all have ended")
        try:
            await self._fly(flight, entered_ms)
        except asyncio.CancelledError as cut_off:
            fault = cut_off
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome of all that have none
            fault = error
        finally:
            for each in flight:
                each.end(fault)

    async def _fly(self, flight: Sequence[Execution], entered_ms: int) -> None:
        begun_ns = self._meter.now_ns()
        held, aside = await self._routed(flight, begun_ns)
        if held:
            aside += await self._reserved(held, begun_ns, entered_ms)
        if len(aside) == 1:
            await aside[0]
        elif aside:
            await asyncio.gather(*aside)

    # --- route -------------------------------------------------------------------------------------------------------
    async def _routed(
        self, flight: Sequence[Execution], begun_ns: int
    ) -> tuple[list[Execution], list[Coroutine[Any, Any, None]]]:
        """Those that have a hold to reserve, and what has to be looked up for those that rules refuse."""
        now_ms = self._clock.now_ms()
        held: list[Execution] = []
        quoted: list[tuple[Execution, Route]] = []
        aside: list[Coroutine[Any, Any, None]] = []
        for each in flight:
            instruction = each.instruction
            try:
                route = self._router.route(instruction, now_ms)
                if not instruction.quote_id:
                    self._quotes.check_unquoted(instruction)
                elif (kept := self._quotes.enforce_kept(instruction, route)) is not None:
                    each.quote = kept
                else:
                    quoted.append((each, route))
                    continue
                each.hold = self._hold_of(instruction, route, each.quote, now_ms)
                held.append(each)
            except Refused as refusal:
                aside.append(self._aside(each, self._replay_or_raise(instruction, refusal)))
            except Exception as error:  # noqa: BLE001
                each.end(error)
        if quoted:
            quotes = await asyncio.gather(
                *(self._quotes.enforce(each.instruction, route) for each, route in quoted), return_exceptions=True
            )
            for (each, route), quote in zip(quoted, quotes, strict=True):
                if isinstance(quote, Refused):
                    aside.append(self._aside(each, self._replay_or_raise(each.instruction, quote)))
                elif isinstance(quote, BaseException):
                    each.end(quote)
                else:
                    each.quote = quote
                    each.hold = self._hold_of(each.instruction, route, quote, now_ms)
                    held.append(each)
        self._meter.stage(_ROUTE, begun_ns, count=len(flight))
        return held, aside

    def _hold_of(self, instruction: Instruction, route: Route, quote: Quote | None, now_ms: int) -> Hold:
        return Hold(
            instruction,
            route.corridor.id,
            route.rail,
            entries_of(instruction, route.gateway, quote),
            charges(route.corridor, instruction, now_ms, self._identity_hash),
            now_ms,
            now_ms + self._hold_ms,
        )

    # --- reserve -----------------------------------------------------------------------------------------------------
    async def _reserved(
        self, held: Sequence[Execution], begun_ns: int, entered_ms: int
    ) -> list[Coroutine[Any, Any, None]]:
        """Reserve, and give what is to be done next: ask each rail, and look at those that were there before."""
        meter, routed_ns = self._meter, self._meter.now_ns()
        answers = await self._store.prepare_all([each.hold for each in held])
        meter.stage(_STORE, routed_ns, count=len(held))
        now_ms = self._clock.now_ms()
        self._prepared(now_ms - entered_ms, now_ms)
        aside: list[Coroutine[Any, Any, None]] = []
        to_ask: dict[str, list[Execution]] = {}
        for each, answer in zip(held, answers, strict=True):
            if isinstance(answer, Exception):
                if isinstance(answer, Refused):
                    meter.refused(answer.reason.name)
                each.end(answer)
            elif not answer.fresh:
                aside.append(self._aside(each, self.replay(each.instruction, answer.payment)))
            elif kept := kept_refusal(answer.payment):
                meter.payment(each.hold, answer.payment.history[-1], begun_ns)
                each.end(kept)
            else:
                to_ask.setdefault(each.hold.rail, []).append(each)
        if to_ask:
            self._watch.nudge(held[0].instruction.participant)
        return aside + [self._ask(rail, asked, begun_ns) for rail, asked in to_ask.items()]

    # --- ask the rail, make final ------------------------------------------------------------------------------------
    async def _ask(self, name: str, asked: Sequence[Execution], begun_ns: int) -> None:
        """Ask the rail and write down what it says, as it says it. Silence is a doubt, never a failure."""
        for each in asked:
            each.asking = True
        asked_ns = self._meter.now_ns()
        try:
            rail = self._rails.get(name)
            if rail is None:
                missing = RailUnavailable(f"rail {name} is not in the settings")
                await self._write_down(name, asked, [(n, missing) for n in range(len(asked))], asked_ns, begun_ns)
                return
            if len(asked) == 1:
                await self._write_down(name, asked, await self._one(rail, asked[0].hold), asked_ns, begun_ns)
                return
            async with aclosing(rail.prepare_all([each.hold for each in asked], RAIL_PREPARE_MS_MAX)) as waves:
                async for wave in waves:
                    await self._write_down(name, asked, wave, asked_ns, begun_ns)
        except Exception as error:  # noqa: BLE001 - a rail's fault is the outcome of its payments alone
            for each in asked:
                each.end(error)

    async def _one(self, rail: Rail, hold: Hold) -> list[Answered]:
        """The only wave of one that is asked about alone."""
        try:
            return [(0, await rail.prepare(hold, RAIL_PREPARE_MS_MAX))]
        except Exception as error:  # noqa: BLE001 - it is the answer; what is none of the rail's, `_write_down` sees
            return [(0, error)]

    async def _write_down(
        self, name: str, asked: Sequence[Execution], wave: Sequence[Answered], asked_ns: int, begun_ns: int
    ) -> None:
        meter, now_ms = self._meter, self._clock.now_ms()
        told: list[Execution] = []
        moves: list[tuple[Hold, Transition]] = []
        said: dict[str, int] = {}
        for place, answer in wave:
            each, word = asked[place], _SAID.get(type(answer))
            if word is None:
                assert isinstance(answer, Exception)
                each.end(answer)  # a fault of ours: recovery asks the rail again
                continue
            said[word] = said.get(word, 0) + 1
            told.append(each)
            moves.append((each.hold, _step_of(answer, now_ms)))
        answered_ns = asked_ns
        for word, count in said.items():
            answered_ns = meter.rail(name, "prepare", word, asked_ns, count)
        if not moves:
            return
        payments = await self._store.finish_all(moves)
        meter.stage(_COMMIT, answered_ns, count=len(moves))
        for each, (hold, step), payment in zip(told, moves, payments, strict=True):
            if isinstance(payment, Exception):
                each.end(payment)
                continue
            last = payment.history[-1]
            if last.state is not step.state and step.state is not State.IN_DOUBT:
                written(payment, step.state)
            meter.payment(hold, last, begun_ns)
            if each.quote is not None and last.state.final:
                self._quotes.used(each.quote)
            each.end(Submitted(payment, False))
        self._watch.nudge(asked[0].instruction.participant)

    # --- what was there before ---------------------------------------------------------------------------------------
    async def _aside(self, execution: Execution, work: Awaitable[Submitted]) -> None:
        try:
            execution.end(await work)
        except Exception as error:  # noqa: BLE001 - the outcome of this one alone
            execution.end(error)

    async def _replay_or_raise(self, instruction: Instruction, refusal: Refused) -> Submitted:
        """A rule refuses now, but the request may have begun when it did not: then its outcome counts."""
        earlier = await self._store.get_by_request(instruction.participant, instruction.request_id)
        if earlier is None:
            self._meter.refused(refusal.reason.name)
            raise refusal
        return await self.replay(instruction, earlier)

    async def replay(self, instruction: Instruction, earlier: Payment) -> Submitted:
        """The outcome of an earlier execution, waited for. Raises Refused: it is of another body, or was refused."""
        self.check_same(earlier, instruction)
        waited_ms, pause_ms = 0, _POLL_FIRST_MS
        while earlier.state is State.PREPARED and waited_ms < self._hold_ms:
            await asyncio.sleep(pause_ms / 1000)
            waited_ms, pause_ms = waited_ms + pause_ms, min(2 * pause_ms, _POLL_MS_MAX)
            earlier = await self._store.get(instruction.participant, instruction.uetr) or earlier
        return Submitted(earlier, True)

    def check_same(self, earlier: Payment, instruction: Instruction) -> None:
        """Raises Refused: `earlier` is of the same request with another body, or was itself refused."""
        if field := self._store.differing_field(earlier, instruction):
            raise Refused("REQUEST_MISMATCH", field=field)
        if refusal := kept_refusal(earlier):
            raise refusal


def _step_of(answer: RailAck | Exception, now_ms: int) -> Transition:
    """What a rail's answer makes of a payment."""
    if isinstance(answer, RailAck):
        return Transition(State.COMMITTED, now_ms, "", answer.rail_code, answer.rail_reference)
    if isinstance(answer, RailRejected):
        return Transition(State.ABORTED, now_ms, answer.reason.name, answer.rail_code)
    if isinstance(answer, RailUnavailable):
        return Transition(State.ABORTED, now_ms, "RAIL_UNAVAILABLE")
    return Transition(State.IN_DOUBT, now_ms)
