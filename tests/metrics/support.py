"""What a scraper sees, as data; a server over the fakes with a meter; a real switch in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import grpc
from prometheus_client.parser import text_string_to_metric_families

from switch.api import Server, ServerOptions
from switch.app import Switch
from switch.metrics import PathMeter
from tests.api.support import Api, parts_of
from tests.fakes import World
from tests.test_app import settings_of

__all__ = ["Page", "page_of", "read", "running_switch", "scraped", "serving_metered"]


class Page(NamedTuple):
    """One answer of /metrics."""

    text: str
    kinds: dict[str, str]  # name of a family -> its type
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float]  # name of a sample and its labels, sorted

    def value(self, name: str, **labels: str) -> float:
        """One sample. KeyError: it is not there."""
        return self.values[name, tuple(sorted(labels.items()))]

    def labels_of(self, family: str) -> set[frozenset[str]]:
        """The sets of label names a family has, but the bounds of its buckets."""
        suffixes = ("", "_bucket", "_count", "_sum")
        names = {family + suffix for suffix in suffixes}
        return {frozenset(key for key, _ in labels) - {"le"} for name, labels in self.values if name in names}


def page_of(text: str) -> Page:
    """The text as its own library reads it, which names a counter without its ending."""
    families = list(text_string_to_metric_families(text))
    kinds = {each.name + ("_total" if each.type == "counter" else ""): each.type for each in families}
    assert len(kinds) == len(families), "a family stands in one place"
    values = {(one.name, tuple(sorted(one.labels.items()))): one.value for each in families for one in each.samples}
    return Page(text, kinds, values)


async def read(port: int, path: str) -> tuple[int, str, str]:
    """GET: status, content type, text."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def scraped(port: int) -> Page:
    """What a scraper gets."""
    status, kind, text = await read(port, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return page_of(text)


@asynccontextmanager
async def running_switch(directory: Any, **settings: Any) -> AsyncIterator[Switch]:
    """A real switch with an admin port, and a store of its own unless the settings name one."""
    switch = Switch(settings_of(directory, admin_port=0, **settings))
    await switch.start()
    try:
        yield switch
    finally:
        await switch.stop()


@asynccontextmanager
async def serving_metered(world: World, **options: Any) -> AsyncIterator[tuple[Api, PathMeter]]:
    """A demo server over the fakes whose calls are metered."""
    meter = PathMeter()
    world.payments._path._meter = world.recovery._meter = meter
    given: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "demo_identity": True, "operators": ("OPERATOR",)}
    server = Server(parts_of(world)._replace(meter=meter), ServerOptions(**(given | options)))
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Api(world, server, channel), meter
    finally:
        world.near.release()
        world.far.release()
        await server.stop(1_000)
        await world.payments.drain()
