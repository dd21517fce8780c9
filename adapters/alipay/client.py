"""The switch's side: `prepare`, `enquire` and `abort` as signed HTTP calls over kept-alive connections.

| creditor's scheme          | prepare                        | enquire                        | abort              |
| -------------------------- | ------------------------------ | ------------------------------ | ------------------ |
| login, user id, +86 mobile | alipay.fund.trans.uni.transfer | alipay.fund.trans.common.query | query, by age      |
| PAYMENT_CODE               | alipay.trade.pay               | alipay.trade.query             | query, then cancel |

A shown code turns the roles round: the merchant at the till is who gets the money, on our side, and the wallet behind
the code is who pays. The code is all there is of that wallet, so it stands in `creditor.account` of the instruction
with scheme PAYMENT_CODE (a convention of this project), and the rail says done when the wallet has paid us.

The rail knows a payment by its UETR without hyphens (`out_biz_no`, `out_trade_no`), so a repeat is recognised. The
timestamp of a prepare is that of its hold, however late or often it is sent: every copy grows too old together, which
is what makes "never seen" final.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from types import SimpleNamespace
from typing import Final

import aiohttp

from adapters.alipay import codec
from adapters.alipay.rules import GATEWAY_PATH, POLL_FIRST_MS, POLL_MS_MAX, SOCKETS_PER_CONNECTION
from adapters.alipay.signing import Signer, Verifier, signer_of, verifier_of
from adapters.kit.clock import wall_ms
from adapters.kit.module import RailOptions
from adapters.kit.waves import one_by_one
from switch.domain.payment import Hold
from switch.errors import CodecError, RailError, RailRejected, RailSilent, RailUnavailable
from switch.limits import RAIL_IN_FLIGHT_MAX, RAIL_MESSAGE_BYTES_MAX
from switch.ports import Answered, Enquiry, InboundHandler, Outcome, RailAck

__all__ = ["AlipayRail"]

KEEPALIVE_S: Final = 15.0  # shorter than the rail's own, so that an idle connection is ours to close
_HEADERS: Final = {
    "Content-Type": "application/x-www-form-urlencoded;charset=utf-8",
    "Accept-Encoding": "identity",  # what is signed is what is sent; nothing to unpack, no bomb to unpack
}


class _Budget:
    """What is left of a call's milliseconds, measured by the loop's clock."""

    def __init__(self, budget_ms: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + budget_ms / 1000

    @property
    def left_s(self) -> float:
        return self._end - self._loop.time()


class _Sending:
    """One call. `began` once it has a connection: from then on bytes of it may be on their way."""

    __slots__ = ("began",)

    def __init__(self) -> None:
        self.began = False


class AlipayRail:
    """`ports.Rail` for the mainland mobile-payment rail.

    HTTP/1.1 carries one call at a time, so `options.connections` counts for SOCKETS_PER_CONNECTION sockets; a
    call beyond them waits for one within its budget, and beyond RAIL_IN_FLIGHT_MAX calls none is begun.
    """

    name = "alipay"

    def __init__(self, options: RailOptions, now_ms: Callable[[], int] = wall_ms) -> None:
        self._options = options
        self._now_ms = now_ms
        self._url = f"http://{options.host}:{options.port}{GATEWAY_PATH}"
        self._signer: Signer | None = None
        self._verifier: Verifier | None = None
        self._session: aiohttp.ClientSession | None = None
        self._calls: set[_Sending] = set()
        self._handler: InboundHandler | None = None

    @property
    def in_flight(self) -> int:
        """Calls that were sent and have no answer yet; those that still wait for a connection are not counted."""
        return sum(call.began for call in self._calls)

    def listen(self, handler: InboundHandler) -> None:
        """Kept, and never called: this rail begins no payment with us.

        A mainland wallet that pays a Hong Kong or Macao account is a participant's customer: the wallet provider
        instructs the switch over gRPC, it does not come in by this rail.
        """
        assert self._handler is None
        self._handler = handler

    async def start(self) -> None:
        """Load or make the keys. No connection is opened before a payment needs one: a rail may be down at start."""
        if self._options.signing:
            keys_dir = self._options.keys_dir
            self._signer = await asyncio.to_thread(signer_of, keys_dir, "app")
            self._verifier = await asyncio.to_thread(verifier_of, keys_dir, "rail")
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_began)
        trace.on_connection_reuseconn.append(_began)
        limit = self._options.connections * SOCKETS_PER_CONNECTION
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, keepalive_timeout=KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=[trace],
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections; calls under way get RailSilent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        """See ports.Rail.prepare. While the payer or the rail is at it, the rail is queried until the budget ends."""
        budget = _Budget(budget_ms)
        try:
            call = codec.prepare_of(hold)
            ack = codec.prepared(hold, await self._ask(call, hold.prepared_time_ms, budget))
        except CodecError as error:  # the rail's spec does not take a field of ours; nothing was sent
            raise RailRejected("RAIL_FORMAT") from error
        return ack or await self._wait(hold, budget)

    def prepare_all(self, holds: Sequence[Hold], budget_ms: int) -> AsyncGenerator[list[Answered], None]:
        """See ports.Rail."""
        return one_by_one(self.prepare, holds, budget_ms)

    async def enquire(self, hold: Hold, budget_ms: int) -> Enquiry:
        """See ports.Rail.enquire."""
        return await self._enquire(hold, _Budget(budget_ms))

    async def abort(self, hold: Hold, budget_ms: int) -> Enquiry:
        """See ports.Rail.abort. What the rail has, stays as it is: only a payment it has never seen is closed.

        A trade is closed by `alipay.trade.cancel`; should it have been paid in the meantime, the rail gives the money
        back, and the answer is REFUSED. A transfer has no cancel: WORKING until its message is too old to be taken.
        """
        budget = _Budget(budget_ms)
        age_ms = self._now_ms() - hold.prepared_time_ms  # before we ask: what comes meanwhile must be too old already
        found = await self._enquire(hold, budget)
        if found.outcome is not Outcome.NEVER_SEEN:
            return found
        call = codec.cancel_of(hold)
        if call is not None:
            return codec.cancelled(hold, await self._ask(call, self._now_ms(), budget))
        final_ms = self._options.message_valid_ms + self._options.clock_skew_ms
        return found if age_ms > final_ms else Enquiry(Outcome.WORKING)

    async def _enquire(self, hold: Hold, budget: _Budget) -> Enquiry:
        return codec.enquired(hold, await self._ask(codec.enquiry_of(hold), self._now_ms(), budget))

    async def _wait(self, hold: Hold, budget: _Budget) -> RailAck:
        """Query until the payment ends or the budget does. From here on nothing may say "nothing was sent"."""
        pause_s = POLL_FIRST_MS / 1000
        while budget.left_s > pause_s:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, POLL_MS_MAX / 1000)
            try:
                found = await self._enquire(hold, budget)
            except RailError:  # not answered this time; the budget bounds how often that may be
                continue
            if found.ack is not None:
                return found.ack
            if found.outcome is Outcome.REFUSED:
                raise RailRejected(found.reason, found.rail_code)
        raise RailSilent("the payment is still under way at the rail")

    async def _ask(self, call: codec.Call, time_ms: int, budget: _Budget) -> codec.Reply:
        """One call and its checked answer.

        Raises:
            CodecError: our own record breaks the spec; nothing was sent.
            RailUnavailable: no connection was got; nothing was sent.
            RailSilent: anything after that, an answer that cannot be read or trusted included.
        """
        body = codec.encode_request(call.method, call.record, self._options.institution, time_ms, self._signer)
        data = await self._post(body, budget)
        try:
            return codec.decode_answer(call.method, data, self._verifier)
        except CodecError as error:
            raise RailSilent(f"the rail's answer cannot be used: {error}") from error

    async def _post(self, body: bytes, budget: _Budget) -> bytes:
        if self._session is None:
            raise RailUnavailable("this rail is not started, or closed")
        if len(self._calls) >= RAIL_IN_FLIGHT_MAX:
            raise RailUnavailable("too many calls wait for this rail")
        if budget.left_s <= 0:
            raise RailUnavailable("no time is left to ask the rail")
        sending = _Sending()
        self._calls.add(sending)
        try:
            async with (
                asyncio.timeout(budget.left_s),
                self._session.post(self._url, data=body, allow_redirects=False, trace_request_ctx=sending) as response,
            ):
                if response.status != 200:
                    raise RailSilent(f"the rail answered HTTP {response.status}")
                return await _read(response)
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError) as error:
            # RuntimeError: the session was closed under the call.
            word = f"{type(error).__name__} on the way to the rail"
            raise (RailSilent(word) if sending.began else RailUnavailable(word)) from error
        finally:
            self._calls.discard(sending)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body, bounded: a longer one is no answer of this rail."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > RAIL_MESSAGE_BYTES_MAX:
            response.close()
            raise RailSilent("the rail's answer is too long")
        chunks.append(chunk)
    return b"".join(chunks)


async def _began(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.began = True
