"""The composition root: settings -> clients -> engine -> server. Nobody imports it but the command line."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import uvloop

from adapters import RAILS
from adapters.kit.module import RailOptions
from switch.api import ApiParts, Server, ServerOptions, check_identity
from switch.app.keys import identity_hash, note_key
from switch.app.settlement import Settling, Work
from switch.app.watching import watched
from switch.archive import SqlArchive, open_archive
from switch.domain.corridor import Fee
from switch.engine import Directory, Paces, Payments, Quotes, Recovery, RecoveryTimes, Watch
from switch.errors import ConfigError, anatomy
from switch.garbage import collect_rarely
from switch.limits import BACKGROUND_END_MS, BACKGROUND_RESTART_MS, CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_VALID_MS
from switch.ports import Archive, Durability, Rail
from switch.routing import RouterHolder
from switch.rules import Rules, load_rules
from switch.settings import Settings
from switch.store import Store, open_store

__all__ = [
    "Switch",
    "SystemClock",
    "check",
    "connect_archive",
    "connect_rails",
    "connect_store",
    "identity_hash",
    "recovery_times",
    "run",
    "run_works",
    "serve",
]

_LOG = logging.getLogger("bayswitch")
_Result = TypeVar("_Result")


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Switch:
    """One running switch. `start` brings everything up or nothing; `stop` drains, in the order callers expect."""

    def __init__(self, settings: Settings) -> None:
        """Reads the rules and opens nothing. Raises ConfigError: see `check`."""
        self.settings = settings
        self.port = 0
        self.admin_port = 0  # 0: none
        self.durability: Durability | None = None
        self._clock = SystemClock()
        self._watched = watched(settings, self._clock)
        self._stopping = False
        self._rules = check(settings)
        self._router = RouterHolder(self._rules.corridors)
        self._paces = Paces(self._rules.paces)
        self._fees: dict[str, Fee] = dict(self._rules.fees)  # the quotes look into this one; a reload changes it
        self._opened = AsyncExitStack()  # what is up, and how each of it ends, in the order it came up
        self._works: list[Work] = []  # in the background, not begun yet
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Returns the bound port. When it raises, whatever had been started is closed again.

        Raises:
            ConfigError: the store's durability is weaker than promised, the port is taken, a key cannot be read, ...
            StoreUnavailable: the store does not answer.
        """
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> int:
        settings, clock, opened = self.settings, self._clock, self._opened
        archive = connect_archive(settings)
        opened.push_async_callback(archive.close)
        store = await connect_store(settings, archive)
        opened.push_async_callback(store.close)
        settling = Settling(settings, self._rules, store, archive, clock)
        await settling.check_topics()
        self.durability = await store.payments.durability()
        rails = connect_rails(settings)
        for rail in rails.values():
            opened.push_async_callback(rail.close)
        watch, hashed = Watch(store.payments), identity_hash(settings)
        # Two switches with two keys would count one person twice: each limit would be two.
        await store.pin("identity_key", hashed("fingerprint of the key"))
        quotes = self._quotes(store)
        payments = Payments(
            store=store.payments,
            quotes=quotes,
            router=self._router,
            rails=rails,
            watch=watch,
            clock=clock,
            identity_hash=hashed,
            paces=self._paces,
            hold_ms=settings.hold_ms,
            meter=self._watched.meter,
        )
        parts = ApiParts(
            payments,
            quotes,
            Directory(self._router, store.payments, clock, hashed),
            watch,
            store.payments,
            store.participants,
            clock,
            settling.settlement,
            self._watched.meter,
        )
        server = Server(parts, server_options(settings))
        for name, rail in rails.items():
            rail.listen(payments.receiver(self._rules.gateways[name].participant))
        await _all(rail.start() for rail in rails.values())
        opened.push_async_callback(self._watched.close)
        self.admin_port = await self._watched.start(store, settling, server, self._ailment)
        opened.push_async_callback(self._end_background)
        self._works = [("recovery", self._recovery(store, rails, payments, watch).run), *settling.background()]
        if settings.workers == 1:
            self.lead()
        opened.push_async_callback(self._drain, payments)
        opened.push_async_callback(server.stop, settings.drain_ms)
        self.port = await server.start()
        return self.port

    def _ailment(self) -> str:
        """Why no payments should come here now; "" when they may."""
        return "draining" if self._stopping else "" if self.port else "starting"

    def _recovery(self, store: Store, rails: dict[str, Rail], payments: Payments, watch: Watch) -> Recovery:
        return Recovery(
            store=store.payments,
            quotes=store.quotes,
            rails=rails,
            payments=payments,
            watch=watch,
            clock=self._clock,
            times=recovery_times(self.settings),
            meter=self._watched.meter,
        )

    def _quotes(self, store: Store) -> Quotes:
        return Quotes(
            store=store.quotes,
            participants=store.participants,
            router=self._router,
            fees=self._fees,
            clock=self._clock,
            life_ms=self.settings.quote_ms,
        )

    async def stop(self) -> None:
        """NOT_SERVING, running calls and payments end, then everything closes. Safe to repeat, and before `start`.

        Raises what the first of the closings raised, after all of them were done.
        """
        self._stopping = True
        await self._opened.aclose()

    async def _drain(self, payments: Payments) -> None:
        """What still waits for a rail after this, recovery of the next start will end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_ms / 1000):
                await payments.drain()

    async def _end_background(self) -> None:
        self._works = []
        await _end(self._background)

    def reload_rules(self) -> None:
        """Read the rules again; files that are wrong leave everything as it was, and are logged.

        Corridors, limits, hours, purposes, fees and paces change at once, together, for what begins from now on.
        """
        try:
            rules = check(self.settings)
            self._router.reload(rules.corridors)
        except ConfigError as error:
            _LOG.error("rules not reloaded: %s", error)
            return
        self._fees.clear()
        self._fees.update(rules.fees)
        self._paces.change(rules.paces)
        if rules.gateways != self._rules.gateways:
            _LOG.warning("gateways have changed: payments that come from the rails keep the old ones until a restart")
        _LOG.info("rules reloaded: %d corridors", len(rules.corridors))

    def lead(self) -> None:
        """Begin the work in the background, which of several workers one does. Safe to repeat, and after `stop`."""
        works, self._works = self._works, []
        self._background += [asyncio.create_task(_kept_running(what, work)) for what, work in works]


async def _kept_running(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work` until cancelled: a fault of ours in it is logged and delays it, and does not end it."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, payments must still be recovered and published
            _LOG.critical("%s stopped and is started again: %s", name, anatomy(error))
        else:
            _LOG.critical("%s ended by itself and is started again", name)
        await asyncio.sleep(BACKGROUND_RESTART_MS / 1000)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel them until they are gone: a library may lose a cancel that comes together with what it waits for."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=BACKGROUND_END_MS / 1000)


async def _all(work: Any) -> None:
    """Wait for all of it, also when one fails: nothing still starts while the rest is closed. Raises the first failure."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def check(settings: Settings) -> Rules:
    """What can be known of settings and rules without opening anything: the rules, when a switch would start with them.

    Raises:
        ConfigError: a rule is wrong, a rail is unknown or has no gateway, callers could not be named; names the change.
    """
    rules = load_rules(settings.rules_dir)
    RouterHolder(rules.corridors)
    if missing := {corridor.rail for corridor in rules.corridors} - set(RAILS):
        raise ConfigError(
            f"corridors.toml: there is no rail {', '.join(sorted(missing))}; there are {', '.join(RAILS)}"
        )
    if missing := _rail_options(settings).keys() - rules.gateways.keys():
        raise ConfigError(f"rails: {', '.join(sorted(missing))} has no gateway in corridors.toml")
    recovery_times(settings)
    check_identity(server_options(settings))
    return rules


def connect_archive(settings: Settings) -> SqlArchive:
    """The archive the settings name; nothing is opened before it is needed. Raises ConfigError."""
    return open_archive(settings.archive_url.get_secret_value(), settings.data_dir)


async def connect_store(settings: Settings, archive: Archive | None = None) -> Store:
    """The store the settings name; the embedded one is started, or joined when it runs already.

    `archive` answers for what left the store; who only looks at the outbox needs none.
    """
    return await open_store(
        settings.redis_url.get_secret_value(),
        shards=settings.shards,
        durability=settings.durability,
        data_dir=settings.data_dir,
        note_key=note_key(settings),
        archive=archive,
        retention_ms=settings.retention_ms,
    )


def connect_rails(settings: Settings) -> dict[str, Rail]:
    """Clients of the rails in the settings, not started.

    Raises:
        ConfigError: a rail that does not exist, an address that is not host:port.
    """
    return {name: RAILS[name].make_client(options) for name, options in _rail_options(settings).items()}


def _rail_options(settings: Settings) -> dict[str, RailOptions]:
    found: dict[str, RailOptions] = {}
    if unknown := (settings.rails.keys() | settings.rail_institutions.keys()) - RAILS.keys():
        raise ConfigError(f"rails: there is no rail {', '.join(sorted(unknown))}; there are {', '.join(RAILS)}")
    for name, address in settings.rails.items():
        host, _, port = address.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ConfigError(f"rails: {name}: {address!r} is not host:port")
        found[name] = RailOptions(
            host.removeprefix("[").removesuffix("]"),
            int(port),
            settings.rail_institutions.get(name, RAILS[name].institution),
            settings.data_dir / "keys" / name,
            settings.rail_connections,
            settings.rail_signing,
            settings.rail_message_valid_ms,
            settings.clock_skew_ms,
        )
    return found


def recovery_times(settings: Settings) -> RecoveryTimes:
    """How patient recovery is, from the settings.

    Raises ConfigError: shorter than what rails take. Recovery makes "never seen" final after these times; a rail that
    would take our message later than that could pay what we have aborted. A sandbox tells its mock rails the same
    shorter time, and only there is it allowed.
    """
    for name, least_ms in (("rail_message_valid_ms", RAIL_MESSAGE_VALID_MS), ("clock_skew_ms", CLOCK_SKEW_MS_MAX)):
        if getattr(settings, name) < least_ms and not settings.demo_identity:
            raise ConfigError(
                f"{name}: at least {least_ms}, or a rail may pay what was aborted; less only with demo_identity"
            )
    return RecoveryTimes(
        settings.enquiry_first_ms,
        settings.enquiry_backoff_ms_max,
        settings.rail_message_valid_ms,
        settings.clock_skew_ms,
    )


def server_options(settings: Settings) -> ServerOptions:
    """Where to listen and how callers are named, from the settings."""
    return ServerOptions(
        host=settings.listen_host,
        port=settings.listen_port,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
        demo_identity=settings.demo_identity,
        operators=settings.operators,
        reuse_port=settings.workers > 1,
    )


def run(work: Coroutine[Any, Any, _Result], settings: Settings) -> _Result:
    """Run `work` on the event loop the settings choose."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if settings.uvloop else None) as runner:
        runner.get_loop().set_exception_handler(unfetched)
        return runner.run(work)


def unfetched(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that no task fetched as every other: the loop's own handler would print its text and its values."""
    error = context.get("exception")
    _LOG.error("%s: %s", context["message"], anatomy(error) if error is not None else "")


async def run_works(works: Sequence[Work], on_ready: Callable[[], None] = lambda: None) -> None:
    """Run background work, each kept running, until SIGTERM or SIGINT: a relay or a settler in a process of its own.

    `on_ready` is called once signals are heard: who is told that it runs may end it at once.
    """
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    collect_rarely()
    on_ready()
    tasks = [loop.create_task(_kept_running(what, work)) for what, work in works]
    try:
        await stopping.wait()
    finally:
        await _end(tasks)


async def serve(settings: Settings, on_ready: Callable[[Switch], None]) -> None:
    """Serve until SIGTERM or SIGINT, also while it still starts; SIGHUP reads the rules again.

    Raises what `Switch.start` raises; then nothing is left running.
    """
    _LOG.setLevel(settings.log_level)
    switch = Switch(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, switch.reload_rules)
    told = loop.create_task(stopping.wait())
    starting = loop.create_task(switch.start())
    try:
        await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            collect_rarely()
            on_ready(switch)
            await told
    finally:
        told.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
        await switch.stop()
