"""The server: what it listens with, what it serves, and the order in which it stops."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

import grpc
from bayswitch.v1 import (
    directory_pb2_grpc,
    participant_pb2_grpc,
    payment_pb2_grpc,
    quote_pb2_grpc,
    settlement_pb2_grpc,
)
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from switch.api.accepting import Acceptors
from switch.api.directory_service import DirectoryService
from switch.api.gate import Gate
from switch.api.identity import ServerOptions, chosen_identity, credentials
from switch.api.participant_service import ParticipantService
from switch.api.parts import ApiParts
from switch.api.payment_service import PaymentService
from switch.api.quote_service import QuoteService
from switch.api.reflection import add_reflection
from switch.api.settlement_service import SettlementService
from switch.errors import ConfigError
from switch.limits import CALLS_AT_THE_GATE_MAX, MESSAGE_BYTES_MAX

__all__ = ["SERVICES", "ApiParts", "Server", "ServerOptions"]

SERVICES: Final = tuple(
    f"bayswitch.v1.{name}Service" for name in ("Payment", "Quote", "Directory", "Participant", "Settlement")
)
# What callers call by the thousand: paying, what a payment needs before, and asking after it.
_BUSY: Final = frozenset(
    f"/bayswitch.v1.{method}"
    for method in (
        "PaymentService/SubmitPayment",
        "PaymentService/SubmitPayments",
        "PaymentService/GetPayment",
        "QuoteService/CreateQuote",
        "DirectoryService/CheckRoute",
    )
)
_HEALTH_MS_MAX: Final = 1_000  # a health watcher that does not read must not hold up the drain
_LEFTOVER_MS: Final = 200  # for streams that never end by themselves (health, reflection) once our calls have ended
_PING_INTERVAL_MS: Final = 60_000  # both ways: keeps middle boxes from forgetting an idle connection
_PING_PERMIT_MS: Final = 50_000  # a caller's ping every 60 s may come a little early
_PING_TIMEOUT_MS: Final = 20_000
# Of workers that share a port, the kernel deals out connections, not calls: one that was restarted has none. So callers
# are asked to connect anew from time to time; no call is harmed, and a stream keeps its connection to its end.
_SHARED_CONNECTION_AGE_MS: Final = 300_000


def _channel_options(options: ServerOptions) -> tuple[tuple[str, int], ...]:
    shared = (("grpc.max_connection_age_ms", _SHARED_CONNECTION_AGE_MS),) if options.reuse_port else ()
    return (
        *shared,
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        (
            "grpc.max_concurrent_streams",
            options.calls_max + options.looks_max,
        ),  # shedding is the gate's, not the transport's
        # By default the transport cancels calls, without a reason, once a thousand wait to be looked at.
        ("grpc.server.max_pending_requests", CALLS_AT_THE_GATE_MAX),
        ("grpc.server.max_pending_requests_hard_limit", CALLS_AT_THE_GATE_MAX),
        ("grpc.keepalive_time_ms", _PING_INTERVAL_MS),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_PERMIT_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _PING_PERMIT_MS),
        ("grpc.so_reuseport", int(options.reuse_port)),
    )


class _ByName:
    """What the generated code adds services to: each method behind the gate, found by its name, and few registered.

    grpc.aio has a waiting task per registered method, and for every call waits anew for all of them: with our thirty
    methods that is 16 us of CPU for each call. Those of _BUSY are kept for the acceptors.
    """

    def __init__(self, server: grpc.aio.Server, gate: Gate) -> None:
        self._server = server
        self._gate = gate
        self.busy: dict[str, grpc.RpcMethodHandler] = {}

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        guarded = {name: self._gate.guarded(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))
        found = {f"/{service}/{name}": handler for name, handler in guarded.items()}
        self.busy |= {method: found[method] for method in _BUSY & found.keys()}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """The same once more: the generated code adds every method both ways."""


class Server:
    """One gRPC server of one process."""

    def __init__(self, parts: ApiParts, options: ServerOptions) -> None:
        """Raises ConfigError: callers could not be named, or a TLS file cannot be used."""
        self._options = options
        identify = chosen_identity(options)
        self._credentials = credentials(options)
        self._parts = parts
        self._gate = Gate(
            identify, options.operators, calls_max=options.calls_max, looks_max=options.looks_max, meter=parts.meter
        )
        self._payments = PaymentService(parts)
        self._settlement = SettlementService(parts)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._acceptors: Acceptors | None = None
        self.port = 0

    @property
    def running(self) -> int:
        """Calls that have not ended; health and reflection are not counted."""
        return self._gate.running

    @property
    def running_by_kind(self) -> dict[str, int]:
        """The same, of calls that begin something and of those that look."""
        return self._gate.running_by_kind

    @property
    def draining(self) -> bool:
        """True from the moment new calls are refused."""
        return self._gate.closed

    async def start(self) -> int:
        """Serve. Returns the bound port. Raises ConfigError when it cannot be bound."""
        options = self._options
        server = self._server = grpc.aio.server(options=_channel_options(options))
        services = _ByName(server, self._gate)
        self._add_services(services)
        self._acceptors = Acceptors(server, services.busy)
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"{host}:{options.port}"
        try:
            if self._credentials is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, self._credentials)
        except RuntimeError:
            raise ConfigError(
                f"listen_port: {address} cannot be bound (is it in use?), or the TLS files do not fit each other"
            ) from None
        await server.start()
        self._acceptors.begin()
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self.port

    def _add_services(self, server: "_ByName") -> None:
        parts = self._parts
        payment_pb2_grpc.add_PaymentServiceServicer_to_server(self._payments, server)
        quote_pb2_grpc.add_QuoteServiceServicer_to_server(QuoteService(parts), server)
        directory_pb2_grpc.add_DirectoryServiceServicer_to_server(DirectoryService(parts), server)
        participant_pb2_grpc.add_ParticipantServiceServicer_to_server(ParticipantService(parts), server)
        settlement_pb2_grpc.add_SettlementServiceServicer_to_server(self._settlement, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        add_reflection(server, (*SERVICES, health.SERVICE_NAME))

    async def stop(self, grace_ms: int) -> None:
        """Drain and stop: health says NOT_SERVING, new calls get SHUTTING_DOWN, running calls end, then all closes.

        What has not ended after `grace_ms` is cut off; a payment it began is ended by the engine all the same. Safe
        to repeat, and on a server that never started. On a port with other workers new calls are not refused: the port
        is left at once, and callers are told to go there.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEALTH_MS_MAX / 1000):
                await self._health.enter_graceful_shutdown()
        leaving = asyncio.create_task(server.stop(grace_ms / 1000)) if self._options.reuse_port else None
        if leaving is None:
            self._gate.close()
        self._payments.close_streams()
        self._settlement.close_streams()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_ms / 1000):
                await self._gate.idle()
        self._gate.close()
        await server.stop(min(grace_ms, _LEFTOVER_MS) / 1000)
        if leaving is not None:
            await leaving
        if self._acceptors is not None:
            await self._acceptors.ended()
