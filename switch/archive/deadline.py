"""When the call that this thread works for is over. The drivers ask, wherever they wait."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["overdue", "within"]


class _Call(threading.local):
    end_ns: int | None = None


_CALL = _Call()


@contextmanager
def within(end_ns: int) -> Iterator[None]:
    """What this thread does in the block is to end at `end_ns` of time.monotonic_ns."""
    _CALL.end_ns = end_ns
    try:
        yield
    finally:
        _CALL.end_ns = None


def overdue() -> bool:
    """Nobody waits for this thread's work any more. False outside of a call."""
    return _CALL.end_ns is not None and time.monotonic_ns() > _CALL.end_ns
