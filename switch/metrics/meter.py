"""ports.Meter in plain numbers: nothing here knows how they are shown.

What has a label has a bound: methods are the contract's, statuses gRPC's, reasons the catalogue's, rails those of the
settings. Corridors are the operator's, up to a hundred thousand: those that come after the first METRIC_CORRIDORS_MAX
are counted together as "other".
"""

from time import perf_counter_ns
from typing import Final

from switch.domain.payment import Hold, State, Transition
from switch.limits import METRIC_CORRIDORS_MAX
from switch.metrics.buckets import Buckets, Powers
from switch.ports import CallMeter, Stage

__all__ = ["OTHER", "Corridor", "MethodCalls", "PathMeter"]

OTHER: Final = "other"  # the label of corridors beyond the bound
_COMMITTED: Final = State.COMMITTED
_OK: Final = "OK"
_PAYMENT_BITS: Final = (20, 34)  # 1 ms .. 17 s: fewer, where there is a series per corridor


class MethodCalls:
    """ports.CallMeter: the calls of one method. The attributes are read by a scrape."""

    __slots__ = ("_ok", "reasons", "started", "statuses")

    def __init__(self) -> None:
        self.started = 0
        self._ok = Buckets()
        self.statuses: dict[str, Buckets] = {_OK: self._ok}
        self.reasons: dict[str, int] = {}

    def began(self) -> int:
        """Count a call. Returns when it began."""
        self.started += 1
        return perf_counter_ns()

    def ended(self, began_ns: int, status: str, reason: str = "") -> None:
        """The call has ended with this gRPC status, and when it was refused for this reason."""
        elapsed_ns = perf_counter_ns() - began_ns
        if status == _OK:
            self._ok.add(elapsed_ns)
            return
        buckets = self.statuses.get(status)
        if buckets is None:
            buckets = self.statuses[status] = Buckets()
        buckets.add(elapsed_ns)
        if reason:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


class Corridor:
    """The payments of one corridor over one rail."""

    __slots__ = ("committed", "durations", "others")

    def __init__(self) -> None:
        self.committed = 0
        self.others: dict[tuple[str, str], int] = {}  # state, reason: all that is not COMMITTED
        self.durations = Powers(*_PAYMENT_BITS)  # of those whose beginning we saw


class PathMeter:
    """ports.Meter of one process. The attributes are read by a scrape.

    Durations are counted in place: a call of `add` costs as much as the counting.
    """

    def __init__(self) -> None:
        self.stages = tuple(Powers() for _ in Stage)  # RAIL stays empty here: see `stage_durations`
        self.rails: dict[tuple[str, str, str], Powers] = {}  # rail, call, outcome
        self.corridors: dict[tuple[str, str], Corridor] = {}  # corridor, rail
        self.refusals: dict[str, int] = {}  # reason
        self.methods: dict[str, MethodCalls] = {}

    def now_ns(self) -> int:
        """A clock that never steps."""
        return perf_counter_ns()

    def stage(self, stage: Stage, since_ns: int, count: int = 1) -> int:
        """A stage that began at `since_ns` ends now. Returns now."""
        now_ns = perf_counter_ns()
        elapsed_ns, durations = now_ns - since_ns, self.stages[stage]
        durations.counts[elapsed_ns.bit_length()] += count
        durations.total += elapsed_ns * count
        return now_ns

    def rail(self, rail: str, call: str, outcome: str, since_ns: int, count: int = 1) -> int:
        """A rail has answered. Returns now."""
        now_ns, key = perf_counter_ns(), (rail, call, outcome)
        try:
            durations = self.rails[key]
        except KeyError:
            durations = self.rails[key] = Powers()
        elapsed_ns = now_ns - since_ns
        durations.counts[elapsed_ns.bit_length()] += count
        durations.total += elapsed_ns * count
        return now_ns

    def payment(self, hold: Hold, step: Transition, since_ns: int = 0) -> None:
        """A payment has moved to COMMITTED, ABORTED or IN_DOUBT."""
        key = (hold.corridor_id, hold.rail)
        try:
            corridor = self.corridors[key]
        except KeyError:
            corridor = self._corridor(*key)
        if step.state is _COMMITTED:
            corridor.committed += 1
        else:
            outcome = (step.state.name, step.reason)
            corridor.others[outcome] = corridor.others.get(outcome, 0) + 1
        if since_ns:
            elapsed_ns, durations = perf_counter_ns() - since_ns, corridor.durations
            durations.counts[elapsed_ns.bit_length()] += 1
            durations.total += elapsed_ns

    def _corridor(self, corridor: str, rail: str) -> Corridor:
        """One seen for the first time, or what all share that came too late to have their own."""
        key = (corridor if len(self.corridors) < METRIC_CORRIDORS_MAX else OTHER, rail)
        found = self.corridors.get(key)
        if found is None:
            found = self.corridors[key] = Corridor()
        return found

    def refused(self, reason: str, count: int = 1) -> None:
        """An instruction was refused and left no trace."""
        self.refusals[reason] = self.refusals.get(reason, 0) + count

    def calls(self, method: str) -> CallMeter:
        """The meter of one method; the same one each time."""
        return self.methods.setdefault(method, MethodCalls())

    def stage_durations(self) -> list[tuple[str, Powers]]:
        """Every stage's name and durations; RAIL is the sum over the rails that were asked to pay."""
        asked = Powers()
        for (_, call, _), durations in self.rails.items():
            if call == "prepare":
                asked.merge(durations)
        return [(stage.name.lower(), asked if stage is Stage.RAIL else self.stages[stage]) for stage in Stage]

    def outcomes(self) -> list[tuple[tuple[str, str, str, str], int]]:
        """Corridor, rail, state and reason of all payments that moved, and how many."""
        found = []
        for (corridor, rail), each in self.corridors.items():
            if each.committed:
                found.append(((corridor, rail, _COMMITTED.name, ""), each.committed))
            found += [((corridor, rail, *outcome), count) for outcome, count in each.others.items()]
        return found
