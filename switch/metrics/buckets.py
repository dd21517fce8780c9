"""Durations counted between bounds: plain integers, cheap to add to, read when somebody scrapes."""

from bisect import bisect_left
from typing import Final

__all__ = ["CALL_BOUNDS_NS", "Buckets", "Powers"]

_US, _MS, _S = 1_000, 1_000_000, 1_000_000_000
_BITS: Final = 65  # of any number of nanoseconds that a clock can show
# The latency buckets of gRPC's A66, so that dashboards made for other servers fit.
CALL_BOUNDS_NS: Final = (
    *(0, 10 * _US, 50 * _US, 100 * _US, 300 * _US, 600 * _US, 800 * _US),
    *(n * _MS for n in (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30, 40, 50, 65, 80)),
    *(n * _MS for n in (100, 130, 160, 200, 250, 300, 400, 500, 650, 800)),
    *(n * _S for n in (1, 2, 5, 10, 20, 50, 100)),
)


class Buckets:
    """How many values were at most each bound, and their sum. One thread adds and reads."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...] = CALL_BOUNDS_NS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # between the bounds; the last: beyond all
        self.total = 0

    def add(self, value: int, count: int = 1) -> None:
        """`count` values of this size."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.total += value * count


class Powers:
    """The same between powers of two: a third of the cost, for what is counted several times per payment.

    `counts[n]`: values of n bits, so less than 2**n. Of all of them only the bounds 2**low .. 2**high are shown.
    """

    __slots__ = ("counts", "high", "low", "total")

    def __init__(self, low: int = 12, high: int = 35) -> None:
        """The default, in nanoseconds: 4 us .. 34 s."""
        self.low = low
        self.high = high
        self.counts = [0] * _BITS
        self.total = 0

    def add(self, value: int, count: int = 1) -> None:
        """`count` values of this size."""
        self.counts[value.bit_length()] += count
        self.total += value * count

    def merge(self, other: "Powers") -> None:
        """Add all that the other has."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
