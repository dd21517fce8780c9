"""What changed between two runs, beyond noise: python -m loadtest.compare A B (folders of reports). Exit 1 when worse.

Callers' latencies, rate and errors, and the stages of the path in the switch; sizes of groups and what was shed are shown.
Each run is cut into ten slices; their spread is its noise. A change counts when the medians differ by more than three
standard errors of both (a median's, from the median absolute deviation) and by more than 5 %.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from math import hypot, sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["Change", "changes", "main"]

ERRORS_MIN: Final = 3
PERCENT_MIN: Final = 5
_MAD_TO_SIGMA: Final = 1.4826  # of a normal distribution
_MEDIAN_ERROR: Final = 1.2533  # a median's standard error over a mean's
HIGHER_IS_BETTER: Final = ("payments/s",)


class Change(NamedTuple):
    """One figure in both runs. `verdict`: same, better or worse."""

    figure: str
    before: float
    after: float
    noise: float
    verdict: str

    def __str__(self) -> str:
        percent = 100 * (self.after - self.before) / self.before if self.before else float("nan")
        return (
            f"{self.figure:<18} {self.before:12,.2f} {self.after:12,.2f} {percent:+8.1f} %  "
            f"noise {self.noise:10,.2f}  {self.verdict}"
        )


def changes(before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]) -> list[Change]:
    """Every figure that both runs have. Pure."""
    found = []
    for name in before.keys() & after.keys():
        one, other = statistics.median(before[name]), statistics.median(after[name])
        noise = ERRORS_MIN * hypot(_error(before[name]), _error(after[name]))
        beyond = abs(other - one) > noise and abs(other - one) > abs(one) * PERCENT_MIN / 100
        better = (other > one) == (name in HIGHER_IS_BETTER)
        found.append(Change(name, one, other, noise, ("better" if better else "worse") if beyond else "same"))
    return sorted(found)


def _error(values: Sequence[float]) -> float:
    """Standard error of the median."""
    middle = statistics.median(values)
    sigma = _MAD_TO_SIGMA * statistics.median(abs(value - middle) for value in values)
    return _MEDIAN_ERROR * sigma / sqrt(len(values))


def main() -> None:
    """Print the table, and what else differs between the two."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    given = parser.parse_args()
    one, other = (_read(parser, folder) for folder in (given.before, given.after))
    for key in ("profile", "config_sha256", "revision", "python", "machine", "versions"):
        if one["manifest"].get(key) != other["manifest"].get(key):
            print(f"{key}: {one['manifest'].get(key)} -> {other['manifest'].get(key)}")
    print(f"verdicts: {one['verdict']} -> {other['verdict']}")
    found = changes(one["slices"], other["slices"])
    print("\n".join([*map(str, found), *_shown(one["figures"], other["figures"])]))
    new = sorted(other["figures"]["failures"].keys() - one["figures"]["failures"].keys())
    if new:
        print(f"new failures: {', '.join(new)}")
    sys.exit(1 if new or any(each.verdict == "worse" for each in found) else 0)


def _shown(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What has no better and no worse by itself; nothing when one of the two was made before it was measured."""
    if "path" not in one or "path" not in other:
        return []
    before, after = one["path"], other["path"]
    nothing = {"mean": 0.0}
    sizes = {
        f"{kind} group": (before["groups"].get(kind, nothing)["mean"], after["groups"].get(kind, nothing)["mean"])
        for kind in sorted(before["groups"].keys() | after["groups"].keys())
    }
    rows = {**sizes, "calls shed": (before["shed"], after["shed"])}
    return [f"{name:<18} {was:12,.2f} {now:12,.2f}" for name, (was, now) in rows.items()]


def _read(parser: argparse.ArgumentParser, folder: Path) -> dict[str, Any]:
    try:
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
        summary["manifest"] = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{folder} is no report: {error}")
    return summary


if __name__ == "__main__":
    main()
