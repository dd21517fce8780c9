"""When the interpreter looks for cycles of dead objects: rarely, for a server that makes none on its path."""

import gc
from typing import Final

__all__ = ["collect_rarely"]

# Tens of thousands of values live for the milliseconds of a batch. By default every 700th new one starts a search, which
# finds them all alive: a fifth of the switch's time (loadtest/README.md). Cycles come from errors and ended calls; they
# wait for a search after 50,000 values, and those that survive two, for one in 20 and one in 100 times as many.
_YOUNG: Final = 50_000
_MIDDLE: Final = 20
_OLD: Final = 100


def collect_rarely() -> None:
    """For a process that serves, once it has started: what exists now lives on and is never searched. Safe to repeat."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
