"""The same suite on one server, on a cluster of three, and on our own embedded server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from switch.store import Store, open_store
from switch.store.embedded import EmbeddedValkey
from tests.fixtures_valkey import PATIENCE_MS
from tests.store.builders import NOTE_KEY, store_waits

OpenStore = Callable[[], Awaitable[Store]]
OpenNew = Callable[..., Awaitable[Store]]


def new_namespace() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """A machine or a disk that stands still is no silent server; a test of that sets the bound itself."""
    with store_waits(PATIENCE_MS):
        yield


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
async def open_new(place: tuple[str, int], tmp_path: Path) -> AsyncIterator[OpenNew]:
    """Stores of one server; without a namespace, an empty one each time."""
    url, shards = place
    opened: list[Store] = []

    async def open_it(namespace: str = "", **options: Any) -> Store:
        given: dict[str, Any] = {"note_key": NOTE_KEY, "namespace": namespace or new_namespace(), **options}
        opened.append(await open_store(url, shards=shards, durability="fsync", data_dir=tmp_path, **given))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


@pytest.fixture
def open_again(open_new: OpenNew) -> OpenStore:
    """Another store of the same server and namespace: what another worker, or a restart, sees."""
    namespace = new_namespace()
    return lambda: open_new(namespace)


@pytest.fixture
async def store(open_again: OpenStore) -> Store:
    """An empty store."""
    return await open_again()


@pytest.fixture
async def open_again_elsewhere(open_again: OpenStore, place: tuple[str, int], tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store beside the first, on the same server."""
    namespace = f"t{uuid.uuid4().hex[:12]}"
    opened = await open_store(
        place[0], shards=place[1], durability="fsync", data_dir=tmp_path, note_key=NOTE_KEY, namespace=namespace
    )
    yield opened
    await opened.close()


@pytest.fixture
async def single(valkey_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store on one server, for what the kind of server has no part in."""
    namespace = f"t{uuid.uuid4().hex[:12]}"
    opened = await open_store(
        valkey_url, shards=1, durability="fsync", data_dir=tmp_path, note_key=NOTE_KEY, namespace=namespace
    )
    yield opened
    await opened.close()
