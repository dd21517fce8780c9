"""Two workers against one: rates, and the CPU of a payment, which says what two cores of their own would give.

Two sandboxes, one with each, loaded in turn. On a machine whose cores client, rail and store share with the switch, the
rates cannot double: what counts there is that a payment costs no more CPU with two workers than with one.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import grpc.aio
from grpc import ChannelConnectivity

from loadtest.batch_bench import CORRIDOR, in_one_run
from loadtest.bench_rows import Figure, Scale, median
from loadtest.bench_system import STREAMS, Bench, Payer, channel_to, run, running, send_batches, sized, unary_callers
from loadtest.measure import closed_loop

__all__ = ["WORKERS", "figures", "measured"]

WORKERS: Final = 2
TRIES: Final = 64  # connections opened to find as many at each worker: one in two goes where it is wanted
CORES_WANTED: Final = 4  # a core for each worker, one for the store, one for client and rail


class _Run(NamedTuple):
    per_second: float
    switch_ms: float  # CPU per payment
    cores: float  # that the switch used


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "workers"."""
    with ExitStack() as stack:
        benches = [stack.enter_context(running({"BAYSWITCH_WORKERS": str(count)})) for count in (1, WORKERS)]
        yield from run(measured(benches, scale))


async def measured(benches: Sequence[Bench], scale: Scale) -> list[tuple[str, Figure]]:
    """The rows, of a switch with one worker and one with WORKERS."""
    payer = Payer(CORRIDOR)
    unary: list[list[_Run]] = [[] for _ in benches]
    batch: list[list[_Run]] = [[] for _ in benches]
    async with AsyncExitStack() as opened:
        channels = [await _spread(opened, bench, 1 if place == 0 else WORKERS) for place, bench in enumerate(benches)]
        single = [await _calls_wanted(each, payer, scale) for each in channels]
        many = []
        for each in channels:
            warm = await send_batches(each, payer, payer.requests(STREAMS * scale.batch_items), scale.batch_items)
            many.append(in_one_run(warm.per_second, scale))
        for _ in range(scale.runs):
            for place, bench in enumerate(benches):
                unary[place].append(await _unary(bench, channels[place], payer, single[place], scale))
                batch[place].append(await _batch(bench, channels[place], payer, many[place], scale))
    return [*_rows("unary", unary), *_rows("batch", batch)]


def _rows(what: str, runs: Sequence[Sequence[_Run]]) -> list[tuple[str, Figure]]:
    one, two = runs
    cores = ", ".join(f"{median([each.cores for each in group]):.2f}" for group in (one, two))
    note = f"the switch used {cores} cores (one worker, two) of {os.cpu_count()}"
    if (os.cpu_count() or 1) < CORES_WANTED:
        note += "; all of them were shared with client, rail and store: read the CPU below"
    return [
        (f"workers.{what}", Figure(tuple(e.per_second for e in two), tuple(e.per_second for e in one), note)),
        (
            f"workers.{what}_cpu",
            Figure(
                tuple(e.switch_ms for e in two),
                tuple(e.switch_ms for e in one),
                "two workers at 0.8 of it do 1.6 times the work on cores of their own",
            ),
        ),
    ]


async def _calls_wanted(channels: Sequence[grpc.aio.Channel], payer: Payer, scale: Scale) -> int:
    return await sized(lambda count: unary_callers(channels, payer, count), scale.seconds)


async def _unary(bench: Bench, channels: Sequence[grpc.aio.Channel], payer: Payer, count: int, scale: Scale) -> _Run:
    calls, before = unary_callers(channels, payer, count), bench.cpu()
    rate = await closed_loop(calls, scale.seconds)
    return _run(rate.per_second, rate.done, bench.cpu().since(before).switch)


async def _batch(bench: Bench, channels: Sequence[grpc.aio.Channel], payer: Payer, count: int, scale: Scale) -> _Run:
    requests, before = payer.requests(count), bench.cpu()
    rate = await send_batches(channels, payer, requests, scale.batch_items)
    return _run(rate.per_second, rate.done, bench.cpu().since(before).switch)


def _run(per_second: float, done: int, switch_ms: float) -> _Run:
    return _Run(per_second, switch_ms / done, switch_ms / done * per_second / 1000)


async def _spread(opened: AsyncExitStack, bench: Bench, workers: int) -> list[grpc.aio.Channel]:
    """STREAMS channels, as many at each worker: the kernel deals connections out by chance, so some are left unused."""
    kept: list[grpc.aio.Channel] = []
    share, taken = STREAMS // workers, dict[int, int]()
    for _ in range(TRIES):
        before = _sockets(bench.workers)
        channel = await opened.enter_async_context(channel_to(bench.address))
        await _ready(channel)
        after = _sockets(bench.workers)
        whose = max(after, key=lambda pid: after[pid] - before.get(pid, 0))
        if taken.get(whose, 0) < share:
            taken[whose] = taken.get(whose, 0) + 1
            kept.append(channel)
        if len(kept) == STREAMS:
            return kept
    raise RuntimeError(f"{TRIES} connections went to {taken}: the workers do not share the port evenly")


async def _ready(channel: grpc.aio.Channel) -> None:
    state = channel.get_state(try_to_connect=True)
    while state is not ChannelConnectivity.READY:
        await channel.wait_for_state_change(state)
        state = channel.get_state()


def _sockets(pids: Sequence[int]) -> dict[int, int]:
    """Open sockets of each process; an idle switch opens none by itself but to its rails and its store, at start."""
    return {pid: sum(1 for each in Path(f"/proc/{pid}/fd").iterdir() if _is_socket(each)) for pid in pids}


def _is_socket(descriptor: Path) -> bool:
    try:
        return os.readlink(descriptor).startswith("socket:")
    except FileNotFoundError:
        return False
