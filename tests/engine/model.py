"""A world of trouble for the real engine: one seed, one schedule, no real time.

Two processes run the engine and its recovery on one store; rails, links, the store and the processes misbehave by the
dice. The loop's time is virtual: it jumps to the next timer, so minutes of waiting cost nothing and a seed is always the
same run. Who calls, and what must hold in the end, is in test_model.py.
"""

import asyncio
import random
import selectors
import uuid
from collections import Counter
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from switch.domain.money import Asset, Rate
from switch.domain.payment import Hold, Payment, Transition
from switch.engine import Fee, Paces, Payments, Quotes, Recovery, RecoveryTimes, Watch
from switch.errors import RailRejected, RailSilent, RailUnavailable, StoreUnavailable
from switch.ports import Enquiry, Outcome, Prepared, RailAck
from switch.routing import RouterHolder
from tests.fakes import CORRIDORS, NOON_MS, PARTICIPANTS, FakeStore, ScriptedRail

__all__ = ["QUOTE_MS", "Process", "Weather", "WeatherRail", "WeatherStore", "run"]

QUOTE_MS = 30_000
TIMES = RecoveryTimes(first_ms=4_000, backoff_ms_max=15_000)
OFF_MS_MAX = TIMES.clock_skew_ms // 2  # of each clock: two of them differ by what recovery allows for
STALL_S_MAX = 90.0  # a process that stands still between two lines of its own
LATE_S_MAX = 60.0  # a message that was under way for so long
CAPS = {"ALFA": 90_000, "BRAVO": 60_000, "FXONE": 40_000, "GW_NEAR": 50_000}  # low: some of what is asked breaks them

T = TypeVar("T")


# --- time ------------------------------------------------------------------------------------------------------------
class _Jump(selectors.DefaultSelector):
    """Waits for nothing: the time there was to wait has passed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything waits for everything else"
        self.now += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in virtual time. An error that no task fetched, which a loop only logs, is raised here."""
    unseen: list[Any] = []
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: unseen.append(context))
        runner.run(work)
    assert not unseen, unseen


class Weather:
    """The dice. Without `storm` nothing fails."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.storm = True

    def happens(self, chance: float) -> bool:
        return self.storm and self.dice.random() < chance

    async def travel(self, seconds_max: float) -> None:
        await asyncio.sleep(self.dice.random() * seconds_max)

    def uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.dice.getrandbits(128), version=4)


class WeatherClock:
    """Virtual time with an error of its own."""

    def __init__(self, off_ms: int = 0) -> None:
        self._off_ms = off_ms

    def now_ms(self) -> int:
        return NOON_MS + int(asyncio.get_running_loop().time() * 1000) + self._off_ms


# --- the store -------------------------------------------------------------------------------------------------------
class WeatherStore(FakeStore):
    """Slow, and silent now and then, before a step or after it. What has left is done, whatever becomes of its caller."""

    def __init__(self, weather: Weather) -> None:
        super().__init__(WeatherClock())
        self._weather = weather
        self._left: set[asyncio.Task[Any]] = set()
        for each in PARTICIPANTS:
            caps = tuple((asset, CAPS.get(each.id, 0)) for asset, _ in each.caps)
            self.participants[each.id] = each._replace(caps=caps)
        self._rates[Asset.HKD, Asset.CNY]["FXONE"] = Rate(9_259, 10_000)
        self._rates[Asset.MOP, Asset.HKD]["FXONE"] = Rate(100, 103)

    async def _trip(self, step: str) -> None:
        self.calls[step] += 1
        await self._weather.travel(0.9 if self._weather.happens(0.1) else 0.02)
        self._fail(step, False)

    def _fail(self, step: str, done: bool) -> None:
        if self._weather.happens(0.03):
            raise StoreUnavailable("the weather")

    async def _sent(self, work: Coroutine[Any, Any, T]) -> T:
        step = asyncio.create_task(work)
        self._left.add(step)
        step.add_done_callback(self._arrived)
        return await asyncio.shield(step)

    def _arrived(self, step: "asyncio.Task[Any]") -> None:
        self._left.discard(step)
        if not step.cancelled():
            step.exception()  # its caller may be gone

    async def prepare(self, hold: Hold, quote_id: str) -> Prepared:
        return await self._sent(super().prepare(hold, quote_id))

    async def _move(self, name: str, hold: Hold, step: Transition) -> Payment:
        return await self._sent(super()._move(name, hold, step))


# --- a rail ----------------------------------------------------------------------------------------------------------
class WeatherRail(ScriptedRail):
    """Keeps every promise of ports.Rail and no other: late, twice, cut, silent, slow, faulty.

    A message that is older than the rail takes is refused; one UETR is paid once, whatever arrives.
    """

    def __init__(self, name: str, weather: Weather) -> None:
        super().__init__(name)
        self.times_paid: Counter[str] = Counter()
        self.ends: dict[str, Enquiry] = {}
        self._weather = weather
        self._clock = WeatherClock(weather.dice.randint(-OFF_MS_MAX, OFF_MS_MAX))
        self._under_way: set[asyncio.Task[None]] = set()

    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        weather = self._weather
        if weather.happens(0.05):
            raise RailUnavailable("the weather")
        if weather.happens(0.05):
            await weather.travel(STALL_S_MAX)
        if weather.happens(0.02):
            raise ValueError("a fault before anything was sent")
        copies = [self._send(hold) for _ in range(2 if weather.happens(0.1) else 1)]
        if weather.happens(0.1):
            await weather.travel(budget_ms / 1000)
            raise RailSilent("cut off")
        await asyncio.wait(copies, timeout=budget_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
        if weather.happens(0.02):
            raise ValueError("a fault after it was sent")
        await weather.travel(0.1)
        end = self._truth(hold)
        if end.outcome is Outcome.REFUSED:
            raise RailRejected(end.reason, end.rail_code)
        if end.ack is None:
            raise RailSilent("no end in time")
        return end.ack

    async def enquire(self, hold: Hold, budget_ms: int) -> Enquiry:
        """What was true when the question arrived; the answer may be old when it is heard."""
        weather = self._weather
        await weather.travel(4.0 if weather.happens(0.2) else 0.05)
        if weather.happens(0.03):
            raise ValueError("a fault of the adapter")
        answer = self._truth(hold)
        await weather.travel(4.0 if weather.happens(0.2) else 0.05)
        if weather.happens(0.15):
            raise RailSilent("the weather")
        return answer

    async def abort(self, hold: Hold, budget_ms: int) -> Enquiry:
        return await self.enquire(hold, budget_ms)

    def _truth(self, hold: Hold) -> Enquiry:
        return self.ends.get(hold.uetr, Enquiry(Outcome.NEVER_SEEN))

    def _send(self, hold: Hold) -> "asyncio.Task[None]":
        message = asyncio.create_task(self._deliver(hold))
        self._under_way.add(message)
        message.add_done_callback(self._under_way.discard)
        return message

    async def _deliver(self, hold: Hold) -> None:
        weather = self._weather
        if weather.happens(0.05):
            return  # lost
        await weather.travel(LATE_S_MAX if weather.happens(0.15) else 0.05)
        if hold.uetr in self.ends:
            return
        if self._clock.now_ms() - hold.prepared_time_ms > TIMES.message_valid_ms:
            self._end(hold, "RAIL_EXPIRED")
            return
        if weather.happens(0.1):
            self.ends[hold.uetr] = Enquiry(Outcome.WORKING)
            await weather.travel(20.0)
        self._end(hold, "PROXY_UNKNOWN" if weather.happens(0.15) else "")

    def _end(self, hold: Hold, reason: str) -> None:
        if reason:
            self.ends[hold.uetr] = Enquiry(Outcome.REFUSED, None, reason, "NO")
        else:
            self.times_paid[hold.uetr] += 1
            self.ends[hold.uetr] = Enquiry(Outcome.DONE, RailAck(f"REF{hold.uetr[:8]}", "ACSC"))

    @property
    def quiet(self) -> bool:
        """No message is under way."""
        return not self._under_way


# --- a process -------------------------------------------------------------------------------------------------------
class Process:
    """The real engine and its recovery, in one process that may die at any moment."""

    def __init__(self, weather: Weather, store: WeatherStore, rails: dict[str, WeatherRail]) -> None:
        clock = WeatherClock(weather.dice.randint(-OFF_MS_MAX, OFF_MS_MAX))
        router, watch = RouterHolder(CORRIDORS), Watch(store)
        fees = {"strict": Fee(100, 20)}
        self.quotes = Quotes(store=store, participants=store, router=router, fees=fees, clock=clock, life_ms=QUOTE_MS)
        self.payments = Payments(
            store=store, quotes=self.quotes, router=router, rails=rails, watch=watch, clock=clock,
            paces=Paces({}),
            identity_hash=lambda text: text,
        )  # fmt: skip
        self.recovery = Recovery(
            store=store, quotes=store, rails=rails, payments=self.payments, watch=watch, clock=clock, times=TIMES
        )
        self._calls: set[asyncio.Task[Any]] = {asyncio.create_task(self.recovery.run())}

    def call(self, work: Awaitable[T]) -> "asyncio.Task[T]":
        """A call that a client makes; it is cancelled when the process dies, or by the client."""
        call = asyncio.ensure_future(work)
        assert isinstance(call, asyncio.Task)
        self._calls.add(call)
        call.add_done_callback(self._answered)
        return call

    def _answered(self, call: "asyncio.Task[Any]") -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # its caller may have gone

    def die(self) -> None:
        """Nothing of it runs on; what it sent is under way."""
        ending = {self.quotes._ending} - {None}
        for task in {*self._calls, *ending, *self.payments._flights, *self.recovery._asking.values()}:
            assert task is not None
            task.cancel()
