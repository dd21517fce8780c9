"""Who may begin a payment now: as many as the switch ends quickly, and of those nobody more than its share.

How many places there are follows what they cost. What a payment waits for in front of its rail is only us: the event loop
and the store. When even the shortest wait of a while is too long, a queue stands that no burst explains (as CoDel has it,
RFC 8289), and there are fewer places, at once by a quarter; while all are taken and waits are short, there are more. How
long rails take does not count: slow banks must not cost the quick ones their places.

A share is an equal part of the places for everybody who was active of late, so one alone has them all. Who is within its
share never waits for who is not, and somebody's flood gives nobody more places: only when all are taken there are more.

Pure: no clock and no I/O; every call is O(1). What is kept is a number per participant that was active of late.
"""

from switch.limits import (
    ADMISSION_ACTIVE_MS,
    ADMISSION_LOOK_MS,
    ADMISSION_PLACES_FIRST,
    ADMISSION_PLACES_MIN,
    ADMISSION_WAIT_MS_MAX,
    PAYMENTS_IN_FLIGHT_MAX,
)

__all__ = ["Admission"]

_FEWER_BY = 4  # a quarter
_MORE_BY = 8  # an eighth: twice as many after six looks
_OVER = 2  # who is within its share finds a place up to so many times the places: others overshot by their batches


class Admission:
    """One per process. Ask `has_room`, then say `entered`; each payment that entered has `left` once."""

    def __init__(self) -> None:
        self._places = ADMISSION_PLACES_FIRST
        self._under_way = 0
        self._most = 0  # under way since the last look
        self._of: dict[str, int] = {}
        self._active: set[str] = set()  # who came in this while
        self._active_before = 0  # how many had something under way, or came, in the while before
        self._active_ms = 0  # when this while began
        self._shortest_ms: int | None = None
        self._looked_ms = 0

    @property
    def places(self) -> int:
        """Payments that may be under way now."""
        return self._places

    @property
    def under_way(self) -> int:
        """Payments that entered and have not left."""
        return self._under_way

    def has_room(self, participant: str) -> bool:
        """Whether it may begin something now, one payment or a batch: it is let in whole, so one of any size finds a
        place at rest. Who is refused is active, too.
        """
        self._active.add(participant)
        mine, sharers = self._of.get(participant, 0), max(len(self._active), len(self._of), self._active_before)
        return mine * sharers < self._places and self._under_way < _OVER * self._places

    def entered(self, participant: str, count: int = 1) -> None:
        """So many of its payments have begun."""
        self._of[participant] = self._of.get(participant, 0) + count
        self._under_way += count
        self._most = max(self._most, self._under_way)

    def left(self, participant: str) -> None:
        """One of its payments has ended, however."""
        left = self._of[participant] - 1
        self._under_way -= 1
        if left:
            self._of[participant] = left
        else:
            del self._of[participant]

    def prepared(self, waited_ms: int, now_ms: int) -> None:
        """The store has reserved for a payment that entered `waited_ms` ago. A clock that jumps costs one look."""
        if self._shortest_ms is None or waited_ms < self._shortest_ms:
            self._shortest_ms = waited_ms
        if not 0 <= now_ms - self._looked_ms < ADMISSION_LOOK_MS:
            self._look(now_ms, self._shortest_ms)
        if not 0 <= now_ms - self._active_ms < ADMISSION_ACTIVE_MS:
            self._active_before, self._active_ms = max(len(self._active), len(self._of)), now_ms
            self._active.clear()

    def _look(self, now_ms: int, shortest_ms: int) -> None:
        """Fewer places than were taken when a queue stands; more when all were taken and none does."""
        taken = min(self._places, self._most)
        if shortest_ms > ADMISSION_WAIT_MS_MAX:
            self._places = max(taken - taken // _FEWER_BY, ADMISSION_PLACES_MIN)
        elif taken > self._places - self._places // _MORE_BY:
            self._places = min(self._places + self._places // _MORE_BY, PAYMENTS_IN_FLIGHT_MAX)
        self._looked_ms, self._shortest_ms, self._most = now_ms, None, self._under_way
