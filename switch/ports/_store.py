"""What the engine asks of the store: payments, quotes, the register of participants."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Rate
from switch.domain.payment import Hold, Payment, State, Transition
from switch.domain.position import Position
from switch.domain.quote import Quote, QuoteState
from switch.domain.settlement import SettlementFact
from switch.ports._rail import RailAck

__all__ = [
    "Change",
    "Durability",
    "OutboxEntry",
    "Participant",
    "ParticipantChange",
    "ParticipantStore",
    "PaymentStore",
    "Prepared",
    "QuoteStore",
]


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

    async def prepare_all(self, holds: Sequence[Hold]) -> list[Prepared | Exception]:
        """`prepare` of each with the quote of its instruction, in few round trips. All are of one participant.

        One answer per hold, in order; what `prepare` would raise of one is its answer.
        """
        ...

    async def finish_all(self, moves: Sequence[tuple[Hold, Transition]]) -> list[Payment | Exception]:
        """`commit`, `abort` or `doubt` of each, as its step says, in few round trips. All are of one participant.

        One answer per move, in order; StoreUnavailable of one is its answer.
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

    def differing_field(self, earlier: Payment, instruction: Instruction) -> str:
        """Path of the first field in which `instruction` differs from what was first asked, "" when equal.

        Of a payment that came back from the log or the archive the store knows only masks of personal values, and
        compares by them. Pure: nothing is read.
        """
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

    async def outbox_lease(self, shard: int, holder: str, ttl_ms: int) -> int:
        """Take, or keep, the right to relay a shard's outbox for `ttl_ms` of the server's time.

        Returns the fencing token: it grows with every new holder. 0: another holder's has not ended. `ttl_ms` 0 gives it
        back. Safe to repeat.
        """
        ...

    async def outbox_read(self, shard: int, count: int, after: str = "") -> list[OutboxEntry]:
        """The oldest entries of a shard's outbox, not removed; with `after`, the oldest behind that entry_id."""
        ...

    async def outbox_delete(self, entries: Sequence[OutboxEntry], token: int) -> None:
        """Remove entries the broker has acknowledged. Raises LeaseLost: `token` is not the shard's any more."""
        ...

    async def outbox_depth(self) -> tuple[int, int]:
        """How many entries wait over all shards, and the time_ms of the oldest (0: none)."""
        ...

    async def retire(self, facts: Sequence[SettlementFact]) -> int:
        """Let final payments that are archived leave the store; only what must be unique for ever stays. How many.

        The store itself tells the archive which have left: one whose event the broker has not acknowledged stays.
        Until then and afterwards `get`, `get_by_request`, `list_payments` and `prepare` answer the same: from the archive.
        Never a payment that is not final. Safe to repeat.
        """
        ...

    async def restore(self, facts: Sequence[SettlementFact]) -> int:
        """Put final payments of the log back into a store that lost them: outcomes, books, use of caps and of person
        limits that still count, sequences. How many were missing. Safe to repeat, and in any order.
        """
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
