"""The path of payments as the switch saw it: stages, rails, group sizes, what was shed, what stayed open. Pure.

From the looks of a run, loadtest/scraping.py. Milliseconds; a quantile is estimated from buckets, so it may be off by the
width of one: a factor of two.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from loadtest.scraping import Histogram, Look
from switch.errors import REASONS

__all__ = ["PathFigures", "Spread", "gauges_over_time", "measure_path", "path_slices", "stages_over_time"]

STAGES: Final = "bayswitch_stage_duration_seconds"
RAILS: Final = "bayswitch_rail_duration_seconds"
GROUPS: Final = "bayswitch_store_group_items"
LOOP: Final = "bayswitch_loop_delay_seconds"
REFUSED: Final = "bayswitch_calls_refused_total"
ANSWERS: Final = "bayswitch_rail_duration_seconds_count"
IN_DOUBT: Final = "bayswitch_open_payment_oldest_seconds", "IN_DOUBT"
OUTBOX: Final = "bayswitch_outbox_oldest_seconds", ""
LAG: Final = "bayswitch_settler_lag_records", ""
_SHED: Final = {name for name, reason in REASONS.items() if reason.grpc == "RESOURCE_EXHAUSTED"}  # for want of room
_MS: Final = 1000


class Spread(NamedTuple):
    """Of a histogram: how many values, their mean, median and 99th percentile."""

    values: int
    mean: float
    p50: float
    p99: float


class PathFigures(NamedTuple):
    """What the switch measured of a run. Empty, and NaN, when it was not asked."""

    stages: Mapping[str, Spread]  # ms of a payment
    rails: Mapping[str, Spread]  # ms of an answer to prepare
    rail_answers: Mapping[str, int]  # by rail, call and outcome
    groups: Mapping[str, Spread]  # store calls that left together; the count is of groups
    loop_delay: Spread  # ms
    refused: Mapping[str, int]  # calls, by reason
    shed: int  # of those, for want of room
    in_doubt_age_ms: float  # the oldest at any look
    outbox_age_ms: float
    settler_lag: float


def measure_path(looks: Sequence[Look], begun_ms: int, begin: float, end: float) -> PathFigures:
    """`begin`, `end`: seconds of the run; counted from the last look before to the first after, as far as there are any."""
    nothing = float("nan")
    if not looks:
        return PathFigures({}, {}, {}, {}, Spread(0, 0, 0, 0), {}, 0, nothing, nothing, nothing)
    first, last = _at(looks, begun_ms + begin * _MS), _after(looks, begun_ms + end * _MS)
    refused = _counted(first, last, REFUSED)
    during = [each for each in looks if first.at_ms <= each.at_ms <= last.at_ms]
    return PathFigures(
        stages=_spreads(first, last, STAGES, _MS),
        rails=_spreads(first, last, RAILS, _MS),
        rail_answers=_counted(first, last, ANSWERS),
        groups=_spreads(first, last, GROUPS, 1),
        loop_delay=_spread(last.histogram(LOOP, "").since(first.histogram(LOOP, "")), _MS),
        refused=refused,
        shed=sum(count for reason, count in refused.items() if reason in _SHED),
        in_doubt_age_ms=_highest(during, IN_DOUBT) * _MS,
        outbox_age_ms=_highest(during, OUTBOX) * _MS,
        settler_lag=_highest(during, LAG),
    )


def _at(looks: Sequence[Look], ms: float) -> Look:
    """The last look until then; the first one when there is none."""
    return next((each for each in reversed(looks) if each.at_ms <= ms), looks[0])


def _after(looks: Sequence[Look], ms: float) -> Look:
    return next((each for each in looks if each.at_ms >= ms), looks[-1])


def _highest(looks: Sequence[Look], gauge: tuple[str, str]) -> float:
    """NaN when no look has it: nobody can say."""
    return max((each.gauges[gauge] for each in looks if gauge in each.gauges), default=float("nan"))


def _counted(first: Look, last: Look, sample: str) -> dict[str, int]:
    """How many came between the two looks, of each that came at all."""
    found = {
        label: round(count - first.counters.get((name, label), 0))
        for (name, label), count in last.counters.items()
        if name == sample
    }
    return {label: count for label, count in found.items() if count}


def _spreads(first: Look, last: Look, family: str, unit: int) -> dict[str, Spread]:
    """Of all labels that were counted between the two looks."""
    found = {
        label: _spread(last.histogram(family, label).since(first.histogram(family, label)), unit)
        for label in last.labels(family)
    }
    return {label: spread for label, spread in found.items() if spread.values}


def _spread(histogram: Histogram, unit: int) -> Spread:
    quantiles = (histogram.quantile(q) * unit for q in (0.5, 0.99))
    return Spread(histogram.number, histogram.mean() * unit, *quantiles)


def stages_over_time(looks: Sequence[Look], begun_ms: int) -> Iterator[tuple[float, str, Spread]]:
    """(second, stage, spread) of every stage between each look and the one before."""
    for before, after in pairwise(looks):
        for stage, spread in _spreads(before, after, STAGES, _MS).items():
            yield (after.at_ms - begun_ms) / _MS, stage, spread


def gauges_over_time(looks: Sequence[Look], begun_ms: int) -> Iterator[tuple[float, str, float]]:
    """(second, what, value) of what must not grow: ages in seconds, and the settler's lag in records."""
    shown = (("oldest IN_DOUBT", IN_DOUBT), ("oldest in the outbox", OUTBOX), ("settler lag", LAG))
    for look in looks:
        for what, gauge in shown:
            if gauge in look.gauges:
                yield (look.at_ms - begun_ms) / _MS, what, look.gauges[gauge]


def path_slices(looks: Sequence[Look], begun_ms: int, begin: float, end: float, count: int) -> dict[str, list[float]]:
    """Mean and p99 of every stage in each of `count` equal parts of the run: their spread is the noise of a comparison."""
    found: dict[str, list[float]] = {}
    width = (end - begin) / count
    for place in range(count if looks else 0):
        first, last = (_at(looks, begun_ms + (begin + width * edge) * _MS) for edge in (place, place + 1))
        for stage, spread in _spreads(first, last, STAGES, _MS).items():
            found.setdefault(f"{stage} mean ms", []).append(spread.mean)
            found.setdefault(f"{stage} p99 ms", []).append(spread.p99)
    return found
