"""The switch's side of the digital-currency rail: 225 and its answers, 411 and its answer, notices that come unasked."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

from adapters.ecny import codec, rules
from adapters.ecny.codec import Address
from adapters.ecny.signing import Bench, Signer, signer_for
from adapters.ecny.spec import ConvertRequest, QueryRequest
from adapters.kit.clock import certain, wall_ms
from adapters.kit.link import Link
from adapters.kit.module import RailOptions
from adapters.kit.waves import one_by_one, together
from switch.domain.money import Asset
from switch.domain.payment import Hold
from switch.errors import CodecError, RailRejected, RailSilent, RailUnavailable
from switch.ports import Answered, Enquiry, InboundHandler, Outcome, RailAck

__all__ = ["EcnyRail"]


class EcnyRail:
    """Implements ports.Rail. Keeps no payment: after a restart an enquiry is as good as before it.

    The answer to a 225 is whatever ends it first: a 226 or 900 of PR00 or PR01, a 909, or a 911. A 902 and a status of
    PR02 to PR04 say that there is more to come, and the wait goes on.
    """

    name = "ecny"

    def __init__(self, options: RailOptions, *, now_ms: Callable[[], int] = wall_ms) -> None:
        self._institution = options.institution
        self._address = Address(options.institution, rules.CENTRE, "U")
        self._valid_ms = options.message_valid_ms
        self._skew_ms = options.clock_skew_ms
        self._now_ms = now_ms
        self._signer: Signer = signer_for(options.signing, options.keys_dir, rules.SWITCH_KEY, rules.CENTRE_KEY)
        self._bench = Bench(self._signer.enabled)
        self.interim = 0  # 902 and PR02 to PR04: answers that were waited on from
        self.link = Link(
            self.name,
            options.host,
            options.port,
            connections=options.connections,
            correlate=codec.correlate,
            on_unsolicited=self._unsolicited,
        )

    async def start(self) -> None:
        await self.link.start()

    async def close(self) -> None:
        await self.link.close()
        self._bench.close()

    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        """See ports.Rail. The creditor's wallet is credited with `instruction.credit`; the rail knows the UETR for ever."""
        try:
            verdict = await self._exchange(self._request(hold), budget_ms)
        except CodecError as error:
            raise _unfit(error) from None
        return self._ack(verdict)

    def prepare_all(self, holds: Sequence[Hold], budget_ms: int) -> AsyncGenerator[list[Answered], None]:
        """See ports.Rail. A signature takes milliseconds, so signed payments go one by one; others leave together."""
        if self._signer.enabled:
            return one_by_one(self.prepare, holds, budget_ms)
        return together(self.link, holds, budget_ms, write=self._message, read=self._told)

    def _message(self, hold: Hold) -> tuple[str, bytes, ConvertRequest]:
        try:
            request = self._request(hold)
            return request.msg_id, self._written(request), request
        except CodecError as error:
            raise _unfit(error) from None

    def _told(self, answer: bytes, request: ConvertRequest) -> RailAck:
        return self._ack(self._judge(answer, request))

    def _request(self, hold: Hold) -> ConvertRequest:
        if hold.instruction.credit.asset is not Asset.ECNY:
            raise RailRejected("CURRENCY_NOT_ACCEPTED")  # written as CNY it would pay e-CNY: nothing was sent
        return codec.convert_request(hold, self._institution)

    def _ack(self, verdict: Enquiry) -> RailAck:
        if verdict.ack is not None:
            return verdict.ack
        if verdict.outcome is Outcome.REFUSED:
            raise RailRejected(verdict.reason, verdict.rail_code)
        raise RailSilent(f"{self.name}: the answer does not say how it ended")

    async def enquire(self, hold: Hold, budget_ms: int) -> Enquiry:
        """See ports.Rail."""
        return await self._exchange(codec.query_request(hold, self._institution, self._now_ms()), budget_ms)

    async def abort(self, hold: Hold, budget_ms: int) -> Enquiry:
        """See ports.Rail. There is no cancel on this rail: age alone keeps a 225, which is dated with the hold, out."""
        asked_ms = self._now_ms()  # before we ask: what comes meanwhile must be too old already
        return certain(await self.enquire(hold, budget_ms), hold, asked_ms, self._valid_ms, self._skew_ms)

    def listen(self, handler: InboundHandler) -> None:
        """See ports.Rail. Nothing comes from this rail: a wallet that pays out (dcep.221) is not carried, so the handler
        is never called."""

    # --- inside ------------------------------------------------------------------------------------------------------
    async def _exchange(self, request: ConvertRequest | QueryRequest, budget_ms: int) -> Enquiry:
        """Sign, send, wait, check. Raises RailUnavailable, RailSilent; CodecError: the request cannot be written."""
        loop = asyncio.get_running_loop()
        end = loop.time() + budget_ms / 1000
        try:
            async with asyncio.timeout_at(end):
                payload = await self._bench.run(partial(self._written, request))
        except TimeoutError:
            raise RailUnavailable(f"{self.name}: the budget went into signing; nothing was sent") from None
        answer = await self.link.request(request.msg_id, payload, max(1, int((end - loop.time()) * 1000)))
        try:
            async with asyncio.timeout_at(end):
                return await self._bench.run(partial(self._judge, answer, request))
        except (TimeoutError, RailUnavailable):
            raise RailSilent(f"{self.name}: an answer came too late to be checked") from None

    def _written(self, request: ConvertRequest | QueryRequest) -> bytes:
        msg_id = request.msg_id
        return codec.write(request, self._address, msg_id, msg_id, self._now_ms(), self._signer)

    def _judge(self, answer: bytes, request: ConvertRequest | QueryRequest) -> Enquiry:
        """Raises RailSilent: an answer that cannot be read or trusted, or is about something else."""
        try:
            return codec.verdict_of(answer, request, self._signer)
        except CodecError as error:
            raise RailSilent(f"{self.name}: answer not to be trusted: {error.path} {error.rule}") from None

    def _unsolicited(self, payload: bytes) -> None:
        self.interim += 1


def _unfit(error: CodecError) -> RailRejected:
    """Our own values do not fit the rail's fields (a name over 60 characters): nothing was sent."""
    return RailRejected("RAIL_FORMAT", error.path)
