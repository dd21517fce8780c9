"""The part of a report that shows the path as the switch saw it, and what stayed open meanwhile."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from loadtest.path import PathFigures, Spread, gauges_over_time, stages_over_time
from loadtest.plot import lines, table
from loadtest.scraping import Look

__all__ = ["path_section"]

_LAG = "settler lag"


def path_section(looks: Sequence[Look], begun_ms: int, path: PathFigures) -> str:
    """Tables and plots as HTML; a sentence when the switch was not asked."""
    if not looks:
        return "<p>not asked: no admin port</p>"
    stages = {**path.stages, **{f"rail {name}": spread for name, spread in path.rails.items()}}
    if path.loop_delay.values:
        stages["delay of the event loop"] = path.loop_delay
    refused = table(("refused for", "calls"), path.refused.items()) if path.refused else "<p>no call refused</p>"
    return (
        "<p>milliseconds; quantiles are estimated from buckets a factor of two apart</p>"
        + table(("stage", *Spread._fields), _rows(stages))
        + table(("rail, call, outcome", "answers"), sorted(path.rail_answers.items()))
        + table(("store calls that left together", "groups", "mean size", "p50", "p99"), _rows(path.groups))
        + f"<p>{path.shed:,} calls shed for want of room</p>{refused}"
        + _plots(looks, begun_ms)
    )


def _rows(spreads: Mapping[str, Spread]) -> Iterable[tuple[object, ...]]:
    return ((name, *spread) for name, spread in spreads.items())


def _plots(looks: Sequence[Look], begun_ms: int) -> str:
    means: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    p99s: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for second, stage, spread in stages_over_time(looks, begun_ms):
        means[stage].append((second, spread.mean))
        p99s[stage].append((second, spread.p99))
    gauges: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for second, what, value in gauges_over_time(looks, begun_ms):
        gauges[what].append((second, value))
    lag = {_LAG: gauges.pop(_LAG)} if _LAG in gauges else {}
    return (
        lines("Stages of the path, mean", "ms", means)
        + lines("Stages of the path, p99", "ms", p99s)
        + lines("What is open", "age, s", gauges)
        + lines("Settler behind the log", "records", lag)
    )
