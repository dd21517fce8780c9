"""The flows. The only place with control flow; it knows ports, never a library."""

from switch.engine.directory import Directory, RouteOption
from switch.engine.paces import Paces
from switch.engine.payments import Payments, Running, Submitted
from switch.engine.quotes import Fee, QuoteRequest, Quotes
from switch.engine.recovery import Recovery, RecoveryTimes
from switch.engine.settlement import Settlement
from switch.engine.watch import Watch
from switch.engine.window_schedule import WindowSchedule

__all__ = [
    "Directory",
    "Fee",
    "Paces",
    "Payments",
    "QuoteRequest",
    "Quotes",
    "Recovery",
    "RecoveryTimes",
    "RouteOption",
    "Running",
    "Settlement",
    "Submitted",
    "Watch",
    "WindowSchedule",
]
