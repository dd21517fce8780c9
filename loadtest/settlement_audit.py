"""After a run: the store's records, the topic, the archive, the windows and the seals all tell the same story.

It is called when the load has ended, everything published is settled, and nothing runs any more.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from bayswitch.v1 import participant_pb2, participant_pb2_grpc, settlement_pb2, settlement_pb2_grpc

from loadtest.audit import STATES, payments_of, settled_of
from switch.domain.settlement import Arrangement, SettlementFact
from switch.events.log import KafkaLog
from switch.events.replay import latest_windows, replay, verify
from switch.events.schema import decode
from switch.ports import Archive

__all__ = ["SettlementAudit", "audit_settlement"]

_SHOWN_MAX = 20
_READ_COUNT = 5_000


@dataclass
class SettlementAudit:
    """What was compared, and every difference. `clean` is the verdict."""

    records: int = 0  # final payments the services show, archived ones too
    events: int = 0  # records of the topic
    repeats: int = 0  # of those, second arrivals
    archived: int = 0
    windows: int = 0
    sealed: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        first = (
            f"{self.records} final records = {self.events - self.repeats} events (and {self.repeats} repeats) = "
            f"{self.archived} archived; {self.windows} windows, {self.sealed} sealed and proven"
        )
        more = [f"… and {len(self.problems) - _SHOWN_MAX} more"] if len(self.problems) > _SHOWN_MAX else []
        return "\n".join([first, *self.problems[:_SHOWN_MAX], *more])


async def audit_settlement(
    address: str,
    operator: str,
    participants: Sequence[str],
    bootstrap: str,
    archive: Archive,
    arrangements: Iterable[Arrangement],
) -> SettlementAudit:
    """Compare everything with the topic. Raises what the services, the broker or the archive raise."""
    found = SettlementAudit()
    async with KafkaLog(bootstrap) as log:
        facts = await _topic(found, log)
        announced = latest_windows(await log.announcements())
        replayed = await replay(log, archive, announced, list(arrangements))
    found.sealed = sum(1 for window in announced.values() if window.seal)
    found.problems += [f"{each.window_id}: {each.what}" for each in verify(announced, replayed.windows)]
    await _check_archive(found, archive, facts)
    async with grpc.aio.insecure_channel(address) as channel:
        await _check_records(found, channel, participants, facts)
        await _check_windows(found, channel, operator, facts)
        await _check_positions(found, channel, operator, facts)
    return found


async def _topic(found: SettlementAudit, log: KafkaLog) -> dict[str, SettlementFact]:
    """First arrivals by event id: per debtor agent gapless from 1, in order; a repeat is equal to its first."""
    facts: dict[str, SettlementFact] = {}
    last: Counter[str] = Counter()
    begins, ends = await log.begins(), await log.ends()
    for partition, end in sorted(ends.items()):
        async for records in log.read(partition, begins[partition], end):
            for record in records:
                fact = decode(record.value, record.headers)
                found.events += 1
                if fact.event_id in facts:
                    found.repeats += 1
                    if facts[fact.event_id] != fact:
                        found.problems.append(f"{fact.event_id}: a repeat that says something else")
                    continue
                facts[fact.event_id] = fact
                if fact.sequence != last[fact.debtor_agent] + 1:
                    found.problems.append(f"{fact.debtor_agent}: {fact.sequence} comes after {last[fact.debtor_agent]}")
                last[fact.debtor_agent] = fact.sequence
    return facts


async def _check_archive(found: SettlementAudit, archive: Archive, facts: Mapping[str, SettlementFact]) -> None:
    kept: dict[str, SettlementFact] = {}
    for partition in await archive.partitions():
        at = 0
        while rows := await archive.read(partition, at, _READ_COUNT):
            kept.update((row.fact.event_id, row.fact) for row in rows)
            at = rows[-1].offset + 1
    found.archived = len(kept)
    for event_id in kept.keys() | facts.keys():
        if kept.get(event_id) != facts.get(event_id):
            found.problems.append(f"{event_id}: the archive and the topic differ")


async def _check_records(
    found: SettlementAudit, channel: grpc.aio.Channel, participants: Sequence[str], facts: Mapping[str, SettlementFact]
) -> None:
    seen: set[str] = set()
    for participant in participants:
        async for payment in payments_of(channel, participant):
            state = STATES[payment.state]
            found.records += 1
            seen.add(payment.uetr)
            fact = facts.get(payment.uetr)
            said = None if fact is None else (fact.state.name, fact.debtor_agent, _entries(fact))
            entries = tuple((each.participant, each.asset, each.amount_minor) for each in payment.entries)
            if said != (state, participant, entries):
                found.problems.append(f"{payment.uetr}: the record says {state}, the topic {said and said[0]}")
    found.problems += [f"{uetr}: on the topic and nobody's record" for uetr in facts.keys() - seen]


def _entries(fact: SettlementFact) -> tuple[tuple[str, str, int], ...]:
    return tuple((entry.participant, entry.asset.name, entry.amount_minor) for entry in fact.entries)


def _sums(facts: Mapping[str, SettlementFact]) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for fact in facts.values():
        for entry in fact.entries:
            sums[entry.participant, entry.asset.name] += entry.amount_minor
    return sums


async def _check_windows(
    found: SettlementAudit, channel: grpc.aio.Channel, operator: str, facts: Mapping[str, SettlementFact]
) -> None:
    """Per asset each window sums to zero; together they come to what the events come to: each event is in one window."""
    stub = settlement_pb2_grpc.SettlementServiceStub(channel)
    options: dict[str, Any] = {"timeout": 30, "metadata": (("x-bayswitch-participant", operator),)}
    listed = await stub.ListWindows(settlement_pb2.ListWindowsRequest(page_size=500), **options)
    sums: Counter[tuple[str, str]] = Counter()
    for each in listed.windows:
        window = (await stub.GetWindow(settlement_pb2.GetWindowRequest(window_id=each.window_id), **options)).window
        found.windows += 1
        assets: Counter[str] = Counter()
        for position in window.positions:
            assets[position.asset] += position.net_debit_minor
            sums[position.participant, position.asset] += position.net_debit_minor
        found.problems += [f"{window.window_id}: {asset} sums to {total}" for asset, total in assets.items() if total]
    expected = _sums(facts)
    found.problems += [
        f"{whose}: windows come to {sums[whose]}, events to {expected[whose]}"
        for whose in sums.keys() | expected.keys()
        if sums[whose] != expected[whose]
    ]


async def _check_positions(
    found: SettlementAudit, channel: grpc.aio.Channel, operator: str, facts: Mapping[str, SettlementFact]
) -> None:
    """Positions are the events less what was settled, and headroom is the cap less the position: each credit once."""
    expected = _sums(facts)
    expected.update(await settled_of(channel, operator))
    stub = participant_pb2_grpc.ParticipantServiceStub(channel)
    metadata = (("x-bayswitch-participant", operator),)
    answer = await stub.GetPositions(participant_pb2.GetPositionsRequest(), timeout=30, metadata=metadata)
    for position in answer.positions:
        whose = position.participant_id, position.asset
        if position.net_debit_minor != expected.pop(whose, 0):
            found.problems.append(
                f"{whose}: the position is {position.net_debit_minor}, events and settlements say not"
            )
        free = position.net_debit_cap_minor - position.net_debit_minor - position.reserved_minor
        if position.net_debit_cap_minor and position.headroom_minor != free:
            found.problems.append(f"{whose}: headroom {position.headroom_minor}, the position leaves {free}")
    found.problems += [f"{whose}: no position, events come to {total}" for whose, total in expected.items() if total]
