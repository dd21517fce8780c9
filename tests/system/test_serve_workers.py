"""`bayswitch serve` with two workers: one port, one store, and a supervisor that replaces, restarts and drains them.

Whatever ends, by whatever signal: every answer a caller got is true, and nothing is left behind. The audit after each
test compares answers, records, positions and the books of every rail.
"""

import asyncio
import os
import random
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from bayswitch.v1 import payment_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import loadtest
from deploy.local.standstill import pause
from loadtest.provider import STEPS, Load
from switch.cli.demo import request_of
from switch.cli.processes import NotReady, start_part
from switch.cli.sandbox import Sandbox
from tests.system.support import SHORT_QUOTES, STATE, audited, started, step
from tests.waiting import eventually

WORKERS = 2
CALLERS = 4
LOOK_SECONDS = 2  # then eight others are tried
CALL_SECONDS_MAX = 60
CHANNELS = 8  # at once; the kernel sends each new connection to one of the workers
RETRY_POLICY = Path(loadtest.__file__).with_name("service_config.json").read_text("utf-8")
_ONE_ASSET = [row for row in STEPS if "credit" not in row]  # no quote, which a busy machine might let expire
_ALONE = ("grpc.use_local_subchannel_pool", 1)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The whole sandbox; its switch is a supervisor with workers, over the embedded store."""
    environment = {"BAYSWITCH_WORKERS": str(WORKERS), **SHORT_QUOTES}
    with started(Sandbox(tmp_path_factory.mktemp("workers"), environment, signing=False)) as running:
        yield running


def log_of(sandbox: Sandbox) -> str:
    assert sandbox.switch is not None
    return sandbox.switch.log.read_text("utf-8")


def supervisor(sandbox: Sandbox) -> subprocess.Popen[str]:
    assert sandbox.switch is not None
    return sandbox.switch.process


def children(pid: int) -> dict[int, str]:
    """Processes it has started and that run: id -> command line."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found[int(stat.parent.name)] = stat.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def runs(pid: int) -> bool:
    """One that has ended and was not waited for by whoever inherited it does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ready(sandbox: Sandbox) -> dict[int, int]:
    """number -> process id of every worker that is ready and runs."""
    said = re.findall(r"worker (\d+) is ready: process (\d+)", log_of(sandbox))
    now = children(supervisor(sandbox).pid)
    return {int(number): int(pid) for number, pid in said if int(pid) in now}


def lead(sandbox: Sandbox) -> int:
    """Process id of the worker that does the work in the background."""
    return ready(sandbox)[int(re.findall(r"worker (\d+) leads", log_of(sandbox))[-1])]


def paid_under_load(sandbox: Sandbox) -> Load:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return Load(sandbox.address, STEPS, CALLERS, seed)


async def ended(sandbox: Sandbox, load: Load) -> None:
    """The load has its answers, and they are true."""
    await load.stop()
    print(f"{len(load.answers)} answers, repeats {load.repeats}, refusals {dict(load.refusals)}")
    assert set(load.refusals) <= {"QUOTE_EXPIRED"}, load.refusals  # a restart may outlast a quote
    await asyncio.to_thread(audited, sandbox, load.answers)


async def answers(address: str) -> bool:
    """Whether one of CHANNELS new connections reached somebody who answers."""
    channels = [grpc.aio.insecure_channel(address, (_ALONE,)) for _ in range(CHANNELS)]
    calls = [
        health_pb2_grpc.HealthStub(one).Check(
            health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=LOOK_SECONDS
        )
        for one in channels
    ]
    try:
        for call in asyncio.as_completed([asyncio.ensure_future(_outcome(call)) for call in calls]):
            if await call:
                return True
        return False
    finally:
        for channel in channels:
            await channel.close()


async def _outcome(call: Any) -> bool:
    try:
        return bool((await call).status == health_pb2.HealthCheckResponse.SERVING)
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        return False


async def test_every_worker_answers_on_the_one_port(sandbox: Sandbox) -> None:
    assert sandbox.switch is not None
    assert sandbox.switch.ready["workers"] == WORKERS
    pids = ready(sandbox)
    assert sorted(pids) == list(range(WORKERS))
    others = [text for pid, text in children(sandbox.switch.pid).items() if pid not in pids.values()]
    assert len(others) == 1, others  # the store, which is nobody else's
    assert "valkey" in others[0]
    for alone in pids.values():
        try:
            for pid in set(pids.values()) - {alone}:
                pause(pid)
            await eventually(lambda: answers(sandbox.address), f"{alone} answers")
        finally:
            for pid in set(pids.values()) - {alone}:
                os.kill(pid, signal.SIGCONT)


async def test_a_killed_worker_is_replaced_and_no_answer_is_lost(sandbox: Sandbox) -> None:
    """The lead, while the other serves; then both at once: what the dead ones left open, a new one ends."""
    load, first = paid_under_load(sandbox), lead(sandbox)
    await load.start()
    await eventually(lambda: bool(load.answers), "payments run")
    os.kill(first, signal.SIGKILL)
    await replaced(sandbox, {first})
    async with _a_slow_payment(sandbox) as slow:
        both = set(ready(sandbox).values())
        for pid in both:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(grpc.aio.AioRpcError):
            await slow
    await replaced(sandbox, both)
    await ended(sandbox, load)
    assert log_of(sandbox).count("ended with -9") == 1 + WORKERS


async def test_a_worker_that_hangs_is_replaced_and_one_that_answers_is_not(sandbox: Sandbox) -> None:
    """The lead stands still under load: its calls hang until it is killed, and what it left open is ended."""
    load, hanging, begun = paid_under_load(sandbox), lead(sandbox), len(log_of(sandbox))
    await load.start()
    await eventually(lambda: bool(load.answers), "payments run")
    pause(hanging)
    await replaced(sandbox, {hanging})
    await ended(sandbox, load)
    assert f"process {hanging}, does not answer and is killed" in log_of(sandbox)[begun:]
    assert log_of(sandbox)[begun:].count("does not answer") == 1


async def replaced(sandbox: Sandbox, gone: set[int]) -> None:
    """Of one look: one that is just dying may be there in a first and gone in a second."""

    def whole() -> bool:
        now = set(ready(sandbox).values())
        return len(now) == WORKERS and not gone & now

    await eventually(whole, f"{gone} are replaced")


async def test_sighup_reaches_every_worker(sandbox: Sandbox) -> None:
    hours, begun = sandbox.directory / "rules" / "hours.toml", len(log_of(sandbox))
    kept = await asyncio.to_thread(hours.read_text, "utf-8")

    def say(what: str) -> bool:
        return all(f"worker {number}: {what}" in log_of(sandbox)[begun:] for number in range(WORKERS))

    try:
        hours.write_text(kept.replace('close = "24:00"', 'close = "soon"'), "utf-8")
        supervisor(sandbox).send_signal(signal.SIGHUP)
        await eventually(lambda: say("rules not reloaded: hours.toml"), "the fault is logged by each")
    finally:
        hours.write_text(kept, "utf-8")
    supervisor(sandbox).send_signal(signal.SIGHUP)
    await eventually(lambda: say("rules reloaded: "), "each has them again")


async def test_a_restart_of_all_that_fails_changes_nothing(sandbox: Sandbox) -> None:
    hours, before, begun = sandbox.directory / "rules" / "hours.toml", ready(sandbox), len(log_of(sandbox))
    kept = await asyncio.to_thread(hours.read_text, "utf-8")
    try:
        hours.write_text(kept.replace('close = "24:00"', 'close = "soon"'), "utf-8")
        supervisor(sandbox).send_signal(signal.SIGUSR2)
        failed = "ended with 2 before it was ready: the restart of all workers ends here"
        await eventually(lambda: failed in log_of(sandbox)[begun:], "the first new one does not start")
    finally:
        hours.write_text(kept, "utf-8")
    assert ready(sandbox) == before
    await eventually(lambda: answers(sandbox.address), "those that run go on")


async def test_a_restart_of_all_under_load_fails_no_call(sandbox: Sandbox) -> None:
    """Callers that know the retry policy of loadtest/service_config.json see no error, though payments take seconds."""
    before, begun, done = ready(sandbox), len(log_of(sandbox)), asyncio.Event()
    told: dict[str, str] = {}
    callers = [asyncio.create_task(_pay_until(done, sandbox.address, told, number)) for number in range(CALLERS)]
    await eventually(lambda: len(told) > CALLERS, "payments run")
    await asyncio.to_thread(sandbox.control, "hkfps", "fault", fault="slow:1500", count=CALLERS)
    supervisor(sandbox).send_signal(signal.SIGUSR2)

    def restarted() -> bool:
        failed = [caller for caller in callers if caller.done()]
        assert not failed, failed
        return f"all {WORKERS} workers have been restarted" in log_of(sandbox)[begun:]

    await eventually(restarted, "every worker is a new one")
    paid = len(told)
    await eventually(lambda: len(told) > paid + CALLERS, "payments run on")
    done.set()
    await asyncio.gather(*callers)
    assert set(told.values()) == {"COMMITTED", "ABORTED"}, set(told.values())
    assert sorted(ready(sandbox)) == list(range(WORKERS))
    assert not set(before.values()) & set(ready(sandbox).values())
    assert log_of(sandbox)[begun:].count(" leads: ") == 1, "the lead moves once"
    await asyncio.to_thread(audited, sandbox, told)


async def _pay_until(done: asyncio.Event, address: str, told: dict[str, str], number: int) -> None:
    """Pay, one call after another, on a connection of its own; any error ends it."""
    options = (("grpc.service_config", RETRY_POLICY), _ALONE)
    async with grpc.aio.insecure_channel(address, options) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        while not done.is_set():
            of = _ONE_ASSET[number % len(_ONE_ASSET)]
            request, number = request_of(of), number + 1
            caller = (("x-bayswitch-participant", of["as"]),)
            answer = await stub.SubmitPayment(request, timeout=CALL_SECONDS_MAX, metadata=caller)
            if (state := STATE[answer.payment.state]) in ("COMMITTED", "ABORTED"):
                told[request.uetr] = state


@asynccontextmanager
async def _a_slow_payment(sandbox: Sandbox) -> AsyncIterator["asyncio.Task[str]"]:
    """One whose bank takes two seconds; the rail has it when the block begins, if need be the next one."""
    of = step("unknown", "creditor.account=+852-59000004 creditor.name=FAULT_SLOW debit=HKD_1.00")
    async with grpc.aio.insecure_channel(sandbox.address, (_ALONE,)) as channel:
        stub, caller = payment_pb2_grpc.PaymentServiceStub(channel), (("x-bayswitch-participant", "HKWALLET"),)

        async def pay() -> str:
            answer = await stub.SubmitPayment(request_of(of), timeout=CALL_SECONDS_MAX, metadata=caller)
            return STATE[answer.payment.state]

        paying = asyncio.create_task(pay())

        async def begun() -> bool:
            nonlocal paying
            if paying.done():  # nobody looked while the rail had it
                await paying
                paying = asyncio.create_task(pay())
            page = await asyncio.to_thread(sandbox.control, "hkfps", "payments", count=10_000)
            return any(status == "working" for _, status, *_ in page["payments"])

        await eventually(begun, "the rail has it")
        yield paying


async def test_sigterm_under_load_drains_every_worker(sandbox: Sandbox) -> None:
    """What runs is answered, a second SIGTERM changes nothing, exit 0, and the store ends last."""
    load, process = paid_under_load(sandbox), supervisor(sandbox)
    before = children(process.pid)
    await load.start()
    async with _a_slow_payment(sandbox) as slow:
        assert sandbox.switch is not None
        stopping = asyncio.ensure_future(asyncio.to_thread(sandbox.switch.stop))
        await eventually(lambda: len(children(process.pid)) < len(before), "one worker has drained")
        process.send_signal(signal.SIGTERM)
        assert await slow == "COMMITTED"
    assert await stopping == 0
    assert not any(runs(pid) for pid in before)
    assert not (sandbox.data_dir / "valkey.pid").exists(), "its store is stopped"
    await asyncio.to_thread(sandbox.start_switch)
    await ended(sandbox, load)


async def test_a_supervisor_that_is_killed_leaves_no_process_behind(sandbox: Sandbox) -> None:
    load, before = paid_under_load(sandbox), children(supervisor(sandbox).pid)
    assert len(before) == WORKERS + 1
    await load.start()
    await eventually(lambda: bool(load.answers), "payments run")
    assert sandbox.switch is not None
    await asyncio.to_thread(sandbox.switch.kill)
    await eventually(lambda: not any(runs(pid) for pid in before), "workers and store are gone")
    await asyncio.to_thread(sandbox.start_switch)
    await ended(sandbox, load)


def test_a_fault_that_all_workers_have_is_said_once_with_its_exit_code(sandbox: Sandbox, tmp_path: Path) -> None:
    mine = {
        "BAYSWITCH_DATA_DIR": str(tmp_path / "data"),
        "BAYSWITCH_LISTEN_PORT": "0",
        "BAYSWITCH_DURABILITY": "replica",
    }
    environment = {**sandbox.environment, **mine}
    with pytest.raises(NotReady, match="durability=replica needs a replica") as caught:
        start_part("weak", "serve", "--workers", "3", environment=environment, directory=tmp_path)
    assert str(caught.value).count("needs a replica") == 1
    assert "worker 0 ended with 2 before it was ready" in str(caught.value)
    assert not (tmp_path / "data" / "valkey.pid").exists()
