"""The payment topic in memory, and a settler for tests: record by record into a store and an archive."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256

from switch.domain.money import Asset
from switch.domain.settlement import FIRST_DIGEST, Arrangement, SettlementFact, chained
from switch.errors import BrokerUnavailable
from switch.ports import Archive, ArchivedFact, Chunk, Credit, Net, Progress, SettlementStore, WindowKey

__all__ = ["FakeLog", "settle"]

_Owner = tuple[str, Asset]


class FakeLog:
    """The payment topic: `append` puts a fact where its debtor agent's partition ends."""

    def __init__(self, partitions: int = 2) -> None:
        self.records: dict[int, list[SettlementFact]] = {partition: [] for partition in range(partitions)}
        self.down = False
        self.asked = 0  # how often the ends were asked for

    def append(self, fact: SettlementFact) -> None:
        self.records[sum(fact.debtor_agent.encode()) % len(self.records)].append(fact)

    async def ends(self) -> Mapping[int, int]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise BrokerUnavailable("scripted")
        return {partition: len(facts) for partition, facts in self.records.items()}


async def settle(
    log: FakeLog, store: SettlementStore, archive: Archive, arrangements: Mapping[str, Arrangement]
) -> None:
    """Read everything the log has into the store and the archive. Safe to repeat."""
    for partition, facts in log.records.items():
        at = (await store.progress()).offsets.get(partition, 0)
        for offset in range(at, len(facts)):
            digest = sha256(facts[offset].event_id.encode()).digest()
            one = ArchivedFact(facts[offset], partition, offset, digest)
            await archive.keep([one])
            await _apply(one, store, arrangements)


async def _apply(one: ArchivedFact, store: SettlementStore, arrangements: Mapping[str, Arrangement]) -> None:
    """One record, one chunk: it passes no cut."""
    progress, fact = await store.progress(), one.fact
    nets: defaultdict[WindowKey, dict[_Owner, Net]] = defaultdict(dict)
    for entry in fact.entries:
        name = next(each.id for each in arrangements.values() if each.takes(entry.asset, fact.rail))
        key, owner = _window_of(progress, name, one), (entry.participant, entry.asset)
        debits, credits = nets[key].get(owner, Net(0, 0))
        nets[key][owner] = Net(debits + max(entry.amount_minor, 0), credits + max(-entry.amount_minor, 0))
    last = progress.sequences.get(fact.debtor_agent, 0)
    missing = frozenset((fact.debtor_agent, number) for number in range(last + 1, fact.sequence))
    reached = [
        (window.arrangement_id, window.number)
        for window in progress.windows
        if window.cut_time_ms
        and (one.partition, one.offset + 1) in {(each.partition, each.to_offset) for each in window.ranges}
    ]
    digest = chained(progress.digests.get(one.partition, FIRST_DIGEST), one.digest)
    chunk = Chunk(
        progress.epoch,
        one.partition,
        one.offset,
        one.offset + 1,
        digest,
        {fact.debtor_agent: max(last, fact.sequence)},
        missing,
        frozenset({(fact.debtor_agent, fact.sequence)} & progress.missing),
        nets,
        dict.fromkeys(nets, 1),
        tuple(reached),
    )
    assert await store.apply(chunk)
    given = [
        Credit(one.offset, each.participant, each.asset, -each.amount_minor)
        for each in fact.entries
        if each.amount_minor < 0
    ]
    await store.credit(one.partition, one.offset + 1, given)


def _window_of(progress: Progress, arrangement_id: str, one: ArchivedFact) -> WindowKey:
    """The first window of the arrangement whose cut is behind this place, or the open one."""
    for window in progress.windows:
        ends = {each.partition: each.to_offset for each in window.ranges}
        if window.arrangement_id == arrangement_id and (
            not window.cut_time_ms or ends.get(one.partition, 0) > one.offset
        ):
            return (window.arrangement_id, window.number)
    raise AssertionError(f"no window of {arrangement_id} takes this")
