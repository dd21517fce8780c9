"""The whole log folded once more: what the windows come to by it, for a proof of the seals and for a store made anew.

Where the topic has forgotten its beginning (retention), the archive is read up to where the topic begins.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from switch.domain.money import Asset
from switch.domain.settlement import (
    FIRST_DIGEST,
    FIRST_SEAL,
    Arrangement,
    LogRange,
    NetPosition,
    Window,
    WindowState,
    seal_of,
    unbalanced_window,
)
from switch.errors import SettlementHalted
from switch.events.fold import Fold, Folded, read_records
from switch.events.log import KafkaLog
from switch.limits import CHUNK_RECORDS_MAX
from switch.ports import Announcement, Archive, ArchivedFact, Chunk, Net, Progress, WindowKey

__all__ = ["Finding", "Replayed", "latest_windows", "replay", "verify"]

_SEALED = (WindowState.CLOSED, WindowState.PARTIALLY_SETTLED, WindowState.SETTLED)
_Candidates = AsyncGenerator[tuple[list[ArchivedFact], int]]


class Replayed(NamedTuple):
    """The windows as the log makes them (states, times and obligations as announced), and how far it was read."""

    progress: Progress
    windows: tuple[Window, ...]
    accepted: int
    repeats: int
    poisoned: int


class Finding(NamedTuple):
    """Something of a sealed window is not what the log says."""

    window_id: str
    what: str


def latest_windows(announcements: Iterable[Announcement]) -> dict[WindowKey, Window]:
    """Every window as last announced."""
    return {(each.window.arrangement_id, each.window.number): each.window for each in announcements}


async def replay(
    log: KafkaLog,
    archive: Archive | None,
    announced: Mapping[WindowKey, Window],
    arrangements: Sequence[Arrangement],
    on_folded: Callable[[Folded], Awaitable[None]] | None = None,
) -> Replayed:
    """Fold the log from its beginning to its present end, with the cuts of `announced`.

    Raises:
        BrokerUnavailable, ArchiveUnavailable.
        SettlementHalted: the topic has forgotten its beginning and no archive has it.
    """
    run = _Replay(announced, arrangements, on_folded)
    partition_of = await log.partition_of()
    begins, ends = await log.begins(), await log.ends()
    for partition, end in sorted(ends.items()):
        begin = begins[partition]
        if begin:
            if archive is None:
                raise SettlementHalted(f"partition {partition} begins at {begin}: the archive is needed for the rest")
            await run.take(partition, _archived(archive, partition, begin))
        await run.take(partition, run.read(log, partition, begin, end, partition_of))
    return run.ended()


async def _archived(archive: Archive, partition: int, end: int) -> _Candidates:
    at = 0
    while at < end:
        rows = await archive.read(partition, at, CHUNK_RECORDS_MAX)
        rows = [row for row in rows if row.offset < end]
        at = rows[-1].offset + 1 if rows else end
        yield rows, at


class _Replay:
    """The books of one replay."""

    def __init__(
        self,
        announced: Mapping[WindowKey, Window],
        arrangements: Sequence[Arrangement],
        on_folded: Callable[[Folded], Awaitable[None]] | None,
    ) -> None:
        self._announced = announced
        self._on_folded = on_folded
        self._windows = {
            **announced,
            **{(one.arrangement_id, one.number): one for one in _open(announced, arrangements)},
        }
        windows = tuple(self._windows.values())
        self._fold = Fold(Progress(0, {}, {}, {}, frozenset(), windows), arrangements)
        self._nets: dict[WindowKey, dict[tuple[str, Asset], Net]] = {}
        self._payments: dict[WindowKey, int] = {}
        self._digests: dict[tuple[WindowKey, int], bytes] = {}
        self._accepted, self._repeats, self._poisoned = 0, 0, 0

    async def read(
        self, log: KafkaLog, partition: int, begin: int, end: int, partition_of: Callable[[bytes], int]
    ) -> _Candidates:
        async for records in log.read(partition, begin, end):
            good, poisoned = read_records(records, partition_of, self._fold.arrangement_of)
            self._poisoned += len(poisoned)
            yield good, records[-1].offset + 1
        yield [], end

    async def take(self, partition: int, candidates: _Candidates) -> None:
        """Fold what comes, parted at the cuts."""
        async for facts, end in candidates:
            at, rest = self._fold.offsets.get(partition, 0), facts
            while at < end:
                cut = self._fold.cut_after(partition, at)
                to = end if cut is None else min(cut, end)
                now, rest = [each for each in rest if each.offset < to], [each for each in rest if each.offset >= to]
                folded = self._fold.fold(partition, now, to)
                if self._on_folded is not None:
                    await self._on_folded(folded)
                self._book(folded.chunk)
                self._fold.advance(folded.chunk)
                self._accepted += len(folded.accepted)
                self._repeats += len(folded.repeats)
                at = to

    def _book(self, chunk: Chunk) -> None:
        for key, nets in chunk.nets.items():
            sums = self._nets.setdefault(key, {})
            for whose, net in nets.items():
                before = sums.get(whose, Net(0, 0))
                sums[whose] = Net(before.debits_minor + net.debits_minor, before.credits_minor + net.credits_minor)
        for key, count in chunk.payments.items():
            self._payments[key] = self._payments.get(key, 0) + count
        for key in chunk.reached:
            self._digests[key, chunk.partition] = chunk.digest

    def ended(self) -> Replayed:
        fold = self._fold
        progress = Progress(
            sum(1 for window in self._announced.values() if window.cut_time_ms),
            fold.offsets,
            fold.digests,
            fold.sequences,
            frozenset(fold.missing),
            (),
        )
        windows = tuple(self._window(key) for key in sorted(self._windows))
        return Replayed(progress, windows, self._accepted, self._repeats, self._poisoned)

    def _window(self, key: WindowKey) -> Window:
        """As announced, with the figures the log gives it."""
        window = self._windows[key]
        ranges = tuple(
            each._replace(digest=self._digest(key, each.partition, each.to_offset) if window.cut_time_ms else b"")
            for each in window.ranges
        )
        opening = {(each.participant, each.asset): each.opening_minor for each in window.positions}
        nets = self._nets.get(key, {})
        owners = nets.keys() | {whose for whose, minor in opening.items() if minor}
        positions = tuple(
            NetPosition(*whose, *nets.get(whose, Net(0, 0)), opening.get(whose, 0))
            for whose in sorted(owners, key=lambda whose: (whose[1], whose[0]))
        )
        filled = bool(window.cut_time_ms) and all(each.digest for each in ranges)
        return window._replace(ranges=ranges, positions=positions, payments=self._payments.get(key, 0), filled=filled)

    def _digest(self, key: WindowKey, partition: int, cut: int) -> bytes:
        if cut == 0:
            return FIRST_DIGEST
        return self._digests.get((key, partition), b"")


def _open(announced: Mapping[WindowKey, Window], arrangements: Sequence[Arrangement]) -> Iterable[Window]:
    """Windows that take what comes behind the last cut, where none is announced."""
    newest = dict(sorted(announced))
    for arrangement in arrangements:
        number = newest.get(arrangement.id, 0)
        last = announced[arrangement.id, number] if number else None
        if last is None:
            yield Window(arrangement.id, 1, WindowState.OPEN, 0)
        elif last.cut_time_ms:
            begins = tuple(LogRange(each.partition, each.to_offset, 0) for each in last.ranges)
            yield Window(arrangement.id, number + 1, WindowState.OPEN, last.cut_time_ms, begins)


# --- the proof ---------------------------------------------------------------------------------------------------------
def verify(announced: Mapping[WindowKey, Window], replayed: Sequence[Window]) -> list[Finding]:
    """Every sealed window against the log: its figures, its digests, its seal, and the chain. Empty is right."""
    found: list[Finding] = []
    by_log = {(window.arrangement_id, window.number): window for window in replayed}
    for key, window in sorted(announced.items()):
        if window.state not in _SEALED:
            continue
        before = announced.get((key[0], key[1] - 1))
        if key[1] > 1 and before is None:
            found.append(Finding(window.id, f"the window before it, {key[0]}.{key[1] - 1}, is not on the topic"))
            continue
        chained_to = FIRST_SEAL if before is None else before.seal
        found += [Finding(window.id, what) for what in _faults(window, by_log[key], chained_to)]
    return found


def _faults(window: Window, by_log: Window, chained_to: bytes) -> Iterable[str]:
    if window.previous_seal != chained_to:
        yield "it is not chained to the seal before it"
    if seal_of(window) != window.seal:
        yield "its record on the window topic is not what was sealed"
    for mine, logged in zip(window.ranges, by_log.ranges, strict=True):
        if mine.digest != logged.digest:
            yield f"events of partition {mine.partition} before offset {mine.to_offset} are not those that were sealed"
    if window.positions != by_log.positions:
        yield "its positions are not what its events come to"
    if window.payments != by_log.payments:
        yield f"it counts {window.payments} payments, the log {by_log.payments}"
    if sums := unbalanced_window(by_log.positions):
        yield "its events do not sum to zero: " + ", ".join(f"{asset.name} {total}" for asset, total in sums.items())
    if seal_of(by_log._replace(previous_seal=chained_to)) != window.seal:
        yield "the seal made anew from the log is another"
