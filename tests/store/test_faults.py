"""A store that is silent, cut off, killed, weaker than promised: what the caller hears, and what is true afterwards."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.valkey import FOLLOW_AT_ONCE, Valkey, run_cluster, run_valkey
from switch.domain.payment import State
from switch.errors import ConfigError, StoreUnavailable
from switch.limits import STORE_CALL_MS_MAX
from switch.store import Store, client, open_store
from tests.store.builders import ACK, NOTE_KEY, NOW_MS, hold, join, store_waits, until
from tests.store.proxy import CuttingProxy


async def opened(url: str, tmp_path: Path, durability: str = "fsync", shards: int = 1) -> Store:
    return await open_store(url, shards=shards, durability=durability, data_dir=tmp_path, note_key=NOTE_KEY)


async def opened_in_step(url: str, tmp_path: Path, shards: int = 1) -> Store:
    """A store that promises a replica, as soon as every master has one whose file follows."""
    stores: list[Store] = []

    async def promised() -> bool:
        with contextlib.suppress(StoreUnavailable, ConfigError):
            stores.append(await opened(url, tmp_path, "replica", shards))
            for name in ("ALFA", "BRAVO", "CHARLIE"):
                await join(stores[-1], name)
            return True
        return False

    await until(promised)
    for early in stores[:-1]:
        await early.close()
    return stores[-1]


@contextlib.contextmanager
def replicas_waited_for() -> Iterator[None]:
    """A replica that stands still with its machine is no replica out of step."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client, "_WAITS_MS", (*client._WAITS_MS, 30_000))
        yield


async def test_a_silent_server_is_unavailable_in_its_budget_and_recovers_by_itself(
    own_valkey: Valkey, tmp_path: Path
) -> None:
    store = await opened(own_valkey.url, tmp_path)
    await join(store)
    reserved, asked = hold(100), hold(100)
    await store.payments.prepare(reserved, "")
    own_valkey.pause()
    with store_waits(STORE_CALL_MS_MAX):
        calls = asyncio.gather(
            store.payments.commit(reserved, ACK, NOW_MS),
            store.payments.prepare(asked, ""),
            store.payments.get("ALFA", reserved.uetr),
            store.payments.holds(),
            store.payments.durability(),
            return_exceptions=True,
        )
        for _ in range(300):  # of 10 ms and more: however long the machine stands still in one of them, it is one
            if calls.done():
                break
            await asyncio.sleep(0.01)
        assert calls.done(), "in its budget"
    assert [type(answer) for answer in calls.result()] == [StoreUnavailable] * 5
    own_valkey.resume()
    assert (await store.payments.commit(reserved, ACK, NOW_MS)).state is State.COMMITTED
    again = await store.payments.prepare(asked, "")
    assert again.payment.state is State.PREPARED  # begun once, whether or not the silent server had taken it
    assert (await store.payments.positions("ALFA"))[0].reserved_minor == 100
    await store.close()


async def test_a_lost_answer_is_asked_for_again_and_is_the_same(own_valkey: Valkey, tmp_path: Path) -> None:
    async with CuttingProxy(own_valkey.port) as proxy:
        store = await opened(proxy.url, tmp_path)
        await join(store)
        reserved = hold(100)
        await store.payments.prepare(hold(1), "")  # the script is known from here on
        proxy.lose_answers = 1
        prepared = await store.payments.prepare(reserved, "")
        assert prepared.fresh  # this very call began it: the engine goes on to the rail
        assert not (await store.payments.prepare(reserved, "")).fresh
        proxy.lose_answers = 1
        committed = await store.payments.commit(reserved, ACK, NOW_MS)
        assert committed.history[-1].rail_reference == ACK.rail_reference
        assert proxy.lose_answers == 0
        assert (await store.payments.outbox_depth())[0] == 1
        (row,) = await store.payments.positions("ALFA")
        assert (row.net_debit_minor, row.reserved_minor) == (100, 1)
        await store.close()


async def test_answers_lost_twice_are_unavailable_and_a_repeat_finds_the_work_done(
    own_valkey: Valkey, tmp_path: Path
) -> None:
    async with CuttingProxy(own_valkey.port) as proxy:
        store = await opened(proxy.url, tmp_path)
        await join(store)
        reserved = hold(100)
        await store.payments.prepare(hold(1), "")  # the script is known from here on
        proxy.lose_answers = 2
        with pytest.raises(StoreUnavailable):
            await store.payments.prepare(reserved, "")
        again = await store.payments.prepare(reserved, "")
        assert (again.fresh, again.payment.hold) == (False, reserved)
        await store.close()


async def test_cancels_in_a_storm_cross_no_answers(own_valkey: Valkey, tmp_path: Path) -> None:
    store = await opened(own_valkey.url, tmp_path)
    await join(store)
    held = [hold(1) for _ in range(300)]
    calls = [asyncio.ensure_future(store.payments.prepare(one, "")) for one in held]
    reads = [asyncio.ensure_future(store.payments.get("ALFA", one.uetr)) for one in held]
    lists = [asyncio.ensure_future(store.payments.changes("ALFA", "", n)) for n in range(1, 100)]
    await asyncio.sleep(0)
    for call in (*calls[::3], *reads[::2], *lists[::2]):
        call.cancel()
    await asyncio.gather(*calls, *reads, *lists, return_exceptions=True)
    for one in held:
        prepared = await store.payments.prepare(one, "")
        assert prepared.payment.hold == one
    assert await store.payments.holds() == (300, NOW_MS)
    await store.close()


async def test_everything_acknowledged_outlives_a_sigkill_of_the_server(own_valkey: Valkey, tmp_path: Path) -> None:
    store = await opened(own_valkey.url, tmp_path)
    await join(store, cap_minor=10**9)
    acknowledged: dict[str, State] = {}
    stop = asyncio.Event()

    async def pay() -> None:
        while not stop.is_set():
            reserved = hold(1)
            with contextlib.suppress(StoreUnavailable):
                prepared = await store.payments.prepare(reserved, "")
                acknowledged[reserved.uetr] = prepared.payment.state
                committed = await store.payments.commit(reserved, ACK, NOW_MS)
                acknowledged[reserved.uetr] = committed.state

    async def enough() -> bool:
        return len(acknowledged) > 500

    payers = [asyncio.create_task(pay()) for _ in range(20)]
    await until(enough)
    own_valkey.kill()
    stop.set()
    await asyncio.gather(*payers)
    own_valkey.start()
    assert len(acknowledged) > 500
    for uetr, state in acknowledged.items():
        payment = await store.payments.get("ALFA", uetr)
        assert payment is not None
        assert payment.state is state or state is State.PREPARED
    rows = await store.payments.positions()
    assert sum(row.net_debit_minor for row in rows) == 0
    running = (await store.payments.holds())[0]
    assert rows[0].reserved_minor == running
    await store.close()


WEAKER = """
# setting            value         required  named
  appendfsync        everysec      fsync     appendfsync always
  appendfsync        everysec      replica   appendfsync always
  maxmemory-policy   allkeys-lru   fsync     maxmemory-policy noeviction
  appendfsync        always        replica   replica of every master
  appendfsync        always        perhaps   durability
  appendonly         no            fsync     appendonly yes
  appendonly         no            none      -
"""


async def test_a_server_weaker_than_promised_is_refused_with_the_setting(own_valkey: Valkey, tmp_path: Path) -> None:
    ours = {"appendonly": "no", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    for row in (line.split(maxsplit=3) for line in WEAKER.splitlines() if line.strip() and "#" not in line):
        setting, value, required, named = row
        own_valkey.command("CONFIG", "SET", setting, value)
        if named == "-":
            store = await opened(own_valkey.url, tmp_path, required)
            assert not store.durability.appendonly
            assert "lost" in store.durability.promise
            await store.close()
        else:
            with pytest.raises(ConfigError, match=named):
                await opened(own_valkey.url, tmp_path, required)
        own_valkey.command("CONFIG", "SET", setting, ours[setting])


async def test_what_the_server_says_of_its_durability(store: Store) -> None:
    found = await store.payments.durability()
    assert found == store.durability
    assert found.server.startswith(("valkey ", "redis "))
    assert (found.appendonly, found.appendfsync, found.maxmemory_policy) == (True, "always", "noeviction")
    assert found.cluster == (store.payments.shards > 1)
    assert "power cut" in found.promise


async def test_the_number_of_shards_is_fixed_at_first_use(own_valkey: Valkey, tmp_path: Path) -> None:
    await (await opened(own_valkey.url, tmp_path, shards=4)).close()
    await (await opened(own_valkey.url, tmp_path, shards=4)).close()
    with pytest.raises(ConfigError, match="shards: this store was first used with 4"):
        await opened(own_valkey.url, tmp_path, shards=1)


async def test_a_replica_must_have_the_write_too(own_valkey: Valkey, tmp_path: Path) -> None:
    own_valkey.command("CONFIG", "SET", FOLLOW_AT_ONCE[0].lstrip("-"), FOLLOW_AT_ONCE[1])
    follow = ("--replicaof", "127.0.0.1", str(own_valkey.port))
    with run_valkey(tmp_path / "replica", *follow, *FOLLOW_AT_ONCE) as replica:
        store = await opened_in_step(own_valkey.url, tmp_path)
        assert "one server's disk" in store.durability.promise
        reserved = hold(100)
        with replicas_waited_for():
            assert (await store.payments.prepare(reserved, "")).fresh
        replica.pause()
        with pytest.raises(StoreUnavailable):
            await store.payments.commit(reserved, ACK, NOW_MS)
        replica.resume()
        with replicas_waited_for():
            assert (await store.payments.commit(reserved, ACK, NOW_MS)).state is State.COMMITTED
        await store.close()


async def test_a_cluster_with_replicas_keeps_the_promise(tmp_path: Path) -> None:
    with run_cluster(tmp_path / "cluster", replicas=1) as cluster:
        store = await opened_in_step(cluster.url, tmp_path, shards=3)
        for name in ("ALFA", "BRAVO", "CHARLIE"):
            reserved = hold(100, debtor_agent=name)
            with replicas_waited_for():
                assert (await store.payments.prepare(reserved, "")).fresh
                assert (await store.payments.commit(reserved, ACK, NOW_MS)).state is State.COMMITTED
        for replica in cluster.replicas:
            replica.pause()
        with pytest.raises(StoreUnavailable):
            await store.payments.prepare(hold(1), "")
        for replica in cluster.replicas:
            replica.resume()
        await store.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:6379"])
async def test_a_url_that_is_none_is_a_wrong_setting(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="redis_url"):
        await opened(url, tmp_path)


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await opened(f"unix://{tmp_path}/nobody.sock", tmp_path)


async def test_what_all_switches_must_share_is_fixed_at_first_use(single: Store) -> None:
    """Two keys of identities would count one person twice."""
    await single.pin("identity_key", "5f3a")
    await single.pin("identity_key", "5f3a")
    with pytest.raises(ConfigError, match="identity_key: this store was first used with 5f3a"):
        await single.pin("identity_key", "77aa")
