"""Calls that wait together are taken together: what the names of grpc.aio that are used for it must keep doing."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from switch.api.accepting import Acceptors
from switch.limits import ACCEPTS_PER_METHOD
from tests.waiting import eventually

METHOD = "/bayswitch.tests.Held/Hold"
CALLS = ACCEPTS_PER_METHOD
TRIES = 5


class _Held:
    """A server whose one method notes its call and waits. `turns` are those of its event loop."""

    def __init__(self, *, taken_together: bool) -> None:
        self.begun: list[bytes] = []
        self.cancelled: list[bytes] = []
        self.release = asyncio.Event()
        self.turns = 0
        self.server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(self._hold)
        if taken_together:
            self.acceptors: Acceptors | None = Acceptors(self.server, {METHOD: handler})
        else:
            self.acceptors = None
            service, name = METHOD.removeprefix("/").split("/")
            self.server.add_registered_method_handlers(service, {name: handler})
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def start(self) -> None:
        await self.server.start()
        if self.acceptors is not None:
            self.acceptors.begin()

    async def _hold(self, request: bytes, _context: Any) -> bytes:
        self.begun.append(request)
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.append(request)
            raise
        return request

    def turn(self) -> None:
        """Counts; and every turn is long, as under load, so that the transport is done with its part in between."""
        time.sleep(0.003)
        self.turns += 1
        if not self.release.is_set():
            asyncio.get_running_loop().call_soon(self.turn)


async def _turns_until_all_have_begun(held: _Held) -> int:
    """CALLS calls come while the loop stands still, by a client with threads of its own."""
    await held.start()
    with grpc.insecure_channel(f"127.0.0.1:{held.port}") as channel:
        # A first call, so that the connection is there.
        first = channel.unary_unary(METHOD).future(b"first", timeout=60)
        await eventually(lambda: held.begun == [b"first"], "the first has come")
        asked = channel.unary_unary(METHOD)
        calls = [asked.future(b"%d" % number, timeout=60) for number in range(CALLS)]
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is to stand: all of them reach the core meanwhile
        held.turn()
        await eventually(lambda: len(held.begun) == 1 + CALLS, "all have begun")
        turns = held.turns
        held.release.set()
        answers = await asyncio.to_thread(lambda: [call.result() for call in (first, *calls)])
    assert answers == [b"first", *(b"%d" % number for number in range(CALLS))]
    await held.server.stop(None)
    if held.acceptors is not None:
        await held.acceptors.ended()
    return turns


async def test_calls_that_wait_together_begin_together() -> None:
    alone = await _turns_until_all_have_begun(_Held(taken_together=False))
    together = []
    for _ in range(TRIES):  # where the machine stood still meanwhile, some calls came late, and none was waiting
        together.append(await _turns_until_all_have_begun(_Held(taken_together=True)))
        if together[-1] * 4 < alone:
            return
    raise AssertionError((together, alone))


async def test_a_caller_that_hangs_up_cancels_its_call() -> None:
    held = _Held(taken_together=True)
    await held.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{held.port}") as channel:
        kept, dropped = (channel.unary_unary(METHOD)(name, timeout=60) for name in (b"kept", b"dropped"))
        await eventually(lambda: len(held.begun) == 2, "both have begun")
        dropped.cancel()
        await eventually(lambda: held.cancelled == [b"dropped"], "it is known here")
        held.release.set()
        assert await kept == b"kept"
    await held.server.stop(None)


@pytest.mark.parametrize("grace", [None, 0.2])
async def test_a_stop_ends_what_takes_calls_and_what_runs(grace: float | None) -> None:
    held = _Held(taken_together=True)
    await held.start()
    assert held.acceptors is not None
    async with grpc.aio.insecure_channel(f"127.0.0.1:{held.port}") as channel:
        call = channel.unary_unary(METHOD)(b"held", timeout=60)
        await eventually(lambda: held.begun == [b"held"], "it has begun")
        await held.server.stop(grace)
        await held.acceptors.ended()
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    await eventually(lambda: held.cancelled == [b"held"], "its work was cancelled")
