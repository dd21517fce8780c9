"""Schedules: the loop is open. Clock and sleep are the test's own; nothing here waits."""

import itertools
import math
import random
from pathlib import Path

import pytest

from loadtest.arrivals import Arrival, drive, even, poisson, quantile, recorded


class Clock:
    """Time that passes when somebody sleeps, or when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def test_what_is_due_begins_when_it_is_due() -> None:
    clock, begun = Clock(), list[tuple[float, float]]()
    drive([0.5, 0.75, 2.0], 100.0, clock, clock.sleep, lambda due: begun.append((due, clock.now)))
    assert begun == [(100.5, 100.5), (100.75, 100.75), (102.0, 102.0)]


def test_a_stall_of_the_caller_leaves_nothing_out_and_everything_due_when_it_was() -> None:
    """The second start takes two seconds: what was due meanwhile begins at once, and late by its own lateness."""
    clock, late = Clock(), list[float]()

    def start(due: float) -> None:
        late.append(clock.now - due)
        if len(late) == 2:
            clock.now += 2.0

    drive(itertools.islice(even(4), 12), 100.0, clock, clock.sleep, start)
    assert late == [0, 0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25, 0, 0, 0]


def test_arrivals_are_independent_and_as_many_as_asked_for() -> None:
    """Exponential gaps: mean 1 / rate, and a standard deviation as large. Bounds of five standard errors, seed fixed."""
    offsets = list(itertools.islice(poisson(200, random.Random(1)), 20_000))
    gaps = [after - before for before, after in itertools.pairwise([0.0, *offsets])]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert abs(mean * 200 - 1) < 5 / math.sqrt(len(gaps))
    assert abs(spread * 200 - 1) < 0.1
    assert offsets == list(itertools.islice(poisson(200, random.Random(1)), 20_000))


def test_a_recording_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "morning.csv"
    file.write_text("offset_ms,kind\n0,single\n250,quote\n250,single\n")
    assert recorded(file) == [Arrival(0.0, "single"), Arrival(0.25, "quote"), Arrival(0.25, "single")]


# the file | what is said
WRONG = {
    "": "the first line is offset_ms,kind",
    "offset_ms,kind\nsoon,single\n": "morning.csv:2: milliseconds and a kind of user",
    "offset_ms,kind\n0,single\n-1,single\n": "morning.csv:3",
    "offset_ms,kind\n5,single\n4,single\n": "arrivals are not in order",
}


@pytest.mark.parametrize("content", WRONG)
def test_a_wrong_recording_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "morning.csv").write_text(content)
    with pytest.raises(ValueError, match=WRONG[content]):
        recorded(tmp_path / "morning.csv")


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [quantile(values, q) for q in (0.5, 0.99, 0.999, 1.0)] == [50, 99, 100, 100]
    assert quantile([7.0], 0.01) == 7
    assert math.isnan(quantile([], 0.5))
