"""One framed TCP connection, the same at both ends: frames in, frames out, one socket write per loop turn."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any, cast

from adapters.wire import Deframer, frame
from switch.errors import CodecError
from switch.limits import RAIL_MESSAGE_BYTES_MAX, RAIL_PREPARE_MS_MAX, RAIL_WRITE_BUFFER_BYTES_MAX

__all__ = ["FrameConnection"]


class FrameConnection(asyncio.Protocol):
    """Deframes what arrives, frames what is sent. `paused` says that the peer does not keep up.

    A stream that cannot be deframed is cut: after a bad length nothing in it can be trusted.
    """

    def __init__(
        self,
        on_frame: Callable[["FrameConnection", bytes], None],
        on_lost: Callable[["FrameConnection"], None],
        on_made: Callable[["FrameConnection"], None] | None = None,
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._on_made = on_made
        self._deframer = Deframer(RAIL_MESSAGE_BYTES_MAX)
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.paused = False

    @property
    def up(self) -> bool:
        """Whether something written now has a way to the peer."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, payload: bytes) -> None:
        """Queue one frame. What one loop turn queues leaves in one socket write, in order."""
        self.send_all((payload,))

    def send_all(self, payloads: Iterable[bytes]) -> None:
        """Queue a frame of each, as `send`."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += map(frame, payloads)

    def send_cut(self, payload: bytes) -> None:
        """Queue the first half of one frame and hang up after it: a connection cut in the middle of an answer."""
        whole = frame(payload)
        self._out.append(whole[: len(whole) // 2])
        self._flush()
        self.close()

    def close(self) -> None:
        """Hang up after what was sent. Repeats change nothing."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once; what is buffered is lost."""
        self._out.clear()
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            if self.up:
                cast(asyncio.Transport, self._transport).write(out[0] if len(out) == 1 else b"".join(out))

    # --- asyncio.Protocol --------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=RAIL_WRITE_BUFFER_BYTES_MAX)
        _tune(transport.get_extra_info("socket"))
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._deframer.feed(data)
        except CodecError:
            self.abort()
            return
        for payload in frames:
            self._on_frame(self, payload)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._out.clear()
        self._on_lost(self)


def _tune(sock: Any) -> None:
    """No delay for small frames; a peer that vanished without a word is noticed within one prepare's budget."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, RAIL_PREPARE_MS_MAX)
