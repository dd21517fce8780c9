"""The composition root: settings -> clients -> engine -> server. Nobody imports it but the command line."""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from adapters import RAILS
from adapters.kit.module import RailOptions
from switch.api import ApiParts, Server, ServerOptions
from switch.engine import Directory, Payments, Quotes, Recovery, RecoveryTimes, Watch
from switch.errors import ConfigError
from switch.events import KafkaSink, Relay
from switch.ports import Durability, Rail
from switch.routing import RouterHolder
from switch.rules import load_rules
from switch.settings import Settings
from switch.store import Store, open_store

__all__ = ["Switch", "SystemClock", "connect_rails", "connect_store", "run", "serve"]

_LOG = logging.getLogger("bayswitch")
_Result = TypeVar("_Result")


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


class Switch:
    """One running switch. `start` brings everything up or raises; `stop` drains, in the order callers expect."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = 0
        self.durability: Durability | None = None
        self._clock = SystemClock()
        self._rules = load_rules(settings.rules_dir)
        self._router = RouterHolder(self._rules.corridors)
        self._background: list[asyncio.Task[None]] = []
        self._store: Store | None = None
        self._rails: dict[str, Rail] = {}
        self._server: Server | None = None
        self._payments: Payments | None = None
        self._relay: Relay | None = None

    async def start(self) -> int:
        """Returns the bound port.

        Raises:
            ConfigError: the store's durability is weaker than promised, TLS is missing, a rail has no corridor, ...
        """
        settings, clock = self.settings, self._clock
        store = self._store = await connect_store(settings)
        self.durability = await store.payments.durability()
        rails = self._rails = connect_rails(settings)
        watch = Watch(store.payments)
        quotes = Quotes(
            store=store.quotes,
            participants=store.participants,
            router=self._router,
            fees=self._rules.fees,
            clock=clock,
            life_ms=settings.quote_ms,
        )
        payments = self._payments = Payments(
            store=store.payments,
            quotes=quotes,
            router=self._router,
            rails=rails,
            watch=watch,
            clock=clock,
            identity_hash=identity_hash(settings),
            hold_ms=settings.hold_ms,
        )
        recovery = Recovery(
            store=store.payments,
            quotes=store.quotes,
            rails=rails,
            payments=payments,
            watch=watch,
            clock=clock,
            times=recovery_times(settings),
        )
        for name, rail in rails.items():
            rail.listen(payments.receiver(self._rules.gateways[name].participant))
        await asyncio.gather(*(rail.start() for rail in rails.values()))
        self._server = Server(
            ApiParts(
                payments, quotes, Directory(self._router, clock), watch, store.payments, store.participants, clock
            ),
            server_options(settings),
        )
        self._run_in_background(recovery.run())
        if settings.kafka_bootstrap:
            sink = KafkaSink(
                settings.kafka_bootstrap, partitions=settings.kafka_partitions, replication=settings.kafka_replication
            )
            self._relay = Relay(store.payments, sink, clock)
            self._run_in_background(self._relay.run())
        self.port = await self._server.start()
        return self.port

    async def stop(self) -> None:
        """NOT_SERVING, running calls and payments end, then everything closes."""
        if self._server is not None:
            await self._server.stop(self.settings.drain_ms)
        if self._payments is not None:
            with contextlib.suppress(TimeoutError):  # what still waits for a rail, recovery of the next start will end
                await asyncio.wait_for(self._payments.drain(), self.settings.drain_ms / 1000)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*(rail.close() for rail in self._rails.values()))
        if self._store is not None:
            await self._store.close()

    def reload_rules(self) -> None:
        """Read the rules again; a file that is wrong leaves the table as it was, and is logged."""
        try:
            self._router.reload(load_rules(self.settings.rules_dir).corridors)
        except ConfigError as error:
            _LOG.error("rules not reloaded: %s", error)

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_report)
        self._background.append(task)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        _LOG.critical("a background task ended: %s", error, exc_info=error)


async def connect_store(settings: Settings) -> Store:
    """The store the settings name; the embedded one is started, or joined when it runs already."""
    return await open_store(
        settings.redis_url.get_secret_value(),
        shards=settings.shards,
        durability=settings.durability,
        data_dir=settings.data_dir,
    )


def connect_rails(settings: Settings) -> dict[str, Rail]:
    """Clients of the rails in the settings, not started.

    Raises:
        ConfigError: a rail that does not exist, an address that is not host:port.
    """
    rails: dict[str, Rail] = {}
    for name, address in settings.rails.items():
        if name not in RAILS:
            raise ConfigError(f"rails: no rail {name!r}; there are {', '.join(RAILS)}")
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"rails: {name}: {address!r} is not host:port")
        rails[name] = RAILS[name].make_client(
            RailOptions(
                host,
                int(port),
                settings.rail_institutions.get(name, RAILS[name].institution),
                settings.data_dir / "keys" / name,
                settings.rail_connections,
                settings.rail_signing,
                settings.rail_message_valid_ms,
            )
        )
    return rails


def recovery_times(settings: Settings) -> RecoveryTimes:
    return RecoveryTimes(
        settings.enquiry_first_ms,
        settings.enquiry_backoff_ms_max,
        settings.rail_message_valid_ms,
        settings.clock_skew_ms,
    )


def server_options(settings: Settings) -> ServerOptions:
    return ServerOptions(
        host=settings.listen_host,
        port=settings.listen_port,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
        demo_identity=settings.demo_identity,
        operators=settings.operators,
    )


def identity_hash(settings: Settings) -> Callable[[str], str]:
    """Keyed hash of an identity, 128 bits as hex: what person limits count. The key never leaves the data directory."""
    key = settings.identity_key.get_secret_value().encode() or _kept_key(settings.data_dir / "identity.key")
    return lambda identity: hmac.digest(key, identity.encode(), hashlib.sha256)[:16].hex()


def _kept_key(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()


def run(work: Coroutine[Any, Any, _Result], settings: Settings) -> _Result:
    """Run `work` on the event loop the settings choose."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if settings.uvloop else None) as runner:
        return runner.run(work)


async def serve(settings: Settings, on_ready: Callable[[Switch], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the rules again."""
    switch = Switch(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, switch.reload_rules)
    try:
        await switch.start()
        on_ready(switch)
        await stopping.wait()
    finally:
        await switch.stop()
