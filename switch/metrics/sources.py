"""The families that come from this package's own numbers."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from switch.metrics.buckets import Buckets
from switch.metrics.families import made
from switch.metrics.meter import PathMeter

__all__ = ["call_families", "loop_families", "path_families"]


def call_families(meter: PathMeter) -> Iterator[Metric]:
    """The calls of every method that was called since the start."""
    called = [(method, calls) for method, calls in meter.methods.items() if calls.started]
    yield from made("grpc_server_call_started_total", [((method,), calls.started) for method, calls in called])
    ended = [
        ((method, status), buckets)
        for method, calls in called
        for status, buckets in calls.statuses.items()
        if any(buckets.counts)
    ]
    yield from made("grpc_server_call_duration_seconds", ended)
    reasons = [((method, reason), count) for method, calls in called for reason, count in calls.reasons.items()]
    yield from made("bayswitch_calls_refused_total", reasons)


def path_families(meter: PathMeter) -> Iterator[Metric]:
    """The path of payments: its stages, the rails, what became of them."""
    yield from made("bayswitch_stage_duration_seconds", [((name,), each) for name, each in meter.stage_durations()])
    yield from made("bayswitch_rail_duration_seconds", list(meter.rails.items()))
    yield from made("bayswitch_payments_total", meter.outcomes())
    timed = [(names, each.durations) for names, each in meter.corridors.items()]
    yield from made("bayswitch_payment_duration_seconds", timed)
    refused = [((reason,), count) for reason, count in meter.refusals.items()]
    yield from made("bayswitch_instructions_refused_total", refused)


def loop_families(delays: Buckets) -> Iterator[Metric]:
    """How late the event loop wakes who sleeps."""
    yield from made("bayswitch_loop_delay_seconds", [((), delays)])
