"""The client of a push rail (kit.push_codec): links, inbound payments, and what an abort may promise.

PushRail("name", codec, options)
"""

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import count
from typing import Generic, TypeVar

from adapters.kit.clock import certain, wall_ms
from adapters.kit.inbound import InboundDesk, canonical
from adapters.kit.link import Link
from adapters.kit.module import RailOptions
from adapters.kit.push_codec import AGENT_UNKNOWN, FORMAT, PushCodec, Transfer
from adapters.kit.waves import together
from switch.domain.payment import Hold, Payment
from switch.errors import CodecError
from switch.ports import Answered, Enquiry, InboundHandler, RailAck

__all__ = ["PushRail"]

T = TypeVar("T", bound=Transfer)


class PushRail(Generic[T]):
    """ports.Rail over one pipelined link to a push rail."""

    def __init__(
        self, name: str, codec: PushCodec[T], options: RailOptions, now_ms: Callable[[], int] = wall_ms
    ) -> None:
        self.name = name
        self._codec = codec
        self._institution = options.institution
        self._valid_ms = options.message_valid_ms
        self._skew_ms = options.clock_skew_ms
        self._now_ms = now_ms
        self._desk = InboundDesk(name)
        # Enquiries have ids of their own: a process, then a count.
        self._id_prefix, self._ids = f"E{secrets.token_hex(8)}", count()
        self.link = Link(
            name,
            options.host,
            options.port,
            connections=options.connections,
            correlate=codec.correlate,
            on_unsolicited=self._inbound,
        )

    async def start(self) -> None:
        """As ports.Rail."""
        await self.link.start()

    async def close(self) -> None:
        """As ports.Rail."""
        await self._desk.close()
        await self.link.close()

    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        """As ports.Rail. The bytes depend on the hold alone, so a repeat is the same message.

        An answer that says "not final yet" ends the wait at once as RailSilent: only an enquiry can tell.
        """
        key, payload, uetr = self._written(hold)
        return self._codec.read_ack(await self.link.request(key, payload, budget_ms), uetr)

    def prepare_all(self, holds: Sequence[Hold], budget_ms: int) -> AsyncGenerator[list[Answered], None]:
        """As ports.Rail."""
        return together(self.link, holds, budget_ms, write=self._written, read=self._codec.read_ack)

    def _written(self, hold: Hold) -> tuple[str, bytes, str]:
        uetr = hold.instruction.uetr
        return self._codec.payment_key(uetr), self._codec.encode_transfer(hold, self._institution), uetr

    async def enquire(self, hold: Hold, budget_ms: int) -> Enquiry:
        """As ports.Rail."""
        message_id = f"{self._id_prefix}{next(self._ids):012d}"
        payload = self._codec.encode_request(hold.uetr, self._institution, message_id, self._now_ms())
        answer = await self.link.request(self._codec.enquiry_key(hold.uetr), payload, budget_ms)
        return self._codec.read_enquiry(answer, hold.uetr)

    async def abort(self, hold: Hold, budget_ms: int) -> Enquiry:
        """As ports.Rail. A push rail has no cancel: what keeps the payment unpaid is the age of its message."""
        asked_ms = self._now_ms()  # before we ask: what comes meanwhile must be too old already
        return certain(await self.enquire(hold, budget_ms), hold, asked_ms, self._valid_ms, self._skew_ms)

    def listen(self, handler: InboundHandler) -> None:
        """As ports.Rail."""
        self._desk.listen(handler)

    def _inbound(self, payload: bytes) -> None:
        """A payment from the rail. One that cannot be read is left unanswered: the rail asks again, and shows it."""
        try:
            transfer = self._codec.read_transfer(payload)
        except CodecError:
            self.link.dropped += 1
            return
        if transfer.creditor_agent != self._institution:
            self._refuse(transfer, AGENT_UNKNOWN)
            return
        try:
            instruction = canonical(self._codec.instruction_of(transfer))
        except CodecError:
            self._refuse(transfer, FORMAT)
            return

        def answer(payment: Payment) -> None:
            self.link.send(self._codec.answer_inbound(transfer, payment, self._institution, self._now_ms()))

        self._desk.take(instruction, answer)

    def _refuse(self, transfer: T, code: str) -> None:
        self.link.send(self._codec.refuse_inbound(transfer, code, self._institution, self._now_ms()))
