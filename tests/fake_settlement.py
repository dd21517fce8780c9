"""Settlement in memory: ports.SettlementStore, faithful to its promises. tests/fake_log.py feeds it.

Each call takes effect at once and whole, and gives way to the loop once before it answers. `fail_next` makes the next
calls of one name fail with StoreUnavailable, before or after they took effect.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from switch.domain.money import Asset
from switch.domain.settlement import (
    FIRST_DIGEST,
    LogRange,
    NetPosition,
    Obligation,
    ObligationState,
    Window,
    WindowState,
)
from switch.errors import Refused, StoreUnavailable
from switch.ports import Announcement, Chunk, Credit, Moved, Net, Progress, WindowKey

__all__ = ["FakeSettlement"]

_Owner = tuple[str, Asset]


class FakeSettlement:
    """ports.SettlementStore."""

    def __init__(self) -> None:
        self.calls: defaultdict[str, int] = defaultdict(int)  # how often each step was called
        self.given_back: defaultdict[_Owner, int] = defaultdict(int)  # headroom, of credits and of transfers
        self.totals: defaultdict[_Owner, int] = defaultdict(int)  # positions by the log, less what was settled
        self.excused: list[tuple[str, int, str, str, int]] = []
        self.missing: set[tuple[str, int]] = set()
        self._epoch = 0
        self._offsets: dict[int, int] = {}
        self._digests: dict[int, bytes] = {}
        self._sequences: dict[str, int] = {}
        self._windows: dict[WindowKey, Window] = {}
        self._nets: defaultdict[WindowKey, dict[_Owner, Net]] = defaultdict(dict)
        self._moves: defaultdict[str, int] = defaultdict(int)
        self._announcements: list[Announcement] = []
        self._versions: defaultdict[_Owner, int] = defaultdict(int)
        self._due: set[_Owner] = set()
        self._transfers: list[tuple[_Owner, _Owner, int]] = []
        self._credited: dict[int, int] = {}
        self._failures: list[tuple[str, bool]] = []

    def fail_next(self, step: str, *, done: bool = False, times: int = 1) -> None:
        """The next `times` calls of `step` raise StoreUnavailable; `done`: after the step was done."""
        self._failures += [(step, done)] * times

    async def _trip(self, step: str) -> None:
        self.calls[step] += 1
        await asyncio.sleep(0)
        self._fail(step, False)

    def _fail(self, step: str, done: bool) -> None:
        if (step, done) in self._failures:
            self._failures.remove((step, done))
            raise StoreUnavailable("scripted")

    # --- the settler's books -----------------------------------------------------------------------------------------
    async def progress(self) -> Progress:
        await self._trip("progress")
        unread = [
            window
            for _, window in sorted(self._windows.items())
            if window.state is WindowState.OPEN or (window.state is WindowState.CUT and not window.filled)
        ]
        return Progress(
            self._epoch,
            dict(self._offsets),
            dict(self._digests),
            dict(self._sequences),
            frozenset(self.missing),
            tuple(unread),
        )

    async def apply(self, chunk: Chunk) -> bool:
        await self._trip("apply")
        if (self._epoch, self._offsets.get(chunk.partition, 0)) != (chunk.epoch, chunk.from_offset):
            return False
        self._offsets[chunk.partition] = chunk.to_offset
        self._digests[chunk.partition] = chunk.digest
        self._sequences.update(chunk.sequences)
        self.missing = (self.missing | chunk.missing) - chunk.found
        for key, nets in chunk.nets.items():
            for owner, net in nets.items():
                before = self._nets[key].get(owner, Net(0, 0))
                self._nets[key][owner] = Net(
                    before.debits_minor + net.debits_minor, before.credits_minor + net.credits_minor
                )
                self._change(owner, net.debits_minor - net.credits_minor)
        for key, payments in chunk.payments.items():
            window = self._windows[key]
            self._windows[key] = window._replace(payments=window.payments + payments)
        for key in chunk.reached:
            self._reach(key, chunk.partition, chunk.digest)
        self._fail("apply", True)
        return True

    def _change(self, owner: _Owner, amount_minor: int) -> None:
        self.totals[owner] += amount_minor
        self._versions[owner] += 1
        self._due.add(owner)

    def _reach(self, key: WindowKey, partition: int, digest: bytes) -> None:
        window = self._windows[key]
        ranges = tuple(each._replace(digest=digest) if each.partition == partition else each for each in window.ranges)
        self._windows[key] = window._replace(ranges=ranges, filled=all(each.digest for each in ranges))

    async def credit(self, partition: int, to_offset: int, credits: Sequence[Credit]) -> None:
        await self._trip("credit")
        at = self._credited.get(partition, 0)
        for each in credits:
            if each.offset >= at:
                self.given_back[each.participant, each.asset] += each.amount_minor
        self._credited[partition] = max(at, to_offset)
        self._fail("credit", True)

    async def gaps(self) -> list[tuple[str, int]]:
        await self._trip("gaps")
        return sorted(self.missing)

    async def excuse(self, debtor_agent: str, sequence: int, actor: str, reason: str, now_ms: int) -> bool:
        await self._trip("excuse")
        if (debtor_agent, sequence) not in self.missing:
            return False
        self.excused.append((debtor_agent, sequence, actor, reason, now_ms))
        self.missing.remove((debtor_agent, sequence))
        return True

    # --- windows -----------------------------------------------------------------------------------------------------
    async def open_windows(self, arrangement_ids: Sequence[str], now_ms: int) -> None:
        await self._trip("open_windows")
        for name in arrangement_ids:
            if (name, 1) not in self._windows:
                ranges = tuple(LogRange(partition, at, 0) for partition, at in sorted(self._offsets.items()))
                self._windows[name, 1] = Window(name, 1, WindowState.OPEN, now_ms, ranges)
                self._announce((name, 1), now_ms)

    def _announce(self, key: WindowKey, now_ms: int) -> None:
        self._moves[key[0]] += 1
        place = str(sum(self._moves.values()))
        self._announcements.append(Announcement(place, self._moves[key[0]], now_ms, self._whole(key)))

    def _whole(self, key: WindowKey) -> Window:
        """With the figures so far; once closed they stand in the window."""
        window = self._windows[key]
        if window.close_time_ms:
            return window
        nets = sorted(self._nets[key].items(), key=lambda item: (item[0][1], item[0][0]))
        return window._replace(positions=tuple(NetPosition(*owner, *net) for owner, net in nets))

    async def cut(
        self, arrangement_id: str, number: int, ends: Mapping[int, int], cut_by: str, now_ms: int
    ) -> Window | None:
        await self._trip("cut")
        key, following = (arrangement_id, number), (arrangement_id, number + 1)
        window = self._windows.get(key)
        if window is None or window.state is not WindowState.OPEN:
            return None if window is None else self._whole(key)
        begins = {each.partition: each.from_offset for each in window.ranges}
        ranges = []
        for partition, end in sorted(ends.items()):
            at = self._offsets.get(partition, 0)
            digest = self._digests.get(partition, FIRST_DIGEST) if at >= end else b""
            ranges.append(LogRange(partition, begins.get(partition, 0), max(end, at), digest))
        self._windows[key] = window._replace(
            state=WindowState.CUT,
            ranges=tuple(ranges),
            cut_time_ms=now_ms,
            cut_by=cut_by,
            filled=all(each.digest for each in ranges),
        )
        begin = tuple(LogRange(each.partition, each.to_offset, 0) for each in ranges)
        self._windows[following] = Window(arrangement_id, number + 1, WindowState.OPEN, now_ms, begin)
        self._epoch += 1
        self._announce(key, now_ms)
        self._announce(following, now_ms)
        self._fail("cut", True)
        return self._whole(key)

    async def window(self, arrangement_id: str, number: int) -> Window | None:
        await self._trip("window")
        key = (arrangement_id, number)
        return self._whole(key) if key in self._windows else None

    async def windows(self, arrangement_id: str, count: int) -> list[Window]:
        await self._trip("windows")
        found = [
            window._replace(positions=(), obligations=())
            for window in self._windows.values()
            if arrangement_id in ("", window.arrangement_id)
        ]
        found.sort(key=lambda window: (-window.open_time_ms, window.arrangement_id, -window.number))
        return found[:count]

    async def carried(self, arrangement_id: str, before: int) -> Mapping[tuple[str, Asset], int]:
        await self._trip("carried")
        sums: defaultdict[_Owner, int] = defaultdict(int)
        for (name, number), window in self._windows.items():
            if name == arrangement_id and number < before:
                for each in window.obligations:
                    if each.state is not ObligationState.CONFIRMED:
                        sums[each.participant, each.asset] += each.amount_minor
        return dict(sums)

    async def close(self, window: Window) -> Window:
        await self._trip("close")
        key = (window.arrangement_id, window.number)
        known = self._windows[key]
        if known.state is WindowState.CUT and known.filled:
            state = WindowState.CLOSED if window.obligations else WindowState.SETTLED
            settled_ms = 0 if window.obligations else window.close_time_ms
            self._windows[key] = window._replace(state=state, settled_time_ms=settled_ms)
            self._announce(key, window.close_time_ms)
        self._fail("close", True)
        return self._whole(key)

    async def confirm(
        self, key: WindowKey, participant: str, asset: Asset, agent: str, reference: str, now_ms: int
    ) -> Window:
        await self._trip("confirm")
        window = self._windows[key]
        found = _obligation(window, participant, asset)
        if found.state is not ObligationState.CONFIRMED:
            paid = Obligation(participant, asset, found.amount_minor, ObligationState.CONFIRMED, now_ms, reference)
            after = tuple(paid if each is found else each for each in window.obligations)
            if all(each.state is ObligationState.CONFIRMED for each in after):
                window = window._replace(state=WindowState.SETTLED, settled_time_ms=now_ms)
            self._windows[key] = window._replace(obligations=after)
            self._change((participant, asset), -found.amount_minor)
            self._change((agent, asset), found.amount_minor)
            self._transfers.append(((participant, asset), (agent, asset), found.amount_minor))
            self._announce(key, now_ms)
        self._fail("confirm", True)
        return self._whole(key)

    async def default(self, key: WindowKey, participant: str, now_ms: int) -> Window:
        await self._trip("default")
        window = self._windows[key]
        owed = [each for each in window.obligations if each.participant == participant and each.amount_minor > 0]
        if all(each.state is ObligationState.CONFIRMED for each in owed):
            raise Refused("OBLIGATION_UNKNOWN")
        if any(each.state is ObligationState.OPEN for each in owed):
            after = tuple(
                each._replace(state=ObligationState.DEFAULTED)
                if each in owed and each.state is ObligationState.OPEN
                else each
                for each in window.obligations
            )
            self._windows[key] = window._replace(state=WindowState.PARTIALLY_SETTLED, obligations=after)
            self._announce(key, now_ms)
        self._fail("default", True)
        return self._whole(key)

    async def move(self) -> int:
        await self._trip("move")
        carried, self._transfers = self._transfers, []
        for owner, _, amount_minor in carried:
            self.given_back[owner] += amount_minor
        return len(carried)

    # --- what consumers are told -------------------------------------------------------------------------------------
    async def announcements(self, count: int) -> list[Announcement]:
        await self._trip("announcements")
        return self._announcements[:count]

    async def announced(self, announcements: Sequence[Announcement]) -> None:
        await self._trip("announced")
        places = {each.place for each in announcements}
        self._announcements = [each for each in self._announcements if each.place not in places]

    async def moved(self, count: int) -> list[Moved]:
        await self._trip("moved")
        return [Moved(*owner, self.totals[owner], self._versions[owner]) for owner in sorted(self._due)[:count]]

    async def published(self, moved: Sequence[Moved]) -> None:
        await self._trip("published")
        self._due -= {
            (each.participant, each.asset)
            for each in moved
            if self._versions[each.participant, each.asset] == each.sequence
        }

    async def restore(
        self, progress: Progress, windows: Sequence[Window], moves: Mapping[str, int], agents: Mapping[str, str]
    ) -> bool:
        await self._trip("restore")
        if self._windows or self._offsets:
            return False
        self._epoch, self._offsets, self._digests = progress.epoch, dict(progress.offsets), dict(progress.digests)
        self._sequences, self.missing = dict(progress.sequences), set(progress.missing)
        self._moves.update(moves)
        for window in windows:
            key = (window.arrangement_id, window.number)
            self._windows[key] = window
            for each in window.positions:
                owner = each.participant, each.asset
                self._nets[key][owner] = Net(each.debits_minor, each.credits_minor)
                self._change(owner, each.net_debit_minor)
            for paid in window.obligations:
                if paid.state is ObligationState.CONFIRMED:
                    owner, agent = (paid.participant, paid.asset), (agents[window.arrangement_id], paid.asset)
                    self._change(owner, -paid.amount_minor)
                    self._change(agent, paid.amount_minor)
                    self._transfers.append((owner, agent, paid.amount_minor))
        return True


def _obligation(window: Window, participant: str, asset: Asset) -> Obligation:
    for each in window.obligations:
        if (each.participant, each.asset) == (participant, asset):
            return each
    raise Refused("OBLIGATION_UNKNOWN")
