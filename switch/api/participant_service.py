"""bayswitch.v1.ParticipantService: the operator's register."""

from typing import Final

import grpc
from bayswitch.v1 import common_pb2
from bayswitch.v1 import participant_pb2 as pb

from switch.api import fields
from switch.api.call import CALL
from switch.api.parts import ApiParts
from switch.domain.money import Asset, Rate
from switch.domain.position import Position
from switch.errors import Refused
from switch.limits import NAME_CHARS_MAX, RATE_TERM_MAX, REMARK_CHARS_MAX
from switch.ports import Participant, ParticipantChange

__all__ = ["ROLES", "ParticipantService"]

ROLES: Final = ("instructing", "gateway", "fx_provider", "operator")


class ParticipantService:
    """Each method reads or makes one change; who asked and why is recorded with it."""

    def __init__(self, parts: ApiParts) -> None:
        self._register = parts.participants
        self._store = parts.store
        self._clock = parts.clock

    async def CreateParticipant(
        self, request: pb.CreateParticipantRequest, _context: grpc.aio.ServicerContext
    ) -> pb.CreateParticipantResponse:
        if not request.HasField("participant"):
            fields.missing("participant")
        wanted = _participant_from(request.participant, self._clock.now_ms())
        made = await self._register.create_participant(wanted, CALL.get().participant, _reason(request.reason))
        return pb.CreateParticipantResponse(participant=_participant_of(made))

    async def GetParticipant(
        self, request: pb.GetParticipantRequest, _context: grpc.aio.ServicerContext
    ) -> pb.GetParticipantResponse:
        found = await self._known(request.participant_id, "participant_id")
        changes = await self._register.participant_changes(found.id)
        return pb.GetParticipantResponse(participant=_participant_of(found, changes))

    async def ListParticipants(
        self, _request: pb.ListParticipantsRequest, _context: grpc.aio.ServicerContext
    ) -> pb.ListParticipantsResponse:
        found = await self._register.list_participants()
        return pb.ListParticipantsResponse(participants=[_participant_of(each) for each in found])

    async def SuspendParticipant(
        self, request: pb.SuspendParticipantRequest, _context: grpc.aio.ServicerContext
    ) -> pb.SuspendParticipantResponse:
        changed = await self._set_suspended(request.participant_id, True, request.reason)
        return pb.SuspendParticipantResponse(participant=_participant_of(changed))

    async def ResumeParticipant(
        self, request: pb.ResumeParticipantRequest, _context: grpc.aio.ServicerContext
    ) -> pb.ResumeParticipantResponse:
        changed = await self._set_suspended(request.participant_id, False, request.reason)
        return pb.ResumeParticipantResponse(participant=_participant_of(changed))

    async def SetCap(self, request: pb.SetCapRequest, _context: grpc.aio.ServicerContext) -> pb.SetCapResponse:
        participant_id = fields.participant_id(request.participant_id, "participant_id")
        if not request.HasField("net_debit_cap"):
            fields.missing("net_debit_cap")
        asset, cap_minor = fields.money(request.net_debit_cap, "net_debit_cap", zero=True)
        changed = await self._register.set_cap(
            participant_id, asset, cap_minor, CALL.get().participant, _reason(request.reason), self._clock.now_ms()
        )
        return pb.SetCapResponse(participant=_participant_of(changed))

    async def SetRate(self, request: pb.SetRateRequest, _context: grpc.aio.ServicerContext) -> pb.SetRateResponse:
        debit = fields.asset(request.debit_asset, "debit_asset")
        credit = fields.asset(request.credit_asset, "credit_asset")
        if debit is credit:
            fields.wrong("credit_asset", "EQUAL", "a rate is between two assets")
        if not request.HasField("rate"):
            fields.missing("rate")
        rate = Rate(
            _rate_term(request.rate.numerator, "rate.numerator"),
            _rate_term(request.rate.denominator, "rate.denominator"),
        )
        reason = _reason(request.reason)
        provider = await self._known(request.provider_id, "provider_id")
        if "fx_provider" not in provider.roles:
            fields.wrong("provider_id", "ROLE", "a participant with the role fx_provider")
        await self._register.set_rate(
            provider.id, debit, credit, rate, CALL.get().participant, reason, self._clock.now_ms()
        )
        return pb.SetRateResponse()

    async def GetPositions(
        self, request: pb.GetPositionsRequest, _context: grpc.aio.ServicerContext
    ) -> pb.GetPositionsResponse:
        """Everybody's, for the operator; one's own, for anybody."""
        call = CALL.get()
        wanted = fields.participant_id(request.participant_id, "participant_id") if request.participant_id else ""
        if not call.operator and wanted != call.participant:
            raise Refused("CALLER_NOT_PERMITTED", "a participant sees its own positions only", field="participant_id")
        return pb.GetPositionsResponse(positions=[_position_of(each) for each in await self._store.positions(wanted)])

    async def _known(self, participant_id: str, field: str) -> Participant:
        found = await self._register.get_participant(fields.participant_id(participant_id, field))
        if found is None:
            raise Refused("PARTICIPANT_UNKNOWN", field=field)
        return found

    async def _set_suspended(self, participant_id: str, suspended: bool, reason: str) -> Participant:
        return await self._register.set_suspended(
            fields.participant_id(participant_id, "participant_id"),
            suspended,
            CALL.get().participant,
            _reason(reason),
            self._clock.now_ms(),
        )


def _reason(value: str) -> str:
    said = fields.text(value, "reason", REMARK_CHARS_MAX)
    if not said:
        fields.missing("reason")
    return said


def _rate_term(value: int, field: str) -> int:
    if not 0 < value <= RATE_TERM_MAX:
        fields.wrong(field, "RANGE", f"1 .. {RATE_TERM_MAX}")
    return value


def _participant_from(message: pb.Participant, now_ms: int) -> Participant:
    """What is to be created; the fields only we fill (suspended, create_time, changes) are not read."""
    identity = fields.participant_id(message.participant_id, "participant.participant_id")
    name = fields.text(message.name, "participant.name", NAME_CHARS_MAX)
    if not name:
        fields.missing("participant.name")
    place = fields.place(message.place, "participant.place")
    if not message.roles:
        fields.missing("participant.roles")
    for index, role in enumerate(message.roles):
        if role not in ROLES:
            fields.wrong(f"participant.roles[{index}]", "ROLE", "one of " + ", ".join(ROLES))
    caps: dict[Asset, int] = {}
    for index, cap in enumerate(message.net_debit_caps):
        at = f"participant.net_debit_caps[{index}]"
        asset, cap_minor = fields.money(cap, at, zero=True)
        if asset in caps:
            fields.wrong(f"{at}.asset", "TWICE", "each asset has one cap")
        caps[asset] = cap_minor
    # In one order, whatever order they came in: a repeat with the same data is the same data.
    roles = tuple(role for role in ROLES if role in message.roles)
    return Participant(identity, name, place.name, roles, False, tuple(sorted(caps.items())), now_ms)


def _participant_of(participant: Participant, changes: list[ParticipantChange] | None = None) -> pb.Participant:
    return pb.Participant(
        participant_id=participant.id,
        name=participant.name,
        place=f"PLACE_{participant.place}",
        roles=participant.roles,
        suspended=participant.suspended,
        net_debit_caps=[common_pb2.Money(asset=asset.name, amount_minor=cap) for asset, cap in participant.caps],
        create_time=fields.timestamp(participant.created_time_ms),
        changes=[
            pb.ParticipantChange(
                change_time=fields.timestamp(change.time_ms),
                actor=change.actor,
                action=change.action,
                reason=change.reason,
                detail=change.detail,
            )
            for change in changes or ()
        ],
    )


def _position_of(position: Position) -> pb.Position:
    return pb.Position(
        participant_id=position.participant,
        asset=position.asset.name,
        net_debit_minor=position.net_debit_minor,
        reserved_minor=position.reserved_minor,
        net_debit_cap_minor=position.net_debit_cap_minor,
        headroom_minor=position.headroom_minor,
    )
