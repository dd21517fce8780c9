"""The switch's side of FPS."""

import secrets
import time
from collections.abc import Callable
from itertools import count

from adapters.hkfps import codec, rules
from adapters.hkfps.spec import ENQUIRY_SERVICE, PAYMENT_SERVICE, Transfer
from adapters.kit.inbound import InboundDesk
from adapters.kit.link import Link
from adapters.kit.module import RailOptions
from switch.domain.payment import Hold
from switch.errors import CodecError
from switch.limits import CLOCK_SKEW_MS_MAX
from switch.ports import Enquiry, InboundHandler, Outcome, RailAck

__all__ = ["FpsRail"]


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class FpsRail:
    """ports.Rail over one pipelined link to the FPS hub."""

    name = "hkfps"

    def __init__(self, options: RailOptions, now_ms: Callable[[], int] = _wall_ms) -> None:
        self._institution = options.institution
        self._valid_ms = options.message_valid_ms
        self._now_ms = now_ms
        self._desk = InboundDesk(self.name)
        # Enquiries have ids of their own: a process, then a count.
        self._id_prefix, self._ids = f"E{secrets.token_hex(8)}", count()
        self.link = Link(
            self.name,
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
        """As ports.Rail: pacs.008, answered by pacs.002. The bytes depend on the hold alone."""
        payload = codec.encode_transfer(hold, self._institution)
        key = PAYMENT_SERVICE + codec.tx_id_of(hold.uetr)
        answer = await self.link.request(key, payload, budget_ms)
        return codec.ack_of(codec.read_report(answer, PAYMENT_SERVICE, hold.uetr))

    async def enquire(self, hold: Hold, budget_ms: int) -> Enquiry:
        """As ports.Rail: pacs.028, answered by pacs.002."""
        message_id = f"{self._id_prefix}{next(self._ids):012d}"
        payload = codec.encode_request(hold.uetr, self._institution, message_id, self._now_ms())
        key = ENQUIRY_SERVICE + codec.tx_id_of(hold.uetr)
        answer = await self.link.request(key, payload, budget_ms)
        return codec.enquiry_of(codec.read_report(answer, ENQUIRY_SERVICE, hold.uetr))

    async def abort(self, hold: Hold, budget_ms: int) -> Enquiry:
        """As ports.Rail. FPS has no cancel: what keeps the payment unpaid is the age of its message.

        Our message carries the time the hold was prepared, so once that is older than the rail takes (its clock may be
        behind ours) "never seen" is true for ever. Asked earlier, the answer is WORKING.
        """
        answer = await self.enquire(hold, budget_ms)
        age_ms = self._now_ms() - hold.prepared_time_ms
        if answer.outcome is Outcome.NEVER_SEEN and age_ms <= self._valid_ms + CLOCK_SKEW_MS_MAX:
            return Enquiry(Outcome.WORKING)
        return answer

    def listen(self, handler: InboundHandler) -> None:
        """As ports.Rail."""
        self._desk.listen(handler)

    def _inbound(self, payload: bytes) -> None:
        """A pacs.008 from the hub. One that cannot be read is left unanswered: the hub asks again, and shows it."""
        try:
            transfer = codec.read_transfer(payload)
        except CodecError:
            self.link.dropped += 1
            return
        if transfer.creditor_agent != self._institution:
            self._refuse(transfer, "AGNT")
            return
        try:
            instruction = codec.instruction_of(transfer)
        except CodecError:
            self._refuse(transfer, rules.FORMAT)
            return
        self._desk.take(
            instruction,
            lambda payment: self.link.send(codec.answer_inbound(transfer, payment, self._institution, self._now_ms())),
        )

    def _refuse(self, transfer: Transfer, code: str) -> None:
        self.link.send(codec.refuse_inbound(transfer, code, self._institution, self._now_ms()))
