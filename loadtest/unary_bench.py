"""SubmitPayment to COMMITTED, one payment a call, beside an empty grpc.aio echo with messages of the same size.

The rate is of a closed loop, for it asks what is possible. Latencies are of an open one: calls begin when they are due,
whatever the ones before them do, and count from then.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Final

import grpc.aio
from bayswitch.v1 import payment_pb2_grpc

from loadtest.arrivals import quantile
from loadtest.bench_rows import Figure, Scale, median
from loadtest.bench_system import Bench, Payer, channel_to, echo_beside, echo_call, run, running, sized, unary_callers
from loadtest.measure import Rate, closed_loop

__all__ = ["figures", "measured", "open_loop_p99"]

CORRIDOR: Final = "hk-hk.hkd"
DRAIN_SECONDS: Final = 20


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "unary"."""
    with running() as bench, echo_beside() as start_echo:
        yield from run(measured(bench, start_echo, scale))


async def measured(bench: Bench, start_echo: Callable[[int], str], scale: Scale) -> list[tuple[str, Figure]]:
    """The rows; `start_echo` as from `echo_beside`."""
    payer = Payer(CORRIDOR)
    async with AsyncExitStack() as opened:
        channel = await opened.enter_async_context(channel_to(bench.address))
        request_bytes, answer_bytes = await _sizes(channel, payer)
        address = await asyncio.to_thread(start_echo, answer_bytes)
        echo = echo_call(await opened.enter_async_context(channel_to(address)), request_bytes)
        count = await sized(lambda count: unary_callers([channel], payer, count), scale.seconds)
        rates, echoes, spent = [], [], []
        for _ in range(scale.runs):
            calls = unary_callers([channel], payer, count)
            echoes.append(await closed_loop([echo] * len(calls), scale.seconds))
            before = bench.cpu()
            rates.append(await closed_loop(calls, scale.seconds))
            spent.append(bench.cpu().since(before).over(rates[-1].done))
        half = median([each.per_second for each in rates]) / 2
        times, echo_times = [], []
        for _ in range(scale.runs):
            one, *_ = unary_callers([channel], payer, int(half * scale.seconds) + 1)
            echo_times.append(await open_loop_p99(echo, half, scale.seconds))
            times.append(await open_loop_p99(one, half, scale.seconds))
    p99s = ", ".join(f"{median([each.p99_ms for each in runs]):.0f}" for runs in (rates, echoes))
    typical = sorted(spent, key=lambda each: each.total)[len(spent) // 2]
    return [
        ("unary.rate", Figure(_rates(rates), _rates(echoes), f"p99 at full load {p99s} ms (ours, echo)")),
        ("unary.p99", Figure(tuple(times), tuple(echo_times), f"at {half:,.0f} arrivals a second, evenly spaced")),
        ("unary.cpu", Figure(tuple(each.total for each in spent), (), typical.said)),
    ]


def _rates(runs: list[Rate]) -> tuple[float, ...]:
    return tuple(each.per_second for each in runs)


async def _sizes(channel: grpc.aio.Channel, payer: Payer) -> tuple[int, int]:
    """Bytes of a request and of its answer."""
    request = payer.draw().request
    answer = await payment_pb2_grpc.PaymentServiceStub(channel).SubmitPayment(
        request, timeout=20, metadata=payer.metadata
    )
    return request.ByteSize(), answer.ByteSize()


async def open_loop_p99(call: Callable[[], Awaitable[int]], rate: float, seconds: float) -> float:
    """Milliseconds from when a call was due to its answer, 99 of 100 calls; `rate` calls a second begin, come what may."""
    found: list[float] = []
    calls: list[asyncio.Task[None]] = []
    begun = time.perf_counter()

    async def one(due: float) -> None:
        await call()
        found.append(1000 * (time.perf_counter() - due))

    for number in range(max(int(rate * seconds), 1)):
        due = begun + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        calls.append(asyncio.create_task(one(due)))
    async with asyncio.timeout(DRAIN_SECONDS):
        await asyncio.gather(*calls)
    return quantile(sorted(found), 0.99)
