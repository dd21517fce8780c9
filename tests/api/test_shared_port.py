"""A server that shares its port with other workers: who leaves it sends callers there, and callers come anew in time."""

import asyncio

import grpc
import pytest
from bayswitch.v1 import payment_pb2

from switch.api import ServerOptions, server
from tests.api.support import serving, submit_request

READY = grpc.ChannelConnectivity.READY
COMMITTED = payment_pb2.PAYMENT_STATE_COMMITTED


async def test_who_leaves_refuses_nothing_and_ends_what_runs() -> None:
    async with serving(reuse_port=True) as old:
        old.world.near.hold()
        first, second = submit_request(), submit_request()
        running = asyncio.create_task(old.submit(first))
        await old.world.near.arrived()
        async with serving(reuse_port=True, port=old.server.port) as new:
            assert old.channel.get_state() is READY
            stopping = asyncio.create_task(old.server.stop(60_000))
            await old.channel.wait_for_state_change(READY)
            assert (await old.submit(second)).state == COMMITTED
            assert second.uetr in new.world.store.payments
            assert not stopping.done()
            old.world.near.release()
            assert (await running).state == COMMITTED
            assert first.uetr in old.world.store.payments
            await stopping
            assert old.server.draining
            await old.server.stop(20_000)  # safe to repeat


async def test_what_does_not_end_in_time_is_cut_off() -> None:
    async with serving(reuse_port=True) as api:
        api.world.near.hold()
        running = asyncio.create_task(api.submit())
        await api.world.near.arrived()
        await api.server.stop(50)
        with pytest.raises(grpc.aio.AioRpcError):
            await running


async def test_callers_come_anew_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel deals out connections: a worker that was restarted would have none until callers come again."""
    monkeypatch.setattr(server, "_SHARED_CONNECTION_AGE_MS", 100)
    async with serving(reuse_port=True) as api:
        for _ in range(2):
            assert (await api.submit()).state == COMMITTED
            await api.channel.wait_for_state_change(READY)


def test_one_who_shares_nothing_keeps_its_callers() -> None:
    alone, shared = (dict(server._channel_options(ServerOptions("", 0, reuse_port=shares))) for shares in (False, True))
    assert set(shared) - set(alone) == {"grpc.max_connection_age_ms"}
    assert (alone["grpc.so_reuseport"], shared["grpc.so_reuseport"]) == (0, 1)
