"""What settlement asks of the store, of the archive and of the log."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.settlement import LogRange, NetPosition, SettlementFact, Window

__all__ = [
    "Announcement",
    "Archive",
    "ArchivedFact",
    "Chunk",
    "Credit",
    "Moved",
    "Net",
    "Progress",
    "SettlementLog",
    "SettlementStore",
    "WindowKey",
]

WindowKey = tuple[str, int]  # arrangement and number


# --- the settler's own books -----------------------------------------------------------------------------------------
class Progress(NamedTuple):
    """Where the settler is: what is applied of the log, and which windows still take something."""

    epoch: int  # counts cuts: a chunk that was parted by another epoch's cuts is not applied
    offsets: Mapping[int, int]  # partition -> the next offset to apply
    digests: Mapping[int, bytes]  # partition -> digest of all accepted events before that offset
    sequences: Mapping[str, int]  # debtor agent -> the greatest sequence accepted
    missing: frozenset[tuple[str, int]]  # sequences below it that never came: a gap
    windows: tuple[Window, ...]  # open, or cut and not filled; by arrangement and number; without positions


class Net(NamedTuple):
    """Sums of one participant and asset, both >= 0."""

    debits_minor: int
    credits_minor: int


class Chunk(NamedTuple):
    """What a run of records of one partition comes to: [from_offset, to_offset), which passes no cut."""

    epoch: int
    partition: int
    from_offset: int
    to_offset: int
    digest: bytes  # of the partition, up to to_offset
    sequences: Mapping[str, int]  # what is new of Progress.sequences
    missing: frozenset[tuple[str, int]]  # gaps that opened
    found: frozenset[tuple[str, int]]  # gaps that ended
    nets: Mapping[WindowKey, Mapping[tuple[str, Asset], Net]]
    payments: Mapping[WindowKey, int]
    reached: tuple[WindowKey, ...]  # cut windows whose cut in this partition is to_offset


class Credit(NamedTuple):
    """An entry that gives its participant headroom back. `amount_minor` > 0."""

    offset: int
    participant: str
    asset: Asset
    amount_minor: int


class Announcement(NamedTuple):
    """A move of a window that the window topic does not have yet. `place` is where it waits."""

    place: str
    sequence: int  # gapless per arrangement, from 1
    time_ms: int
    window: Window


class Moved(NamedTuple):
    """A position of the log that the position topic does not have in this version yet."""

    participant: str
    asset: Asset
    net_debit_minor: int
    sequence: int  # counts the changes of this position


class SettlementStore(Protocol):
    """Windows and the settler's books. Every call is one atomic step, safe to repeat. All raise StoreUnavailable."""

    async def progress(self) -> Progress: ...

    async def apply(self, chunk: Chunk) -> bool:
        """Effects and offset together. False: the offset or the epoch is another by now; read `progress` again."""
        ...

    async def credit(self, partition: int, to_offset: int, credits: Sequence[Credit]) -> None:
        """Give headroom back, on the shards of those who are credited, each with an offset of its own.

        `credits` are all those of one partition before `to_offset` that `apply` has not passed; a shard that is further
        already takes none of them twice.
        """
        ...

    async def open_windows(self, arrangement_ids: Sequence[str], now_ms: int) -> None:
        """See that each arrangement has an open window."""
        ...

    async def cut(
        self, arrangement_id: str, number: int, ends: Mapping[int, int], cut_by: str, now_ms: int
    ) -> Window | None:
        """Fix the ranges of the open window at `ends` (or where the settler is, if further), open the next.

        A window that is not open any more is returned as it is. None: there is no such window.
        """
        ...

    async def window(self, arrangement_id: str, number: int) -> Window | None:
        """The window with everything, from one moment."""
        ...

    async def windows(self, arrangement_id: str, count: int) -> list[Window]:
        """Newest first, without positions and obligations; of one arrangement or ("") of all."""
        ...

    async def carried(self, arrangement_id: str, before: int) -> Mapping[tuple[str, Asset], int]:
        """Obligations of windows with numbers < `before` that are not confirmed, summed."""
        ...

    async def close(self, window: Window) -> Window:
        """CUT and filled -> CLOSED (or SETTLED, without obligations), as given: positions, obligations, seal, time.

        A window that is closed already is returned as it is: the caller compares.
        """
        ...

    async def confirm(
        self, key: WindowKey, participant: str, asset: Asset, agent: str, reference: str, now_ms: int
    ) -> Window:
        """An obligation -> CONFIRMED; the last one settles the window. The move of positions is written down with it.

        A confirmed one stays as it is.
        """
        ...

    async def default(self, key: WindowKey, participant: str, now_ms: int) -> Window:
        """Open obligations of the participant that owe -> DEFAULTED; the window -> PARTIALLY_SETTLED."""
        ...

    async def move(self) -> int:
        """Carry confirmed obligations into the books and the headroom of the participants. How many were left to move."""
        ...

    async def announcements(self, count: int) -> list[Announcement]:
        """The oldest moves of windows that are not published, not removed."""
        ...

    async def announced(self, announcements: Sequence[Announcement]) -> None:
        """Remove what the broker has acknowledged."""
        ...

    async def moved(self, count: int) -> list[Moved]:
        """Positions that changed since they were last published, as they are now."""
        ...

    async def published(self, moved: Sequence[Moved]) -> None:
        """The broker has these; one that changed again meanwhile stays due."""
        ...

    async def gaps(self) -> list[tuple[str, int]]:
        """(debtor agent, sequence) that never came, lowest first."""
        ...

    async def excuse(self, debtor_agent: str, sequence: int, actor: str, reason: str, now_ms: int) -> bool:
        """Declare a gap final, for the record: it no longer keeps windows open. False: there is no such gap."""
        ...

    async def restore(
        self, progress: Progress, windows: Sequence[Window], moves: Mapping[str, int], agents: Mapping[str, str]
    ) -> bool:
        """Into an empty settlement: every window there ever was, with its figures, and how far the log is read.

        `moves`: arrangement -> sequence of its last announcement; `agents`: arrangement -> settlement agent. Confirmed
        obligations are written down to be carried again. Positions count on from above what was published. Windows that
        were opened anew and never cut give way to a log that has cuts. False: something else is there, nothing was done.
        """
        ...


# --- the archive -----------------------------------------------------------------------------------------------------
class ArchivedFact(NamedTuple):
    """A final payment and its place in the log. `digest`: domain.settlement.record_digest of its record."""

    fact: SettlementFact
    partition: int
    offset: int
    digest: bytes


class Archive(Protocol):
    """Final payments for years. All raise ArchiveUnavailable."""

    async def keep(self, facts: Sequence[ArchivedFact]) -> None:
        """All or none. Safe to repeat: what is there with the same event_id is left as it is.

        Raises ArchiveConflict: another event has this debtor agent and sequence; names the event, nothing was kept.
        """
        ...

    async def get(self, participant: str, uetr: str) -> SettlementFact | None: ...

    async def get_by_request(self, participant: str, request_id: str) -> SettlementFact | None: ...

    async def at_sequence(self, debtor_agent: str, sequence: int) -> SettlementFact | None: ...

    async def list_payments(
        self,
        participant: str,
        *,
        state: State | None,
        from_time_ms: int,
        to_time_ms: int,
        after: tuple[int, str],
        count: int,
    ) -> list[SettlementFact]:
        """Retired payments of one debtor agent, prepared in [from, to), in the order of (prepared_time_ms, uetr), behind
        `after`; (0, "") is before the first. Fewer than `count` only at the end.
        """
        ...

    async def final_between(
        self, from_time_ms: int, to_time_ms: int, token: str, count: int
    ) -> tuple[list[SettlementFact], str]:
        """Payments of all that became final in [from, to), in order; for reconciliation."""
        ...

    async def statement(
        self,
        ranges: Sequence[LogRange],
        participant: str,
        assets: Sequence[Asset],
        rails: Sequence[str],
        token: str,
        count: int,
    ) -> tuple[list[ArchivedFact], str]:
        """Committed payments within ranges of the log that have an entry of the participant in one of the assets (and
        on one of the rails; () = all), in the order of partition and offset; token of the next page or "".
        """
        ...

    async def nets(
        self, ranges: Sequence[LogRange], assets: Sequence[Asset], rails: Sequence[str]
    ) -> tuple[int, list[NetPosition]]:
        """Committed payments with an entry in these assets (on these rails) in the ranges, and what those entries come to:
        the second opinion of a close.
        """
        ...

    async def read(self, partition: int, from_offset: int, count: int) -> list[ArchivedFact]:
        """In the order of the log."""
        ...

    async def partitions(self) -> list[int]:
        """Partitions of which anything is kept."""
        ...

    async def unretired(self, before_time_ms: int, count: int) -> list[SettlementFact]:
        """Payments final before this that the hot store has not let go yet, oldest first."""
        ...

    async def retired(self, uetrs: Sequence[str]) -> None:
        """The hot store has let these go. Safe to repeat."""
        ...

    async def keep_register(self, rows: bytes) -> None:
        """The latest snapshot of participants and rates, opaque here; the one before is forgotten. Safe to repeat."""
        ...

    async def register(self) -> bytes | None:
        """The latest snapshot, for a store that is made anew. None: none was kept."""
        ...

    async def close(self) -> None: ...


# --- the log ---------------------------------------------------------------------------------------------------------
class SettlementLog(Protocol):
    """The payment topic as far as a cut needs it."""

    async def ends(self) -> Mapping[int, int]:
        """The offset after the last record of every partition, now. Raises BrokerUnavailable."""
        ...
