"""How many payments a second one institution may begin here, as agreed with it: what it may be sure of is also its end.

Admission shares out what is there among those who want it, and so lends one what others leave. Whoever must not notice what
a neighbour does needs the neighbour bounded before anything is short; that is this.

The rule is GCRA (ITU-T I.371): each payment lasts 1 / pace of a second, payments stand behind each other, and as long as
less than PACE_AHEAD_MS stands before now the next is let in. A batch is let in whole and lasts as long as its payments do,
so in the long run nobody is faster than agreed, whatever it sends in one go.

Pure: no clock and no I/O; O(1). What is kept is a number per bounded institution.
"""

from collections.abc import Mapping

from switch.limits import PACE_AHEAD_MS
from switch.rules import PACE_OF_ALL

__all__ = ["Paces"]

_NS_PER_MS = 1_000_000
_NS_PER_SECOND = 1_000_000_000


class Paces:
    """One per process. Ask `wait_ms`, then say `began`."""

    def __init__(self, per_second: Mapping[str, int]) -> None:
        """`per_second`: participant -> payments a second, PACE_OF_ALL for everybody else; 0 or no row: not bounded."""
        self._per_second = per_second
        self._busy_until_ns: dict[str, int] = {}

    def change(self, per_second: Mapping[str, int]) -> None:
        """From now on these; what has begun counts as it did."""
        self._per_second = per_second

    def wait_ms(self, participant: str, now_ms: int) -> int:
        """0: it may begin something now, one payment or a batch. Else how long it has to wait."""
        if not self._pace(participant):
            return 0
        ahead_ns = self._busy_until_ns.get(participant, 0) - (now_ms + PACE_AHEAD_MS) * _NS_PER_MS
        return max(-(-ahead_ns // _NS_PER_MS), 0)

    def began(self, participant: str, count: int, now_ms: int) -> None:
        """So many of its payments have begun."""
        pace = self._pace(participant)
        if pace:
            busy_until_ns = max(self._busy_until_ns.get(participant, 0), now_ms * _NS_PER_MS)
            self._busy_until_ns[participant] = busy_until_ns + count * _NS_PER_SECOND // pace

    def _pace(self, participant: str) -> int:
        pace = self._per_second.get(participant)
        return self._per_second.get(PACE_OF_ALL, 0) if pace is None else pace
