"""What a run leaves for people and for `compare`: report.html with plots, CSV files, manifest.json, summary.json."""

import csv
import json
import math
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadtest.arrivals import quantile
from loadtest.figures import SLICES, Figures, Times, slices, worst
from loadtest.path import Spread, gauges_over_time, path_slices, stages_over_time
from loadtest.path_report import path_section
from loadtest.plot import lines, table
from loadtest.profiles import THRESHOLDS, Profile
from loadtest.sampling import Sample
from loadtest.scraping import Look
from loadtest.users.record import Call

__all__ = ["Findings", "manifest", "write_report"]

LIBRARIES: Final = ("locust", "gevent", "grpcio", "protobuf", "redis", "aiokafka", "uvloop")
STYLE: Final = """
body{font:14px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem;color:#1f2937}
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.2rem .7rem;border-bottom:1px solid #e5e7eb;text-align:right}
td:first-child,th:first-child{text-align:left}figure{margin:1rem 0}figcaption{font-size:12px}svg text{font:11px sans-serif}
.verdict{padding:.6rem 1rem;border-radius:6px;color:#fff;font-weight:600}.passed{background:#2f8f4e}
.failed,.invalid{background:#c8442b}pre{background:#f3f4f6;padding:.6rem;overflow:auto}
"""


class Findings(NamedTuple):
    """Everything a run found. `verdict`: passed, failed or invalid; `reasons`: why it is not passed."""

    profile: Profile
    begun_ms: int
    calls: Sequence[Call]
    samples: Sequence[Sample]
    looks: Sequence[Look]
    figures: Figures
    audits: Mapping[str, str]
    verdict: str
    reasons: Sequence[str]


def write_report(folder: Path, found: Findings, about: Mapping[str, Any]) -> None:
    """Write all files into `folder`. The page is last: where it is, the rest is."""
    (folder / "manifest.json").write_text(json.dumps(about, indent=2, ensure_ascii=False))
    summary = {
        "verdict": found.verdict,
        "reasons": list(found.reasons),
        "figures": _plain(found.figures),
        "slices": {**slices(found.profile, found.begun_ms, found.calls), **_path_slices(found)},
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False))
    _write_csv(folder / "calls.csv", ("call", *Times._fields), _rows(found.figures.calls))
    _write_csv(folder / "corridors.csv", ("corridor", *Times._fields), _rows(found.figures.corridors))
    _write_csv(folder / "samples.csv", Sample._fields, found.samples)
    _write_csv(folder / "seconds.csv", ("second", "payments", "p50_ms", "p99_ms", "service_p99_ms"), _seconds(found))
    _write_csv(folder / "stages.csv", ("second", "stage", *Spread._fields), _stages(found))
    _write_csv(folder / "open.csv", ("second", "what", "value"), gauges_over_time(found.looks, found.begun_ms))
    (folder / "report.html").write_text(_page(found, about), "utf-8")


def manifest(profile: Profile, seed: int, about: Mapping[str, Any]) -> dict[str, Any]:
    """What was run on what: enough to run it again."""
    root = Path(__file__).parents[1]

    def git(*words: str) -> str:
        said = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=root)
        return said.stdout.strip()

    return {
        "profile": profile.name,
        "config_sha256": profile.sha256,
        "seed": seed,
        "revision": git("rev-parse", "HEAD"),
        "changed_files": len(git("status", "--porcelain").splitlines()),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "versions": {name: version(name) for name in LIBRARIES},
        **about,
    }


def _plain(value: Any) -> Any:
    """NamedTuples as tables; what is not a number as null, for JSON has no word for it."""
    if hasattr(value, "_asdict"):
        return {key: _plain(each) for key, each in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _rows(times: Mapping[str, Times]) -> Iterable[tuple[Any, ...]]:
    return ((name, *(round(value, 3) for value in each)) for name, each in times.items())


def _by_second(found: Findings) -> dict[int, list[Call]]:
    seconds: defaultdict[int, list[Call]] = defaultdict(list)
    for each in found.calls:
        seconds[(each.due_ms - found.begun_ms) // 1000].append(each)
    return dict(sorted(seconds.items()))


def _seconds(found: Findings) -> Iterable[tuple[Any, ...]]:
    for second, calls in _by_second(found).items():
        response = sorted(each.response_ms for each in calls if each.call == "SubmitPayment")
        service = sorted(each.service_ms for each in calls if each.call == "SubmitPayment")
        quantiles = quantile(response, 0.5), quantile(response, 0.99), quantile(service, 0.99)
        yield (second, sum(each.payments for each in calls), *(round(value, 3) for value in quantiles))


def _path_slices(found: Findings) -> dict[str, list[float]]:
    return path_slices(found.looks, found.begun_ms, found.profile.warmup_s, found.profile.shape.seconds, SLICES)


def _stages(found: Findings) -> Iterable[tuple[Any, ...]]:
    for second, stage, spread in stages_over_time(found.looks, found.begun_ms):
        yield (round(second, 1), stage, spread.values, *(round(value, 3) for value in spread[1:]))


def _plots(found: Findings) -> str:
    rows = [row for row in _seconds(found) if not math.isnan(row[2])]
    latency = {
        name: [(row[0], row[place]) for row in rows]
        for name, place in (("response p50", 2), ("response p99", 3), ("service p99", 4))
    }
    corridors: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    names = sorted(found.figures.corridors)
    for second, calls in _by_second(found).items():
        for name in names:
            count = sum(each.payments for each in calls if each.corridor == name and each.call == "SubmitPayment")
            corridors[name].append((second, count))
    cpu: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    memory: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    last: dict[str, Sample] = {}
    for each in found.samples:
        at = (each.at_ms - found.begun_ms) / 1000
        memory[each.part].append((at, each.memory_kib / 1024))
        if (before := last.get(each.part)) and each.at_ms > before.at_ms:
            cpu[each.part].append((at, 100 * max(each.cpu_ms - before.cpu_ms, 0) / (each.at_ms - before.at_ms)))
        last[each.part] = each
    return (
        lines("SubmitPayment by the second it was due", "ms", latency)
        + lines("Single payments by corridor", "a second", corridors)
        + lines("CPU of each part", "% of one core", cpu)
        + lines("Memory of each part", "MiB", memory)
    )


def _page(found: Findings, about: Mapping[str, Any]) -> str:
    profile, figures = found.profile, found.figures
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in found.reasons)
    failures = table(("failure", "calls"), figures.failures.items()) if figures.failures else "<p>none</p>"
    bounds = table(
        ("threshold", "what", "measured", "bound"),
        ((name, THRESHOLDS[name], float(worst(name, figures)), bound) for name, bound in profile.thresholds.items()),
    )
    stages = table(("stage, arrivals/s", *Times._fields), ((f"{rate}", *times) for rate, times in figures.stages))
    capacity = f"<p>capacity: {figures.capacity} arrivals a second</p>" if profile.shape.searching else ""
    cpu = sorted(figures.cpu_percent.items(), key=lambda each: -each[1])
    parts = table(
        ("part", "CPU, % of a core", "memory, KiB a minute", "open files grown"),
        (
            (part, percent, figures.memory_kib_per_minute[part], figures.descriptors_grown[part])
            for part, percent in cpu
        ),
    )
    audits = "".join(f"<h3>{escape(name)}</h3><pre>{escape(text)}</pre>" for name, text in found.audits.items())
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(profile.name)}: {found.verdict}</title>
<style>{STYLE}</style><h1>{escape(profile.title)}</h1>
<p class="verdict {found.verdict}">{found.verdict}</p><ul>{reasons}</ul>
<p>{figures.payments:,} payments in {figures.seconds:.0f} s ({figures.payment_rate:,.1f} a second), {figures.arrivals_begun:,}
arrivals of {figures.arrivals_meant:,} meant; {figures.error_per_mille:.2f} per mille failed;
{figures.cpu_ms_per_payment:.2f} ms of CPU a payment; the generator used {figures.generator_percent:.0f} % of its core.</p>
<h2>Over time</h2>{_plots(found)}
<h2>Calls</h2><p>milliseconds; response counts from when a call was due, service from when it was sent</p>
{table(("call", *Times._fields), ((name, *times) for name, times in figures.calls.items()))}
<h2>SubmitPayment by corridor</h2>
{table(("corridor", *Times._fields), ((name, *times) for name, times in figures.corridors.items()))}
<h2>The path in the switch</h2>{path_section(found.looks, found.begun_ms, figures.path)}
<h2>What callers were told</h2>{table(("state", "calls"), sorted(figures.states.items()))}
<h2>Stages of the load</h2>{capacity}{stages}<h2>Failures</h2>{failures}<h2>Thresholds</h2>{bounds}
<h2>Parts</h2>{parts}<h2>Audits</h2>{audits}
<h2>Manifest</h2><pre>{escape(json.dumps(about, indent=2, ensure_ascii=False))}</pre></html>
"""
