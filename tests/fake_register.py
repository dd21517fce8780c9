"""The register of participants in memory: the ports.ParticipantStore half of the fake store."""

from collections import defaultdict

from switch.domain.money import Asset, Rate
from switch.errors import Refused
from switch.ports import Participant, ParticipantChange

__all__ = ["FakeRegister"]


class FakeRegister:
    """Participants, their rates, and the record of changes."""

    def __init__(self) -> None:
        self.participants: dict[str, Participant] = {}
        self._rates: defaultdict[tuple[Asset, Asset], dict[str, Rate]] = defaultdict(dict)
        self._record: defaultdict[str, list[ParticipantChange]] = defaultdict(list)

    async def _trip(self, step: str) -> None:
        """The way to the store; the store says how long and whether it is reached."""
        raise AssertionError(step)

    async def create_participant(self, participant: Participant, actor: str, reason: str) -> Participant:
        await self._trip("create_participant")
        known = self.participants.get(participant.id)
        if known is None:
            self.participants[participant.id] = participant
            self._note(participant.created_time_ms, participant.id, actor, "create", reason, "")
            return participant
        if known._replace(created_time_ms=0) != participant._replace(created_time_ms=0):
            raise Refused("PARTICIPANT_EXISTS")
        return known

    def _note(self, time_ms: int, participant: str, actor: str, action: str, reason: str, detail: str) -> None:
        self._record[participant].append(ParticipantChange(time_ms, participant, actor, action, reason, detail))

    async def get_participant(self, participant_id: str) -> Participant | None:
        await self._trip("get_participant")
        return self.participants.get(participant_id)

    async def list_participants(self) -> list[Participant]:
        await self._trip("list_participants")
        return [self.participants[key] for key in sorted(self.participants)]

    def _known(self, participant_id: str) -> Participant:
        if participant_id not in self.participants:
            raise Refused("PARTICIPANT_UNKNOWN")
        return self.participants[participant_id]

    async def set_suspended(
        self, participant_id: str, suspended: bool, actor: str, reason: str, now_ms: int
    ) -> Participant:
        await self._trip("set_suspended")
        changed = self.participants[participant_id] = self._known(participant_id)._replace(suspended=suspended)
        self._note(now_ms, participant_id, actor, "suspend" if suspended else "resume", reason, "")
        return changed

    async def set_cap(
        self, participant_id: str, asset: Asset, cap_minor: int, actor: str, reason: str, now_ms: int
    ) -> Participant:
        await self._trip("set_cap")
        known = self._known(participant_id)
        caps = tuple(sorted({**dict(known.caps), asset: cap_minor}.items()))
        changed = self.participants[participant_id] = known._replace(caps=caps)
        self._note(now_ms, participant_id, actor, "set_cap", reason, f"{asset.name} {cap_minor}")
        return changed

    async def set_rate(
        self, provider: str, debit: Asset, credit: Asset, rate: Rate, actor: str, reason: str, now_ms: int
    ) -> None:
        await self._trip("set_rate")
        self._rates[debit, credit][provider] = rate
        self._note(now_ms, provider, actor, "set_rate", reason, f"{debit.name} {credit.name}")

    async def rates(self, debit: Asset, credit: Asset) -> list[tuple[str, Rate]]:
        await self._trip("rates")
        quoted = list(self._rates[debit, credit].items())
        # Best for the payer: most credit for a debit; one common denominator, so that no rounding decides.
        common = 1
        for _, rate in quoted:
            common *= rate.denominator
        return sorted(quoted, key=lambda row: (-row[1].numerator * (common // row[1].denominator), row[0]))

    async def participant_changes(self, participant_id: str) -> list[ParticipantChange]:
        await self._trip("participant_changes")
        return list(self._record[participant_id])
