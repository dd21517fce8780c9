"""What metrics cost on the path, in CPU time of this process: well under a microsecond each, and neighbours would drown it.

All that one call and one payment tell their meter, metered and not, in turn; beside the CPU that the switch, with its
admin port off, uses for the payment in the same run.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Final

from loadtest.batch_bench import CORRIDOR
from loadtest.bench_rows import Figure, Scale
from loadtest.bench_system import STREAMS, Bench, Payer, channel_to, run, running, send_batches, unary_callers
from loadtest.measure import closed_loop
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold, State, Transition
from switch.metrics import PathMeter
from switch.ports import UNMETERED, Meter, Stage

__all__ = ["call_costs_us", "figures", "measured", "payment_costs_us"]

METHOD: Final = "bayswitch.v1.PaymentService/SubmitPayment"
_PARSE, _ROUTE, _STORE, _COMMIT = Stage.PARSE, Stage.ROUTE, Stage.STORE, Stage.COMMIT


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "metrics"."""
    with running({"BAYSWITCH_ADMIN_PORT": "-1"}) as bench:
        yield from run(measured(bench, scale))


async def measured(bench: Bench, scale: Scale) -> list[tuple[str, Figure]]:
    """The rows, of a switch whose metrics are off."""
    rounds = 5 * scale.rounds
    calls = call_costs_us(rounds, scale.runs)
    alone = payment_costs_us(rounds, scale.runs)
    together = payment_costs_us(rounds, scale.runs, scale.batch_items)
    single, batched = await _switch_us(bench, scale)
    both = tuple(one + other for one, other in zip(calls, alone, strict=True))
    return [
        ("metrics.unary", Figure(both, single, "a call, five stages, rail and outcome")),
        ("metrics.batch", Figure(together, batched, "stages and rail once for a batch, its outcome for each")),
    ]


async def _switch_us(bench: Bench, scale: Scale) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Microseconds of the switch's CPU for a payment without metrics: alone, and in a batch."""
    payer, single, batched = Payer(CORRIDOR), [], []
    async with channel_to(bench.address) as channel:
        for number in range(scale.runs + 1):
            requests = payer.requests(STREAMS * scale.batch_items * scale.quoted_batches)
            before = bench.cpu()
            rate = await send_batches([channel], payer, requests, scale.batch_items)
            batched.append(1000 * bench.cpu().since(before).switch / rate.done)
            calls, before = unary_callers([channel], payer, 0), bench.cpu()
            rate = await closed_loop(calls, scale.seconds / 2)
            single.append(1000 * bench.cpu().since(before).switch / rate.done)
            if number == 0:  # to warm up
                single.clear()
                batched.clear()
    return tuple(single), tuple(batched)


def call_costs_us(rounds: int, runs: int) -> tuple[float, ...]:
    """Microseconds of CPU that a call tells a meter, over what it tells one that does not count."""
    return _costs_us(_call, rounds, runs)


def payment_costs_us(rounds: int, runs: int, items: int = 1) -> tuple[float, ...]:
    """The same for a payment, of `items` that go together: stages are told once for all of them, its end for each."""
    group = max(rounds // items, 1)
    return tuple(each / items for each in _costs_us(lambda meter: _path(meter, items), group, runs))


def _costs_us(told: Callable[[Meter], Callable[[], None]], rounds: int, runs: int) -> tuple[float, ...]:
    metered, bare = told(PathMeter()), told(UNMETERED)
    found = []
    for _ in range(runs):
        spent = []
        for work in (metered, bare):
            begun = time.process_time_ns()
            for _ in range(rounds):
                work()
            spent.append(time.process_time_ns() - begun)
        found.append((spent[0] - spent[1]) / rounds / 1000)
    return tuple(found)


def _call(meter: Meter) -> Callable[[], None]:
    calls = meter.calls(METHOD)
    return lambda: calls.ended(calls.began(), "OK")


def _path(meter: Meter, items: int) -> Callable[[], None]:
    hold, step = _hold(), Transition(State.COMMITTED, 0)

    def path() -> None:
        begun_ns = now_ns = meter.now_ns()
        now_ns = meter.stage(_PARSE, now_ns, items)
        now_ns = meter.stage(_ROUTE, now_ns, items)
        now_ns = meter.stage(_STORE, now_ns, items)
        now_ns = meter.rail("hkfps", "prepare", "done", now_ns, items)
        meter.stage(_COMMIT, now_ns, items)
        for _ in range(items):
            meter.payment(hold, step, begun_ns)

    return path


def _hold() -> Hold:
    party = Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "012345678"))
    money = Money(Asset.HKD, 10_000)
    uetr = str(uuid.uuid4())
    instruction = Instruction("ALFA", uetr, uetr, "BENCH", money, money, party, party, "", "", "", "")
    return Hold(instruction, "hk-hk.hkd", "hkfps", (), (), 0, 10_000)
