"""`make bench`: figures of the hot path beside their references of the same run, of the store, the archive, settlement.

python -m loadtest.bench [--only unary,batch,codec] [--seconds 3] [--runs 5] [--events 50000] [--json]
"""

import argparse
import asyncio
import json
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from bayswitch.v1 import payment_pb2, payment_pb2_grpc

from loadtest import archive_bench, codec_bench, settle_bench, store_bench
from loadtest.echo import METHOD
from loadtest.measure import Rate, closed_loop, cpu_ms, spread
from switch.cli.demo import request_of
from switch.cli.sandbox import Sandbox, load_scenario

__all__ = ["main"]

MEASURES = ("codec", "unary", "batch", "store", "archive", "settle")
ARCHIVED = 100_000
UNARY_CALLERS = 64
BATCH_ITEMS = 256
STREAMS = 4
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Measure, print and keep in `results`. Ctrl-C or SIGTERM: everything started is stopped, exit code 130."""
    options = _parse()
    # SIGTERM is as Ctrl-C, which asyncio turns into a cancel: whatever runs is stopped on the way out. A shell lets its
    # background jobs ignore Ctrl-C; then asyncio would ignore both.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        rows = _measure(options)
    except KeyboardInterrupt:
        print("stopped; nothing was kept", file=sys.stderr)
        sys.exit(130)
    report = {"machine": _machine(), "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(report, indent=2))
    print(json.dumps(report, indent=2) if options.json else "\n".join(row["text"] for row in rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=_measures, default=MEASURES, metavar=",".join(MEASURES))
    parser.add_argument("--seconds", type=_positive, default=3, help="of one run")
    parser.add_argument("--runs", type=_positive, default=5, help="medians are over these")
    parser.add_argument(
        "--events", type=_positive, default=settle_bench.DEFAULT_EVENTS, help="through relay and settler"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measures(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := [name for name in chosen if name not in MEASURES]:
        raise argparse.ArgumentTypeError(f"no measure {', '.join(map(repr, unknown))}; there are {', '.join(MEASURES)}")
    return chosen


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError("a positive whole number")
    return int(text)


def _measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    if "codec" in options.only:
        rows += codec_bench.rows()
    if {"unary", "batch"} & set(options.only):
        with _running() as (sandbox, template):
            if "unary" in options.only:
                rows.append(asyncio.run(_unary(sandbox, template, options.runs, options.seconds)))
            if "batch" in options.only:
                rows.append(asyncio.run(_batch(sandbox, template, options.runs, options.seconds)))
    if "store" in options.only:
        rows += store_bench.rows()
    if "archive" in options.only:
        with tempfile.TemporaryDirectory(prefix="bayswitch-archive-") as folder:
            kept = asyncio.run(archive_bench.measure("", Path(folder), ARCHIVED))
        rows += [{"measure": "archive", "text": row} for row in kept]
    if "settle" in options.only:
        rows += settle_bench.rows(options.events)
    return rows


@contextmanager
def _running() -> Iterator[tuple[Sandbox, Any]]:
    """The sandbox with the scenario's participants, and the instruction that is sent again and again."""
    with tempfile.TemporaryDirectory(prefix="bayswitch-bench-") as scratch:
        sandbox = Sandbox(Path(scratch), signing=False)
        try:
            sandbox.start()
            scenario = load_scenario()
            sandbox.enrol(scenario)
            step = next(step for step in scenario["step"] if step.get("id") == scenario["bench"]["step"])
            yield sandbox, (request_of({**step, **scenario["bench"]["change"]}), step["as"])
        finally:
            sandbox.stop()


def _pids(sandbox: Sandbox, template: Any) -> list[int]:
    """The switch, its store and the rail that is paid through; not the client."""
    assert sandbox.switch is not None
    children = Path(f"/proc/{sandbox.switch.pid}/task/{sandbox.switch.pid}/children").read_text().split()
    return [sandbox.switch.pid, *map(int, children), *(part.pid for part in sandbox.rails.values())]


def _fresh(request: Any) -> Any:
    """The same instruction with ids of its own."""
    request.request_id = request.uetr = str(uuid.uuid4())
    return request


async def _unary(sandbox: Sandbox, template: Any, runs: int, seconds: float) -> dict[str, Any]:
    """SubmitPayment to COMMITTED beside an empty echo with messages of the same size, run by run."""
    request, participant = template
    metadata = (("x-bayswitch-participant", participant),)
    async with grpc.aio.insecure_channel(sandbox.address) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)

        async def submit() -> int:
            copy = payment_pb2.SubmitPaymentRequest()
            copy.CopyFrom(request)
            answer = await stub.SubmitPayment(_fresh(copy), timeout=20, metadata=metadata)
            _must_be_committed(answer.payment)
            return 1

        first = await stub.SubmitPayment(_fresh(request), timeout=20, metadata=metadata)
        with _echo(first.ByteSize()) as address:
            async with grpc.aio.insecure_channel(address) as echo_channel:
                echo_call, sent = echo_channel.unary_unary(METHOD), request.SerializeToString()

                async def echo() -> int:
                    await echo_call(sent, timeout=20)
                    return 1

                pids = _pids(sandbox, template)
                figures = await _alternate(submit, echo, runs, seconds, UNARY_CALLERS, pids)
    rates, references, cpu = figures
    ratio = statistics.median(one.per_second / other.per_second for one, other in zip(rates, references, strict=True))
    rate, reference = (statistics.median(one.per_second for one in group) for group in (rates, references))
    p99 = statistics.median(one.p99_ms for one in rates)
    return {
        "measure": "unary",
        "per_second": rate,
        "echo_per_second": reference,
        "ratio": ratio,
        "p99_ms": p99,
        "cpu_ms_per_payment": cpu,
        "text": f"{'unary to COMMITTED':<24} {rate:9,.0f}/s ({spread([one.per_second for one in rates])})  "
        f"empty echo {reference:,.0f}/s  ratio {ratio:.2f}  p99 {p99:.0f} ms at {UNARY_CALLERS} callers  CPU {cpu:.2f} ms",
    }


async def _batch(sandbox: Sandbox, template: Any, runs: int, seconds: float) -> dict[str, Any]:
    """SubmitPayments to COMMITTED, on several streams at once."""
    request, participant = template
    rates: list[Rate] = []
    pids = _pids(sandbox, template)
    async with grpc.aio.insecure_channel(sandbox.address) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)

        def stream() -> Callable[[], Awaitable[int]]:
            call = stub.SubmitPayments(metadata=(("x-bayswitch-participant", participant),))

            async def send() -> int:
                batch = payment_pb2.SubmitPaymentsRequest(items=[request] * BATCH_ITEMS)
                for item in batch.items:
                    _fresh(item)
                await call.write(batch)
                answer = await call.read()
                for result in answer.results:
                    _must_be_committed(result.payment)
                return len(answer.results)

            return send

        before, done = cpu_ms(pids), 0
        for _ in range(runs):
            senders = [stream() for _ in range(STREAMS)]
            rate = await closed_loop(senders, seconds)
            rates.append(rate)
            done += rate.done
        cpu = (cpu_ms(pids) - before) / done
    rate_median = statistics.median(one.per_second for one in rates)
    return {
        "measure": "batch",
        "per_second": rate_median,
        "cpu_ms_per_payment": cpu,
        "text": f"{'batches to COMMITTED':<24} {rate_median:9,.0f}/s ({spread([one.per_second for one in rates])})  "
        f"batches of {BATCH_ITEMS}  CPU {cpu:.3f} ms",
    }


async def _alternate(
    measured: Callable[[], Awaitable[int]],
    reference: Callable[[], Awaitable[int]],
    runs: int,
    seconds: float,
    callers: int,
    pids: list[int],
) -> tuple[list[Rate], list[Rate], float]:
    """Both in turn, so that a ratio is of one moment; and the CPU of `pids` per measured payment."""
    rates, references, used, done = [], [], 0.0, 0
    for _ in range(runs):
        references.append(await closed_loop([reference] * callers, seconds))
        before = cpu_ms(pids)
        rates.append(await closed_loop([measured] * callers, seconds))
        used += cpu_ms(pids) - before
        done += rates[-1].done
    return rates, references, used / done


def _must_be_committed(payment: Any) -> None:
    if payment.state != payment_pb2.PAYMENT_STATE_COMMITTED:
        raise SystemExit(f"a payment of the bench is not COMMITTED: {payment.reason or payment.state}")


@contextmanager
def _echo(answer_bytes: int) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest.echo", str(answer_bytes)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _machine() -> dict[str, str]:
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {"python": platform.python_version(), "cpu": platform.machine(), "revision": git.stdout.strip()}


if __name__ == "__main__":
    main()
