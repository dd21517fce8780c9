"""What a run of the log comes to: pure, and the same for the settler, for a proof of the seals and for a rebuild.

    records ─▶ candidates (read, or poisoned) ─▶ accepted | repeated ─▶ Chunk: nets per window, digest, sequences

Accepted is the first arrival of a sequence number of its debtor agent. A number that is skipped opens a gap and is kept
in sight; when it comes after all it is accepted then, where it stands in the log. Only what is accepted counts, in
digests too: a repeat, a foreign or a broken record changes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import unbalanced
from switch.domain.settlement import (
    FIRST_DIGEST,
    Arrangement,
    SettlementFact,
    Window,
    chained,
)
from switch.errors import CodecError, SettlementHalted
from switch.events.event_wire import digest_of, fact_of
from switch.limits import GAPS_MAX, SCRIPT_INTEGER_MAX
from switch.ports import ArchivedFact, Chunk, Credit, Net, Progress, WindowKey

__all__ = ["Fold", "Folded", "LogRecord", "Poisoned", "read_records"]


_NOTHING: Final = Net(0, 0)


class LogRecord(NamedTuple):
    """A record of the payment topic as it lies there."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Poisoned(NamedTuple):
    """A record that can not be settled, and why: a code, and a text without any value of it."""

    record: LogRecord
    code: str
    text: str


class Folded(NamedTuple):
    """A chunk, and what has to be done about its records apart from the chunk itself."""

    chunk: Chunk
    accepted: list[ArchivedFact]
    repeats: list[ArchivedFact]
    credits: list[Credit]


def read_records(
    records: Iterable[LogRecord],
    partition_of: Callable[[bytes], int],
    arrangement_of: Callable[[Asset, str], str],
) -> tuple[list[ArchivedFact], list[Poisoned]]:
    """Records of one partition that can be settled, and those that can not. In order.

    `partition_of`: where the producer puts a key; `arrangement_of`: asset and rail -> arrangement, "" when none takes it.
    """
    good: list[ArchivedFact] = []
    poisoned: list[Poisoned] = []
    for record in records:
        try:
            fact = fact_of(record.value, record.headers)
        except CodecError as error:
            poisoned.append(Poisoned(record, "MALFORMED", str(error)))
            continue
        key = fact.debtor_agent.encode()
        if record.key != key or partition_of(key) != record.partition:
            poisoned.append(Poisoned(record, "WRONG_KEY", "the key is the debtor agent, and decides the partition"))
        elif not _printable(fact):
            poisoned.append(Poisoned(record, "TEXT", "a text that no database keeps as it is"))
        elif any(not 0 < abs(entry.amount_minor) <= SCRIPT_INTEGER_MAX for entry in fact.entries):
            poisoned.append(Poisoned(record, "AMOUNT", "an entry of zero, or beyond what a position may be"))
        elif unbalanced(fact.entries) or bool(fact.entries) is not (fact.state is State.COMMITTED):
            poisoned.append(Poisoned(record, "UNBALANCED", "entries sum to zero per asset, and only a commit has any"))
        elif not all(arrangement_of(entry.asset, fact.rail) for entry in fact.entries):
            poisoned.append(Poisoned(record, "NO_ARRANGEMENT", "no arrangement takes this asset on this rail"))
        else:
            digest = digest_of(key, record.value or b"", record.headers)
            good.append(ArchivedFact(fact, record.partition, record.offset, digest))
    return good, poisoned


def _printable(fact: SettlementFact) -> bool:
    """Names and ids here are printable; a NUL would stop an archive for ever."""
    texts = (fact.event_id, fact.uetr, fact.debtor_agent, fact.reason, fact.rail, fact.corridor_id, fact.request_id)
    return "".join((*texts, fact.rail_reference, *(entry.participant for entry in fact.entries))).isprintable()


class Fold:
    """The settler's state between two chunks. `fold` changes nothing; `advance` takes a chunk over once it is applied."""

    def __init__(self, progress: Progress, arrangements: Sequence[Arrangement]) -> None:
        self.epoch = progress.epoch
        self.offsets = dict(progress.offsets)
        self.digests = dict(progress.digests)
        self.sequences = dict(progress.sequences)
        self.missing = set(progress.missing)
        self._arrangements = arrangements
        self._arrangement_of: dict[tuple[Asset, str], str] = {}
        self._windows: dict[str, list[Window]] = {arrangement.id: [] for arrangement in arrangements}
        for window in sorted(progress.windows, key=lambda window: window.number):
            self._windows.setdefault(window.arrangement_id, []).append(window)
        self._cuts = {
            (window.arrangement_id, window.number): {each.partition: each.to_offset for each in window.ranges}
            for window in progress.windows
            if window.cut_time_ms
        }

    def arrangement_of(self, asset: Asset, rail: str) -> str:
        """The arrangement that takes entries of this asset and rail, "" when none does. The rules see to one at most."""
        key = asset, rail
        if key not in self._arrangement_of:
            taking = (each.id for each in self._arrangements if each.takes(asset, rail))
            self._arrangement_of[key] = next(taking, "")
        return self._arrangement_of[key]

    def cut_after(self, partition: int, offset: int) -> int | None:
        """The next cut of the partition behind this offset: a chunk must not pass it."""
        return min((at for cut in self._cuts.values() if (at := cut.get(partition, 0)) > offset), default=None)

    def _windows_at(self, partition: int, offset: int) -> dict[str, WindowKey]:
        """Of each arrangement the window this place belongs to: the first whose cut is behind it, or the open one."""
        found = {}
        for arrangement_id, windows in self._windows.items():
            for window in windows:
                key = (arrangement_id, window.number)
                if key not in self._cuts or self._cuts[key].get(partition, 0) > offset:
                    found[arrangement_id] = key
                    break
        return found

    def fold(self, partition: int, facts: Sequence[ArchivedFact], to_offset: int) -> Folded:
        """What the candidates from the present offset up to `to_offset` come to; the caller passes no cut."""
        from_offset = self.offsets.get(partition, 0)
        windows = self._windows_at(partition, from_offset)
        run = _Run(self, partition, windows)
        for each in facts:
            run.take(each)
        reached = tuple(key for key, cut in self._cuts.items() if cut.get(partition, 0) == to_offset > from_offset)
        chunk = Chunk(
            self.epoch,
            partition,
            from_offset,
            to_offset,
            run.digest,
            run.sequences,
            frozenset(run.missing),
            frozenset(run.found),
            run.nets,
            run.payments,
            reached,
        )
        return Folded(chunk, run.accepted, run.repeats, run.credits)

    def advance(self, chunk: Chunk) -> None:
        """The chunk is applied."""
        self.offsets[chunk.partition] = chunk.to_offset
        self.digests[chunk.partition] = chunk.digest
        self.sequences.update(chunk.sequences)
        self.missing |= chunk.missing
        self.missing -= chunk.found


class _Run:
    """The sums of one chunk while it is read."""

    def __init__(self, fold: Fold, partition: int, windows: dict[str, WindowKey]) -> None:
        self.digest = fold.digests.get(partition, FIRST_DIGEST)
        self.sequences: dict[str, int] = {}
        self.missing: set[tuple[str, int]] = set()
        self.found: set[tuple[str, int]] = set()
        self.nets: dict[WindowKey, dict[tuple[str, Asset], Net]] = {}
        self.payments: dict[WindowKey, int] = {}
        self.accepted: list[ArchivedFact] = []
        self.repeats: list[ArchivedFact] = []
        self.credits: list[Credit] = []
        self._fold = fold
        self._windows = windows

    def take(self, candidate: ArchivedFact) -> None:
        fact = candidate.fact
        if not self._first(fact.debtor_agent, fact.sequence):
            self.repeats.append(candidate)
            return
        self.accepted.append(candidate)
        self.digest = chained(self.digest, candidate.digest)
        self._book(fact, candidate.offset)

    def _first(self, agent: str, sequence: int) -> bool:
        """Whether this number comes for the first time; opens and ends gaps."""
        last = self.sequences.get(agent, self._fold.sequences.get(agent, 0))
        if sequence > last:
            skipped = sequence - last - 1
            if skipped + len(self.missing) + len(self._fold.missing) > GAPS_MAX:
                raise SettlementHalted(
                    f"{skipped} events of {agent} are missing before sequence {sequence}: this topic is not the one "
                    "that was settled so far; `bayswitch rebuild` begins anew from another"
                )
            self.missing |= {(agent, number) for number in range(last + 1, sequence)}
            self.sequences[agent] = sequence
            return True
        gap = (agent, sequence)
        if gap in self.missing:
            self.missing.remove(gap)
            return True
        if gap in self._fold.missing and gap not in self.found:
            self.found.add(gap)
            return True
        return False

    def _book(self, fact: SettlementFact, offset: int) -> None:
        counted: set[WindowKey] = set()
        for entry in fact.entries:
            key = self._windows[self._fold.arrangement_of(entry.asset, fact.rail)]
            nets, whose = self.nets.setdefault(key, {}), (entry.participant, entry.asset)
            debits, credits = nets.get(whose, _NOTHING)
            if entry.amount_minor > 0:
                nets[whose] = Net(debits + entry.amount_minor, credits)
            else:
                nets[whose] = Net(debits, credits - entry.amount_minor)
                self.credits.append(Credit(offset, entry.participant, entry.asset, -entry.amount_minor))
            if key not in counted:
                counted.add(key)
                self.payments[key] = self.payments.get(key, 0) + 1
