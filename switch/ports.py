"""What the engine asks of the world. The store, the rails and the broker implement these; tests do too."""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Rate
from switch.domain.payment import Hold, Payment, State
from switch.domain.position import Position
from switch.domain.quote import Quote, QuoteState
from switch.domain.settlement import SettlementFact

__all__ = [
    "Change",
    "Clock",
    "Durability",
    "Enquiry",
    "EventSink",
    "InboundHandler",
    "OutboxEntry",
    "Outcome",
    "Participant",
    "ParticipantChange",
    "ParticipantStore",
    "PaymentStore",
    "Prepared",
    "QuoteStore",
    "Rail",
    "RailAck",
]


class Clock(Protocol):
    """The time of day, so that the engine has none of its own. Waits are asyncio's, which never step back."""

    def now_ms(self) -> int:
        """Unix milliseconds, UTC. May step; never used to measure a wait."""
        ...


# --- rails -----------------------------------------------------------------------------------------------------------
class RailAck(NamedTuple):
    """The rail accepted: the creditor has the money, finally."""

    rail_reference: str  # the rail's own id of the payment, <= 64
    rail_code: str = ""  # the rail's own word for "done" (ACSC, PR00, 10000)


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


# --- store -----------------------------------------------------------------------------------------------------------
class Prepared(NamedTuple):
    """Answer to `prepare`. `fresh`: this call claimed the request; else `payment` is what was there before."""

    fresh: bool
    payment: Payment


class Change(NamedTuple):
    """One state change of one payment, in a participant's own order. `token` resumes after it."""

    token: str
    uetr: str
    state: State
    time_ms: int


class OutboxEntry(NamedTuple):
    """A final payment that the broker has not acknowledged. `entry_id` is the place in the shard's outbox."""

    shard: int
    entry_id: str
    fact: SettlementFact


class Durability(NamedTuple):
    """What the store's server says of itself, and what an acknowledged payment may therefore be promised."""

    server: str  # "valkey 9.1.2"
    appendonly: bool
    appendfsync: str  # always | everysec | no
    maxmemory_policy: str
    replicas: int
    cluster: bool
    promise: str  # one sentence for people


class PaymentStore(Protocol):
    """Payments, positions, person limits, outbox. Every call is one atomic step on one shard, safe to repeat.

    All raise StoreUnavailable when the server does not answer in STORE_CALL_MS_MAX; the step may then have been
    done, and a repeat finds it done.
    """

    async def prepare(self, hold: Hold, quote_id: str) -> Prepared:
        """Claim (participant, request_id) and the UETR, use the quote, reserve cap and limits, or do none of it.

        The first outcome is kept: a repeat returns it with fresh=False, whatever the body (the caller compares).
        A cap, limit or quote refusal is kept as an ABORTED payment whose history carries reason and figures.

        Raises:
            Refused: UETR_REUSED, PARTICIPANT_UNKNOWN, PARTICIPANT_SUSPENDED, QUOTE_UNKNOWN, QUOTE_MISMATCH; these
                leave no trace.
        """
        ...

    async def commit(self, hold: Hold, ack: RailAck, time_ms: int) -> Payment:
        """PREPARED | IN_DOUBT -> COMMITTED: entries booked, hold ended, outbox entry written. Repeats change nothing.

        A payment that is already final is returned as it is: the caller compares.
        """
        ...

    async def abort(self, hold: Hold, reason: str, rail_code: str, time_ms: int) -> Payment:
        """PREPARED | IN_DOUBT -> ABORTED: everything reserved is released, outbox entry written. As `commit`."""
        ...

    async def doubt(self, hold: Hold, time_ms: int) -> Payment:
        """PREPARED -> IN_DOUBT: the hold stays. A final payment is returned as it is."""
        ...

    async def get(self, participant: str, uetr: str) -> Payment | None:
        """The participant's own payment, or None."""
        ...

    async def get_by_request(self, participant: str, request_id: str) -> Payment | None:
        """The payment a request_id began, or None."""
        ...

    async def list_payments(
        self, participant: str, *, state: State | None, from_time_ms: int, to_time_ms: int, token: str, count: int
    ) -> tuple[list[Payment], str]:
        """Own payments in order of preparation, [from, to), at most `count`, and the token of the next page or ""."""
        ...

    async def changes(self, participant: str, token: str, count: int) -> list[Change]:
        """State changes after `token` ("" = from the beginning, "$" is not taken), oldest first, at most `count`."""
        ...

    async def changes_end(self, participant: str) -> str:
        """The token after which only what happens from now on comes."""
        ...

    async def overdue(self, before_time_ms: int, count: int) -> list[Payment]:
        """PREPARED and IN_DOUBT payments overdue before this, oldest first, over all shards."""
        ...

    async def reschedule(self, hold: Hold, overdue_time_ms: int) -> None:
        """Put the next look of recovery at this time. Nothing else changes; a final payment has no next look."""
        ...

    async def limit_use(self, participant: str, counters: Sequence[tuple[str, str]]) -> list[int]:
        """What is used of each (period_key, counter) at this participant, holds included; 0 where nothing is."""
        ...

    async def positions(self, participant: str = "") -> list[Position]:
        """Positions of one participant, or of all, summed over the shards."""
        ...

    async def holds(self) -> tuple[int, int]:
        """How many payments are PREPARED or IN_DOUBT, and prepared_time_ms of the oldest (0: none)."""
        ...

    async def outbox_read(self, shard: int, count: int) -> list[OutboxEntry]:
        """The oldest entries of a shard's outbox, not removed."""
        ...

    async def outbox_delete(self, entries: Sequence[OutboxEntry]) -> None:
        """Remove entries the broker has acknowledged."""
        ...

    async def outbox_depth(self) -> tuple[int, int]:
        """How many entries wait over all shards, and the time_ms of the oldest (0: none)."""
        ...

    @property
    def shards(self) -> int:
        """How many shards there are; fixed when the store was first used."""
        ...

    async def durability(self) -> Durability:
        """What the server says of its durability, asked now."""
        ...


class QuoteStore(Protocol):
    """Quotes and the headroom they hold at the FX provider."""

    async def create_quote(self, quote: Quote) -> None:
        """Reserve `quote.credit` at the provider and keep the quote. Raises Refused NO_RATE: no headroom there."""
        ...

    async def get_quote(self, participant: str, quote_id: str) -> tuple[Quote, QuoteState, str] | None:
        """The quote, its state at the server's time, and the UETR that used it or ""."""
        ...

    async def end_quotes(self, quotes: Sequence[Quote]) -> None:
        """Look at these now, not when they expire: their payments have ended. Safe to repeat; an open one stays."""
        ...

    async def release_quotes(self, now_ms: int, count: int) -> int:
        """End the holds of quotes that expired unused or whose payment aborted; book those that paid. How many."""
        ...


class Participant(NamedTuple):
    """An institution that joined the switch."""

    id: str
    name: str
    place: str  # HK, MO, CN
    roles: tuple[str, ...]  # of: instructing, gateway, fx_provider, operator
    suspended: bool
    caps: tuple[tuple[Asset, int], ...]  # net_debit_cap_minor per asset
    created_time_ms: int


class ParticipantChange(NamedTuple):
    """One line of the record of changes: who, when, why, what."""

    time_ms: int
    participant: str
    actor: str
    action: str  # create, suspend, resume, set_cap, set_rate
    reason: str
    detail: str


class ParticipantStore(Protocol):
    """The register of participants and of their rates. Every change is recorded in the same step."""

    async def create_participant(self, participant: Participant, actor: str, reason: str) -> Participant:
        """Safe to repeat with the same data; Refused PARTICIPANT_EXISTS with other data."""
        ...

    async def get_participant(self, participant_id: str) -> Participant | None: ...

    async def list_participants(self) -> list[Participant]: ...

    async def set_suspended(
        self, participant_id: str, suspended: bool, actor: str, reason: str, now_ms: int
    ) -> Participant:
        """Raises Refused PARTICIPANT_UNKNOWN. A suspended participant begins no payment; what runs, ends."""
        ...

    async def set_cap(
        self, participant_id: str, asset: Asset, cap_minor: int, actor: str, reason: str, now_ms: int
    ) -> Participant:
        """Raises Refused PARTICIPANT_UNKNOWN. A cap under what is used lets nothing new begin."""
        ...

    async def set_rate(
        self, provider: str, debit: Asset, credit: Asset, rate: Rate, actor: str, reason: str, now_ms: int
    ) -> None:
        """The provider's rate for one pair, from now on; open quotes keep theirs."""
        ...

    async def rates(self, debit: Asset, credit: Asset) -> list[tuple[str, Rate]]:
        """Providers that quote this pair, the best for the payer first."""
        ...

    async def participant_changes(self, participant_id: str) -> list[ParticipantChange]: ...


# --- events ----------------------------------------------------------------------------------------------------------
class EventSink(Protocol):
    """The broker. At least once, in order per debtor agent."""

    async def start(self) -> None: ...

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """Returns when every entry is acknowledged by all in-sync replicas; raises otherwise, and may be repeated.

        Raises:
            BrokerUnavailable: some may have arrived; a repeat sends the same ids.
        """
        ...

    async def close(self) -> None: ...
