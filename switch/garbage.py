"""When the interpreter looks for cycles of dead objects: rarely, for a server that makes none on its path."""

import gc
from typing import Final

__all__ = ["collect_briefly", "collect_rarely"]

# By default every 700th new value starts a search, which finds what lives for the milliseconds of a batch alive: a fifth of
# the switch's time (loadtest/README.md). Twenty batches under way are 200,000 values. A call leaves no cycles
# (tests/api/test_no_cycles.py); what some library leaves waits for as many, and what survives two searches for 20 and 100
# times as many.
_YOUNG: Final = 200_000
_MIDDLE: Final = 20
_OLD: Final = 100
_FEW: Final = 10_000
_NEVER: Final = 1_000_000_000


def collect_rarely() -> None:
    """For a process that serves, once it has started: what exists now lives on and is never searched. Safe to repeat."""
    _search_from_now_on(_YOUNG, _MIDDLE, _OLD)


def collect_briefly() -> None:
    """For a process that keeps what it is told, a mock or a generator of load: only what is new is ever searched, a
    millisecond at a time. To find all it keeps alive would take a twentieth of a second, and longer each time.
    Safe to repeat.
    """
    _search_from_now_on(_FEW, _NEVER, _NEVER)


def _search_from_now_on(*thresholds: int) -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
