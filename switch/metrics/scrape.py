"""One answer to a scraper: what is known at once, and what the store says within a budget.

A scrape must never hurt payments. One runs at a time, and whoever else asks gets its answer. It gives way to the event
loop after every slice. What it asks the store is bounded, asked once at a time, and kept for LOOK_FRESH_MS; what does
not come within SCRAPE_MS_MAX is left out and counted, and the question is left to end by itself: it is not repeated
while it waits, so that a slow store is not asked more than a fast one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from time import perf_counter_ns
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from switch.errors import BayswitchError, anatomy
from switch.limits import LOOK_FRESH_MS, SCRAPE_MS_MAX
from switch.metrics.families import made

__all__ = ["CONTENT_TYPE", "Ask", "Scrape", "Source"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Source = Callable[[], Iterable[Metric]]  # at once, from memory
Ask = Callable[[], Awaitable[Sequence[Metric]]]  # of the store: bounded, and changes nothing
_LOG: Final = logging.getLogger("bayswitch.metrics")
_NS_OF_MS: Final = 1_000_000


class _Look:
    """One question to the store, and what it answered last."""

    def __init__(self, name: str, ask: Ask) -> None:
        self.name = name
        self.found: Sequence[Metric] | None = None
        self._ask = ask
        self._answered_ns = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None] | None:
        """The asking that is to be waited for; None: what was found is fresh."""
        if self.found is not None and perf_counter_ns() - self._answered_ns < LOOK_FRESH_MS * _NS_OF_MS:
            return None
        if self._task is None or self._task.done():
            self.found = None
            self._task = asyncio.get_running_loop().create_task(self._look())
        return self._task

    async def _look(self) -> None:
        try:
            self.found = await self._ask()
            self._answered_ns = perf_counter_ns()
        except BayswitchError as error:
            _LOG.info("metrics: %s: %s", self.name, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours costs one part of an answer, never the others
            _LOG.error("metrics: %s: %s", self.name, anatomy(error))

    async def close(self) -> None:
        """Returns when nothing is asked any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))


class Scrape:
    """All families of one process."""

    def __init__(self, sources: Mapping[str, Source], asks: Mapping[str, Ask]) -> None:
        self.missed: dict[str, int] = dict.fromkeys((*sources, *asks), 0)
        self._sources = sources
        self._looks = [_Look(name, ask) for name, ask in asks.items()]
        self._running: asyncio.Task[bytes] | None = None

    async def text(self) -> bytes:
        """The families in Prometheus' text format, partial where the store does not answer. Safe to cancel."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._scrape())
        return await asyncio.shield(self._running)

    async def _scrape(self) -> bytes:
        asked = [task for look in self._looks if (task := look.begin()) is not None]
        page = _Page()
        for name, source in self._sources.items():
            try:
                await page.write(source())
            except Exception as error:  # noqa: BLE001 - see _Look
                _LOG.error("metrics: %s: %s", name, anatomy(error))
                self.missed[name] += 1
        if asked:
            await asyncio.wait(asked, timeout=SCRAPE_MS_MAX / 1000)
        for look in self._looks:
            if look.found is None:
                self.missed[look.name] += 1
            else:
                await page.write(look.found)
        await page.write(made("bayswitch_scrape_missed_total", [((name,), n) for name, n in self.missed.items()]))
        return page.text()

    async def close(self) -> None:
        """End what runs; whoever waits for an answer is cancelled."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        for look in self._looks:
            await look.close()


class _Slice(Collector):
    """What the library's writer takes."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


class _Page:
    """The answer as it grows. Slices of one family come one after the other and share its head."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._family = ""

    async def write(self, slices: Iterable[Metric]) -> None:
        """Slice by slice, each in a turn of its own."""
        for metric in slices:
            text = generate_latest(_Slice(metric))
            if metric.name == self._family:
                text = text.split(b"\n", 2)[2]  # HELP and TYPE stand there already
            self._family = metric.name
            self._parts.append(text)
            await asyncio.sleep(0)

    def text(self) -> bytes:
        """Everything written."""
        return b"".join(self._parts)
