"""One participant at ten times its share: what the others notice.

python -m loadtest.fairness [--only files,singles] [--levels 0.3,0.5,0.9] [--runs 3] [--seconds 8] [--no-paces]

The capacity is found in the same run. Nine participants share a level of it evenly, each with a pace agreed that is half
as much again (paces.toml, read again by the running switch); then one of them offers ten times its share; both by turns,
so that a ratio is of one moment. Files of each come as those of many people do (Poisson), those of the eight who changed
nothing at the same moments both times; the figure is their p99. `--no-paces` measures what admission does alone. Every payment is audited afterwards. Prints a table with the goal and verdicts, keeps JSON in `results`; exit 1 when a goal is missed.
"""

import argparse
import asyncio
import math
import os
import random
import signal
import statistics
import sys
import time
from typing import Any, Final

from loadtest.arrivals import poisson
from loadtest.offers import Log, offer, p99_ms
from loadtest.overload import (
    PARTICIPANTS,
    UNDER_WAY,
    Measured,
    Offering,
    check_books,
    kept_run,
    kinds,
    peak_of,
    shed_share,
)
from switch.cli.sandbox import Sandbox

__all__ = ["main"]

NINE: Final = PARTICIPANTS[:9]
GREEDY: Final = NINE[0]
TIMES: Final = 10
FILE_ITEMS: Final = 16  # small, so that everybody sends many a second
MOVES_MAX: Final = 1.1
PATIENCE_SECONDS: Final = 15
PACE_OVER_SHARE: Final = 1.5  # who is told its mean as its pace is refused whenever many come at once
RELOAD_SECONDS: Final = 1.0  # rules are read again in a tenth of that
_PACE: Final = """[[pace]]
participant = "{name}"
per_second = {pace}
source = "ours: fairness"
date = 2026-11-26
"""


async def _phase(offering: Offering, share: float, times: float, seconds: float, run: int) -> dict[str, float]:
    """All at their share, but GREEDY at `times` of it: p99 and shed share of the others, and the shed share of GREEDY."""
    log, size = Log(offering.told), offering.kind.size
    arrivals = {
        name: poisson(share * (times if name == GREEDY else 1) / size, random.Random(f"{run} {name}")) for name in NINE
    }
    begun = time.perf_counter()
    late = await offer(offering.kind, arrivals, seconds, log, PATIENCE_SECONDS)
    counted = [each for each in log.answers if each.due > begun + seconds / 8]
    others = [each for each in counted if each.participant != GREEDY]
    greedy = [each for each in counted if each.participant == GREEDY]
    return {
        "p99_ms": p99_ms(others),
        "shed": shed_share(others),
        "greedy_shed": shed_share(greedy),
        "late_ms": 1000 * late,
    }


class _Paces:
    """What the running switch is told of what was agreed."""

    def __init__(self, sandbox: Sandbox, *, agreed: bool) -> None:
        self._file = sandbox.directory / "rules" / "paces.toml"
        self._switch = sandbox.switch
        self._agreed = agreed

    async def agree(self, share: float) -> None:
        """A pace for each of NINE, half as much again as its share; none for a share of 0."""
        pace = math.ceil(share * PACE_OVER_SHARE)
        rows = [_PACE.format(name=name, pace=pace) for name in NINE] if share and self._agreed else []
        self._file.write_text("\n".join(rows), "utf-8")
        assert self._switch is not None
        os.kill(self._switch.pid, signal.SIGHUP)
        await asyncio.sleep(RELOAD_SECONDS)


async def _measure(offering: Offering, name: str, paces: _Paces, options: argparse.Namespace) -> dict[str, Any]:
    await paces.agree(0)
    peak = await peak_of(offering, UNDER_WAY[name])
    rows = []
    for level in options.levels:
        share = level * peak.per_second / len(NINE)
        await paces.agree(share)
        found = [
            [await _phase(offering, share, times, options.seconds, run) for times in (1, TIMES)]
            for run in range(options.runs)
        ]
        rows.append({"level": level, "share_per_second": share, "runs": found})
    return {"kind": name, "size": offering.kind.size, "peak": peak._asdict(), "levels": rows}


def _row(kind: str, row: dict[str, Any]) -> tuple[str, bool]:
    def median(place: int, what: str) -> float:
        return statistics.median(float(run[place][what]) for run in row["runs"])

    moved = statistics.median(after["p99_ms"] / before["p99_ms"] for before, after in row["runs"])
    met = moved <= MOVES_MAX and not median(1, "shed")
    text = (
        f"{kind:<8} at {row['level']:.0%} of capacity  others' p99 {median(0, 'p99_ms'):6,.1f} -> "
        f"{median(1, 'p99_ms'):6,.1f} ms  x{moved:.2f} (<= {MOVES_MAX:g})  shed of theirs {median(1, 'shed'):.1%}, "
        f"of the greedy one's {median(1, 'greedy_shed'):.0%}  {'met' if met else 'MISSED'}"
    )
    return text, met


async def _run(options: argparse.Namespace, sandbox: Sandbox) -> Measured:
    told: list[tuple[str, str, str]] = []
    ways = await kinds(sandbox.address, FILE_ITEMS)
    paces = _Paces(sandbox, agreed=options.paces)
    found = [await _measure(Offering(ways[name], told), name, paces, options) for name in options.only]
    return found, await check_books(sandbox, told)


def main() -> None:
    """Measure, print, keep, judge."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.fairness", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(UNDER_WAY))
    parser.add_argument(
        "--levels", type=lambda text: [float(each) for each in text.split(",")], default=[0.3, 0.5, 0.9]
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of one phase")
    parser.add_argument("--paces", action=argparse.BooleanOptionalAction, default=True, help="agreed with each")
    options = parser.parse_args()
    found, problems = kept_run("fairness", lambda sandbox: _run(options, sandbox))
    rows = [_row(each["kind"], row) for each in found for row in each["levels"]]
    print("\n".join(text for text, _ in rows))
    print(f"audit: {'clean' if not problems else '; '.join(problems[:10])}")
    sys.exit(0 if all(met for _, met in rows) and not problems else 1)


if __name__ == "__main__":
    main()
