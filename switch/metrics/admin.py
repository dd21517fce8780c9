"""The admin port: /metrics for a scraper, /healthz for who restarts or balances. Plain HTTP, meant for a trusted network."""

from collections.abc import Callable

from aiohttp import web

from switch.errors import ConfigError
from switch.metrics.scrape import CONTENT_TYPE, Scrape

__all__ = ["Admin"]

_CLOSE_S = 0.2  # a scraper that still reads is cut off after this


class Admin:
    """One HTTP server of one process, on its event loop."""

    def __init__(self, scrape: Scrape, ailment: Callable[[], str]) -> None:
        """`ailment`: a word for why no payments should be sent here now; "" when all is well."""
        self.port = 0
        self._scrape = scrape
        self._ailment = ailment
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Serve. Returns the bound port; 0 asks for a free one. Raises ConfigError when it cannot be bound."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(f"admin_port: {host}:{port} cannot be bound: {error.strerror}") from None
        self.port = int(self._runner.addresses[0][1])
        return self.port

    async def close(self) -> None:
        """Answer nobody any more, and end what runs. Safe to repeat, and before `start`."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self._scrape.close()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=await self._scrape.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _request: web.Request) -> web.Response:
        ailment = self._ailment()
        return web.Response(text=f"{ailment or 'ok'}\n", status=503 if ailment else 200)
