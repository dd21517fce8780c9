"""A mock rail's framed TCP server: many clients, pipelined, every answer carried through the fault that struck it."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from adapters.kit.control import ControlServer
from adapters.kit.faults import Fault, FaultKind, FaultTable
from adapters.kit.frames import FrameConnection
from adapters.kit.trace import Trace

__all__ = ["MockPorts", "MockServer", "Reply", "malform"]


class Reply(NamedTuple):
    """What a rail answers to one message, and the fault in its delivery.

    `finish` is for SLOW: the work is done and the answers are made only after the fault's ms.
    """

    answers: tuple[bytes, ...] = ()
    fault: Fault | None = None
    finish: Callable[[], tuple[bytes, ...]] | None = None


def malform(payload: bytes) -> bytes:
    """An answer that no parser takes: its tail is gone, with a byte that is legal nowhere in its place."""
    return payload[: len(payload) * 2 // 3] + b"\x00"


class MockServer:
    """Runs `handle` on every message. While the fault table says offline, nothing listens and nobody is connected."""

    def __init__(
        self,
        host: str,
        port: int,
        handle: Callable[[bytes], Reply | None],
        faults: FaultTable,
        *,
        spoil_signature: Callable[[bytes], bytes] = malform,
    ) -> None:
        self.port = port
        self._host = host
        self._handle = handle
        self._faults = faults
        self._spoil_signature = spoil_signature
        self._connections: dict[FrameConnection, None] = {}  # in order of arrival
        self._server: asyncio.Server | None = None
        self._switching: asyncio.Task[None] | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._closed = False
        self.trace = Trace()

    async def start(self) -> None:
        """Bind; `port` is the bound one afterwards."""
        await self._open()
        self._faults.on_change = self._follow

    async def close(self) -> None:
        """Hang up on everybody; answers that were still to come are not given."""
        self._closed = True
        self._faults.on_change = None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._switching is not None:
            await self._switching
        await self._shut()

    def push(self, payload: bytes) -> bool:
        """Send a message of the rail's own to one client. False: nobody is connected."""
        for connection in self._connections:
            if connection.up and not connection.paused:
                # The next push goes to the next client: workers of one switch share what comes in.
                del self._connections[connection]
                self._connections[connection] = None
                connection.send(payload)
                return True
        return False

    # --- listening ---------------------------------------------------------------------------------------------------
    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: FrameConnection(self._frame, self._lost, self._made), self._host, self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._connections):
            connection.abort()
        await server.wait_closed()

    def _follow(self) -> None:
        """Offline and back, one change after the other."""
        before = self._switching
        self._switching = asyncio.ensure_future(self._switch(before))

    async def _switch(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before
        if self._faults.offline:
            await self._shut()
        elif self._server is None and not self._closed:
            await self._open()

    def _made(self, connection: FrameConnection) -> None:
        self._connections[connection] = None

    def _lost(self, connection: FrameConnection) -> None:
        self._connections.pop(connection, None)

    # --- messages ----------------------------------------------------------------------------------------------------
    def _frame(self, connection: FrameConnection, payload: bytes) -> None:
        self.trace.came(payload)
        reply = self._handle(payload)
        if reply is None:
            return
        answers, fault, _ = reply
        self.trace.went(answers)
        if fault is None:
            connection.send_all(answers)
        else:
            self._deliver(connection, reply, fault)

    def _deliver(self, connection: FrameConnection, reply: Reply, fault: Fault) -> None:
        """Answers through a fault. What was booked, was booked in `handle`; only SLOW still has it to do."""
        answers = reply.answers
        match fault.kind:
            case FaultKind.SLOW:
                self._later(fault.ms, lambda: self._send(connection, reply.finish() if reply.finish else answers))
            case FaultKind.SILENT_THEN_LATE:
                self._later(fault.ms, lambda: self._send(connection, answers))
            case FaultKind.SILENT | FaultKind.SILENT_BOOKED:
                return
            case FaultKind.TWICE:
                self._send(connection, answers + answers)
            case FaultKind.MALFORMED:
                self._send(connection, tuple(map(malform, answers)))
            case FaultKind.BAD_SIGNATURE:
                self._send(connection, tuple(map(self._spoil_signature, answers)))
            case FaultKind.CUT:
                connection.send_cut(answers[0] if answers else b"")
            case FaultKind.CUT_BEFORE:
                connection.abort()
            case FaultKind.REFUSE | FaultKind.MAINTENANCE | FaultKind.OFFLINE:
                self._send(connection, answers)  # the refusal itself is the fault

    def _send(self, connection: FrameConnection, answers: tuple[bytes, ...]) -> None:
        if connection.up:
            for answer in answers:
                connection.send(answer)

    def _later(self, ms: int, act: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(ms / 1000, run)
        self._timers.add(timer)


class MockPorts:
    """The two ports of a mock rail, `_server` and `_control`, as adapters.kit.module.Simulator shows them."""

    _server: MockServer
    _control: ControlServer

    @property
    def port(self) -> int:
        """Bound; valid after start."""
        return self._server.port

    @property
    def control_port(self) -> int:
        """Bound; valid after start."""
        return self._control.port

    async def start(self) -> None:
        """Bind both ports."""
        await self._server.start()
        await self._control.start()

    async def close(self) -> None:
        """Hang up on everybody; the books are gone with the process."""
        await self._control.close()
        await self._server.close()
