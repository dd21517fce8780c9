"""How late the event loop wakes who sleeps: what every payment waits on top of its own work."""

import asyncio
from time import perf_counter_ns

from switch.limits import LOOP_DELAY_LOOK_MS
from switch.metrics.buckets import Buckets

__all__ = ["watch_loop"]


async def watch_loop(delays: Buckets) -> None:
    """Sleep LOOP_DELAY_LOOK_MS again and again until cancelled, and count how much longer it took."""
    pause_ns = LOOP_DELAY_LOOK_MS * 1_000_000
    while True:
        begun_ns = perf_counter_ns()  # not the loop's clock, which stands still while it works
        await asyncio.sleep(LOOP_DELAY_LOOK_MS / 1000)
        delays.add(max(0, perf_counter_ns() - begun_ns - pause_ns))
