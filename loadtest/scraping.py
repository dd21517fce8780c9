"""The switch's own figures while a run lasts: /metrics of every process that has an admin port, every few seconds.

Kept is what a report shows, not the page. What several processes count is added up; a gauge is the highest of them.
"""

import re
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, NamedTuple

from loadtest.looks import Looks

__all__ = ["COUNTERS", "GAUGES", "HISTOGRAMS", "PERIOD_SECONDS", "Histogram", "Look", "Scraper", "look_of"]

PERIOD_SECONDS: Final = 3.0
_CALL_SECONDS: Final = 5
# family -> the label its values are kept by; values that differ in other labels are added up
HISTOGRAMS: Final = {
    "bayswitch_stage_duration_seconds": "stage",
    "bayswitch_rail_duration_seconds": "rail",
    "bayswitch_store_group_items": "kind",
    "bayswitch_loop_delay_seconds": "",
}
# sample -> the labels its values are kept by, as words in a row
COUNTERS: Final = {
    "bayswitch_calls_refused_total": ("reason",),
    "bayswitch_rail_duration_seconds_count": ("rail", "call", "outcome"),
}
GAUGES: Final = {
    "bayswitch_open_payments": "",
    "bayswitch_open_payment_oldest_seconds": "state",
    "bayswitch_outbox_entries": "",
    "bayswitch_outbox_oldest_seconds": "",
    "bayswitch_settler_lag_records": "",
}
_ONLY: Final = {"bayswitch_rail_duration_seconds": ("call", "prepare")}  # of those families, what else is left out
_SAMPLE: Final = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
Key = tuple[str, str]  # family, label's value


class Histogram(NamedTuple):
    """Cumulative counts by upper bound, ascending, the last one infinity; and the sum of all values."""

    buckets: tuple[tuple[float, float], ...] = ()
    total: float = 0

    @property
    def number(self) -> int:
        """How many values."""
        return round(self.buckets[-1][1]) if self.buckets else 0

    def since(self, before: "Histogram") -> "Histogram":
        """What came between the two looks."""
        had = dict(before.buckets)
        rows = tuple((bound, count - had.get(bound, 0)) for bound, count in self.buckets)
        return Histogram(rows, self.total - before.total)

    def mean(self) -> float:
        """0 when there is none."""
        return self.total / self.number if self.number else 0.0

    def quantile(self, q: float) -> float:
        """Estimated as Prometheus does, evenly within a bucket; beyond the last bound, that bound. 0 when there is none."""
        wanted, low, below = q * self.number, 0.0, 0.0
        for bound, upto in self.buckets:
            if upto >= wanted and upto > below:
                return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (upto - below)
            low, below = bound, upto
        return 0.0


class Look(NamedTuple):
    """One look at all processes. `at_ms` of the machine's monotonic clock, as of a Sample."""

    at_ms: int
    histograms: Mapping[Key, Histogram]
    counters: Mapping[Key, float]
    gauges: Mapping[Key, float]

    def histogram(self, family: str, label: str) -> Histogram:
        """Empty when nothing was counted yet."""
        return self.histograms.get((family, label), Histogram())

    def labels(self, family: str) -> list[str]:
        """Those of a histogram that have been counted, in the order of the page."""
        return [label for name, label in self.histograms if name == family]


def look_of(at_ms: int, pages: Iterable[str]) -> Look:
    """The pages of all processes as one look. Pure."""
    buckets: dict[Key, dict[float, float]] = {}
    totals: dict[Key, float] = {}
    counters: dict[Key, float] = {}
    gauges: dict[Key, float] = {}
    for page in pages:
        for name, labels, value in _samples(page):
            if name in COUNTERS:
                key = name, " ".join(labels[label] for label in COUNTERS[name])
                counters[key] = counters.get(key, 0) + value
            family = re.sub("_(bucket|count|sum)$", "", name)
            if family in HISTOGRAMS:
                if _left_out(family, labels):
                    continue
                key = family, labels.get(HISTOGRAMS[family], "")
                if name.endswith("_bucket"):
                    rows = buckets.setdefault(key, {})
                    rows[float(labels["le"])] = rows.get(float(labels["le"]), 0) + value
                elif name.endswith("_sum"):
                    totals[key] = totals.get(key, 0) + value
            elif name in GAUGES:
                key = name, labels.get(GAUGES[name], "")
                gauges[key] = max(gauges.get(key, 0), value)
    histograms = {key: Histogram(tuple(sorted(rows.items())), totals.get(key, 0)) for key, rows in buckets.items()}
    return Look(at_ms, histograms, counters, gauges)


def _samples(page: str) -> Iterable[tuple[str, dict[str, str], float]]:
    for line in page.splitlines():
        if line.startswith("bayswitch_") and (found := _SAMPLE.fullmatch(line)):
            yield found[1], dict(_LABEL.findall(found[2] or "")), float(found[3])


def _left_out(family: str, labels: Mapping[str, str]) -> bool:
    only = _ONLY.get(family)
    return only is not None and labels[only[0]] != only[1]


class Scraper(Looks):
    """Looks every PERIOD_SECONDS while the block runs, and once at each end. `admins`: host:port of all processes."""

    def __init__(self, admins: Callable[[], Sequence[str]]) -> None:
        super().__init__("scraper", PERIOD_SECONDS)
        self.looks: list[Look] = []
        self.missed = 0  # looks without an answer of every process: a part of a sum would be believed
        self._admins = admins

    def look(self) -> None:
        """One look now; nothing where no process has an admin port."""
        admins = self._admins()
        if not admins:
            return
        at_ms = round(time.perf_counter() * 1000)
        try:
            self.looks.append(look_of(at_ms, [_page(admin) for admin in admins]))
        except (OSError, ValueError):
            self.missed += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        if kind is None:
            self.look()


def _page(admin: str) -> str:
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=_CALL_SECONDS) as answer:
        found: bytes = answer.read()
    return found.decode()
