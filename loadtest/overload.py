"""Five times what the switch can carry: what becomes of what it accepts, of what it has begun, and of who asks.

python -m loadtest.overload [--only files,singles] [--times 5] [--seconds 20]

In one run and on one sandbox: the capacity is found (closed loop, more and more calls under way), an ordinary load is
measured, then `times` the capacity is offered in open loop while somebody enquires, then the ordinary load again. Every
payment is audited afterwards. Prints a table with goals and verdicts, keeps JSON in `results`; exit 1 when a goal is missed.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop
from bayswitch.v1 import payment_pb2

from loadtest.arrivals import even, quantile
from loadtest.audit import audit
from loadtest.lean import Connection, head_of
from loadtest.offers import Answer, Files, Kind, Log, Singles, Template, closed, connections, offer, p99_ms
from loadtest.rest import resolve
from switch.cli.demo import request_of
from switch.cli.sandbox import OPERATOR, Sandbox, load_scenario
from switch.garbage import collect_briefly

__all__ = [
    "PARTICIPANTS",
    "UNDER_WAY",
    "Measured",
    "Offering",
    "Peak",
    "check_books",
    "kept_run",
    "kinds",
    "main",
    "peak_of",
    "shed_share",
    "template_of",
]

PARTICIPANTS: Final = tuple(f"LOAD{number:02}" for number in range(10))
RESULTS: Final = Path(__file__).with_name("results")
TIMEOUT_MS: Final = 10_000  # of one call; a caller that gives up sooner would hide a queue that is too long
FILE_ITEMS: Final = 256
UNDER_WAY: Final = {"files": (2, 4, 8, 16), "singles": (16, 32, 64, 128)}  # calls at a time while the capacity is found
STEP_SECONDS: Final = 3.0
SETTLES_SECONDS: Final = 2.0  # of an overload, before its figures count
ORDINARY: Final = 0.5  # share of the capacity
ORDINARY_SECONDS: Final = 20.0  # the p99 of some hundred calls is one stall or none
NORMAL_AFTER_SECONDS: Final = 10.0
NORMAL_TIMES_MAX: Final = 1.25  # "back to normal": of the ordinary p99, for no two seconds are the same
ENQUIRIES_PER_SECOND: Final = 50
GOODPUT_MIN: Final = 0.9
P99_TIMES_MAX: Final = 2.0


Measured = tuple[list[dict[str, Any]], list[str]]  # rows, and what the audit found


class Peak(NamedTuple):
    """The most payments a second, with how many calls under way, and the p99 of a call then."""

    per_second: float
    under_way: int
    p99_ms: float


class Offering(NamedTuple):
    """A way to pay, and everything clients were told in all phases."""

    kind: Kind
    told: list[tuple[str, str, str]]


def enrolled(sandbox: Sandbox) -> None:
    """The scenario's institutions, and ten participants alike."""
    scenario = load_scenario()
    rows = [
        {"id": name, "name": name, "place": "HK", "roles": ["instructing"], "caps": ["HKD 90000000.00"]}
        for name in PARTICIPANTS
    ]
    sandbox.enrol({**scenario, "participant": [*scenario["participant"], *rows]})


def template_of() -> Template:
    """The payment of `make bench`."""
    scenario = load_scenario()
    step = next(step for step in scenario["step"] if step.get("id") == scenario["bench"]["step"])
    return Template(request_of({**step, **scenario["bench"]["change"]}))


async def kinds(address: str, size: int = FILE_ITEMS) -> dict[str, Kind]:
    """Files of `size` payments, and single calls."""
    template = template_of()
    return {
        "files": Files(template, await connections(address), size, TIMEOUT_MS),
        "singles": Singles(template, await connections(address), TIMEOUT_MS),
    }


async def peak_of(offering: Offering, steps: Sequence[int]) -> Peak:
    """Closed loop with more and more under way; the p99 is of the step with the highest rate."""
    found = []
    for under_way in steps:
        log = Log(offering.told)
        begun = time.perf_counter()
        await closed(offering.kind, PARTICIPANTS, under_way, STEP_SECONDS, log)
        elapsed = time.perf_counter() - begun
        found.append(Peak(sum(each.paid for each in log.answers) / elapsed, under_way, p99_ms(log.answers)))
    return max(found)


class _Enquirer:
    """GetPayment of payments that are there, at a steady rate; counts statuses and keeps latencies."""

    def __init__(self, connection: Connection, told: Sequence[tuple[str, str, str]]) -> None:
        self.statuses: Counter[int] = Counter()
        self.latencies_ms: list[float] = []
        self._connection = connection
        self._known = [(uetr, participant) for uetr, participant, state in told if state == "COMMITTED"]
        self._heads = {
            name: head_of("/bayswitch.v1.PaymentService/GetPayment", (("x-bayswitch-participant", name),), TIMEOUT_MS)
            for name in PARTICIPANTS
        }

    async def run(self) -> None:
        """Until cancelled."""
        begun = time.perf_counter()
        for number, offset in enumerate(even(ENQUIRIES_PER_SECOND)):
            due = begun + offset
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            uetr, participant = self._known[number * 7919 % len(self._known)]
            request = payment_pb2.GetPaymentRequest(uetr=uetr).SerializeToString()
            self._connection.call(self._heads[participant], request, self._heard(due))

    def _heard(self, due: float) -> Callable[[int, bytes], None]:
        def heard(status: int, _message: bytes) -> None:
            self.statuses[status] += 1
            self.latencies_ms.append(1000 * (time.perf_counter() - due))

        return heard


def _spread(rate: float, size: int) -> dict[str, Any]:
    """`rate` payments a second over all participants, evenly, and each shifted so that they take turns."""
    each = rate / size / len(PARTICIPANTS)
    return {name: _shifted(each, number / each / len(PARTICIPANTS)) for number, name in enumerate(PARTICIPANTS)}


def _shifted(rate: float, by: float) -> Any:
    return (offset + by for offset in even(rate))


async def _ordinary(offering: Offering, peak: Peak, seconds: float, after: float = 0.0) -> tuple[float, float]:
    """p99 of an ordinary load from `after` seconds on, and the share that was shed then."""
    log, begun = Log(offering.told), time.perf_counter()
    await offer(offering.kind, _spread(ORDINARY * peak.per_second, offering.kind.size), seconds, log, 30)
    late = [each for each in log.answers if each.due - begun >= after]
    return p99_ms(late), shed_share(late)


def shed_share(answers: Sequence[Answer]) -> float:
    offered = sum(each.paid + each.shed + each.failed for each in answers)
    return sum(each.shed for each in answers) / max(offered, 1)


async def _measure(offering: Offering, name: str, address: str, times: float, seconds: float) -> dict[str, Any]:
    """All phases for one way to pay."""
    peak = await peak_of(offering, UNDER_WAY[name])
    ordinary_ms, _ = await _ordinary(offering, peak, ORDINARY_SECONDS)
    log = Log(offering.told)
    (connection,) = await connections(address, 1)
    enquirer = _Enquirer(connection, offering.told)
    asking = asyncio.create_task(enquirer.run())
    begun, used = time.perf_counter(), time.process_time()
    late = await offer(offering.kind, _spread(times * peak.per_second, offering.kind.size), seconds, log, 0)
    used = (time.process_time() - used) / (time.perf_counter() - begun)
    after_ms, after_shed = await _ordinary(
        offering, peak, NORMAL_AFTER_SECONDS + ORDINARY_SECONDS, NORMAL_AFTER_SECONDS
    )
    asking.cancel()
    window = [each for each in log.answers if begun + SETTLES_SECONDS <= each.end <= begun + seconds]
    offered = sum(1 for each in log.answers if each.due <= begun + seconds) * offering.kind.size / seconds
    return {
        "kind": name,
        "size": offering.kind.size,
        "peak": peak._asdict(),
        "offered_per_second": offered,
        "goodput_per_second": sum(each.paid for each in window) / (seconds - SETTLES_SECONDS),
        "shed_share": shed_share(window),
        "accepted_p99_ms": p99_ms(log.answers),
        "ordinary_p99_ms": ordinary_ms,
        "after_p99_ms": after_ms,
        "aftershed_share": after_shed,
        "enquiries": dict(enquirer.statuses),
        "enquiry_p99_ms": quantile(sorted(enquirer.latencies_ms), 0.99),
        "failures": dict(log.failures),
        "generator_late_ms": 1000 * late,
        "generator_core_share": used,
    }


async def check_books(sandbox: Sandbox, told: Sequence[tuple[str, str, str]]) -> list[str]:
    """Every answer to its end, then the audit: problems in words; none is right."""
    ended = await resolve(sandbox.address, told, 60)
    names = [*PARTICIPANTS, *(row["id"] for row in load_scenario()["participant"])]
    found = await audit(sandbox.address, OPERATOR, names, sandbox.controls, ended.finals)
    return [*ended.problems, *found.problems]


def _rows(found: dict[str, Any], times: float) -> list[tuple[str, str, str, bool]]:
    """measure, figure, goal, met."""
    peak = found["peak"]
    goodput, p99_times = found["goodput_per_second"] / peak["per_second"], found["accepted_p99_ms"] / peak["p99_ms"]
    shed = found["enquiries"].get(8, 0)
    other = {status: count for status, count in found["enquiries"].items() if status}
    offered = found["offered_per_second"] / peak["per_second"]
    after = found["after_p99_ms"] / found["ordinary_p99_ms"]
    return [
        ("offered", f"{found['offered_per_second']:,.0f}/s, {offered:.1f}x", f"{times:g}x", offered >= 0.95 * times),
        (
            "goodput",
            f"{found['goodput_per_second']:,.0f}/s of {peak['per_second']:,.0f}/s, {goodput:.0%}",
            f">= {GOODPUT_MIN:.0%}",
            goodput >= GOODPUT_MIN,
        ),
        (
            "accepted p99",
            f"{found['accepted_p99_ms']:,.0f} ms, {p99_times:.1f}x",
            f"<= {P99_TIMES_MAX:g}x of {peak['p99_ms']:,.0f} ms",
            p99_times <= P99_TIMES_MAX,
        ),
        ("shed", f"{found['shed_share']:.0%} of what was offered; other ends: {found['failures'] or 'none'}", "", True),
        (
            "enquiries",
            f"{sum(found['enquiries'].values())} asked, {shed} shed, other {other or 'none'}, "
            f"p99 {found['enquiry_p99_ms']:,.0f} ms",
            "0 shed, all answered",
            not other,
        ),
        (
            "10 s after",
            f"p99 {found['after_p99_ms']:,.0f} ms, {after:.2f}x of before; {found['aftershed_share']:.1%} shed",
            f"<= {NORMAL_TIMES_MAX:g}x, none shed",
            after <= NORMAL_TIMES_MAX and not found["aftershed_share"],
        ),
        (
            "the generator",
            f"{found['generator_late_ms']:,.0f} ms late at most, {found['generator_core_share']:.0%} of a core",
            "",
            True,
        ),
    ]


async def _run(options: argparse.Namespace, sandbox: Sandbox) -> Measured:
    told: list[tuple[str, str, str]] = []
    found = []
    ways = await kinds(sandbox.address)
    for name in options.only:
        found.append(await _measure(Offering(ways[name], told), name, sandbox.address, options.times, options.seconds))
    return found, await check_books(sandbox, told)


def kept_run(name: str, measure: Callable[[Sandbox], Coroutine[Any, Any, Measured]]) -> Measured:
    """Measure on a sandbox of its own, and keep rows and problems of the audit as `name`.json in RESULTS."""
    with tempfile.TemporaryDirectory(prefix=f"bayswitch-{name}-") as scratch:
        sandbox = Sandbox(Path(scratch), signing=False)
        try:
            sandbox.start()
            enrolled(sandbox)
            collect_briefly()  # a search of the generator's would look like a wait for the switch
            found, problems = uvloop.run(measure(sandbox))
        finally:
            sandbox.stop()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"rows": found, "problems": problems}, indent=2))
    return found, problems


def main() -> None:
    """Measure, print, keep, judge."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.overload", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(UNDER_WAY))
    parser.add_argument("--times", type=float, default=5.0, help="of the capacity")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the overload")
    options = parser.parse_args()
    found, problems = kept_run("overload", lambda sandbox: _run(options, sandbox))
    met = not problems
    for each in found:
        for measure, figure, goal, well in _rows(each, options.times):
            met = met and well
            print(f"{each['kind']:<8} {measure:<14} {figure:<70} {goal:<24} {'met' if well else 'MISSED'}".rstrip())
    print(f"audit: {'clean' if not problems else '; '.join(problems[:10])}")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
