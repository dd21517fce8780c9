"""A link that can be cut: a TCP proxy in front of a server, which loses answers on command."""

import asyncio
from typing import Self

__all__ = ["CuttingProxy"]


class CuttingProxy:
    """Forwards both ways. `lose_answers` of the next so many: the server has done the work, the client never hears."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.lose_answers = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for link in tuple(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: the stream protocol reports a cancelled one as a fault of its callback.
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            both = [
                asyncio.create_task(self._copy(reader, forth, answers=False)),
                asyncio.create_task(self._copy(back, writer, answers=True)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for way in both:
                way.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        finally:
            for end in (writer, forth):
                end.close()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(65_536):
            if answers and self.lose_answers:
                self.lose_answers -= 1
                return
            target.write(data)
            await target.drain()
