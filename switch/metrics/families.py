"""Every family of metrics there is: name, type, labels, meaning. What is not in this table cannot be exposed."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from switch.limits import SCRAPE_SLICE_SAMPLES
from switch.metrics.buckets import Buckets, Powers

__all__ = ["FAMILIES", "LIBRARY_FAMILIES", "TABLE", "Family", "Row", "Sizes", "made"]

# Names of calls are those of gRPC's A66. Seconds, and minor units of the asset. Gauges that are read from the store are
# of the whole store, whichever switch is asked; everything else is of this process.
TABLE: Final = """
grpc_server_call_started_total             counter    grpc_method                  calls that began
grpc_server_call_duration_seconds          histogram  grpc_method grpc_status      calls that ended, by what the caller got
bayswitch_calls_refused_total              counter    grpc_method reason           calls refused at the gate or by the engine
bayswitch_calls_running                    gauge      kind                         calls now, of those that begin something and that look
bayswitch_stage_duration_seconds           histogram  stage                        payments through each part of the path
bayswitch_rail_duration_seconds            histogram  rail call outcome            answers of the rails, silence included
bayswitch_payments_total                   counter    corridor rail state reason   moves of payments to COMMITTED, ABORTED, IN_DOUBT
bayswitch_payment_duration_seconds         histogram  corridor rail                payments from beginning to that move
bayswitch_instructions_refused_total       counter    reason                       instructions that left no trace
bayswitch_store_queue_items                gauge      kind                         store calls that have not left, over all shards
bayswitch_store_queue_deepest_items        gauge      -                            the same in the fullest shard
bayswitch_store_groups_running             gauge      -                            groups sent to the store and not answered
bayswitch_store_group_items                histogram  kind                         store calls that left together
bayswitch_open_payments                    gauge      -                            payments PREPARED or IN_DOUBT
bayswitch_open_payments_overdue            gauge      -                            of those, due for a look of recovery
bayswitch_open_payments_older              gauge      state seconds                of those looked at, at least so old; see oldest
bayswitch_open_payment_oldest_seconds      gauge      state                        age of the oldest looked at
bayswitch_outbox_entries                   gauge      -                            final payments that the broker does not have
bayswitch_outbox_oldest_seconds            gauge      -                            how long the first of them has waited
bayswitch_relay_published_total            counter    -                            events the broker acknowledged, repeats included
bayswitch_relay_shards_held                gauge      -                            shards this process relays
bayswitch_settler_lag_records              gauge      -                            records behind the end of the log
bayswitch_settler_records_total            counter    outcome                      records read: applied, repeat, poisoned
bayswitch_announced_total                  counter    topic                        events of windows and positions acknowledged
bayswitch_trouble                          gauge      work                         1: this background work waits and tries again
bayswitch_trouble_last_time_seconds        gauge      work                         Unix time of its latest trouble
bayswitch_loop_delay_seconds               histogram  -                            how late the event loop wakes who sleeps
bayswitch_cap_used_minor                   gauge      participant asset            holds and committed debits, less what was settled
bayswitch_cap_minor                        gauge      participant asset            the ceiling that is compared with
bayswitch_cap_participants_left_out        gauge      -                            participants beyond the bound of those two
bayswitch_scrape_missed_total              counter    part                         parts left out of an answer: late or failed
bayswitch_build_info                       gauge      version routing codecs       1
"""
# What prometheus_client itself knows of a process.
LIBRARY_FAMILIES: Final = {
    "process_virtual_memory_bytes": "gauge",
    "process_resident_memory_bytes": "gauge",
    "process_start_time_seconds": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "python_gc_objects_collected_total": "counter",
    "python_gc_objects_uncollectable_total": "counter",
    "python_gc_collections_total": "counter",
}
_NS: Final = 1e9


class Family(NamedTuple):
    """One row of the table."""

    name: str
    kind: str  # counter, gauge, histogram
    labels: tuple[str, ...]
    text: str


class Sizes(NamedTuple):
    """A histogram of sizes: `counts[n]` of them were at most `2**n` and more than half of that."""

    counts: tuple[int, ...]
    total: int


Value = int | float | Buckets | Powers | Sizes
Row = tuple[tuple[str, ...], Value]


def _family(line: str) -> Family:
    name, kind, rest = line.split(maxsplit=2)
    labels, text = rest.split("  ", maxsplit=1)
    return Family(name, kind, () if labels == "-" else tuple(labels.split()), text.strip())


FAMILIES: Final = {family.name: family for family in map(_family, TABLE.strip().splitlines())}


def made(name: str, rows: Iterable[Row]) -> Iterator[Metric]:
    """The family with these values by label values, in slices of about SCRAPE_SLICE_SAMPLES; without rows, only its head.

    Rows are taken as they are needed: give a list of what may change meanwhile.
    """
    family = FAMILIES[name]
    yield _empty(family)
    if family.kind == "histogram":
        for labels, value in rows:
            slice_ = HistogramMetricFamily(name, family.text, labels=family.labels)
            assert isinstance(value, Buckets | Powers | Sizes), f"{name} is a histogram"
            slice_.add_metric(labels, *_shown(value))
            yield slice_
        return
    left = iter(rows)
    while some := list(islice(left, SCRAPE_SLICE_SAMPLES)):
        part = _empty(family)
        assert isinstance(part, CounterMetricFamily | GaugeMetricFamily)
        for labels, value in some:
            assert isinstance(value, int | float), f"{name} is a {family.kind}"
            assert len(labels) == len(family.labels), f"{name} has labels {family.labels}"
            part.add_metric(labels, value)
        yield part


_KINDS: Final[dict[str, type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _empty(family: Family) -> Metric:
    return _KINDS[family.kind](family.name, family.text, labels=family.labels)


def _shown(value: Buckets | Powers | Sizes) -> tuple[list[tuple[str, float]], float]:
    """Bounds and cumulative counts as the library wants them, and the sum; durations in seconds."""
    if isinstance(value, Sizes):
        return _cumulative((2.0**place for place in range(len(value.counts))), (*value.counts, 0)), value.total
    if isinstance(value, Buckets):
        return _cumulative((bound / _NS for bound in value.bounds), value.counts), value.total / _NS
    low, high, counts = value.low, value.high, value.counts
    between = (sum(counts[: low + 1]), *counts[low + 1 : high + 1], sum(counts[high + 1 :]))
    return _cumulative((2**bits / _NS for bits in range(low, high + 1)), between), value.total / _NS


def _cumulative(bounds: Iterable[float], counts: Iterable[int]) -> list[tuple[str, float]]:
    found, sum_ = [], 0
    names = [*(f"{bound:.9g}" for bound in bounds), "+Inf"]
    for name, count in zip(names, counts, strict=True):
        sum_ += count
        found.append((name, float(sum_)))
    return found
