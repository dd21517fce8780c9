"""Kafka's classes, read and checked once: with them in one file of the JVM a broker starts for half of the CPU.

The file (an archive of class data, JEP 350) is written at its end by a broker that is started for nothing else: about ten
seconds, once for each version of Kafka and of Java. A JVM that finds it unfit passes it over.
"""

import fcntl
import shutil
import tempfile
import time
import zlib
from pathlib import Path

from deploy.local.node import KafkaFailed, Node, new_cluster_id

__all__ = ["shared_classes"]

READY_SECONDS_MAX = 60
WRITE_SECONDS_MAX = 60  # a few, and a busy machine takes its time


def shared_classes(jars: Path) -> Path | None:
    """The file for these jars and the Java on the path, made beside them when it is not there. Safe to call at once.

    None when the broker that should write it does not start or does not write it: the next call tries again.
    """
    made = jars.with_name(f"{jars.name}-{_java():08x}.jsa")
    if made.is_file():
        return made
    with (jars.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_file():  # another process made it while we waited
            with tempfile.TemporaryDirectory(dir=jars.parent, prefix=".half-") as half:
                written = Path(half) / made.name
                try:
                    _write(written, jars, Path(half) / "node")
                    written.rename(made)
                except (KafkaFailed, OSError):  # without it a start takes longer; one that fails says itself why
                    return None
    return made


def _write(file: Path, jars: Path, folder: Path) -> None:
    node = Node(1, folder, jars)
    node.configure([node], quick=True)
    node.format(new_cluster_id())
    try:
        node.start(f"-XX:ArchiveClassesAtExit={file}")
        node.await_ready(1, time.monotonic() + READY_SECONDS_MAX)
    finally:
        node.stop(WRITE_SECONDS_MAX)


def _java() -> int:
    """Another number for another Java on the path."""
    found = Path(shutil.which("java") or "").resolve()
    return zlib.crc32(f"{found} {found.stat().st_mtime_ns}".encode())
