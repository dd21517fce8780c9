"""Recovery: ends what was left open. Only an answer of the rail ends a payment; time alone never does."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from switch.domain.payment import Hold, Payment, State
from switch.engine.payments import Payments
from switch.engine.verdict import written
from switch.engine.watch import Watch
from switch.errors import RailSilent, RailUnavailable, StoreUnavailable, anatomy
from switch.limits import (
    CLOCK_SKEW_MS_MAX,
    ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX,
    ENQUIRIES_PER_RAIL_WAITING_MAX,
    ENQUIRY_BACKOFF_MS_MAX,
    ENQUIRY_FIRST_MS,
    RAIL_MESSAGE_VALID_MS,
    RAIL_PREPARE_MS_MAX,
    RECOVERY_SCAN_COUNT,
)
from switch.ports import UNMETERED, Clock, Enquiry, Meter, Outcome, PaymentStore, QuoteStore, Rail

__all__ = ["Recovery", "RecoveryTimes", "settle"]

_LOG = logging.getLogger("bayswitch.recovery")


class RecoveryTimes(NamedTuple):
    """How patient recovery is; a sandbox shortens it."""

    first_ms: int = ENQUIRY_FIRST_MS
    backoff_ms_max: int = ENQUIRY_BACKOFF_MS_MAX
    message_valid_ms: int = RAIL_MESSAGE_VALID_MS
    clock_skew_ms: int = CLOCK_SKEW_MS_MAX


class Recovery:
    """Enquires overdue payments with back-off and a small budget per rail, and releases the quotes that ended."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        quotes: QuoteStore,
        rails: Mapping[str, Rail],
        payments: Payments,
        watch: Watch,
        clock: Clock,
        times: RecoveryTimes = RecoveryTimes(),  # noqa: B008 - a NamedTuple is immutable
        meter: Meter = UNMETERED,
    ) -> None:
        self._store = store
        self._quotes = quotes
        self._rails = rails
        self._payments = payments
        self._watch = watch
        self._clock = clock
        self._times = times
        self._meter = meter
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._waiting: Counter[str] = Counter()  # of those, by rail
        self._budget: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX)
        )

    async def run(self) -> None:
        """Look, ask, wait, for ever. Cancel it to stop; a payment it was asking about stays as it was.

        Nothing else ends it: without it holds would stay for ever, so a fault of ours is logged and the next look comes.
        """
        try:
            while True:
                await self._try("payments were not looked at", self.look())
                await asyncio.sleep(self._times.first_ms / 1000)
        finally:
            for task in self._asking.values():
                task.cancel()

    async def _try(self, trouble: str, work: Awaitable[object]) -> None:
        try:
            await work
        except StoreUnavailable:
            _LOG.warning("the store did not answer: %s; recovery looks again", trouble)
        except Exception as error:  # noqa: BLE001 - see run
            _LOG.error("%s: %s", trouble, anatomy(error))

    async def look(self) -> int:
        """One look: starts an enquiry for every overdue payment that nobody works on. How many it started.

        What one rail is not asked about now is put off, so that it does not stand before what other rails could end.
        """
        now_ms = self._clock.now_ms()
        await self._try("quotes were not looked at", self._quotes.release_quotes(now_ms, RECOVERY_SCAN_COUNT))
        started, put_off = 0, []
        for payment in await self._store.overdue(now_ms, RECOVERY_SCAN_COUNT):
            instruction, hold = payment.instruction, payment.hold
            if hold.uetr in self._asking or self._payments.is_running(instruction.participant, instruction.request_id):
                continue
            if self._waiting[hold.rail] >= ENQUIRIES_PER_RAIL_WAITING_MAX:
                put_off.append(payment)
                continue
            task = asyncio.get_running_loop().create_task(self._settle(payment))
            self._asking[hold.uetr] = task
            self._waiting[hold.rail] += 1
            task.add_done_callback(lambda ended, hold=hold: self._asked(hold, ended))  # type: ignore[misc]
            started += 1
        for payment in put_off:
            await self._later(payment)
        return started

    def _asked(self, hold: Hold, task: asyncio.Task[None]) -> None:
        del self._asking[hold.uetr]
        self._waiting[hold.rail] -= 1
        if not task.cancelled() and (error := task.exception()):
            _LOG.error("recovery of %s stopped: %s", hold.uetr, anatomy(error))

    async def _settle(self, payment: Payment) -> None:
        hold = payment.hold
        try:
            async with self._budget[hold.rail]:
                ended = await self._ended(payment)
            if ended:
                self._watch.nudge(hold.participant)
            else:
                await self._later(payment)
        except StoreUnavailable:
            _LOG.warning("the store did not answer; the next look finds %s as it is", hold.uetr)

    async def _ended(self, payment: Payment) -> bool:
        try:
            return await settle(payment, self._store, self._rails, self._clock, self._times, self._meter)
        except (RailSilent, RailUnavailable):
            return False
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a fault that one payment shows must not be hit every second
            _LOG.error("recovery of %s stopped: %s", payment.hold.uetr, anatomy(error))
            return False

    async def _later(self, payment: Payment) -> None:
        """The next look comes after as long as it is overdue already: the pauses double, up to a bound."""
        now_ms = self._clock.now_ms()
        overdue_ms = now_ms - payment.hold.overdue_time_ms
        pause_ms = min(max(overdue_ms, self._times.first_ms), self._times.backoff_ms_max)
        await self._store.reschedule(payment.hold, now_ms + pause_ms)


async def settle(
    payment: Payment,
    store: PaymentStore,
    rails: Mapping[str, Rail],
    clock: Clock,
    times: RecoveryTimes,
    meter: Meter = UNMETERED,
) -> bool:
    """Enquire once about an open payment and write the answer down. True when the payment is final. Safe to repeat.

    Raises:
        RailUnavailable, RailSilent: nothing is known; the payment stays as it is.
        StoreUnavailable: the answer may not have been written; ask again.
    """
    hold = payment.hold
    rail = rails.get(hold.rail)
    if rail is None:
        raise RailUnavailable(f"rail {hold.rail} is not in the settings")
    age_ms = clock.now_ms() - hold.prepared_time_ms  # before we ask: what arrives meanwhile must be too old already
    answer = await _said("enquire", rail.enquire, hold, meter)
    if answer.outcome is Outcome.NEVER_SEEN and age_ms > times.message_valid_ms + times.clock_skew_ms:
        # a message of ours still under way would now be refused on arrival: "never seen" can be made final
        answer = await _said("abort", rail.abort, hold, meter)
        if answer.outcome is Outcome.NEVER_SEEN:
            answer = Enquiry(Outcome.REFUSED, reason="RAIL_NEVER_SAW_IT")
    now_ms = clock.now_ms()
    if answer.outcome is Outcome.DONE:
        assert answer.ack is not None
        ended = written(await store.commit(hold, answer.ack, now_ms), State.COMMITTED)
    elif answer.outcome is Outcome.REFUSED:
        ended = written(await store.abort(hold, answer.reason, answer.rail_code, now_ms), State.ABORTED)
    else:
        return False
    meter.payment(hold, ended.history[-1])
    return True


async def _said(call: str, ask: Callable[[Hold, int], Awaitable[Enquiry]], hold: Hold, meter: Meter) -> Enquiry:
    """What the rail says, or its silence, told to the meter. Raises as the rail does."""
    asked_ns, outcome = meter.now_ns(), "silent"
    try:
        answer = await ask(hold, RAIL_PREPARE_MS_MAX)
        outcome = answer.outcome.name.lower()
        return answer
    except RailUnavailable:
        outcome = "unavailable"
        raise
    finally:
        meter.rail(hold.rail, call, outcome, asked_ns)
