"""A shard that does not answer: what is open on the others is found and ended all the same."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from switch.errors import StoreUnavailable
from switch.store import Store, open_store
from tests.store.builders import NOTE_KEY, NOW_MS, hold, join, quote

SHARDS = 3


@pytest.fixture
async def sharded(valkey_cluster_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    namespace = f"t{uuid.uuid4().hex[:12]}"
    store = await open_store(
        valkey_cluster_url, shards=SHARDS, durability="fsync", data_dir=tmp_path, note_key=NOTE_KEY, namespace=namespace
    )
    try:
        yield store
    finally:
        await store.close()


def _lose(store: Store, monkeypatch: pytest.MonkeyPatch, *shards: int) -> None:
    """Reads that touch these shards fail, as they do when their master is gone."""
    server = store.payments._server
    read = server.read

    async def read_others(*command: Any) -> Any:
        if any(f"{{s{shard}}}" in str(command) for shard in shards):
            raise StoreUnavailable("lost")
        return await read(*command)

    monkeypatch.setattr(server, "read", read_others)


def _one_per_shard(store: Store, prefix: str) -> list[str]:
    names = (f"{prefix}{number}" for number in range(1000))
    found: dict[int, str] = {}
    for name in names:
        found.setdefault(store.payments._keys.shard_of(name), name)
        if len(found) == SHARDS:
            break
    return [found[shard] for shard in range(SHARDS)]


async def test_overdue_payments_of_the_other_shards(sharded: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = _one_per_shard(sharded, "AGENT")
    for agent in agents:
        await join(sharded, agent)
        await sharded.payments.prepare(hold(debtor_agent=agent), "")
    later = NOW_MS + 60_000
    assert {found.hold.participant for found in await sharded.payments.overdue(later, 10)} == set(agents)
    _lose(sharded, monkeypatch, 0)
    assert {found.hold.participant for found in await sharded.payments.overdue(later, 10)} == set(agents[1:])
    _lose(sharded, monkeypatch, 1, 2)
    with pytest.raises(StoreUnavailable):
        await sharded.payments.overdue(later, 10)


async def test_quotes_of_the_other_shards(sharded: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = _one_per_shard(sharded, "AGENT")
    expired = [quote(owner=agents[1], provider=provider) for provider in agents]
    for agent, mine in zip(agents, expired, strict=True):
        await join(sharded, agent, asset=mine.credit.asset)
        await sharded.quotes.create_quote(mine)
    due = max(mine.expiry_time_ms for mine in expired) + 1
    _lose(sharded, monkeypatch, 0)
    with pytest.raises(StoreUnavailable):
        await sharded.quotes.release_quotes(due, 10)
    monkeypatch.undo()
    released = await sharded.quotes.release_quotes(due, 10)
    assert released in (0, 1), "only the lost shard's was left to do"
