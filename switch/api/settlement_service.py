"""bayswitch.v1.SettlementService."""

from contextlib import aclosing
from typing import Final

import grpc
from bayswitch.v1 import settlement_pb2 as pb

from switch.api import fields
from switch.api.call import CALL, Call
from switch.api.parts import ApiParts
from switch.api.settlement_convert import arrangement_of, seen_by, statement_of
from switch.api.tokens import seal, unseal
from switch.contract import window_of
from switch.domain.identifiers import parse_max35text
from switch.domain.settlement import Window, window_id_parts
from switch.engine import Settlement
from switch.errors import Refused
from switch.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, REMARK_CHARS_MAX, WINDOWS_READ_MAX

__all__ = ["SettlementService"]

_WINDOW_ID_CHARS_MAX: Final = 64  # an arrangement's id, a point, and a number that the store can count to


class SettlementService:
    """Windows, obligations, statements. Who may cut, close and confirm, the gate has asked."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    @property
    def _settlement(self) -> Settlement:
        found = self._parts.settlement
        if found is None:
            raise Refused(
                "BROKER_UNAVAILABLE", "this switch runs without a broker, and settles nothing: set kafka_bootstrap"
            )
        return found

    def close_streams(self) -> None:
        """End the watchers soon: they are told to go elsewhere."""
        if self._parts.settlement is not None:
            self._parts.settlement.watch.close()

    # --- looking -----------------------------------------------------------------------------------------------------
    async def ListArrangements(
        self, _request: pb.ListArrangementsRequest, _context: grpc.aio.ServicerContext
    ) -> pb.ListArrangementsResponse:
        found = self._settlement.arrangements()
        return pb.ListArrangementsResponse(arrangements=[arrangement_of(each) for each in found])

    async def ListWindows(
        self, request: pb.ListWindowsRequest, _context: grpc.aio.ServicerContext
    ) -> pb.ListWindowsResponse:
        settlement = self._settlement
        count = _page_size(request.page_size, PAGE_SIZE_DEFAULT, WINDOWS_READ_MAX)
        found = await settlement.windows(request.arrangement_id, count)
        return pb.ListWindowsResponse(windows=[window_of(each) for each in found])

    async def GetWindow(self, request: pb.GetWindowRequest, _context: grpc.aio.ServicerContext) -> pb.GetWindowResponse:
        settlement = self._settlement
        window = await settlement.window(_window_id(request.window_id))
        return pb.GetWindowResponse(window=window_of(self._shown(CALL.get(), window)))

    async def WatchWindows(self, _request: pb.WatchWindowsRequest, context: grpc.aio.ServicerContext) -> None:
        """Moves, until the caller goes or the server drains: then SHUTTING_DOWN."""
        call = CALL.get()

        async def heard() -> None:
            await context.send_initial_metadata(())

        async with aclosing(self._settlement.watch.moves(heard)) as moves:
            async for window in moves:
                await context.write(pb.WatchWindowsResponse(window=window_of(self._shown(call, window))))
        raise Refused("SHUTTING_DOWN")

    def _shown(self, call: Call, window: Window) -> Window:
        """What this caller may see: the operator and the settlement agent all of it, a participant its own figures."""
        agents = {each.id: each.settlement_agent for each in self._settlement.arrangements()}
        if call.operator or call.participant == agents.get(window.arrangement_id):
            return window
        return seen_by(call.participant, window)

    async def GetStatement(
        self, request: pb.GetStatementRequest, _context: grpc.aio.ServicerContext
    ) -> pb.GetStatementResponse:
        """One's own, for anybody; everybody's, for the operator."""
        settlement, call = self._settlement, CALL.get()
        window_id = _window_id(request.window_id)
        participant = call.participant
        if request.participant:
            participant = fields.participant_id(request.participant, "participant")
        if participant != call.participant and not call.operator:
            raise Refused("CALLER_NOT_PERMITTED", "a participant sees its own statement only", field="participant")
        count = _page_size(request.page_size, PAGE_SIZE_MAX, PAGE_SIZE_MAX)
        question = f"statement|{call.participant}|{window_id}|{participant}"
        place = unseal(question, request.page_token, "page_token") if request.page_token else ""
        page = await settlement.statement(window_id, participant, place, count)
        return statement_of(page, seal(question, page.token) if page.token else "")

    # --- moving ------------------------------------------------------------------------------------------------------
    async def CutWindow(self, request: pb.CutWindowRequest, _context: grpc.aio.ServicerContext) -> pb.CutWindowResponse:
        window = await self._settlement.cut(_window_id(request.window_id), CALL.get().participant)
        return pb.CutWindowResponse(window=window_of(window))

    async def CloseWindow(
        self, request: pb.CloseWindowRequest, _context: grpc.aio.ServicerContext
    ) -> pb.CloseWindowResponse:
        window = await self._settlement.close(_window_id(request.window_id))
        return pb.CloseWindowResponse(window=window_of(window))

    async def ConfirmObligation(
        self, request: pb.ConfirmObligationRequest, _context: grpc.aio.ServicerContext
    ) -> pb.ConfirmObligationResponse:
        settlement = self._settlement
        window_id = _window_id(request.window_id)
        participant = fields.participant_id(request.participant, "participant")
        asset = fields.asset(request.asset, "asset")
        if not request.amount_minor:
            fields.missing("amount_minor")
        reference = fields.identifier(request.reference, parse_max35text, "reference")
        window = await settlement.confirm(window_id, participant, asset, request.amount_minor, reference)
        return pb.ConfirmObligationResponse(window=window_of(window))

    async def DeclareDefault(
        self, request: pb.DeclareDefaultRequest, _context: grpc.aio.ServicerContext
    ) -> pb.DeclareDefaultResponse:
        settlement = self._settlement
        window_id = _window_id(request.window_id)
        participant = fields.participant_id(request.participant, "participant")
        reason = fields.text(request.reason, "reason", REMARK_CHARS_MAX)
        if not reason:
            fields.missing("reason")
        window = await settlement.declare_default(window_id, participant, CALL.get().participant, reason)
        return pb.DeclareDefaultResponse(window=window_of(window))


def _window_id(value: str) -> str:
    if not value:
        fields.missing("window_id")
    if len(value) > _WINDOW_ID_CHARS_MAX or window_id_parts(value) is None:
        fields.wrong("window_id", "FORMAT", "an arrangement and a number, e.g. hkd-rtgs.7")
    return value


def _page_size(value: int, default: int, most: int) -> int:
    if not 0 <= value <= most:
        fields.wrong("page_size", "RANGE", f"1 .. {most}, or 0 for {default}")
    return value or default
