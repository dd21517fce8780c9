"""The archive in memory: ports.Archive, faithful to its promises.

Each call takes effect at once and whole, and gives way to the loop once before it answers, as a round trip would.
`fail_next` makes the next calls of one name fail with ArchiveUnavailable, before or after they took effect; `down`
makes all of them fail.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.settlement import LogRange, NetPosition, SettlementFact
from switch.errors import ArchiveConflict, ArchiveUnavailable, Refused
from switch.ports import ArchivedFact

__all__ = ["FakeArchive"]

_Row = TypeVar("_Row")
_TOKENS: Final = {
    "f": re.compile(r"f(\d{1,15})\.([!-~]{1,64})", re.ASCII),
    "s": re.compile(r"s(\d{1,9})\.(\d{1,18})", re.ASCII),
}


class FakeArchive:
    """What one database would keep."""

    def __init__(self) -> None:
        self.kept: dict[str, ArchivedFact] = {}  # by event_id
        self.let_go: set[str] = set()  # UETRs that the hot store has let go
        self.calls: defaultdict[str, int] = defaultdict(int)  # how often each step was called
        self.down = False
        self._rows: bytes | None = None
        self._failures: list[tuple[str, bool]] = []
        self._held: dict[str, asyncio.Event] = {}

    def fail_next(self, step: str, *, done: bool = False, times: int = 1) -> None:
        """The next `times` calls of `step` raise ArchiveUnavailable; `done`: after the step was done."""
        self._failures += [(step, done)] * times

    def hold(self, step: str) -> asyncio.Event:
        """Calls of `step` wait, before it is done, until the event is set."""
        event = self._held[step] = asyncio.Event()
        return event

    async def _trip(self, step: str) -> None:
        """The way there. Raises when a failure before the step is due."""
        self.calls[step] += 1
        await (self._held[step].wait() if step in self._held else asyncio.sleep(0))
        if self.down:
            raise ArchiveUnavailable("scripted")
        self._fail(step, False)

    def _fail(self, step: str, done: bool) -> None:
        if (step, done) in self._failures:
            self._failures.remove((step, done))
            raise ArchiveUnavailable("scripted")

    # --- writes ------------------------------------------------------------------------------------------------------
    async def keep(self, facts: Sequence[ArchivedFact]) -> None:
        await self._trip("keep")
        after = dict(self.kept)
        taken = {claim for one in after.values() for claim in _claims(one)}
        for one in facts:
            if one.fact.event_id in after:
                continue
            if not taken.isdisjoint(_claims(one)):
                raise ArchiveConflict(one.fact.event_id)
            after[one.fact.event_id] = one
            taken.update(_claims(one))
        self.kept = after
        self._fail("keep", True)

    async def retired(self, uetrs: Sequence[str]) -> None:
        await self._trip("retired")
        self.let_go |= {one.fact.uetr for one in self.kept.values()} & set(uetrs)
        self._fail("retired", True)

    async def keep_register(self, rows: bytes) -> None:
        await self._trip("keep_register")
        self._rows = rows
        self._fail("keep_register", True)

    # --- one payment -------------------------------------------------------------------------------------------------
    def _facts(self, wanted: Callable[[SettlementFact], bool]) -> list[SettlementFact]:
        return [one.fact for one in self.kept.values() if wanted(one.fact)]

    async def get(self, participant: str, uetr: str) -> SettlementFact | None:
        await self._trip("get")
        return next(iter(self._facts(lambda fact: (fact.debtor_agent, fact.uetr) == (participant, uetr))), None)

    async def get_by_request(self, participant: str, request_id: str) -> SettlementFact | None:
        await self._trip("get_by_request")
        wanted = (participant, request_id)
        found = self._facts(lambda fact: (fact.debtor_agent, fact.request_id) == wanted) if request_id else []
        return min(found, key=lambda fact: fact.sequence, default=None)

    async def at_sequence(self, debtor_agent: str, sequence: int) -> SettlementFact | None:
        await self._trip("at_sequence")
        wanted = (debtor_agent, sequence)
        return next(iter(self._facts(lambda fact: (fact.debtor_agent, fact.sequence) == wanted)), None)

    # --- many, in pages ----------------------------------------------------------------------------------------------
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
        await self._trip("list_payments")

        def wanted(fact: SettlementFact) -> bool:
            mine = fact.debtor_agent == participant and fact.uetr in self.let_go and state in (None, fact.state)
            behind = (fact.prepared_time_ms, fact.uetr) > after
            return mine and behind and from_time_ms <= fact.prepared_time_ms < to_time_ms

        return sorted(self._facts(wanted), key=lambda fact: (fact.prepared_time_ms, fact.uetr))[:count]

    async def final_between(
        self, from_time_ms: int, to_time_ms: int, token: str, count: int
    ) -> tuple[list[SettlementFact], str]:
        await self._trip("final_between")
        found = self._facts(lambda fact: from_time_ms <= fact.final_time_ms < to_time_ms)
        return _page("f", found, lambda fact: (fact.final_time_ms, fact.uetr), token, count)

    async def unretired(self, before_time_ms: int, count: int) -> list[SettlementFact]:
        await self._trip("unretired")
        found = self._facts(lambda fact: fact.final_time_ms < before_time_ms and fact.uetr not in self.let_go)
        return sorted(found, key=lambda fact: (fact.final_time_ms, fact.uetr))[:count]

    # --- the log -----------------------------------------------------------------------------------------------------
    def _within(self, ranges: Iterable[LogRange], rails: Sequence[str]) -> list[ArchivedFact]:
        """In the order of the log."""
        spans = [(each.partition, range(each.from_offset, each.to_offset)) for each in ranges]
        found = [
            one
            for one in self.kept.values()
            if any(one.partition == partition and one.offset in span for partition, span in spans)
            and (not rails or one.fact.rail in rails)
        ]
        return sorted(found, key=lambda one: (one.partition, one.offset))

    async def statement(
        self,
        ranges: Sequence[LogRange],
        participant: str,
        assets: Sequence[Asset],
        rails: Sequence[str],
        token: str,
        count: int,
    ) -> tuple[list[ArchivedFact], str]:
        await self._trip("statement")
        touched = [
            one
            for one in self._within(ranges, rails)
            if any(entry.participant == participant and entry.asset in assets for entry in one.fact.entries)
        ]
        return _page("s", touched, lambda one: (one.partition, one.offset), token, count)

    async def nets(
        self, ranges: Sequence[LogRange], assets: Sequence[Asset], rails: Sequence[str]
    ) -> tuple[int, list[NetPosition]]:
        await self._trip("nets")
        found = [one for one in self._within(ranges, rails) if any(each.asset in assets for each in one.fact.entries)]
        sums: defaultdict[tuple[Asset, str], list[int]] = defaultdict(lambda: [0, 0])
        for entry in (entry for one in found for entry in one.fact.entries if entry.asset in assets):
            sums[entry.asset, entry.participant][entry.amount_minor < 0] += abs(entry.amount_minor)
        rows = [NetPosition(participant, asset, *sides) for (asset, participant), sides in sorted(sums.items())]
        return len(found), rows

    async def read(self, partition: int, from_offset: int, count: int) -> list[ArchivedFact]:
        await self._trip("read")
        return self._within([LogRange(partition, from_offset, 1 << 62)], ())[:count]

    async def partitions(self) -> list[int]:
        await self._trip("partitions")
        return sorted({one.partition for one in self.kept.values()})

    # --- the register ------------------------------------------------------------------------------------------------
    async def register(self) -> bytes | None:
        await self._trip("register")
        return self._rows

    async def close(self) -> None:
        return None


def _claims(one: ArchivedFact) -> set[tuple[object, ...]]:
    """What no other event may have."""
    fact = one.fact
    return {("uetr", fact.uetr), (fact.debtor_agent, fact.sequence), (one.partition, one.offset)}


def _page(
    kind: str, rows: Iterable[_Row], key: Callable[[_Row], tuple[int, str | int]], token: str, count: int
) -> tuple[list[_Row], str]:
    """Rows in the order of their keys, those after the token; a token ends in the key of the last row it was given for."""
    ordered = sorted(rows, key=key)
    if token:
        match = _TOKENS[kind].fullmatch(token)
        if match is None:
            raise Refused("FIELD_INVALID", "FORMAT: this token did not come from us", field="page_token")
        after = int(match[1]), int(match[2]) if kind == "s" else match[2]
        ordered = [row for row in ordered if key(row) > after]
    page = ordered[:count]
    if len(ordered) <= count:
        return page, ""
    first, second = key(page[-1])
    return page, f"{kind}{first}.{second}"
