"""What a consumer has had of each debtor agent: which event is a repeat, and which numbers never came. Pure.

Sequences are gapless per debtor agent, so a few numbers tell what a table of all ids would: from the first that was
seen to the greatest, less the ranges that are missing. They are short enough to travel with the group's own offsets.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from switch.domain.settlement import SettlementFact
from switch.errors import BayswitchError, SettlementHalted

__all__ = ["GapFound", "Sequences"]

IDS_KEPT: Final = 10_000  # the latest events, by which two that claim one number are told apart
TEXT_BYTES_MAX: Final = 4_000  # a broker keeps 4,096 with an offset (offset.metadata.max.bytes)
RANGES_MAX: Final = 100  # missing ranges of one debtor agent; beyond it somebody has to look


class GapFound(BayswitchError):
    """Events `first` .. `last` of a debtor agent did not come before a later one of it. Nothing of them was skipped."""

    def __init__(self, debtor_agent: str, first: int, last: int) -> None:
        numbers = str(first) if first == last else f"{first} to {last}"
        super().__init__(f"{debtor_agent}: sequence {numbers} did not come; ask the operator of the switch")
        self.debtor_agent = debtor_agent
        self.first = first
        self.last = last


class _Had(NamedTuple):
    low: int  # the first that was seen: of what is before it nothing is known
    high: int
    missing: tuple[tuple[int, int], ...] = ()  # ranges between them, ascending


class Sequences:
    """Of the debtor agents that were seen."""

    def __init__(self) -> None:
        self._had: dict[str, _Had] = {}
        self._ids: OrderedDict[tuple[str, int], str] = OrderedDict()

    def repeated(self, fact: SettlementFact) -> bool:
        """Whether this event was accepted before.

        Raises SettlementHalted: another event was accepted under its number.
        """
        agent, sequence = fact.debtor_agent, fact.sequence
        known = self._ids.get((agent, sequence))
        if known is not None and known != fact.event_id:
            raise SettlementHalted(f"{agent}: events {known} and {fact.event_id} both claim sequence {sequence}")
        had = self._had.get(agent)
        inside = had is not None and had.low <= sequence <= had.high and not _within(had.missing, sequence)
        return known is not None or inside

    def gap(self, fact: SettlementFact) -> GapFound | None:
        """What is missing before this event, when it was not noticed before."""
        had = self._had.get(fact.debtor_agent)
        if had is None or fact.sequence <= had.high + 1:
            return None
        return GapFound(fact.debtor_agent, had.high + 1, fact.sequence - 1)

    def accept(self, fact: SettlementFact) -> None:
        """Its effect is made. What is missing before it stays in sight, to be accepted when it comes after all.

        Raises SettlementHalted: more is missing than can be kept in sight.
        """
        agent, sequence = fact.debtor_agent, fact.sequence
        had = self._had.get(agent, _Had(sequence, sequence))
        missing = had.missing
        if sequence > had.high + 1:
            missing = (*missing, (had.high + 1, sequence - 1))
        elif _within(missing, sequence):
            missing = tuple(_without(missing, sequence))
        if len(missing) > RANGES_MAX:
            raise SettlementHalted(f"{agent}: more than {RANGES_MAX} ranges are missing")
        self._had[agent] = _Had(had.low, max(had.high, sequence), missing)
        self._ids[agent, sequence] = fact.event_id
        if len(self._ids) > IDS_KEPT:
            self._ids.popitem(last=False)

    def text(self, agents: Iterable[str]) -> str:
        """What is known of these, the important ones first; of those that have no room nothing is known later."""
        parts: list[str] = []
        room = TEXT_BYTES_MAX - 2
        for agent in agents:
            if agent in self._had:
                low, high, missing = self._had[agent]
                part = f"{json.dumps(agent)}:{json.dumps([low, high, *missing], separators=(',', ':'))}"
                room -= len(part) + 1
                if room < 0:
                    break
                parts.append(part)
        return "{" + ",".join(parts) + "}"

    def learn(self, text: str) -> list[str]:
        """Take over what another consumer of the group, or an earlier life of this one, has had. Its debtor agents.

        Raises SettlementHalted: the text is not ours: another program commits for this group.
        """
        try:
            told = {
                agent: _Had(low, high, tuple((first, last) for first, last in missing))
                for agent, (low, high, *missing) in json.loads(text or "{}").items()
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise SettlementHalted("what the group has had is unreadable: another program commits for it") from error
        for agent, had in told.items():
            if agent not in self._had or had.high > self._had[agent].high:
                self._had[agent] = had
        return list(told)


def _within(ranges: Iterable[tuple[int, int]], number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)


def _without(ranges: Iterable[tuple[int, int]], number: int) -> Iterable[tuple[int, int]]:
    for first, last in ranges:
        if not first <= number <= last:
            yield first, last
            continue
        if first < number:
            yield first, number - 1
        if number < last:
            yield number + 1, last
