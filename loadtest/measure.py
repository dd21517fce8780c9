"""Small tools of the benches: closed-loop load, CPU of processes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

__all__ = ["Rate", "closed_loop", "cpu_ms"]

_ALL_THREADS = 2  # clock_getcpuclockid(3), which Python lacks: nanoseconds, where /proc counts in hundredths


class Rate(NamedTuple):
    """What one closed-loop run did."""

    per_second: float
    p50_ms: float
    p99_ms: float
    done: int


async def closed_loop(calls: Sequence[Callable[[], Awaitable[int]]], seconds: float) -> Rate:
    """One task per call, each again and again for `seconds`, once at least; a call returns how many payments it made."""
    latencies: list[float] = []
    done = 0
    start = time.perf_counter()
    end = start + seconds

    async def caller(call: Callable[[], Awaitable[int]]) -> None:
        nonlocal done
        while True:
            begun = time.perf_counter()
            made = await call()
            done += made  # read after the wait: callers take turns in between
            latencies.append(time.perf_counter() - begun)
            if time.perf_counter() >= end:
                return

    await asyncio.gather(*(caller(call) for call in calls))
    elapsed = time.perf_counter() - start
    latencies.sort()
    return Rate(done / elapsed, _quantile(latencies, 0.5) * 1000, _quantile(latencies, 0.99) * 1000, done)


def _quantile(values: Sequence[float], q: float) -> float:
    return values[min(int(len(values) * q), len(values) - 1)]


def cpu_ms(pids: Iterable[int]) -> float:
    """CPU milliseconds, user and system, that these processes have used so far; a thread that ended counts on.

    Raises OSError: one of them is gone.
    """
    return sum(time.clock_gettime(~pid << 3 | _ALL_THREADS) for pid in pids) * 1000
