"""What the path of a payment and its calls tell of themselves, for who watches a switch. switch.metrics implements it.

api.gate      calls                  began and ended, once per call
api services          stage PARSE            wire to instruction, well or not
engine.payments       stage ROUTE            from there to the hold, or to the refusal
                      stage STORE            around store.prepare
                      rail                   around rail.prepare, with what it answered
                      stage COMMIT           around store.commit, abort and doubt
                      payment                after each of those, and after a prepare that keeps a refusal
                      refused                when a refusal leaves no trace
engine.recovery       rail                   around rail.enquire and rail.abort
                      payment                after store.commit and store.abort, without a beginning
"""

from enum import IntEnum
from typing import Protocol

from switch.domain.payment import Hold, Transition

__all__ = ["UNMETERED", "CallMeter", "Meter", "Stage"]


class Stage(IntEnum):
    """One part of the path of a payment, in its order. RAIL is told by `Meter.rail`, which also knows which one.

    On the path, bind the members to names of the module: looking one up costs as much as counting it.
    """

    PARSE = 0  # the caller's bytes or message become an instruction
    ROUTE = 1  # rules, quote, entries: until there is a hold to reserve
    STORE = 2  # reserve: the store's answer to prepare
    RAIL = 3  # ask: the rail's answer to prepare
    COMMIT = 4  # make final, or doubtful: the store's answer


class CallMeter(Protocol):
    """The calls of one method."""

    def began(self) -> int:
        """Count a call. Returns when it began, for `ended`."""
        ...

    def ended(self, began_ns: int, status: str, reason: str = "") -> None:
        """`status`: name of the gRPC status the caller got. `reason`: of the catalogue, when it was refused."""
        ...


class Meter(Protocol):
    """Called on the path: never raises, never waits, and takes well under a microsecond.

    Times are nanoseconds of a clock of the meter's own, which never steps: what one method returned is what the next
    one takes as `since_ns`. `count`: payments that went through it together; each has taken the whole time.
    """

    def now_ns(self) -> int:
        """Where a first `since_ns` comes from."""
        ...

    def stage(self, stage: Stage, since_ns: int, count: int = 1) -> int:
        """A stage that began at `since_ns` ends now, well or not. Returns now."""
        ...

    def rail(self, rail: str, call: str, outcome: str, since_ns: int, count: int = 1) -> int:
        """A rail has answered. Returns now.

        call: prepare, enquire, abort. outcome: done, refused, silent, unavailable; never_seen and working of an enquiry.
        """
        ...

    def payment(self, hold: Hold, step: Transition, since_ns: int = 0) -> None:
        """This process has moved a payment to COMMITTED, ABORTED or IN_DOUBT. `since_ns` 0: its duration is not ours."""
        ...

    def refused(self, reason: str, count: int = 1) -> None:
        """An instruction was refused and left no trace."""
        ...

    def calls(self, method: str) -> CallMeter:
        """The meter of one method, e.g. "bayswitch.v1.PaymentService/SubmitPayment". Asked for once per method."""
        ...


class _Unmetered:
    """Nobody watches."""

    def now_ns(self) -> int:
        return 0

    def stage(self, stage: Stage, since_ns: int, count: int = 1) -> int:
        return 0

    def rail(self, rail: str, call: str, outcome: str, since_ns: int, count: int = 1) -> int:
        return 0

    def payment(self, hold: Hold, step: Transition, since_ns: int = 0) -> None:
        """Not counted."""

    def refused(self, reason: str, count: int = 1) -> None:
        """Not counted."""

    def calls(self, method: str) -> CallMeter:
        return self

    def began(self) -> int:
        return 0

    def ended(self, began_ns: int, status: str, reason: str = "") -> None:
        """Not counted."""


UNMETERED: Meter = _Unmetered()
