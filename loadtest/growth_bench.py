"""Does anything get slower, or dearer, with what is there already? Few beside many, in turn, in the same run.

Payments and participants are looked at in the store, through the store's own functions, and corridors in the router:
the rest of the path keeps nothing between payments, so what would grow, grows there, and is not thinned by the rest.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from deploy.local.valkey import Valkey, run_valkey
from loadtest.bench_rows import Figure, Scale, median
from loadtest.codec_bench import NOON_MS, in_turn_us, made_instruction
from loadtest.growth_fill import fill
from loadtest.measure import cpu_ms
from loadtest.store_bench import AGENT, hold_of, opened, pay, used_bytes, wallet
from switch.domain.corridor import Corridor
from switch.domain.payment import Hold
from switch.routing import Router
from switch.rules import load_rules
from switch.store import Store

__all__ = ["figures", "many_corridors"]

FEW_CORRIDORS: Final = 10
JOINING_AT_ONCE: Final = 500
WARM_RUNS: Final = 4
BATCH_ITEMS: Final = 250
FAR: Final = 7_919  # a prime: steps of it go through all participants
RUNS_OF_A_STORE: Final = 4  # a run pays this part of what the part "store" does


_NUMBERS: Final = count()  # of runs: no two pay under the same numbers


class _Side(NamedTuple):
    """One of two stores, on a server of its own."""

    store: Store
    server: Valkey


class _Run(NamedTuple):
    per_second: float
    server_us: float


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "growth"."""
    with TemporaryDirectory(prefix="bayswitch-growth-") as scratch, ExitStack() as stack:
        servers = [stack.enter_context(run_valkey(Path(scratch) / name)) for name in ("few", "many")]
        yield from asyncio.run(_stored(servers, scale))
    with TemporaryDirectory(prefix="bayswitch-growth-") as scratch, ExitStack() as stack:
        servers = [stack.enter_context(run_valkey(Path(scratch) / name)) for name in ("one", "many")]
        yield from asyncio.run(_joined(servers, scale))
    yield "growth.corridors", _corridors(scale)


async def _stored(servers: Sequence[Valkey], scale: Scale) -> list[tuple[str, Figure]]:
    async with AsyncExitStack() as opened_ones:
        sides = [_Side(await opened_ones.enter_async_context(opened(each.url)), each) for each in servers]
        memory, rates = [], []
        for side, count in zip(sides, (scale.stored_few, scale.stored_many), strict=True):
            empty = await used_bytes(side.store)
            rates.append(await fill(side.store, side.server, hold_of, count))
            memory.append((await used_bytes(side.store) - empty) / count)
        runs = await _in_turn(sides, [hold_of, hold_of], scale)
    note = f"{scale.stored_many:,} beside {scale.stored_few:,} stored"
    filled = f"{note}, copied inside the server from one really made at {rates[1]:,.0f}/s, its file written anew after"
    return [
        *_pair("growth.rate", "growth.cpu", runs, note),
        ("growth.memory", Figure((memory[1],), (memory[0],), filled)),
    ]


async def _joined(servers: Sequence[Valkey], scale: Scale) -> list[tuple[str, Figure]]:
    names = [f"W{number:06}" for number in range(scale.participants)]
    async with AsyncExitStack() as opened_ones:
        sides = [_Side(await opened_ones.enter_async_context(opened(each.url)), each) for each in servers]
        for first in range(0, len(names), JOINING_AT_ONCE):
            joining = names[first : first + JOINING_AT_ONCE]
            await asyncio.gather(
                *(sides[1].store.participants.create_participant(wallet(name), "OPERATOR", "bench") for name in joining)
            )

        def of_one(number: int) -> Hold:
            return hold_of(number, AGENT)

        def of_many(number: int) -> Hold:
            """A batch is of one participant, and the next batch of another one, far from it."""
            return hold_of(number, names[number // BATCH_ITEMS * FAR % len(names)])

        def of_each(number: int) -> Hold:
            return hold_of(number, names[number * FAR % len(names)])

        runs = await _in_turn(sides, [of_one, of_many], scale)
        each = await _in_turn(sides, [of_one, of_each], scale)
    note = f"{scale.participants:,} beside one, batches of {BATCH_ITEMS}, each of another participant"
    one, other = (tuple(run.server_us for run in group) for group in each)
    alone = "a group of the store then shares nobody's figures, which is no matter of how many there are"
    return [
        *_pair("growth.participants_rate", "growth.participants_cpu", runs, note),
        ("growth.each_cpu", Figure(other, one, alone)),
    ]


async def _in_turn(sides: Sequence[_Side], holds_of: Sequence[Callable[[int], Hold]], scale: Scale) -> list[list[_Run]]:
    """Runs of both, one after the other, the first of each left out.

    A server whose file was just written anew finds its memory shared with a child that is gone, page by page: several
    runs go by until it has touched what it uses.
    """
    items, runs = scale.store_payments // RUNS_OF_A_STORE, [list[_Run]() for _ in sides]
    for number in range(WARM_RUNS + scale.runs):
        for place, side in enumerate(sides):
            first = next(_NUMBERS) * items
            holds = [holds_of[place](2 + first + one) for one in range(items)]
            begun, used = time.perf_counter(), cpu_ms([side.server.pid])
            await pay(side.store, holds)
            seconds, used = time.perf_counter() - begun, cpu_ms([side.server.pid]) - used
            runs[place] += [_Run(items / seconds, 1000 * used / items)] if number >= WARM_RUNS else []
    return runs


def _pair(rate: str, cpu: str, runs: Sequence[Sequence[_Run]], note: str) -> list[tuple[str, Figure]]:
    few, many = runs
    return [
        (rate, Figure(tuple(each.per_second for each in many), tuple(each.per_second for each in few), note)),
        (cpu, Figure(tuple(each.server_us for each in many), tuple(each.server_us for each in few))),
    ]


def many_corridors(count: int) -> list[Corridor]:
    """The shipped row that the bench's payment takes, and rows like it for `count` - 1 other creditor agents."""
    base = next(row for row in load_rules().corridors if row.id == "hk-hk.hkd")
    return [base, *(base._replace(id=f"{base.id}.{n}", creditor_agent=f"A{n:05}") for n in range(1, count))]


def _corridors(scale: Scale) -> Figure:
    asked = made_instruction()
    few, many = (Router(many_corridors(count)) for count in (FEW_CORRIDORS, scale.corridors))
    many_us, few_us = in_turn_us(
        [lambda: many.route(asked, NOON_MS), lambda: few.route(asked, NOON_MS)],
        scale._replace(rounds=10 * scale.rounds),
    )
    note = f"{scale.corridors:,} rows beside {FEW_CORRIDORS}; {median(few_us):.2f} µs is all that a route takes"
    return Figure(many_us, few_us, note)
