"""bayswitch.v1.PaymentService."""

from contextlib import aclosing
from typing import Final

import grpc
from bayswitch.v1 import payment_pb2 as pb

from switch.api import fields
from switch.api.call import CALL
from switch.api.convert import STATE_TO_WIRE, payment_of, state_of
from switch.api.parts import ApiParts
from switch.api.payment_stream import BatchStream
from switch.api.payment_wire import write_response
from switch.api.reading import instruction_from
from switch.api.tokens import seal, unseal
from switch.domain.identifiers import parse_request_id, parse_uetr
from switch.errors import Refused
from switch.limits import CLOCK_SKEW_MS_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from switch.ports import Stage

__all__ = ["REPLAY_METADATA", "PaymentService"]

REPLAY_METADATA: Final = (("x-bayswitch-replay", "true"),)
_FROM_THE_BEGINNING: Final = "0"
_PARSE: Final = Stage.PARSE


def _whose(participant_id: str) -> str:
    """Raises Refused: the operator names nobody, or somebody else names another."""
    call = CALL.get()
    if call.operator and not participant_id:
        fields.missing("participant_id")
    wanted = fields.participant_id(participant_id, "participant_id") if participant_id else call.participant
    if not call.operator and wanted != call.participant:
        raise Refused("CALLER_NOT_PERMITTED", "a participant lists its own payments only", field="participant_id")
    return wanted


class PaymentService:
    """Payments of the calling participant."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._streams: set[BatchStream] = set()

    def close_streams(self) -> None:
        """End the long streams soon: what was read is answered, watchers are told to resume elsewhere."""
        self._parts.watch.close()
        for stream in self._streams:
            stream.stop()

    async def SubmitPayment(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Pay, or answer what became of this request before, marked in the trailing metadata."""
        call, meter = CALL.get(), self._parts.meter
        begun_ns = meter.now_ns()
        try:
            instruction = instruction_from(call.participant, request)
        finally:
            meter.stage(_PARSE, begun_ns)
        submitted = await self._parts.payments.submit(instruction, call.budget_ms)
        if submitted.replay:
            context.set_trailing_metadata(REPLAY_METADATA)
        return write_response(submitted.payment)

    async def SubmitPayments(self, _requests: object, context: grpc.aio.ServicerContext) -> None:
        """Pay in batches; see BatchStream. A call that comes when there is no room is refused before it is read."""
        participant = CALL.get().participant
        refused = self._parts.payments.no_room(participant)
        if refused is not None:
            raise refused
        stream = BatchStream(self._parts.payments, participant, context, self._parts.meter)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def GetPayment(
        self, request: pb.GetPaymentRequest, _context: grpc.aio.ServicerContext
    ) -> pb.GetPaymentResponse:
        """One own payment. Raises Refused PAYMENT_UNKNOWN for another participant's as for one that is nobody's."""
        store, participant, asked = self._parts.store, CALL.get().participant, request.WhichOneof("id")
        if asked is None:
            fields.missing("uetr")
        if asked == "uetr":
            payment = await store.get(participant, fields.identifier(request.uetr, parse_uetr, "uetr"))
        else:
            request_id = fields.identifier(request.request_id, parse_request_id, "request_id")
            payment = await store.get_by_request(participant, request_id)
        if payment is None:
            raise Refused("PAYMENT_UNKNOWN", field=asked)
        return pb.GetPaymentResponse(payment=payment_of(payment))

    async def ListPayments(
        self, request: pb.ListPaymentsRequest, _context: grpc.aio.ServicerContext
    ) -> pb.ListPaymentsResponse:
        """Payments of one participant, a page at a time: the caller's own, or for the operator whose it names."""
        participant = _whose(request.participant_id)
        state = state_of(request.state, "state")
        from_ms = fields.instant_ms(request.from_time, "from_time")
        # Until now: a payment prepared by a worker whose clock is ahead is in it, too.
        to_ms = (
            fields.instant_ms(request.to_time, "to_time")
            if request.HasField("to_time")
            else self._parts.clock.now_ms() + CLOCK_SKEW_MS_MAX
        )
        if request.HasField("to_time") and to_ms < from_ms:
            fields.wrong("to_time", "ORDER", "not before from_time")
        if not 0 <= request.page_size <= PAGE_SIZE_MAX:
            fields.wrong("page_size", "RANGE", f"1 .. {PAGE_SIZE_MAX}, or 0 for {PAGE_SIZE_DEFAULT}")
        question = f"list|{participant}|{request.state}|{from_ms}|{to_ms if request.HasField('to_time') else ''}"
        place = unseal(question, request.page_token, "page_token") if request.page_token else ""
        payments, next_place = await self._parts.store.list_payments(
            participant,
            state=state,
            from_time_ms=from_ms,
            to_time_ms=to_ms,
            token=place,
            count=request.page_size or PAGE_SIZE_DEFAULT,
        )
        return pb.ListPaymentsResponse(
            payments=[payment_of(payment) for payment in payments],
            next_page_token=seal(question, next_place) if next_place else "",
        )

    async def WatchPayments(self, request: pb.WatchPaymentsRequest, context: grpc.aio.ServicerContext) -> None:
        """Own state changes, until the caller goes or the server drains: then SHUTTING_DOWN, and it resumes elsewhere."""
        participant = CALL.get().participant
        question = f"watch|{participant}"
        token = request.resume_token
        if token not in ("", _FROM_THE_BEGINNING):
            token = unseal(question, token, "resume_token")
        # The caller learns now that it is heard, not with the first change: it may submit without a gap.
        await context.send_initial_metadata(())
        async with aclosing(self._parts.watch.changes(participant, token)) as changes:
            async for change in changes:
                await context.write(
                    pb.WatchPaymentsResponse(
                        token=seal(question, change.token),
                        uetr=change.uetr,
                        state=STATE_TO_WIRE[change.state],
                        change_time=fields.timestamp(change.time_ms),
                    )
                )
        raise Refused("SHUTTING_DOWN")
