"""Metrics, and the only place that knows Prometheus: what is measured, how it is shown, the admin port.

The path calls ports.Meter; `PathMeter` keeps plain numbers. A scrape turns them into families, with what the
composition root reads from the parts and asks of the store. `families.TABLE` lists all that is exposed.

No personal value is in a label: methods, statuses, reasons, rails, corridors and institutions only, each bounded.
"""

from prometheus_client.core import Metric

from switch.metrics.admin import Admin
from switch.metrics.buckets import Buckets
from switch.metrics.families import FAMILIES, LIBRARY_FAMILIES, Row, Sizes, made
from switch.metrics.loop_delay import watch_loop
from switch.metrics.meter import PathMeter
from switch.metrics.process import process_families
from switch.metrics.scrape import Ask, Scrape, Source
from switch.metrics.sources import call_families, loop_families, path_families

__all__ = [
    "FAMILIES",
    "LIBRARY_FAMILIES",
    "Admin",
    "Ask",
    "Buckets",
    "Metric",
    "PathMeter",
    "Row",
    "Scrape",
    "Sizes",
    "Source",
    "call_families",
    "loop_families",
    "made",
    "path_families",
    "process_families",
    "watch_loop",
]
