"""What a store says to its server, word for word: taken down between them, and said again to another server.

The store's calls are on the wire as they are in production, so what is said again costs a server the same, and costs
who says it nothing: the server is the limit. Each connection asks and waits for the answer, so the bytes between two
answers are one command, and commands in the order of their sending never depend on an answer that had not come.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["Recorder", "command_of", "commands_of", "recorder", "say_again"]

CHUNK: Final = 1 << 16
LAST: Final = b"the-very-last-one"
LAST_ANSWER: Final = b"$17\r\nthe-very-last-one\r\n"
ANSWER_SECONDS_MAX: Final = 120


class Recorder:
    """Sits between a store and `port`. `said`: every command so far, in order."""

    def __init__(self, port: int) -> None:
        self.said: list[bytes] = []
        self._port = port
        self._links: set[asyncio.Task[None]] = set()

    def link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways, until either end closes it."""
        task = asyncio.create_task(self._both_ways(reader, writer))
        self._links.add(task)
        task.add_done_callback(self._links.discard)

    async def _both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        begun = bytearray()

        async def there() -> None:
            while data := await reader.read(CHUNK):
                begun.extend(data)
                server_writer.write(data)

        async def back() -> None:
            while data := await server_reader.read(CHUNK):
                if begun:
                    self.said.append(bytes(begun))
                    begun.clear()
                writer.write(data)

        ways = [asyncio.create_task(there()), asyncio.create_task(back())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, server_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def close(self) -> None:
        for each in self._links:
            each.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)


@asynccontextmanager
async def recorder(port: int) -> AsyncIterator[tuple[str, Recorder]]:
    """A URL that leads to the server at `port`, and who writes down what is said there."""
    listening = Recorder(port)
    server = await asyncio.start_server(listening.link, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", listening
    finally:
        server.close()
        await listening.close()


def command_of(*words: bytes | str | int) -> bytes:
    """A command as it goes over the wire."""
    parts = [each if isinstance(each, bytes) else str(each).encode() for each in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in parts)


def commands_of(said: Sequence[bytes], tag: bytes) -> list[bytes]:
    """Those about one shard, by the hash tag of their keys; every script first, for another shard may have brought it."""
    scripts = {source for each in said if (source := _source_of(each))}
    loads = [command_of("SCRIPT", "LOAD", each) for each in sorted(scripts)]
    return [*loads, *(each for each in said if b"{" + tag + b"}" in each)]


def _source_of(command: bytes) -> bytes:
    """The script that an EVAL carries; nothing of any other command."""
    count, _, rest = command.partition(b"\r\n")
    if not count.startswith(b"*") or not rest.startswith(b"$4\r\nEVAL\r\n$"):
        return b""
    size, _, text = rest.removeprefix(b"$4\r\nEVAL\r\n$").partition(b"\r\n")
    return text[: int(size)]


def say_again(port: int, commands: Sequence[bytes]) -> float:
    """Everything in one go on one connection; seconds until all of it is answered.

    Raises RuntimeError: the server did not answer, or refused a command for another reason than a script it had not seen.
    """
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS_MAX) as link:
        speaker = threading.Thread(target=_speak, args=(link, b"".join(commands) + command_of("ECHO", LAST)))
        speaker.start()
        try:
            _hear(link)
        finally:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_WR)
            speaker.join()
    return time.perf_counter() - begun


def _speak(link: socket.socket, everything: bytes) -> None:
    with contextlib.suppress(OSError):  # whoever listens says what is wrong
        link.sendall(everything)


def _hear(link: socket.socket) -> None:
    tail, place = b"\r\n", 0
    while not tail.endswith(LAST_ANSWER):
        try:
            data = link.recv(CHUNK)
        except TimeoutError:
            data = b""
        if not data:
            raise RuntimeError("the server did not answer everything")
        heard = tail + data
        for wrong in (b"\r\n-ERR", b"\r\n-MOVED", b"\r\n-CROSSSLOT", b"\r\n-OOM", b"\r\n-MISCONF", b"$1\r\nE\r\n"):
            if (place := heard.find(wrong)) >= 0:
                raise RuntimeError(f"the server refused a command: {heard[place : place + 200]!r}")
        tail = heard[-2 * len(LAST_ANSWER) :]
