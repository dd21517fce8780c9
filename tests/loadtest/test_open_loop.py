"""Locust as the gate runs it, in two processes, against a switch that stalls: what it reports is what callers waited.

Goal: no coordinated omission. Method: a server of the contract that answers at once, except for one stall; a closed loop
would send nothing meanwhile, and report a handful of slow calls that no p99 shows.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bayswitch.v1 import payment_pb2, payment_pb2_grpc

from loadtest.child import LocustFailed, run_locust
from loadtest.figures import measure
from loadtest.profiles import Changes, load_profile
from loadtest.users.record import read_answers, read_calls
from tests.loadtest.support import serving

RATE, SECONDS, STALL_SECONDS, STALLS_AFTER = 60, 10, 2.0, 30
USERS = 12
SLOW_SECONDS = 10.0
SLACK_MS = 100  # between what is counted as late and what is counted as service
MIX = """
title = "One corridor"
[kinds]
single = 100
[[corridor]]
id = "hk-hk.hkd"
percent = 100
fixed = [100]
source = "ours"
"""
PROFILE = f"""
mix = "mix.toml"
processes = 2
per_user = {RATE // USERS}
[shape]
kind = "steady"
rate = {RATE}
seconds = {SECONDS}
"""


class Stalling(payment_pb2_grpc.PaymentServiceServicer):
    """Pays at once; after STALLS_AFTER payments it answers nobody for STALL_SECONDS, whoever comes.

    `stalled`: when that began and ended, in ms of the machine's clock, by which the load says what is due.
    """

    def __init__(self) -> None:
        self.uetrs: list[str] = []
        self.stalled: list[float] = []
        self._answers = asyncio.Event()
        self._answers.set()

    async def SubmitPayment(self, request: Any, context: Any) -> Any:
        self.uetrs.append(request.uetr)
        if len(self.uetrs) == STALLS_AFTER:
            self._answers.clear()
            self.stalled.append(1000 * time.perf_counter())
            asyncio.get_running_loop().call_later(STALL_SECONDS, self._go_on)
        await self._answers.wait()
        paid = payment_pb2.Payment(uetr=request.uetr, state=payment_pb2.PAYMENT_STATE_COMMITTED)
        return payment_pb2.SubmitPaymentResponse(payment=paid)

    def _go_on(self) -> None:
        self.stalled.append(1000 * time.perf_counter())
        self._answers.set()


@pytest.fixture
async def stalling() -> AsyncIterator[tuple[Stalling, str]]:
    servicer = Stalling()
    async with serving(servicer) as address:
        yield servicer, address


async def test_a_stall_of_the_switch_is_in_the_reported_p99(stalling: tuple[Stalling, str], tmp_path: Path) -> None:
    servicer, address = stalling
    (tmp_path / "mix.toml").write_text(MIX)
    (tmp_path / "small.toml").write_text(PROFILE)
    profile, seed = load_profile(tmp_path / "small.toml"), random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    samples = await asyncio.to_thread(run_locust, profile, address, tmp_path, seed, dict)
    calls = read_calls(tmp_path)
    figures = measure(profile, int((tmp_path / "begun").read_text()), calls, samples, 0)
    assert figures.failures == {}
    assert figures.pay.p99 > 1000 * STALL_SECONDS * 0.75
    begun, ended = servicer.stalled
    waited = [each for each in calls if begun <= each.due_ms < ended]
    early = [each for each in waited if each.response_ms < ended - each.due_ms - SLACK_MS]
    assert len(early) <= profile.processes, "each waited to the end; a machine that stands still may hide it of one"
    # A closed loop has one call of each user. Arrivals are by chance: half of those expected, or fewer, are 1 in 10^8.
    assert len(waited) > RATE * STALL_SECONDS / 2 > USERS
    assert sum(1 for name in os.listdir(tmp_path) if name.startswith("calls-")) == profile.processes
    assert sorted(each.uetr for each in read_answers(tmp_path)) == sorted(servicer.uetrs), "each answer is kept, once"
    assert {each.told for each in read_answers(tmp_path)} == {"COMMITTED"}
    assert (tmp_path / "locust.html").exists()
    assert len({each.part for each in samples}) == profile.processes + 1


class Slow(payment_pb2_grpc.PaymentServiceServicer):
    """Takes SLOW_SECONDS for every payment but each third, which is paid at once."""

    def __init__(self) -> None:
        self.taken = 0
        self.slow = 0

    async def SubmitPayment(self, request: Any, context: Any) -> Any:
        self.taken += 1
        if self.taken % 3:
            self.slow += 1
            await asyncio.sleep(SLOW_SECONDS)
        paid = payment_pb2.Payment(uetr=request.uetr, state=payment_pb2.PAYMENT_STATE_COMMITTED)
        return payment_pb2.SubmitPaymentResponse(payment=paid)


async def test_who_waits_long_does_not_hide_that_others_are_answered(tmp_path: Path) -> None:
    """Hundreds of calls are waited for in the end, more than any pool of threads begins with.

    They take longer than a busy machine stands still, which would make others wait as well; and longer than the first
    process of Locust lives, which does not wait for the others: their last answers are in the files all the same.
    """
    (tmp_path / "mix.toml").write_text(MIX)
    (tmp_path / "small.toml").write_text(PROFILE)
    profile = load_profile(tmp_path / "small.toml", Changes(seconds=6))
    servicer = Slow()
    async with serving(servicer) as address:
        await asyncio.to_thread(run_locust, profile, address, tmp_path, 1, dict)
    calls = read_calls(tmp_path)
    waited = sum(1 for each in calls if each.response_ms > 1000 * SLOW_SECONDS / 2)
    assert len(calls) == servicer.taken > RATE
    assert waited - servicer.slow <= len(calls) / 10, "a busy machine may keep a few more waiting"


async def test_a_recording_is_played_as_it_was(stalling: tuple[Stalling, str], tmp_path: Path) -> None:
    """Two processes play every other row each; together they are due as far apart as recorded, to the clock's grain.

    It is cut off before its last row: there is time for processes that begin late.
    """
    servicer, address = stalling
    offsets = [0, 10, 10, 400, 900, 905, 9_000]
    (tmp_path / "mix.toml").write_text(MIX)
    (tmp_path / "rows.csv").write_text("offset_ms,kind\n" + "".join(f"{each},single\n" for each in offsets))
    shape = 'mix = "mix.toml"\nprocesses = 2\n[shape]\nkind = "replay"\nfile = "rows.csv"\n'
    (tmp_path / "small.toml").write_text(shape)
    profile = load_profile(tmp_path / "small.toml", Changes(seconds=8))
    await asyncio.to_thread(run_locust, profile, address, tmp_path, 1, dict)
    assert len(servicer.uetrs) == len(offsets) - 1
    by_process = [
        sorted(int(line.split(",")[3]) for line in (tmp_path / name).read_text().splitlines())
        for name in sorted(os.listdir(tmp_path))
        if name.startswith("calls-")
    ]
    apart = sorted([due - dues[0] for due in dues] for dues in by_process)
    assert apart == [pytest.approx([0, 10, 900], abs=2), pytest.approx([0, 390, 895], abs=2)]


async def test_a_locust_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text(MIX)
    (tmp_path / "small.toml").write_text(PROFILE)
    profile = load_profile(tmp_path / "small.toml")
    (tmp_path / "small.toml").write_text("[shape]\nkind = 'zigzag'\n")
    with pytest.raises(LocustFailed, match=r"shape\.kind is one of"):
        await asyncio.to_thread(run_locust, profile, "127.0.0.1:1", tmp_path, 1, dict)
