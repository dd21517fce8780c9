"""Calls of the busy methods are taken from the transport many at a time.

grpc.aio asks its core for one call of a method, and for the next one five turns of the event loop later. Under load a turn
takes milliseconds, so calls queue in front of a switch that has room for them, and whoever came just to look queues with
them. Here ACCEPTS_PER_METHOD requests for calls of each busy method are out at the core at any time, and each is renewed in
the turn it is answered in. Measured in loadtest/README.md: a quarter less CPU of the switch for a single call, for what
comes together is worked on together.

grpc.aio publishes no way to do it: this file, and no other, uses names of its own (the same as its own serving loop, which
goes on beside ours). The releases it fits are pinned in pyproject.toml; tests/api/test_accepting.py holds it to a promise.

Its loop also looks for the handler of each call anew, and what it looks with is a cycle of objects that only the collector
ends: at thousands of calls a second it comes every few seconds, and everybody waits for it. Here the handler is known.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import grpc
from grpc._cython import cygrpc

from switch.errors import anatomy
from switch.limits import ACCEPTS_PER_METHOD

__all__ = ["Acceptors"]

_LOG: Final = logging.getLogger("bayswitch.api")
# By what it takes and gives, one message or a stream of them: (request_streaming, response_streaming).
_WORK: Final = {
    (False, False): cygrpc._handle_unary_unary_rpc,
    (False, True): cygrpc._handle_unary_stream_rpc,
    (True, False): cygrpc._handle_stream_unary_rpc,
    (True, True): cygrpc._handle_stream_stream_rpc,
}


class Acceptors:
    """Of one server. `handlers`: full method name ("/package.Service/Method") -> its handler, of busy methods."""

    def __init__(self, server: grpc.aio.Server, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """Before the server starts: the core must know these methods by name, or their calls come without one."""
        for method, handler in handlers.items():
            service, name = method.removeprefix("/").split("/")
            server.add_registered_method_handlers(service, {name: handler})
        self._core = server._server
        self._handlers = dict(handlers)
        self._taking: list[asyncio.Task[None]] = []
        self._calls: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """After the server has started, in its loop."""
        loop = asyncio.get_running_loop()
        self._taking = [
            loop.create_task(self._take(method, handler))
            for method, handler in self._handlers.items()
            for _ in range(ACCEPTS_PER_METHOD)
        ]

    async def ended(self) -> None:
        """After the server has stopped: returns when no call is taken any more. Safe to repeat."""
        await asyncio.gather(*self._taking)

    async def _take(self, method: str, handler: grpc.RpcMethodHandler) -> None:
        """One call after the other, until the server stops: then the core answers what is out with an error."""
        loop, core, name = asyncio.get_running_loop(), self._core, method.encode()
        work = _WORK[handler.request_streaming, handler.response_streaming]
        while core.is_running():
            try:
                state: Any = await core._request_registered_call(name)
            except cygrpc._RequestCallError:
                continue
            except cygrpc.InternalError as error:  # grpc.aio's own loop goes on and would say so, too
                _LOG.error("the transport takes no request for a call: %s", anatomy(error))
                return
            # It begins the work only once it listens for the caller's cancel.
            call = loop.create_task(cygrpc._schedule_rpc_coro(work(handler, state, loop), state, loop, method))
            del state  # it would stand here, with all its call has, until the next one comes
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
