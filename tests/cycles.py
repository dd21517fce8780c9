"""What a piece of work leaves for the cycle collector, which makes everybody wait."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["left_in_cycles"]


@contextmanager
def left_in_cycles() -> Iterator[list[Any]]:
    """What the block leaves in cycles; filled once it has ended."""
    left: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
