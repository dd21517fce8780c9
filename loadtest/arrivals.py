"""When things arrive. A schedule never waits for an answer: the loop is open, and what is late stays due when it was due.

Seconds from the beginning of a run; a schedule is the same for the same seed.
"""

import csv
import math
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Arrival", "drive", "even", "poisson", "quantile", "recorded"]

HEADER: Final = ["offset_ms", "kind"]


class Arrival(NamedTuple):
    """One row of a recorded arrival file."""

    offset: float
    kind: str


def even(rate: float) -> Iterator[float]:
    """`rate` a second, equally far apart, for ever."""
    count = 0
    while True:
        yield count / rate
        count += 1


def poisson(rate: float, dice: random.Random) -> Iterator[float]:
    """`rate` a second on average, each independent of the others, for ever: as calls of many people come.

    Several of these together are one of the sum of their rates, so the load may be spread over users and processes.
    """
    at = 0.0
    while True:
        at += dice.expovariate(rate)
        yield at


def recorded(path: Path) -> list[Arrival]:
    """The arrivals of a CSV file with the columns offset_ms and kind, in order. Raises ValueError: names the line."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        if next(rows, None) != HEADER:
            raise ValueError(f"{path.name}: the first line is {','.join(HEADER)}")
        found: list[Arrival] = []
        for number, row in enumerate(rows, 2):
            if len(row) != len(HEADER) or not row[0].isascii() or not row[0].isdigit() or not row[1]:
                raise ValueError(f"{path.name}:{number}: milliseconds and a kind of user")
            found.append(Arrival(int(row[0]) / 1000, row[1]))
    if any(one.offset > other.offset for one, other in pairwise(found)):
        raise ValueError(f"{path.name}: arrivals are not in order")
    return found


def drive(
    offsets: Iterable[float],
    begun: float,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    start: Callable[[float], object],
) -> None:
    """`start(due)` for each offset, when it is due, or at once when that is past: nothing is left out, ever.

    `start` must not wait for an answer. It is told when it was due, and counts from then.
    """
    for offset in offsets:
        due = begun + offset
        if (wait := due - clock()) > 0:
            sleep(wait)
        start(due)


def quantile(ordered: list[float], q: float) -> float:
    """The smallest value that at least the share `q` of `ordered` does not exceed; NaN when there is none."""
    return ordered[max(math.ceil(q * len(ordered)) - 1, 0)] if ordered else math.nan
