"""The mock rail as a server: the gateway over HTTP, its faults on command, its control port. The books are desk.py's.

One path, `/gateway.do`, takes a form by POST or a query string by GET (python-alipay-sdk does the latter). Checked in
this order: readable, signed by the app, the app known, not a repeat of a known payment, not older than
`message_valid_ms`; an older request gets `isv.invalid-timestamp`, a use of that word of our own.

`refuse:WORD` refuses with any sub_code (`refuse:20000`: the gateway's "unknown", nothing booked); a word the switch
does not know leaves it in doubt.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import parse_qsl

from aiohttp import web

from adapters.alipay import codec, spec
from adapters.alipay.desk import Desk, refusal
from adapters.alipay.rules import GATEWAY_PATH
from adapters.alipay.signing import Signer, Verifier, signer_of, verifier_of
from adapters.alipay.statement import STATEMENT
from adapters.kit.clock import wall_ms
from adapters.kit.control import ControlServer
from adapters.kit.faults import Fault, FaultKind, FaultTable, Operation
from adapters.kit.mock_server import malform
from adapters.kit.module import SimulatorOptions
from adapters.kit.seed import load_seed
from adapters.kit.statement_pages import StatementPages
from adapters.kit.trace import Trace
from switch.errors import CodecError
from switch.limits import CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_BYTES_MAX

__all__ = ["AlipaySimulator"]

SEED: Final = Path(__file__).with_name("seed.toml")
_PAYMENTS: Final = (spec.TRANSFER, spec.PAY)
_SHUTDOWN_S: Final = 0.2  # a close hangs up: what still runs gets this long
_JSON_TYPE: Final = "application/json"


class _Turn(NamedTuple):
    """What one request gets: a reply now, or one to come, and the fault in its delivery."""

    method: spec.Method[Any, Any] | None
    reply: codec.Reply | None
    fault: Fault | None = None
    later: "asyncio.Future[codec.Reply] | None" = None


class _SpoiledSigner:
    """Signs something else than it is given."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, text: bytes) -> str:
        return self._signer.sign(text + b" ")


class AlipaySimulator:
    """`kit.module.Simulator` of this rail. `now_ms` is the rail's clock, Unix ms."""

    def __init__(self, options: SimulatorOptions, now_ms: Callable[[], int] = wall_ms) -> None:
        self.port = options.port
        self.control_port = options.control_port
        supported = set(FaultKind) if options.signing else set(FaultKind) - {FaultKind.BAD_SIGNATURE}
        self.faults = FaultTable(supported=supported)
        self.desk = Desk(load_seed(options.seed or SEED), now_ms)
        self._options = options
        self._now_ms = now_ms
        self._trace = Trace()
        self._control = ControlServer(
            options.host, options.control_port, self.faults, self.desk.books, trace=self._trace,
            statements=StatementPages(self.desk.books, STATEMENT, options.institution),
        )  # fmt: skip
        self._signer: Signer | None = None
        self._verifier: Verifier | None = None
        self._runner: web.AppRunner | None = None
        self._switching: asyncio.Task[None] | None = None
        self._working: set[asyncio.Future[codec.Reply]] = set()
        self._closed = False

    async def start(self) -> None:
        """Load or make the keys, bind both ports."""
        if self._options.signing:
            self._signer = await asyncio.to_thread(signer_of, self._options.keys_dir, "rail")
            self._verifier = await asyncio.to_thread(verifier_of, self._options.keys_dir, "app")
        await self._open()
        await self._control.start()
        self.control_port = self._control.port
        self.faults.on_change = self._follow

    async def close(self) -> None:
        """Hang up on everybody; work that is under way stays under way."""
        self._closed = True
        self.faults.on_change = None
        if self._switching is not None:
            await self._switching
        await self._control.close()
        for future in list(self._working):
            future.cancel()
        await self._shut()

    # --- listening ---------------------------------------------------------------------------------------------------
    async def _open(self) -> None:
        app = web.Application(client_max_size=RAIL_MESSAGE_BYTES_MAX)
        app.router.add_post(GATEWAY_PATH, self._gateway)
        app.router.add_get(GATEWAY_PATH, self._gateway)
        # A client that hangs up ends its handler: a silent one waits for nothing else.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._options.host, self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def _shut(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _follow(self) -> None:
        """Offline and back, one change after the other."""
        self._switching = asyncio.ensure_future(self._switch(self._switching))

    async def _switch(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        if self.faults.offline:
            await self._shut()
        elif self._runner is None and not self._closed:
            await self._open()

    # --- a request ---------------------------------------------------------------------------------------------------
    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        parts = (request.rel_url.raw_query_string.encode("ascii"), await request.read())
        data = b"&".join(part for part in parts if part)
        self._trace.came(data)
        turn = self._take(data)
        return await self._deliver(request, turn)

    def _take(self, data: bytes) -> _Turn:
        try:
            asked = codec.decode_request(data, self._verifier)
        except CodecError as error:
            return _Turn(_method_named(data), refusal(_word_for(error)))
        if asked.parameters.app_id != self._options.institution:
            return _Turn(asked.method, refusal("isv.invalid-app-id"))
        if asked.method in _PAYMENTS:
            return self._pay(asked)
        if self._too_old(asked):
            return _Turn(asked.method, refusal("isv.invalid-timestamp"))
        fault = self.faults.take(Operation.ENQUIRE)
        if fault is not None and fault.kind is FaultKind.REFUSE:
            return _Turn(asked.method, _refused(fault.code))
        if fault is not None and fault.kind is FaultKind.SILENT:
            return _Turn(asked.method, None, fault)
        return _Turn(asked.method, self.desk.ask(asked), fault)

    def _pay(self, asked: codec.Request) -> _Turn:
        first = self.desk.repeat(asked)
        if first is not None:
            return _Turn(asked.method, first, self.faults.take(Operation.PREPARE))
        if self._too_old(asked):
            return _Turn(asked.method, refusal("isv.invalid-timestamp"))
        fault = self.faults.take(Operation.PREPARE, self.desk.books.mark(self.desk.account(asked)))
        kind = None if fault is None else fault.kind
        if fault is None:
            return _Turn(asked.method, self.desk.settle(asked))
        if kind is FaultKind.SILENT:
            return _Turn(asked.method, None, fault)
        if kind is FaultKind.SLOW:
            self.desk.work(asked)
            return _Turn(asked.method, None, fault, self._settle_later(asked, fault.ms))
        if kind in (FaultKind.MAINTENANCE, FaultKind.OFFLINE):
            word = "ACQ.INST_PAY_UNABLE" if asked.method is spec.PAY else "INST_PAY_UNABLE"
            return _Turn(asked.method, self.desk.refuse(asked, word))
        if kind is FaultKind.REFUSE:
            # What the gateway refuses never reached the books, so a later copy of it may pass.
            before_books = fault.code == "20000" or fault.code.startswith(("isv.", "isp."))
            reply = _refused(fault.code) if before_books else self.desk.refuse(asked, fault.code)
            return _Turn(asked.method, reply)
        return _Turn(asked.method, self.desk.settle(asked), fault)

    def _too_old(self, asked: codec.Request) -> bool:
        age_ms = self._now_ms() - asked.time_ms
        return age_ms > self._options.message_valid_ms or age_ms < -CLOCK_SKEW_MS_MAX

    def _settle_later(self, asked: codec.Request, ms: int) -> "asyncio.Future[codec.Reply]":
        """Ends the payment after `ms`, whether or not anybody still waits for the answer."""
        future: asyncio.Future[codec.Reply] = asyncio.get_running_loop().create_future()

        def settle() -> None:
            if not future.done():
                future.set_result(self.desk.settle(asked))

        asyncio.get_running_loop().call_later(ms / 1000, settle)
        self._working.add(future)
        future.add_done_callback(self._working.discard)
        return future

    # --- the answer, through a fault ---------------------------------------------------------------------------------
    async def _deliver(self, request: web.Request, turn: _Turn) -> web.StreamResponse:
        fault = turn.fault
        if fault is not None and fault.kind in (FaultKind.SILENT, FaultKind.SILENT_BOOKED):
            await _for_ever()
        if turn.later is not None:
            reply = await asyncio.shield(turn.later)
        else:
            if fault is not None and fault.kind in (FaultKind.SLOW, FaultKind.SILENT_THEN_LATE):
                await asyncio.sleep(fault.ms / 1000)
            assert turn.reply is not None
            reply = turn.reply
        signer = self._signer
        if fault is not None and fault.kind is FaultKind.BAD_SIGNATURE and signer is not None:
            signer = _SpoiledSigner(signer)
        payload = codec.encode_answer(turn.method, reply, signer)
        self._trace.went((payload,))
        if fault is not None:
            if fault.kind is FaultKind.MALFORMED:
                payload = malform(payload)
            elif fault.kind in (FaultKind.CUT, FaultKind.CUT_BEFORE, FaultKind.TWICE):
                _write_raw(request, payload, fault.kind)
        return web.Response(body=payload, content_type=_JSON_TYPE, charset="utf-8")


def _refused(code: str) -> codec.Reply:
    return refusal("isp.unknow-error" if code == "20000" else code)


def _word_for(error: CodecError) -> str:
    """The gateway's word for a request it cannot take."""
    if isinstance(error, codec.Unsigned):
        return "isv.missing-signature" if error.rule == "MISSING" else "isv.invalid-signature"
    return {"method": "isv.invalid-method", "biz_content": "isv.illegal-json"}.get(error.path, "isv.invalid-parameter")


def _method_named(data: bytes) -> spec.Method[Any, Any] | None:
    """The method of a request that is otherwise unreadable: it decides under which name the answer stands."""
    form = dict(parse_qsl(data.decode("utf-8", "replace")))
    return spec.METHODS.get(form.get("method", ""))


async def _for_ever() -> NoReturn:
    """Until the client hangs up or the rail closes: both cancel the handler."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody ends this wait")


def _write_raw(request: web.Request, payload: bytes, kind: FaultKind) -> None:
    """Part of an answer, or one answer too many, past the HTTP server."""
    transport = request.transport
    if transport is None:
        return
    if kind is FaultKind.CUT_BEFORE:
        transport.abort()
        return
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {_JSON_TYPE}\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
    if kind is FaultKind.TWICE:
        # In one write: HTTP tells answers apart by nothing but their order, so a copy that came after the client's next
        # call would be taken for its answer. Come together, the client sees bytes nobody asked for, and hangs up.
        transport.write((head + payload) * 2)
        transport.close()
        return
    transport.write(head + payload[: len(payload) // 2])
    transport.close()
