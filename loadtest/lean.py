"""A lean gRPC client for open loops: calls of one message on HTTP/2 frames written by hand, a few microseconds of CPU each.

With `grpc.aio` one call costs the client as much as the switch: on a machine of two cores a generator of it takes the
capacity it is to exceed. Here the head of a call is made once, and of an answer only its status, and its message where it
is wanted, are read. Clear text, no compression; what a server may ask of a client (windows, streams, pings) is kept.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

__all__ = ["GONE", "Connection", "head_of", "opened"]

GONE: Final = -1  # in place of a gRPC status: the connection ended before the call did
Done = Callable[[int, bytes], None]  # gRPC status, and the message ("" when there is none)

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _WINDOW = 0, 1, 3, 4, 6, 8
_END_STREAM, _END_HEADERS, _ACK, _PADDED = 1, 4, 1, 8
_TABLE_SIZE, _STREAMS_MAX, _INITIAL_WINDOW = 1, 3, 4  # settings
_WINDOW_MAX: Final = 2**31 - 1
_WINDOW_DEFAULT: Final = 65_535
_FRAME_BYTES_MAX: Final = 16_384
_STATUS: Final = b"grpc-status"
_REFUSED_STREAM: Final = 7
_CANCELLED: Final = 1  # what a reset stream is to a caller of gRPC


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def head_of(method: str, metadata: Sequence[tuple[str, str]], timeout_ms: int) -> bytes:
    """The header block of a call, to be made once: literals that no table remembers."""
    block = b"\x83\x86"  # :method POST, :scheme http
    rest = (("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", f"{timeout_ms}m"), *metadata)
    for name, value in ((":path", method), (":authority", "localhost"), *rest):
        assert max(len(name), len(value)) < 127, "lengths of one byte"
        block += b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
    return block


class Connection(asyncio.Protocol):
    """One connection; `call` never waits. What the server's limits hold back leaves in order when it may."""

    def __init__(self) -> None:
        self.open = 0  # calls that left and have no answer
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, tuple[bytes, bytes, Done]] = {}
        self._messages: dict[int, bytes] = {}
        self._waiting: deque[tuple[bytes, bytes, Done]] = deque()
        self._out: list[bytes] = []
        self._in = b""
        self._next = 1
        self._room = _WINDOW_DEFAULT  # bytes of messages the server takes now
        self._unread = 0  # bytes read and not given back to the server's window
        self._streams_max = 100
        self._heard = asyncio.Event()
        self._gone = False

    @property
    def held_back(self) -> int:
        """Calls that have not left."""
        return len(self._waiting)

    def call(self, head: bytes, message: bytes, done: Done) -> None:
        """Begin a call of one message; `done` is called once. The message fits a stream's first window."""
        assert len(message) + 5 <= _WINDOW_DEFAULT, "a message that leaves at once"
        if self._gone:
            done(GONE, b"")
            return
        self._waiting.append((head, message, done))
        self._leave()

    async def ready(self) -> None:
        """Returns when the server has said what it takes."""
        await self._heard.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- out ---------------------------------------------------------------------------------------------------------
    def _leave(self) -> None:
        while self._waiting and self.open < self._streams_max:
            head, message, _ = self._waiting[0]
            if len(message) + 5 > self._room:
                return
            stream, self._next = self._next, self._next + 2
            self._calls[stream] = self._waiting.popleft()
            self.open += 1
            self._room -= len(message) + 5
            data = b"\x00" + struct.pack(">I", len(message)) + message
            self._send(_frame(_HEADERS, _END_HEADERS, stream, head))
            last = (len(data) - 1) // _FRAME_BYTES_MAX * _FRAME_BYTES_MAX
            for at in range(0, last + 1, _FRAME_BYTES_MAX):
                flags = _END_STREAM if at == last else 0
                self._send(_frame(_DATA, flags, stream, data[at : at + _FRAME_BYTES_MAX]))

    def _send(self, frames: bytes) -> None:
        """What one turn of the loop writes leaves together."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(frames)

    def _flush(self) -> None:
        if self._transport is not None and not self._gone:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    # --- in ----------------------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = out = cast(asyncio.Transport, transport)  # uvloop's is one, and does not say so
        settings = struct.pack(">HIHI", _TABLE_SIZE, 0, _INITIAL_WINDOW, _WINDOW_MAX)
        grown = struct.pack(">I", _WINDOW_MAX - _WINDOW_DEFAULT)
        out.write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, grown))

    def connection_lost(self, _error: Exception | None) -> None:
        self._gone = True
        self._heard.set()
        lost = [done for _, _, done in (*self._calls.values(), *self._waiting)]
        self._calls.clear()
        self._waiting.clear()
        self.open = 0
        for done in lost:
            done(GONE, b"")

    def data_received(self, data: bytes) -> None:
        buffer, at = self._in + data if self._in else data, 0
        while len(buffer) - at >= 9:
            size = int.from_bytes(buffer[at : at + 3])
            if len(buffer) - at < 9 + size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9]) & _WINDOW_MAX
            self._frame(kind, flags, stream, buffer[at + 9 : at + 9 + size])
            at += 9 + size
        self._in = buffer[at:]
        self._leave()

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            assert not flags & _PADDED, "gRPC's servers do not pad"
            self._messages[stream] = self._messages.get(stream, b"") + payload
            self._used(len(payload))
        elif kind == _HEADERS:
            assert flags & _END_HEADERS, "a head of one frame"
            if flags & _END_STREAM:
                self._ended(stream, _status_of(payload))
        elif kind == _RST:
            self._reset(stream, int.from_bytes(payload))
        elif kind == _SETTINGS and not flags & _ACK:
            self._settle(payload)
        elif kind == _PING and not flags & _ACK:
            self._send(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW and stream == 0:
            self._room += int.from_bytes(payload)

    def _used(self, size: int) -> None:
        """Give the server its window back, from time to time."""
        self._unread += size
        if self._unread > _WINDOW_MAX // 4:
            self._send(_frame(_WINDOW, 0, 0, struct.pack(">I", self._unread)))
            self._unread = 0

    def _settle(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _STREAMS_MAX:
                self._streams_max = value
        self._send(_frame(_SETTINGS, _ACK, 0, b""))
        self._heard.set()

    def _reset(self, stream: int, code: int) -> None:
        """A stream the server did not look at, for it still counted one that has ended, is begun again."""
        if code == _REFUSED_STREAM and stream in self._calls:
            self._waiting.appendleft(self._calls.pop(stream))
            self.open -= 1
        else:
            self._ended(stream, _CANCELLED)

    def _ended(self, stream: int, status: int) -> None:
        call = self._calls.pop(stream, None)
        message = self._messages.pop(stream, b"")
        if call is not None:
            self.open -= 1
            call[2](status, message[5:])


def _status_of(block: bytes) -> int:
    """grpc-status of a header block in which nothing is indexed, for we allow no table."""
    at = block.find(_STATUS)
    assert at >= 0, "an end without a status"
    at += len(_STATUS)
    return int(block[at + 1 : at + 1 + block[at]])


async def opened(address: str) -> Connection:
    """A connection that is ready. Raises OSError: nobody listens."""
    host, _, port = address.rpartition(":")
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
    await connection.ready()
    return connection
