"""How the load runs over time, as stages of a constant rate. Pure: what Locust makes of it is in users/locustfile.py.

kind = "steady"  rate, seconds
kind = "soak"    the same, in minutes
kind = "step"    first, step, last (rates), seconds of each: ends early when a stage breaks the profile's limits
kind = "spike"   rate, peak, before, during, after (seconds)
kind = "replay"  file (beside the profile): a recording of arrivals; its rate is its own
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.arrivals import Arrival, recorded

__all__ = ["Shape", "Stage", "shape_of"]


class Stage(NamedTuple):
    """`rate` arrivals a second from `begin` to `end`, in seconds of the run. 0: not known, a recording."""

    begin: float
    end: float
    rate: int


class Shape(NamedTuple):
    """A run: its stages without a hole between them, or a recording. `searching`: to end at the first broken stage."""

    stages: tuple[Stage, ...]
    searching: bool = False
    recording: tuple[Arrival, ...] = ()

    @property
    def seconds(self) -> float:
        return self.stages[-1].end

    def rate_at(self, seconds: float) -> int | None:
        """Arrivals a second then; None when the run has ended."""
        return next((stage.rate for stage in self.stages if seconds < stage.end), None)

    def arrivals_between(self, begin: float, end: float) -> float:
        """How many arrivals the shape means to have between two seconds."""
        if self.recording:
            return sum(1 for one in self.recording if begin <= one.offset < end)
        return sum(max(min(end, stage.end) - max(begin, stage.begin), 0) * stage.rate for stage in self.stages)

    def lasting(self, seconds: int) -> "Shape":
        """The same shape in other time: every stage that much shorter or longer; a recording ends early."""
        if self.recording:
            kept = tuple(one for one in self.recording if one.offset < seconds)
            return self._replace(stages=(Stage(0, min(seconds, self.seconds), 0),), recording=kept)
        factor = seconds / self.seconds
        stages = tuple(Stage(each.begin * factor, each.end * factor, each.rate) for each in self.stages)
        return self._replace(stages=stages)


def shape_of(table: Mapping[str, Any], folder: Path) -> Shape:
    """A profile's [shape] -> Shape. `folder`: where a recording is looked for. Raises ValueError with what is wrong."""
    given = dict(table)
    make = _KINDS.get(given.pop("kind", ""))
    if make is None:
        raise ValueError(f"shape.kind is one of {', '.join(_KINDS)}")
    if "file" in given:
        given["file"] = folder / given["file"]
    elif wrong := [key for key, value in given.items() if type(value) is not int or value <= 0]:
        raise ValueError(f"shape.{wrong[0]} is a positive whole number")
    try:
        return make(**given)
    except TypeError as error:
        raise ValueError(f"shape {table['kind']}: {error}") from None


def _stages(*parts: tuple[int, int]) -> tuple[Stage, ...]:
    """(seconds, rate) one after the other."""
    stages, at = [], 0
    for seconds, rate in parts:
        stages.append(Stage(at, at + seconds, rate))
        at += seconds
    return tuple(stages)


def _steady(rate: int, seconds: int) -> Shape:
    return Shape(_stages((seconds, rate)))


def _soak(rate: int, minutes: int) -> Shape:
    return Shape(_stages((minutes * 60, rate)))


def _step(first: int, step: int, last: int, seconds: int) -> Shape:
    return Shape(_stages(*((seconds, rate) for rate in range(first, last + 1, step))), searching=True)


def _spike(rate: int, peak: int, before: int, during: int, after: int) -> Shape:
    return Shape(_stages((before, rate), (during, peak), (after, rate)))


def _replay(file: Path) -> Shape:
    rows = tuple(recorded(file))
    if not rows:
        raise ValueError(f"{file.name}: no arrivals")
    return Shape((Stage(0, rows[-1].offset + 1, 0),), recording=rows)


_KINDS: dict[str, Callable[..., Shape]] = {
    "steady": _steady,
    "soak": _soak,
    "step": _step,
    "spike": _spike,
    "replay": _replay,
}
