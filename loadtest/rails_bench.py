"""Batches through the other rails, beside hkfps in turn. Where assets differ each payment has a quote, made before."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import grpc.aio

from adapters.alipay.signing import signer_of
from loadtest.batch_bench import CORRIDOR
from loadtest.bench_rows import Figure, Scale
from loadtest.bench_system import STREAMS, Bench, Payer, channel_to, run, running, send_batches

__all__ = ["alipay", "beside_hkfps", "figures", "signatures_per_second"]

MACAU: Final = "mo-mo.mop"
ECNY: Final = "cn-cn.cny-ecny"
ALIPAY: Final = "hk-cn.hkd-cny"
SIGNATURES: Final = 300
SIGNED_ITEMS: Final = 64  # of a batch: what is out at once must be signed twice well before a rail's time is up
_TEXT: Final = b"x" * 900  # about as long as what is signed of one transfer


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "rails"."""
    with running() as bench:
        yield from run(beside_hkfps(bench, scale))
    with running(signing=True) as bench:
        yield "rails.alipay", run(alipay(bench, scale))


async def beside_hkfps(bench: Bench, scale: Scale) -> list[tuple[str, Figure]]:
    """As many payments through each, in turn, so that a ratio is of one moment."""
    count = STREAMS * scale.quoted_batches * scale.batch_items
    payers = {"hkfps": Payer(CORRIDOR), "mofps": Payer(MACAU), "ecny": Payer(ECNY, amount_minor=1)}
    rates: dict[str, list[float]] = {rail: [] for rail in payers}
    async with channel_to(bench.address) as channel:
        for number in range(scale.runs + 1):
            for rail, payer in payers.items():
                rate = await _paid(channel, payer, count, scale)
                rates[rail] += [rate] if number else []  # the first is to warm up
    beside = tuple(rates["hkfps"])
    note = f"runs of {count:,}"
    return [
        ("rails.mofps", Figure(tuple(rates["mofps"]), beside, note)),
        ("rails.ecny", Figure(tuple(rates["ecny"]), beside, f"{note}; entries of two assets, and limits of wallets")),
    ]


async def _paid(channel: grpc.aio.Channel, payer: Payer, count: int, scale: Scale) -> float:
    drawn = payer.draw()
    requests = await payer.quoted(channel, count) if drawn.credit_asset else payer.requests(count)
    return (await send_batches([channel], payer, requests, scale.batch_items)).per_second


async def alipay(bench: Bench, scale: Scale) -> Figure:
    """The row, beside what one core signs: each payment is signed and verified twice, by us and by the rail."""
    few = scale._replace(batch_items=min(scale.batch_items, SIGNED_ITEMS))
    payer, count = Payer(ALIPAY), STREAMS * few.batch_items * few.quoted_batches
    rates, limits = [], []
    async with AsyncExitStack() as opened:
        channel = await opened.enter_async_context(channel_to(bench.address))
        for number in range(scale.runs + 1):
            limits.append(signatures_per_second(min(SIGNATURES, scale.rounds)))
            rate = await _paid(channel, payer, count, few)
            rates += [rate] if number else []
    return Figure(
        tuple(rates),
        tuple(limits[1:]),
        f"runs of {count:,} in batches of {few.batch_items}; two signatures and two checks a payment",
    )


def signatures_per_second(count: int) -> float:
    """RSA2 of this process, by its CPU: what others take of the machine is left aside."""
    with tempfile.TemporaryDirectory(prefix="bayswitch-bench-") as folder:
        signer = signer_of(Path(folder), "bench")
        begun = time.process_time_ns()
        for _ in range(count):
            signer.sign(_TEXT)
        return count * 10**9 / (time.process_time_ns() - begun)
