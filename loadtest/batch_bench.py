"""SubmitPayments to COMMITTED through hkfps, in batches, and where a payment's CPU goes."""

from collections.abc import Iterator
from typing import Final

from loadtest.bench_rows import Figure, Scale
from loadtest.bench_system import STREAMS, Bench, Cpu, Payer, channel_to, run, running, send_batches

__all__ = ["CORRIDOR", "figures", "in_one_run", "measured"]

CORRIDOR: Final = "hk-hk.hkd"
_WARM_BATCHES: Final = 3  # of each stream


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "batch"."""
    with running() as bench:
        yield from run(measured(bench, scale))


def in_one_run(per_second: float, scale: Scale) -> int:
    """Payments of a run that takes about `scale.seconds` at this rate: whole batches, as many on each stream."""
    share = STREAMS * scale.batch_items
    return max(round(per_second * scale.seconds / share), 1) * share


async def measured(bench: Bench, scale: Scale) -> list[tuple[str, Figure]]:
    """The rows, of a switch with one worker."""
    payer, items = Payer(CORRIDOR), scale.batch_items
    rates, spent, tails = [], [], []
    async with channel_to(bench.address) as channel:
        warm = await send_batches([channel], payer, payer.requests(_WARM_BATCHES * STREAMS * items), items)
        for _ in range(scale.runs):
            requests = payer.requests(in_one_run(warm.per_second, scale))
            before = bench.cpu()
            rate = await send_batches([channel], payer, requests, items)
            spent.append(bench.cpu().since(before).over(rate.done))
            rates.append(rate.per_second)
            tails.append(rate.p99_ms)
    note = f"batches of {items}, answered in {max(tails):.0f} ms at most"
    return [
        ("batch.rate", Figure(tuple(rates), (), note)),
        ("batch.cpu", Figure(tuple(each.total for each in spent))),
        *((f"batch.cpu_{part}", Figure(tuple(getattr(each, part) for each in spent))) for part in Cpu._fields),
    ]
