"""The same suite on one server, on a cluster of three, and on our own embedded server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from switch.store import Store, open_store
from switch.store.embedded import EmbeddedValkey

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One embedded server for the suite; that every store starts its own is for test_embedded.py."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("embedded"))
    asyncio.run(server.start())
    yield server.url
    asyncio.run(server.stop())


@pytest.fixture(params=["single", "cluster", "embedded"])
def place(request: pytest.FixtureRequest) -> tuple[str, int]:
    """URL and number of shards."""
    fixture, shards = {
        "single": ("valkey_url", 1),
        "cluster": ("valkey_cluster_url", 3),
        "embedded": ("embedded_url", 1),
    }[request.param]
    return request.getfixturevalue(fixture), shards


@pytest.fixture
async def open_again(place: tuple[str, int], tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Another store of the same server and namespace: what another worker, or a restart, sees."""
    url, shards = place
    namespace = f"t{uuid.uuid4().hex[:12]}"
    opened: list[Store] = []

    async def open_it() -> Store:
        opened.append(await open_store(url, shards=shards, durability="fsync", data_dir=tmp_path, namespace=namespace))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_again: OpenStore) -> Store:
    """An empty store."""
    return await open_again()


@pytest.fixture
async def single(valkey_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store on one server, for what the kind of server has no part in."""
    namespace = f"t{uuid.uuid4().hex[:12]}"
    opened = await open_store(valkey_url, shards=1, durability="fsync", data_dir=tmp_path, namespace=namespace)
    yield opened
    await opened.close()
