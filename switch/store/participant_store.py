"""The register of participants and of their rates. Every change and its record are one script."""

import asyncio
from functools import cmp_to_key
from typing import Final

import msgpack

from switch.domain.money import Asset, Rate
from switch.errors import Refused
from switch.limits import SCRIPT_INTEGER_MAX
from switch.ports import Participant, ParticipantChange
from switch.store.client import Server
from switch.store.keys import Keys
from switch.store.packing import pack
from switch.store.scripts import load_script

__all__ = ["Participants"]

CREATE: Final = load_script(
    "participant_create",
    keys="agent members audit",
    argv="participant record state created_time_ms actor reason detail (asset cap_minor)*",
)
CHANGE: Final = load_script(
    "participant_change", keys="agent audit target", argv="field value time_ms actor action reason detail"
)
_ACTIVE, _SUSPENDED = "A", "S"


class Participants:
    """ports.ParticipantStore on Redis or Valkey. Every call is safe to repeat; one that changes nothing records nothing."""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server = server
        self._keys = keys

    async def create_participant(self, participant: Participant, actor: str, reason: str) -> Participant:
        """Enter a participant; returns it as it stands, with what changed since when it was there before.

        Safe to repeat with the same data: id, name, place, roles, caps and state as first entered.

        Raises:
            Refused: PARTICIPANT_EXISTS, with other data.
        """
        caps = sorted(participant.caps)
        state = _SUSPENDED if participant.suspended else _ACTIVE
        record = pack((participant.name, participant.place, sorted(participant.roles), caps, state))
        shard = self._keys.shard_of(participant.id)
        keys = (self._keys.agent(participant.id), self._keys.members(shard), self._keys.audit(participant.id))
        argv = [participant.id, record, state, participant.created_time_ms, actor, reason, " ".join(participant.roles)]
        for asset, cap_minor in caps:
            argv += (asset.name, _checked_cap(cap_minor))
        if not await self._server.run(CREATE, keys, argv):
            raise Refused("PARTICIPANT_EXISTS", field="participant.participant_id")
        return await self._there(participant.id)

    async def get_participant(self, participant_id: str) -> Participant | None:
        """The participant as it stands, or None."""
        fields = await self._server.read("HGETALL", self._keys.agent(participant_id))
        if b"record" not in fields:
            return None
        name, place, roles, _, _ = msgpack.unpackb(fields[b"record"])
        caps = tuple((asset, int(fields[cap])) for asset in Asset if (cap := f"cap:{asset.name}".encode()) in fields)
        suspended = fields[b"state"] != _ACTIVE.encode()
        return Participant(participant_id, name, place, tuple(roles), suspended, caps, int(fields[b"created"]))

    async def _there(self, participant_id: str) -> Participant:
        participant = await self.get_participant(participant_id)
        if participant is None:
            raise Refused("PARTICIPANT_UNKNOWN")
        return participant

    async def list_participants(self) -> list[Participant]:
        """All participants, by id."""
        members = [self._server.read("SMEMBERS", self._keys.members(shard)) for shard in range(self._keys.shards)]
        ids = sorted(member.decode() for shard in await asyncio.gather(*members) for member in shard)
        return list(await asyncio.gather(*map(self._there, ids)))

    async def set_suspended(
        self, participant_id: str, suspended: bool, actor: str, reason: str, now_ms: int
    ) -> Participant:
        """Raises Refused PARTICIPANT_UNKNOWN. A suspended participant begins no payment; what runs, ends."""
        state, action = (_SUSPENDED, "suspend") if suspended else (_ACTIVE, "resume")
        agent = self._keys.agent(participant_id)
        await self._change(participant_id, agent, ("state", state, now_ms, actor, action, reason, ""))
        return await self._there(participant_id)

    async def set_cap(
        self, participant_id: str, asset: Asset, cap_minor: int, actor: str, reason: str, now_ms: int
    ) -> Participant:
        """Raises Refused PARTICIPANT_UNKNOWN, FIELD_INVALID. A cap under what is used lets nothing new begin."""
        field = (f"cap:{asset.name}", _checked_cap(cap_minor))
        detail = f"{asset.name} {cap_minor}"
        await self._change(
            participant_id, self._keys.agent(participant_id), (*field, now_ms, actor, "set_cap", reason, detail)
        )
        return await self._there(participant_id)

    async def set_rate(
        self, provider: str, debit: Asset, credit: Asset, rate: Rate, actor: str, reason: str, now_ms: int
    ) -> None:
        """The provider's rate for one pair, from now on; open quotes keep theirs. Raises Refused PARTICIPANT_UNKNOWN."""
        rates = self._keys.rates(self._keys.shard_of(provider), debit, credit)
        text = f"{rate.numerator}/{rate.denominator}"
        detail = f"{debit.name} {credit.name} {text}"
        await self._change(provider, rates, (provider, text, now_ms, actor, "set_rate", reason, detail))

    async def _change(self, participant_id: str, target: str, argv: tuple[str | int, ...]) -> None:
        keys = (self._keys.agent(participant_id), self._keys.audit(participant_id), target)
        if await self._server.run(CHANGE, keys, argv) < 0:
            raise Refused("PARTICIPANT_UNKNOWN")

    async def rates(self, debit: Asset, credit: Asset) -> list[tuple[str, Rate]]:
        """Active providers that quote this pair, the best for the payer first, then by id."""
        keys = [self._keys.rates(shard, debit, credit) for shard in range(self._keys.shards)]
        tables = await asyncio.gather(*(self._server.read("HGETALL", key) for key in keys))
        rows = sorted((provider.decode(), _rate(text)) for table in tables for provider, text in table.items())
        states = await asyncio.gather(*(self._server.read("HGET", self._keys.agent(row[0]), "state") for row in rows))
        active = [row for row, state in zip(rows, states, strict=True) if state == _ACTIVE.encode()]
        return sorted(active, key=cmp_to_key(_dearer))

    async def participant_changes(self, participant_id: str) -> list[ParticipantChange]:
        """The record of changes, oldest first."""
        rows = await self._server.read("XRANGE", self._keys.audit(participant_id), "-", "+")
        changes = []
        for _, fields in rows:
            words = {name.decode(): value.decode() for name, value in fields.items()}
            told = (words["actor"], words["action"], words["reason"], words["detail"])
            changes.append(ParticipantChange(int(words["time"]), participant_id, *told))
        return changes


def _checked_cap(cap_minor: int) -> int:
    if not 0 <= cap_minor <= SCRIPT_INTEGER_MAX:
        raise Refused("FIELD_INVALID", f"RANGE: a cap is 0 .. {SCRIPT_INTEGER_MAX}", field="net_debit_cap.amount_minor")
    return cap_minor


def _rate(text: bytes) -> Rate:
    numerator, denominator = text.split(b"/")
    return Rate(int(numerator), int(denominator))


def _dearer(one: tuple[str, Rate], other: tuple[str, Rate]) -> int:
    """> 0 when `one` gives the payer less than `other` does. Compared crosswise: no division, no rounding."""
    return other[1].numerator * one[1].denominator - one[1].numerator * other[1].denominator
