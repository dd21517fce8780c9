"""What every part of a run uses while it runs: CPU, memory, open files; read from /proc once a second."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from loadtest.looks import Looks
from loadtest.measure import cpu_ms

__all__ = ["Sample", "Sampler", "family", "slope_per_minute", "used_cpu_ms"]

PERIOD_SECONDS: Final = 1.0
_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024


class Sample(NamedTuple):
    """One look at one part, all its processes together. `at_ms` of the machine's monotonic clock; CPU since it began."""

    at_ms: int
    part: str
    cpu_ms: int
    memory_kib: int
    descriptors: int


def family(pid: int) -> list[int]:
    """A process and all it has begun, and what those have."""
    found = [pid]
    for each in found:  # grows while it is walked
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _look(part: str, pids: Iterable[int], at_ms: int) -> Sample:
    """A process that has just ended counts nothing."""
    cpu = memory = descriptors = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            cpu += round(cpu_ms([pid]))
            memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB
            descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(at_ms, part, cpu, memory, descriptors)


class Sampler(Looks):
    """Looks at every part once a second while the block runs. `parts`: name -> pids, asked anew each time."""

    def __init__(self, parts: Callable[[], Mapping[str, list[int]]]) -> None:
        super().__init__("sampler", PERIOD_SECONDS)
        self.samples: list[Sample] = []
        self._parts = parts

    def look(self) -> None:
        """One look at every part, now."""
        at_ms = round(time.perf_counter() * 1000)
        self.samples += [_look(part, pids, at_ms) for part, pids in self._parts().items()]


def used_cpu_ms(samples: Iterable[Sample], part: str) -> int:
    """CPU of one part from its first sample on; a process that ends takes its count along, hence the greatest."""
    mine = [each.cpu_ms for each in samples if each.part == part]
    return max(mine) - mine[0] if mine else 0


def slope_per_minute(points: Iterable[tuple[int, int]]) -> float:
    """Least squares over (ms, value): how much the value grows in a minute. 0 with fewer than two points."""
    found = list(points)
    if len(found) < 2:
        return 0.0
    mean_x = sum(x for x, _ in found) / len(found)
    mean_y = sum(y for _, y in found) / len(found)
    over = sum((x - mean_x) ** 2 for x, _ in found)
    return 60_000 * sum((x - mean_x) * (y - mean_y) for x, y in found) / over if over else 0.0
