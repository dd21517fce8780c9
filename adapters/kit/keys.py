"""Sandbox keys on disk: switch and mock rail may both start first; exactly one of them makes the key."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["load_or_make"]


def load_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """The bytes of `path`; when there are none, `make()` is written there, readable by the owner alone.

    Safe between processes: an exclusive lock on a file beside it, and a rename, so nobody reads half a key.
    Repeats return the first bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # freed when the descriptor closes, so a killed maker blocks nobody
        if path.exists():
            return path.read_bytes()
        made = make()
        half = path.with_name(f".{path.name}.half")
        half.unlink(missing_ok=True)
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
        return made
    finally:
        os.close(lock)
