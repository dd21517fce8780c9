"""The figures of a run, from the files its processes left, and the judgement on them. Pure.

Only arrivals due after the warm-up and before the shape's end count. Response counts from when a call was due, service
from when it was sent.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low
from typing import Any, Final, NamedTuple

from loadtest.arrivals import quantile
from loadtest.path import PathFigures, measure_path
from loadtest.profiles import Profile
from loadtest.sampling import Sample, slope_per_minute, used_cpu_ms
from loadtest.scraping import Look
from loadtest.users.record import Call

__all__ = ["GENERATOR", "Figures", "Times", "judge", "judged", "measure", "slices", "worst"]

GENERATOR: Final = "generator"  # its parts are generator-<pid>
GENERATOR_PERCENT_MAX: Final = 80  # of its core; beyond it the generator measures itself
SLICES: Final = 10  # parts of a run whose spread is the run's noise
_OURS: Final = ("switch", "relay", "settler")  # whose memory must not grow; store and rails keep every payment
_NOT_THE_PAYMENTS: Final = ("kafka", GENERATOR)


class Times(NamedTuple):
    """Milliseconds of one kind of call."""

    calls: int
    failed: int
    p50: float
    p99: float
    p999: float
    service_p50: float
    service_p99: float
    service_p999: float


class Figures(NamedTuple):
    """What a run measured. Rates are a second, times milliseconds."""

    seconds: float
    arrivals_meant: int
    arrivals_begun: int
    payments: int
    payment_rate: float
    calls: Mapping[str, Times]
    corridors: Mapping[str, Times]  # of SubmitPayment
    failures: Mapping[str, int]
    states: Mapping[str, int]
    stages: Sequence[tuple[int, Times]]  # rate meant, SubmitPayment then
    capacity: int  # rate of the last stage before the first that did not hold
    in_doubt_age_ms: int
    cpu_ms_per_payment: float
    cpu_percent: Mapping[str, float]  # of one core, each part
    memory_kib_per_minute: Mapping[str, float]
    descriptors_grown: Mapping[str, int]
    generator_percent: float  # of the busiest process
    path: PathFigures  # as the switch saw it

    @property
    def pay(self) -> Times:
        return self.calls.get("SubmitPayment") or _times([])

    @property
    def error_per_mille(self) -> float:
        total = sum(each.calls for each in self.calls.values())
        return 1000 * sum(self.failures.values()) / total if total else 0.0


def measure(
    profile: Profile,
    begun_ms: int,
    calls: Iterable[Call],
    samples: Sequence[Sample],
    in_doubt_age_ms: int,
    looks: Sequence[Look] = (),
) -> Figures:
    """`begun_ms`: when the shape began, on the clock of calls, samples and looks.

    `in_doubt_age_ms`: of the payments that clients were told of; one that only the switch knows of is in its looks.
    """
    begin, end = profile.warmup_s, profile.shape.seconds
    judged = [each for each in calls if begin * 1000 <= each.due_ms - begun_ms < end * 1000]
    if profile.shape.searching and judged:  # it may have ended before the last stage
        end = min(end, max(each.due_ms - begun_ms for each in judged) / 1000)
    seen = [each for each in samples if begin * 1000 <= each.at_ms - begun_ms < end * 1000]
    payments = sum(each.payments for each in judged)
    parts = sorted({each.part for each in seen})
    cpu = {part: used_cpu_ms(seen, part) for part in parts}
    spent = sum(used for part, used in cpu.items() if not part.startswith(_NOT_THE_PAYMENTS))
    seconds = max((seen[-1].at_ms - seen[0].at_ms) / 1000, 0.001) if seen else end - begin
    percent = {part: used / seconds / 10 for part, used in cpu.items()}
    path = measure_path(looks, begun_ms, begin, end)
    stages = [
        (stage.rate, _times(_paid(judged, begun_ms, stage.begin, stage.end)))
        for stage in profile.shape.stages
        if stage.begin < end
    ]
    return Figures(
        seconds=end - begin,
        arrivals_meant=round(profile.shape.arrivals_between(begin, end)),
        arrivals_begun=sum(each.first for each in judged),
        payments=payments,
        payment_rate=payments / (end - begin),
        calls=_by(judged, lambda call: call.call),
        corridors=_by((each for each in judged if each.call == "SubmitPayment"), lambda call: call.corridor),
        failures=dict(Counter(each.outcome for each in judged if each.outcome).most_common()),
        states=dict(Counter(each.state for each in judged if each.state)),
        stages=stages,
        capacity=_capacity(profile, stages),
        in_doubt_age_ms=max(in_doubt_age_ms, 0 if math.isnan(path.in_doubt_age_ms) else round(path.in_doubt_age_ms)),
        cpu_ms_per_payment=spent / payments if payments else 0.0,
        cpu_percent=percent,
        memory_kib_per_minute={
            part: slope_per_minute((each.at_ms, each.memory_kib) for each in seen if each.part == part)
            for part in parts
        },
        descriptors_grown={part: _grown(each.descriptors for each in seen if each.part == part) for part in parts},
        generator_percent=max((used for part, used in percent.items() if part.startswith(GENERATOR)), default=0.0),
        path=path,
    )


def _paid(calls: Iterable[Call], begun_ms: int, begin: float, end: float) -> list[Call]:
    return [
        each for each in calls if each.call == "SubmitPayment" and begin * 1000 <= each.due_ms - begun_ms < end * 1000
    ]


def _by(calls: Iterable[Call], key: Any) -> dict[str, Times]:
    groups: defaultdict[str, list[Call]] = defaultdict(list)
    for each in calls:
        groups[key(each)].append(each)
    return {name: _times(group) for name, group in sorted(groups.items())}


def _times(calls: Sequence[Call]) -> Times:
    response = sorted(each.response_ms for each in calls)
    service = sorted(each.service_ms for each in calls)
    quantiles = (0.5, 0.99, 0.999)
    return Times(
        len(calls),
        sum(1 for each in calls if each.outcome),
        *(quantile(response, q) for q in quantiles),
        *(quantile(service, q) for q in quantiles),
    )


def _grown(values: Iterable[int]) -> int:
    """The median of the last fifth over that of the middle one.

    What comes and goes is no growth, nor is a pool of connections that fills up to its bound when it is first needed.
    """
    found = list(values)
    part = max(len(found) // 5, 1)
    middle = (len(found) - part) // 2
    return median_low(found[-part:]) - median_low(found[middle : middle + part]) if found else 0


def _capacity(profile: Profile, stages: Sequence[tuple[int, Times]]) -> int:
    limit, errors = profile.thresholds.get("p99_ms_max"), profile.thresholds.get("error_per_mille_max", 0)
    held = 0
    for rate, times in stages:
        if not times.calls or (limit and times.p99 > limit) or 1000 * times.failed > errors * times.calls:
            break
        held = rate
    return held


def judged(profile: Profile, figures: Figures, problems: Sequence[str]) -> tuple[str, list[str]]:
    """The verdict, and every reason why it is not "passed". `problems`: what the audits found.

    A generator at its own limit makes latencies its own, so the run is "invalid"; a lost payment is lost all the same.
    """
    over = figures.generator_percent > GENERATOR_PERCENT_MAX
    invalid = [f"the generator used {figures.generator_percent:.0f} % of its core"] if over else []
    reasons = [*invalid, *problems, *judge(profile, figures)]
    return "failed" if problems else "invalid" if invalid else "failed" if reasons else "passed", reasons


def judge(profile: Profile, figures: Figures) -> list[str]:
    """Every threshold that is not kept, in words with both figures."""
    searched = ("capacity_min",) if profile.shape.searching else None
    found = []
    for name, bound in profile.thresholds.items():
        if searched is not None and name not in searched:
            continue  # the limits of a search say where it ends
        for what, value in _values(name, figures):
            kept = value >= bound if name.endswith("_min") else value <= bound
            if not kept:  # NaN is not kept either
                found.append(f"{name}: {what}{value:,.2f}, the bound is {bound:,}")
    return found


def worst(name: str, figures: Figures) -> float:
    """What is held against a bound, for people; of several the one that is nearest to it or furthest over."""
    values = [value for _, value in _values(name, figures)]
    return min(values) if name.endswith("_min") else max(values)


def _values(name: str, figures: Figures) -> list[tuple[str, float]]:
    """What a threshold is about: (for whom, value)."""
    meant = max(figures.arrivals_meant, 1)
    single: dict[str, float] = {
        "begun_percent_min": 100 * figures.arrivals_begun / meant,
        "p99_ms_max": figures.pay.p99,
        "p999_ms_max": figures.pay.p999,
        "error_per_mille_max": figures.error_per_mille,
        "in_doubt_age_ms_max": figures.in_doubt_age_ms,
        "outbox_age_ms_max": figures.path.outbox_age_ms,
        "cpu_ms_per_payment_max": figures.cpu_ms_per_payment,
        "capacity_min": figures.capacity,
    }
    if name in single:
        return [("", single[name])]
    many: dict[str, Mapping[str, float]] = {
        "p50_ms_max": {corridor: times.p50 for corridor, times in figures.corridors.items()},
        "rail_p50_ms_max": {rail: spread.p50 for rail, spread in figures.path.rails.items()},
        "memory_kib_per_minute_max": {part: figures.memory_kib_per_minute.get(part, 0) for part in _OURS},
        "kept_bytes_per_payment_max": _kept(figures),
        "descriptors_grown_max": {
            part: grown for part, grown in figures.descriptors_grown.items() if not part.startswith(_NOT_THE_PAYMENTS)
        },
    }
    return [(f"{whose} ", value) for whose, value in many[name].items()] or [("", float("nan"))]


def _kept(figures: Figures) -> dict[str, float]:
    """Bytes that store and rails grow by for each payment of the run."""
    a_minute = figures.payment_rate * 60
    return {
        part: kib * 1024 / a_minute if a_minute else float("nan")
        for part, kib in figures.memory_kib_per_minute.items()
        if part not in _OURS and not part.startswith(_NOT_THE_PAYMENTS)
    }


def slices(profile: Profile, begun_ms: int, calls: Sequence[Call]) -> dict[str, list[float]]:
    """Figures of each tenth of the run: their spread is the noise that a comparison has to be beyond."""
    begin, end = profile.warmup_s * 1000, profile.shape.seconds * 1000
    width = (end - begin) / SLICES
    groups: list[list[Call]] = [[] for _ in range(SLICES)]
    for each in calls:
        place = int((each.due_ms - begun_ms - begin) // width)
        if 0 <= place < SLICES:
            groups[place].append(each)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for group in groups:
        times = _times([each for each in group if each.call == "SubmitPayment"])
        if not times.calls:
            continue
        found["payments/s"].append(sum(each.payments for each in group) / (width / 1000))
        for name, value in (("p50 ms", times.p50), ("p99 ms", times.p99), ("service p50 ms", times.service_p50)):
            found[name].append(value)
        found["errors per mille"].append(1000 * sum(1 for each in group if each.outcome) / len(group))
    return dict(found)
