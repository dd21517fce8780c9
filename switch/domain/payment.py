"""Our record of a payment, its states, and what a hold reserves."""

from enum import Enum
from typing import Final, NamedTuple

from switch.domain.instruction import Instruction
from switch.domain.position import Entry
from switch.errors import REASONS, Refused

__all__ = ["TRANSITIONS", "Hold", "LimitCharge", "Payment", "State", "Transition", "kept_refusal"]


class State(Enum):
    """Where a payment is. The value is the byte the store keeps."""

    PREPARED = "P"  # position and limits reserved; the rail may have been asked
    COMMITTED = "C"  # final: the creditor has the money
    ABORTED = "A"  # final: nothing was paid, everything reserved was released
    IN_DOUBT = "D"  # the rail was asked and did not answer; the hold stays until it does

    @property
    def final(self) -> bool:
        return not TRANSITIONS[self]


# The only moves there are; the store's scripts are tested against this table.
TRANSITIONS: Final[dict[State, tuple[State, ...]]] = {
    State.PREPARED: (State.COMMITTED, State.ABORTED, State.IN_DOUBT),
    State.IN_DOUBT: (State.COMMITTED, State.ABORTED),
    State.COMMITTED: (),
    State.ABORTED: (),
}


class LimitCharge(NamedTuple):
    """What one payment uses of one person limit."""

    limit_id: str
    counter: str  # limit_id | institution | keyed hash of the identity; holds no personal value
    period_key: str  # "d20261123" or "y2026", Hong Kong time
    expiry_time_ms: int  # after this the counter may be forgotten
    amount_minor: int
    max_minor: int


class Hold(NamedTuple):
    """What a payment reserves, and all that recovery needs to ask the rail and to end it."""

    instruction: Instruction
    corridor_id: str
    rail: str
    entries: tuple[Entry, ...]
    charges: tuple[LimitCharge, ...]
    prepared_time_ms: int
    overdue_time_ms: int  # after this, recovery takes over
    masked: bool = False  # personal values are keyed hashes: a final payment that came back from the log

    @property
    def uetr(self) -> str:
        return self.instruction.uetr

    @property
    def participant(self) -> str:
        return self.instruction.participant


class Transition(NamedTuple):
    """One step of a payment's history."""

    state: State
    time_ms: int
    reason: str = ""  # a name of REASONS when ABORTED
    rail_code: str = ""  # the rail's own word, or "" when the rail was not asked
    rail_reference: str = ""  # the rail's id of the accepted payment (FPS ClrSysRef, trade_no, dcep MsgId)
    figures: tuple[tuple[str, str], ...] = ()  # limit, left, reset: what a refusal tells the caller


class Payment(NamedTuple):
    """A hold and what became of it. `history[-1]` is where it stands."""

    hold: Hold
    history: tuple[Transition, ...]

    @property
    def state(self) -> State:
        return self.history[-1].state

    @property
    def instruction(self) -> Instruction:
        return self.hold.instruction

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries that count: none unless committed."""
        return self.hold.entries if self.state is State.COMMITTED else ()


def kept_refusal(payment: Payment) -> Refused | None:
    """The refusal of a payment that was refused in the store before any rail was asked (cap, limits, quote).

    It is kept: a repeat of the request gets the same words. A refusal by the rail is an ABORTED payment instead.
    """
    last = payment.history[-1]
    if last.state is not State.ABORTED or REASONS[last.reason].grpc == "ABORTED":
        return None
    figures = dict(last.figures)
    return Refused(last.reason, field=figures.pop("field", ""), figures=figures)
