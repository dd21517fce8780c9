"""The lean client against gRPC's own server: answers, statuses, and what a server may hold back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from loadtest.echo import METHOD, PACKAGE
from loadtest.lean import GONE, Connection, head_of, opened
from tests.waiting import eventually

HEAD = head_of(METHOD, (("x-bayswitch-participant", "HKWALLET"),), 60_000)
Behaviour = Callable[[bytes, Any], Awaitable[bytes]]


@contextlib.asynccontextmanager
async def connected(behaviour: Behaviour, **options: int) -> AsyncIterator[tuple[Connection, grpc.aio.Server]]:
    server = grpc.aio.server(options=[(f"grpc.{name}", value) for name, value in options.items()])
    handler = grpc.unary_unary_rpc_method_handler(behaviour)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(PACKAGE, {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    connection = await opened(f"127.0.0.1:{port}")
    try:
        yield connection, server
    finally:
        connection.close()
        await server.stop(None)


async def echo(request: bytes, _context: Any) -> bytes:
    return request


def asked(connection: Connection, message: bytes, head: bytes = HEAD) -> "asyncio.Future[tuple[int, bytes]]":
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    connection.call(head, message, lambda status, said: answer.set_result((status, said)))
    return answer


async def test_answers_come_to_who_asked() -> None:
    async with connected(echo) as (connection, _):
        messages = [b"", b"a", *(bytes([number]) * 400 * number for number in range(40))]
        answers = await asyncio.gather(*(asked(connection, message) for message in messages))
        assert answers == [(0, message) for message in messages]
        assert connection.open == 0


async def test_statuses() -> None:
    async def refuse(_request: bytes, context: Any) -> bytes:
        details = (("grpc-status-details-bin", bytes(range(256))),)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc-status is what?", trailing_metadata=details)
        raise AssertionError

    async with connected(refuse) as (connection, _):
        assert await asked(connection, b"x") == (8, b"")
        assert await asked(connection, b"x", head_of("/no.such.Service/Method", (), 1_000)) == (12, b"")


async def test_a_server_sees_the_caller_and_its_deadline() -> None:
    async def tell(_request: bytes, context: Any) -> bytes:
        named = dict(context.invocation_metadata())["x-bayswitch-participant"]
        return f"{named} {0 < context.time_remaining() <= 60}".encode()

    async with connected(tell) as (connection, _):
        assert await asked(connection, b"") == (0, b"HKWALLET True")


async def test_no_more_streams_than_the_server_takes_and_the_rest_in_order() -> None:
    begun: list[bytes] = []
    held = asyncio.Event()

    async def hold(request: bytes, _context: Any) -> bytes:
        begun.append(request)
        await held.wait()
        return request

    async with connected(hold, max_concurrent_streams=3) as (connection, _):
        answers = [asked(connection, bytes([number])) for number in range(10)]
        await eventually(lambda: len(begun) == 3, "three have come")
        assert (connection.open, connection.held_back) == (3, 7)
        held.set()
        assert await asyncio.gather(*answers) == [(0, bytes([number])) for number in range(10)]


async def test_more_bytes_than_a_window_while_nobody_answers() -> None:
    held = asyncio.Event()

    async def hold(request: bytes, _context: Any) -> bytes:
        await held.wait()
        return request

    async with connected(hold, max_concurrent_streams=1_000) as (connection, _):
        answers = [asked(connection, bytes(10_000)) for _ in range(100)]
        held.set()
        assert set(await asyncio.gather(*answers)) == {(0, bytes(10_000))}


async def test_a_server_that_goes_leaves_no_call_without_an_end() -> None:
    begun = asyncio.Event()

    async def never(_request: bytes, _context: Any) -> bytes:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with connected(never) as (connection, server):
        answer = asked(connection, b"x")
        await begun.wait()
        await server.stop(None)
        status, _ = await answer
        assert status != 0
        await eventually(lambda: asked(connection, b"x").done(), "it is known to be gone")
        assert await asked(connection, b"x") == (GONE, b"")
