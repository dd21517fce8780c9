"""A whole sandbox to measure, what is paid through it, and the CPU of its processes. Public interfaces only: gRPC.

Requests are made before a run; in a run they are serialised, and every answer is parsed and must say COMMITTED: what a
provider's own software does is counted, what makes up ids is not.
"""

import asyncio
import atexit
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import grpc.aio
from bayswitch.v1 import payment_pb2, payment_pb2_grpc, quote_pb2, quote_pb2_grpc

from loadtest.echo import METHOD
from loadtest.measure import Rate, closed_loop, cpu_ms
from loadtest.mixes import PEOPLE, Amounts, Drawn, Mix, Row, scenario_of
from loadtest.sampling import family
from switch.cli.sandbox import Sandbox, load_scenario
from switch.limits import CLOCK_SKEW_MS_MAX, HOLD_MS_MAX, RAIL_MESSAGE_VALID_MS

__all__ = [
    "STREAMS",
    "UNARY_CALLERS",
    "Bench",
    "Cpu",
    "Payer",
    "channel_to",
    "echo_beside",
    "echo_call",
    "prefetched",
    "run",
    "running",
    "send_batches",
    "sized",
    "unary_callers",
]

_Result = TypeVar("_Result")

UNARY_CALLERS: Final = 64
STREAMS: Final = 8
_AGAIN_SECONDS: Final = 0.1  # before what was refused is sent again: less than RetryInfo says, a bench is not polite
REPEATS_MAX: Final = 600  # of each payment: a machine that others slow down lets in few at a time, or stands still
CALL_SECONDS: Final = 20
SEED: Final = 20_261_125
_NO_END_YET: Final = (payment_pb2.PAYMENT_STATE_PREPARED, payment_pb2.PAYMENT_STATE_IN_DOUBT)
_LOST_ON_THE_WAY: Final = "RAIL_NEVER_SAW_IT"  # reserved when nobody waited any more: paid to nobody, by nobody
_REPEATABLE: Final = (grpc.StatusCode.UNAVAILABLE.value[0], grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
_INSTITUTIONS: Final = {"HK": 1, "MO": 1, "CN": 1}
# Metrics as in production, and its times, not those of a sandbox, which are short for people who wait. A quote lives
# for an hour: quotes are made before a run.
_ENVIRONMENT: Final = {
    "BAYSWITCH_ADMIN_PORT": "0",
    "BAYSWITCH_QUOTE_MS": "3600000",
    "BAYSWITCH_HOLD_MS": str(HOLD_MS_MAX),
    "BAYSWITCH_RAIL_MESSAGE_VALID_MS": str(RAIL_MESSAGE_VALID_MS),
    "BAYSWITCH_CLOCK_SKEW_MS": str(CLOCK_SKEW_MS_MAX),
}
_AHEAD: Final = 1.5  # requests made for a run, over what the run before it used: it must not run dry


# gRPC's poller is one of the process and stays with the loop it began in: what speaks gRPC here does so in one loop.
_RUNNER: Final = asyncio.Runner()
atexit.register(_RUNNER.close)


def run(measured: Coroutine[Any, Any, _Result]) -> _Result:
    """As asyncio.run, but in the one loop of this process's benches."""
    return _RUNNER.run(measured)


class Cpu(NamedTuple):
    """CPU milliseconds of each kind of process, since it began or between two looks."""

    switch: float
    store: float
    rail: float
    client: float

    @property
    def total(self) -> float:
        return sum(self)

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))

    def over(self, count: int) -> "Cpu":
        """Per payment."""
        return Cpu(*(each / count for each in self))

    @property
    def said(self) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in self._asdict().items()) + " ms"


class Bench(NamedTuple):
    """One sandbox that runs."""

    sandbox: Sandbox

    @property
    def address(self) -> str:
        return self.sandbox.address

    @property
    def workers(self) -> list[int]:
        """The switch's processes: the workers, and their supervisor when there are several."""
        assert self.sandbox.switch is not None
        return [pid for pid in family(self.sandbox.switch.pid) if not _is_store(pid)]

    def cpu(self) -> Cpu:
        assert self.sandbox.switch is not None
        switch = family(self.sandbox.switch.pid)
        return Cpu(
            cpu_ms(pid for pid in switch if not _is_store(pid)),
            cpu_ms(pid for pid in switch if _is_store(pid)),
            cpu_ms(part.pid for part in self.sandbox.rails.values()),
            cpu_ms([os.getpid()]),
        )


def _is_store(pid: int) -> bool:
    return "valkey-server" in Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")


@contextmanager
def running(environment: Mapping[str, str] | None = None, *, signing: bool = False) -> Iterator[Bench]:
    """The sandbox, its participants' caps out of reach, metrics on as in production; all ended after the block."""
    with tempfile.TemporaryDirectory(prefix="bayswitch-bench-") as scratch:
        given = {**_ENVIRONMENT, **(environment or {})}
        sandbox = Sandbox(Path(scratch), given, signing=signing)
        try:
            sandbox.start()
            sandbox.enrol(scenario_of(_INSTITUTIONS, load_scenario()))
            yield Bench(sandbox)
        finally:
            sandbox.stop()


def channel_to(address: str) -> grpc.aio.Channel:
    """A connection of its own: gRPC shares one among channels to the same address otherwise."""
    return grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))


class Payer:
    """Makes payments of one corridor of people.toml, over thousands of payers and payees; the same for the same seed."""

    def __init__(self, corridor: str, *, amount_minor: int = 100) -> None:
        people = tomllib.loads(PEOPLE.read_text("utf-8"))[corridor]
        row = Row(corridor, 100, Amounts(fixed=(amount_minor,)), "", people)
        self._mix = Mix("bench", {}, [row], _INSTITUTIONS, 100)
        self._dice = random.Random(SEED)
        self.participant = self._mix.draw(random.Random(SEED)).participant
        self.metadata = (("x-bayswitch-participant", self.participant),)

    def draw(self) -> Drawn:
        drawn = self._mix.draw(self._dice)
        # Ids of no seed: the store may know those of an earlier run.
        drawn.request.request_id, drawn.request.uetr = _new_id(), _new_id()
        return drawn

    def requests(self, count: int) -> list[Any]:
        return [self.draw().request for _ in range(count)]

    async def quoted(self, channel: grpc.aio.Channel, count: int) -> list[Any]:
        """Requests with a quote each, where the corridor is between two assets."""
        stub = quote_pb2_grpc.QuoteServiceStub(channel)
        gate = asyncio.Semaphore(UNARY_CALLERS)

        async def priced(drawn: Drawn) -> Any:
            request = drawn.request
            asked = quote_pb2.CreateQuoteRequest(
                debit=request.debit,
                other_asset=drawn.credit_asset,
                debtor_place=request.debtor.place,
                creditor_place=request.creditor.place,
                creditor_scheme=request.creditor.account.scheme,
                creditor_agent=request.creditor_agent,
            )
            async with gate:
                quoted = await _patiently(lambda: stub.CreateQuote(asked, timeout=CALL_SECONDS, metadata=self.metadata))
                quote = quoted.quote
            request.quote_id = quote.quote_id
            request.credit.CopyFrom(quote.credit)
            return request

        return await asyncio.gather(*(priced(self.draw()) for _ in range(count)))


def _new_id() -> str:
    text = random.randbytes(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _must_be_committed(payment: Any) -> None:
    if payment.state != payment_pb2.PAYMENT_STATE_COMMITTED:
        raise RuntimeError(f"a payment of the bench is not COMMITTED: {payment.reason or payment.state}")


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    """The answer. What the switch says is safe to repeat is called again. Raises AioRpcError."""
    for left in reversed(range(REPEATS_MAX)):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code().value[0] not in _REPEATABLE or not left:
                raise
            await asyncio.sleep(_AGAIN_SECONDS)
    raise AssertionError("never called")


def prefetched(payer: Payer, count: int) -> Callable[[], Any]:
    """The next request: of `count` that are made now, and then, if more are wanted, of new ones."""
    ready = payer.requests(count)
    return lambda: ready.pop() if ready else payer.draw().request


def unary_callers(channels: Sequence[grpc.aio.Channel], payer: Payer, count: int) -> list[Callable[[], Awaitable[int]]]:
    """UNARY_CALLERS of SubmitPayment, spread over the channels."""
    following = prefetched(payer, count)

    def caller(channel: grpc.aio.Channel) -> Callable[[], Awaitable[int]]:
        submit = payment_pb2_grpc.PaymentServiceStub(channel).SubmitPayment

        async def call() -> int:
            # Another payment each time: one that was refused may have begun, and end only when recovery looks at it.
            answer = await _patiently(lambda: submit(following(), timeout=CALL_SECONDS, metadata=payer.metadata))
            _must_be_committed(answer.payment)
            return 1

        return call

    return [caller(channels[number % len(channels)]) for number in range(UNARY_CALLERS)]


async def sized(make: Callable[[int], Sequence[Callable[[], Awaitable[int]]]], seconds: float) -> int:
    """How many requests one run of `seconds` wants, with some to spare; warms everything up by the way."""
    first = await closed_loop(make(0), seconds / 3)
    return int(first.per_second * seconds * _AHEAD)


async def send_batches(channels: Sequence[grpc.aio.Channel], payer: Payer, requests: Sequence[Any], items: int) -> Rate:
    """All requests, on STREAMS streams at once, each with one batch out at a time.

    What the switch says is safe to repeat, for it or its store is too busy, goes into another batch, as a careful
    provider's would. Raises RuntimeError: one is not COMMITTED.
    """
    batches = [
        payment_pb2.SubmitPaymentsRequest(items=requests[first : first + items])
        for first in range(0, len(requests), items)
    ]
    latencies: list[float] = []
    repeats = 0

    async def stream(channel: grpc.aio.Channel) -> None:
        nonlocal repeats
        submit = payment_pb2_grpc.PaymentServiceStub(channel).SubmitPayments
        call = submit(metadata=payer.metadata)
        while batches and repeats <= REPEATS_MAX * len(requests):
            batch, begun = batches.pop(), time.perf_counter()
            results = await _results(call, batch)
            latencies.append(1000 * (time.perf_counter() - begun))
            if results is None:
                begun_again, call = list(batch.items), submit(metadata=payer.metadata)
            else:
                begun_again = [item for item, result in zip(batch.items, results, strict=True) if _again(result)]
            if begun_again:
                repeats += len(begun_again)
                await asyncio.sleep(_AGAIN_SECONDS)
                batches.append(payment_pb2.SubmitPaymentsRequest(items=begun_again))
        await call.done_writing()
        await call.read()

    begun = time.perf_counter()
    await asyncio.gather(*(stream(channels[number % len(channels)]) for number in range(STREAMS)))
    elapsed = time.perf_counter() - begun
    if batches:
        raise RuntimeError(f"payments are refused again and again, {repeats} times by now")
    latencies.sort()
    middle, last = latencies[len(latencies) // 2], latencies[min(int(len(latencies) * 0.99), len(latencies) - 1)]
    return Rate(len(requests) / elapsed, middle, last, len(requests))


async def _results(call: Any, batch: Any) -> Any:
    """The answers to a batch; None: the call was refused when it came, for want of room or store. Raises AioRpcError."""
    with contextlib.suppress(asyncio.InvalidStateError):  # it had ended before we wrote
        try:
            await call.write(batch)
            return (await call.read()).results
        except grpc.aio.AioRpcError as error:
            if error.code().value[0] not in _REPEATABLE:
                raise
    return None


def _again(result: Any) -> bool:
    """Whether an item is to be sent again. Raises RuntimeError: neither COMMITTED nor safe to repeat.

    One that was refused before may have begun all the same: it ends when recovery looks at it.
    """
    if not result.HasField("error"):
        if result.payment.state in _NO_END_YET:
            return True
        if result.payment.reason != _LOST_ON_THE_WAY:
            _must_be_committed(result.payment)
        return False
    if result.error.code not in _REPEATABLE:
        raise RuntimeError(f"a payment of the bench failed: {result.error.message}")
    return True


@contextmanager
def echo_beside() -> Iterator[Callable[[int], str]]:
    """Starts an empty echo in a process of its own, whose answers have the asked size; its address."""
    begun: list[subprocess.Popen[str]] = []

    def start(answer_bytes: int) -> str:
        words = [sys.executable, "-m", "loadtest.echo", str(answer_bytes)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout is not None
        return f"127.0.0.1:{int(process.stdout.readline())}"

    try:
        yield start
    finally:
        for process in begun:
            process.terminate()
            process.wait()
            if process.stdout:
                process.stdout.close()


def echo_call(channel: grpc.aio.Channel, request_bytes: int) -> Callable[[], Awaitable[int]]:
    """One call of the empty echo with a request of this size."""
    call, sent = channel.unary_unary(METHOD), bytes(request_bytes)

    async def echo() -> int:
        await call(sent, timeout=CALL_SECONDS)
        return 1

    return echo
