"""What prometheus_client knows of a process by itself: memory, CPU, file descriptors, garbage collections."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import CollectorRegistry

__all__ = ["process_families"]

_REGISTRY: Final = CollectorRegistry()  # ours: the library's own is shared with whatever else is imported
_COLLECTORS: Final = (ProcessCollector(registry=_REGISTRY), GCCollector(registry=_REGISTRY))


def process_families() -> Iterable[Metric]:
    """The families, as they are now."""
    for collector in _COLLECTORS:
        yield from collector.collect()
