"""The switch's side of the digital-currency rail: 225 and its answers, 411 and its answer, notices that come unasked."""

import asyncio
from collections.abc import Callable
from functools import partial

from adapters.ecny import codec, rules
from adapters.ecny.codec import Address
from adapters.ecny.signing import Bench, Signer, signer_for
from adapters.ecny.spec import ConvertRequest, QueryRequest
from adapters.kit.clock import certain, wall_ms
from adapters.kit.link import Link
from adapters.kit.module import RailOptions
from switch.domain.money import Asset
from switch.domain.payment import Hold
from switch.errors import CodecError, RailRejected, RailSilent, RailUnavailable
from switch.ports import Enquiry, InboundHandler, Outcome, RailAck

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
            correlate=self._correlate,
            on_unsolicited=self._unsolicited,
        )

    async def start(self) -> None:
        await self.link.start()

    async def close(self) -> None:
        await self.link.close()
        self._bench.close()

    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        """See ports.Rail. The creditor's wallet is credited with `instruction.credit`; the rail knows the UETR for ever."""
        if hold.instruction.credit.asset is not Asset.ECNY:
            raise RailRejected("CURRENCY_NOT_ACCEPTED")  # written as CNY it would pay e-CNY: nothing was sent
        try:
            verdict = await self._exchange(codec.convert_request(hold, self._institution), budget_ms)
        except CodecError as error:
            # Our own values do not fit the rail's fields (a name over 60 characters): nothing was sent.
            raise RailRejected("RAIL_FORMAT", error.path) from None
        if verdict.outcome is Outcome.REFUSED:
            raise RailRejected(verdict.reason, verdict.rail_code)
        if verdict.ack is None:
            raise RailSilent(f"{self.name}: the answer does not say how it ended")
        return verdict.ack

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
        msg_id = request.msg_id
        sign = partial(codec.write, request, self._address, msg_id, msg_id, self._now_ms(), self._signer)
        try:
            async with asyncio.timeout_at(end):
                payload = await self._bench.run(sign)
        except TimeoutError:
            raise RailUnavailable(f"{self.name}: the budget went into signing; nothing was sent") from None
        answer = await self.link.request(msg_id, payload, max(1, int((end - loop.time()) * 1000)))
        try:
            async with asyncio.timeout_at(end):
                return await self._bench.run(partial(self._judge, answer, request))
        except CodecError as error:
            raise RailSilent(f"{self.name}: answer not to be trusted: {error.path} {error.rule}") from None
        except (TimeoutError, RailUnavailable):
            raise RailSilent(f"{self.name}: an answer came too late to be checked") from None

    def _judge(self, answer: bytes, request: ConvertRequest | QueryRequest) -> Enquiry:
        return codec.outcome_of(codec.read(codec.split(answer), self._signer), request)

    def _correlate(self, payload: bytes) -> str | None:
        """The MsgId an answer is about; None for one that ends nothing."""
        parts = codec.split(payload)
        return None if codec.is_interim(parts) else parts.header.ref_id

    def _unsolicited(self, payload: bytes) -> None:
        self.interim += 1
