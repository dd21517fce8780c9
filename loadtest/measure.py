"""Small tools of the benches: closed-loop load, medians, CPU of processes."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Rate", "closed_loop", "cpu_ms", "median_ns", "spread"]

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


class Rate(NamedTuple):
    """What one closed-loop run did."""

    per_second: float
    p50_ms: float
    p99_ms: float
    done: int


async def closed_loop(calls: Sequence[Callable[[], Awaitable[int]]], seconds: float) -> Rate:
    """One task per call, each again and again for `seconds`; a call returns how many payments it made."""
    latencies: list[float] = []
    done = 0
    start = time.perf_counter()
    end = start + seconds

    async def caller(call: Callable[[], Awaitable[int]]) -> None:
        nonlocal done
        while (begun := time.perf_counter()) < end:
            made = await call()
            done += made  # read after the wait: callers take turns in between
            latencies.append(time.perf_counter() - begun)

    await asyncio.gather(*(caller(call) for call in calls))
    elapsed = time.perf_counter() - start
    latencies.sort()
    return Rate(done / elapsed, _quantile(latencies, 0.5) * 1000, _quantile(latencies, 0.99) * 1000, done)


def _quantile(values: Sequence[float], q: float) -> float:
    return values[min(int(len(values) * q), len(values) - 1)]


def median_ns(work: Callable[[], object], rounds: int, repeats: int = 5) -> float:
    """Median over `repeats` of the nanoseconds one call of `work` takes, each the mean of `rounds` calls."""
    figures = []
    for _ in range(repeats):
        begun = time.perf_counter_ns()
        for _ in range(rounds):
            work()
        figures.append((time.perf_counter_ns() - begun) / rounds)
    return statistics.median(figures)


def cpu_ms(pids: Iterable[int]) -> float:
    """CPU milliseconds, user and system, that these processes have used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * _TICK_MS


def spread(values: Sequence[float]) -> str:
    """Lowest and highest of several runs, for people."""
    return f"{min(values):,.0f}-{max(values):,.0f}"
