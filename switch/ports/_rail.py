"""What the engine asks of a payment network."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from switch.domain.instruction import Instruction
from switch.domain.payment import Hold, Payment

__all__ = ["Answered", "Enquiry", "InboundHandler", "Outcome", "Rail", "RailAck"]


class RailAck(NamedTuple):
    """The rail accepted: the creditor has the money, finally."""

    rail_reference: str  # the rail's own id of the payment, <= 64
    rail_code: str = ""  # the rail's own word for "done" (ACSC, PR00, 10000)


# The place of a hold in what was asked, and what the rail said of it: an error as `prepare` raises it.
Answered = tuple[int, RailAck | Exception]


class Outcome(Enum):
    """What a rail says when asked about a UETR."""

    DONE = "done"
    REFUSED = "refused"
    NEVER_SEEN = "never seen"
    WORKING = "still working"


class Enquiry(NamedTuple):
    """Answer to `enquire`. `ack` only when DONE; `reason` and `rail_code` only when REFUSED.

    `rail_time_ms` only when NEVER_SEEN: the rail's own clock when it said so, 0 when its answers do not tell. What it
    had not seen then, it may have seen since, unless our message was too old for it already.
    """

    outcome: Outcome
    ack: RailAck | None = None
    reason: str = ""
    rail_code: str = ""
    rail_time_ms: int = 0


# A payment that came from a rail: the handler runs it through the engine and says how it ended.
# An ABORTED payment carries the reason; an exception of ours means "no answer yet", and the rail will ask again.
InboundHandler = Callable[[Instruction], Awaitable[Payment]]


class Rail(Protocol):
    """One payment network. Stateless but for its links: all state of a payment is in the store.

    The promises below are a suite, adapters/conformance.py, that every rail passes.
    """

    name: str

    async def start(self) -> None:
        """Open the links. Returns when the rail can be asked, or after its budget: a rail may be down at start."""
        ...

    async def close(self) -> None:
        """Close the links. What waits for an answer gets RailSilent."""
        ...

    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        """Ask the rail to pay the creditor of `hold`, in this rail's own message.

        Safe to repeat: the rail de-duplicates on the UETR and answers a repeat with the first outcome. After a
        cancel, or RailSilent, the outcome is unknown: only `enquire` tells. Never takes longer than `budget_ms`.

        Raises:
            RailRejected: final; carries our reason and the rail's code.
            RailUnavailable: nothing was sent.
            RailSilent: something may have been sent; no answer, or none that can be read and trusted.
        """
        ...

    def prepare_all(self, holds: Sequence[Hold], budget_ms: int) -> AsyncGenerator[list[Answered], None]:
        """`prepare` of each, written together, and answered as the answers come: each hold once, several at a time.

        The trouble of one is its own answer. Ended early, what has no answer yet is as after a cancel.
        """
        ...

    async def enquire(self, hold: Hold, budget_ms: int) -> Enquiry:
        """Ask what became of the UETR of `hold` (pacs.028, dcep.411, alipay .query). Changes nothing; safe to repeat.

        Raises:
            RailUnavailable, RailSilent: ask again later; silence is never a refusal.
        """
        ...

    async def abort(self, hold: Hold, budget_ms: int) -> Enquiry:
        """Make sure that a payment the rail has never seen stays unpaid, and say what is now true for ever.

        Called only when `enquire` said NEVER_SEEN and our message is older than the rail takes (so that one still
        under way is refused on arrival). A rail with a cancel call uses it. DONE: it has paid after all; commit.
        REFUSED or NEVER_SEEN: it never will. WORKING: not sure yet; enquire again. Safe to repeat.

        Raises:
            RailUnavailable, RailSilent: nothing is known; ask again later.
        """
        ...

    def listen(self, handler: InboundHandler) -> None:
        """Take payments that come from this rail. Called once, before `start`."""
        ...
