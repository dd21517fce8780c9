"""`bayswitch serve` with several workers: a supervisor, and a switch in each of N processes that share one port.

Spawn: every worker is a fresh interpreter that reads the settings itself; nothing is forked once gRPC is loaded.
The port: each worker binds it with SO_REUSEPORT. The supervisor keeps it bound, and never listens, so the kernel
gives it no connection and nobody else the port.
The store: an embedded one is the supervisor's, and outlives the last drain; workers get its address as any other.
The lead: one worker does the work in the background (recovery, relay, settler, retention, ...). Each of these may run
several times, but rails would be asked about one payment by every worker, and a settler's lasting name is for one. When
the lead is gone, another leads at once: whoever became ready last, so that a restart of all moves the lead once.
The pipe: a worker's standard input. LEAD makes it the lead; its end means that the supervisor is gone, also by
SIGKILL, and the worker drains and ends as after SIGTERM. ASK is answered with a byte of its standard output, from its event
loop: one that answers no ASK for too long hangs, and is killed and replaced as one that ended by itself.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from switch.app import Switch, check
from switch.app.port import port_kept
from switch.errors import BayswitchError
from switch.limits import WORKER_LOOK_MS, WORKER_LOOKS_MISSED_MAX
from switch.settings import ENVIRONMENT_PREFIX, Settings
from switch.store import EmbeddedValkey

__all__ = ["Supervisor", "WorkerNotReady", "obey", "supervise"]

_LOG: Final = logging.getLogger("bayswitch.workers")
_LEAD, _ASK, _ANSWER = b"L", b"?", b"."
_ANSWERS_READ: Final = 1024
_START_MS_MAX: Final = 60_000  # loading takes a second or two; a store, a broker and rails that are slow, the rest
_END_MS: Final = 30_000  # beside its two drains: background work and links end
_BACKOFF_FIRST_MS: Final = 100  # a worker that was killed is missed: another is started nearly at once
_BACKOFF_MS_MAX: Final = 10_000  # one that cannot live must not keep the machine busy with its starts
_UNAVAILABLE, _FAULT = 4, 70  # exit codes of the command line
_STEADY_MS: Final = 60_000  # one that lived so long did not die of its start: the pauses begin anew


class WorkerNotReady(BayswitchError):
    """A worker ended, or said nothing, before it was ready. `code` is what it ended with, or what stands for that."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class _Worker:
    """One process, ready: `ready` is what its first line said."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, ready: Mapping[str, Any]) -> None:
        self.number = number
        self.process = process
        self.ready = ready
        self.ready_ns = time.monotonic_ns()  # two that start together are ready within one millisecond

    @property
    def lives(self) -> bool:
        return self.process.returncode is None

    def tell(self, number: int) -> None:
        """Send a signal; one that is gone hears nothing."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def order(self, what: bytes) -> None:
        """Say it on its standard input; one that is gone hears nothing."""
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            self.process.stdin.write(what)

    async def hangs(self) -> None:
        """Ask again and again; returns when too many in a row were not answered.

        Looks are counted and not the time, so that a supervisor that was stopped itself finds nobody silent.
        """
        missed = 0
        while missed < WORKER_LOOKS_MISSED_MAX:
            self.order(_ASK)
            missed = 0 if await self._answered() else missed + 1

    async def _answered(self) -> bool:
        """Whether it says anything while one look lasts."""
        assert self.process.stdout is not None
        answered = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORKER_LOOK_MS / 1000):
                while await self.process.stdout.read(_ANSWERS_READ):
                    answered = True
                await self.process.wait()  # its output has ended, and so will it
        return answered


class _Place:
    """Where one worker lives at a time. Who puts another there holds the lock."""

    def __init__(self, worker: _Worker) -> None:
        self.worker = worker
        self.lock = asyncio.Lock()
        self.pause_ms = _BACKOFF_FIRST_MS


class Supervisor:
    """Keeps `count` workers running: `await run(...)` until cancelled, then `await stop()`, which drains them.

    `command(number)` starts a worker. It prints a line of JSON when it is ready, and calls `obey`.
    """

    def __init__(self, count: int, command: Callable[[int], Sequence[str]], drain_ms: int) -> None:
        self._count = count
        self._command = command
        self._environment: Mapping[str, str] = {}
        self._end_ms = 2 * drain_ms + _END_MS
        self._places: list[_Place] = []
        self._living: set[_Worker] = set()  # those that drain, too
        self._lead: _Worker | None = None
        self._reloads = 0
        self._restart = asyncio.Event()

    async def run(self, environment: Mapping[str, str], on_ready: Callable[[Mapping[str, Any]], None]) -> None:
        """Start the workers, tell what the first one says of itself, and keep them until cancelled.

        Raises WorkerNotReady: one did not start. The first starts alone, so that a fault all would have is said once.
        """
        self._environment = environment
        workers = [await self._begin(0)]
        begun = await asyncio.gather(*(self._begin(number) for number in range(1, self._count)), return_exceptions=True)
        for one in begun:
            if isinstance(one, BaseException):
                raise one
            workers.append(one)
        self._places = [_Place(worker) for worker in workers]
        self._appoint()
        on_ready(workers[0].ready)
        async with asyncio.TaskGroup() as group:
            for place in self._places:
                group.create_task(self._watch(group, place))
            while True:
                await self._restart.wait()
                self._restart.clear()
                await self._restart_all(group)

    def reload(self) -> None:
        """Every worker reads the rules again; one that only starts may have read the old ones, and is told when it is ready."""
        self._reloads += 1
        for worker in self._living:
            worker.tell(signal.SIGHUP)

    def restart(self) -> None:
        """Another process in every place, one after the other, each ready before the old one drains.

        Asked for in the middle of one, another follows it. A new worker that does not get ready ends it: the others stay.
        """
        self._restart.set()

    async def stop(self) -> None:
        """Drain every worker, all at the same time, and wait until they are gone. After `run` has ended. Safe to repeat."""
        await asyncio.gather(*(self._end(worker) for worker in tuple(self._living)))

    async def _begin(self, number: int) -> _Worker:
        """A new worker, ready. Raises WorkerNotReady; then, and after a cancel, it does not run any more."""
        reloads = self._reloads
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(number),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for us, and we drain
            )
        except OSError as error:
            raise WorkerNotReady(f"worker {number} cannot be started: {error.strerror}", _UNAVAILABLE) from None
        try:
            worker = _Worker(number, process, await _first_line(process, number))
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        self._living.add(worker)
        if self._reloads != reloads:
            worker.tell(signal.SIGHUP)
        _LOG.info("worker %d is ready: process %d", number, process.pid)
        return worker

    async def _watch(self, group: asyncio.TaskGroup, place: _Place) -> None:
        """Wait for the end of the worker that is in its place now. When nobody wanted it, start another."""
        worker = place.worker
        asking = group.create_task(_killed_when_it_hangs(worker))
        status = await worker.process.wait()
        asking.cancel()
        self._living.discard(worker)
        self._appoint()
        if place.worker is not worker:
            return
        lived_ms = (time.monotonic_ns() - worker.ready_ns) // 1_000_000
        if lived_ms > _STEADY_MS:
            place.pause_ms = _BACKOFF_FIRST_MS
        _LOG.error("worker %d, process %d, ended with %d", worker.number, worker.process.pid, status)
        while place.worker is worker:
            _LOG.warning("worker %d is started again in %d ms", worker.number, place.pause_ms)
            await asyncio.sleep(place.pause_ms / 1000)
            place.pause_ms = min(2 * place.pause_ms, _BACKOFF_MS_MAX)
            async with place.lock:
                if place.worker is worker:
                    with _told("it is tried again"):
                        self._install(group, place, await self._begin(worker.number))

    async def _restart_all(self, group: asyncio.TaskGroup) -> None:
        """The lead's place is the last, and by then the newest worker is a new one: the lead moves once."""
        with _told("the restart of all workers ends here; those that run go on"):
            for place in sorted(self._places, key=lambda place: place.worker is self._lead):
                async with place.lock:
                    old = place.worker
                    self._install(group, place, await self._begin(old.number))
                await self._end(old)
            _LOG.info("all %d workers have been restarted", self._count)

    def _install(self, group: asyncio.TaskGroup, place: _Place, worker: _Worker) -> None:
        place.worker = worker
        group.create_task(self._watch(group, place))
        self._appoint()

    def _appoint(self) -> None:
        """See that there is a lead."""
        if self._lead is not None and self._lead.lives:
            return
        able = [place.worker for place in self._places if place.worker.lives]
        self._lead = max(able, key=lambda worker: worker.ready_ns, default=None)
        if self._lead is not None:
            _LOG.info("worker %d leads: the work in the background is its", self._lead.number)
            self._lead.order(_LEAD)

    async def _end(self, worker: _Worker) -> None:
        """SIGTERM, and wait until it is gone; SIGKILL when that takes longer than its drains may."""
        worker.tell(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._end_ms / 1000):
                await worker.process.wait()
        except TimeoutError:
            _LOG.critical("worker %d did not end in %d ms and is killed", worker.number, self._end_ms)
            worker.tell(signal.SIGKILL)
            await worker.process.wait()
        self._living.discard(worker)


async def _killed_when_it_hangs(worker: _Worker) -> None:
    """Also while it drains: its event loop turns until its end. Cancelled when it has ended."""
    await worker.hangs()
    _LOG.critical("worker %d, process %d, does not answer and is killed", worker.number, worker.process.pid)
    worker.tell(signal.SIGKILL)


async def _first_line(process: asyncio.subprocess.Process, number: int) -> Mapping[str, Any]:
    """What a worker says when it is ready. Raises WorkerNotReady: nothing, or something else."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_MS_MAX / 1000):
            line = await process.stdout.readline()
    except ValueError:  # longer than any of ours
        line = b"?"
    except TimeoutError:
        raise WorkerNotReady(f"worker {number} was not ready after {_START_MS_MAX} ms", _UNAVAILABLE) from None
    if not line:
        status = await process.wait()
        text = f"worker {number} ended with {status} before it was ready"
        raise WorkerNotReady(text, status if status > 0 else _FAULT)
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        raise WorkerNotReady(f"worker {number} said something else than that it is ready", _FAULT) from None


@contextlib.contextmanager
def _told(text: str) -> Iterator[None]:
    """A worker that did not get ready is logged, and `text`."""
    try:
        yield
    except WorkerNotReady as error:
        _LOG.error("%s: %s", error, text)


async def supervise(
    settings: Settings, command: Callable[[int], Sequence[str]], on_ready: Callable[[Mapping[str, Any]], None]
) -> None:
    """Serve with `settings.workers` processes until SIGTERM or SIGINT, also while they still start.

    SIGHUP: the rules are read again. SIGUSR2: the workers are restarted, one after the other. For a process that ends
    after it: a second SIGTERM or SIGINT is not heard any more.

    Raises:
        ConfigError: as `check`; the port is taken; the embedded store does not start.
        WorkerNotReady: a worker did not start, and has said why.
    """
    logging.getLogger("bayswitch").setLevel(settings.log_level)
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    supervisor = Supervisor(settings.workers, command, settings.drain_ms)
    heard = dict.fromkeys((signal.SIGTERM, signal.SIGINT), stopping.set)
    for number, act in {**heard, signal.SIGHUP: supervisor.reload, signal.SIGUSR2: supervisor.restart}.items():
        loop.add_signal_handler(number, act)
    async with contextlib.AsyncExitStack() as opened:
        told = loop.create_task(stopping.wait())
        running = loop.create_task(_supervised(settings, supervisor, opened, on_ready))
        try:
            await asyncio.wait((running, told), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            for task in (told, running):
                task.cancel()
            await asyncio.wait((told, running))
    for number in heard:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


async def _supervised(
    settings: Settings,
    supervisor: Supervisor,
    opened: contextlib.AsyncExitStack,
    on_ready: Callable[[Mapping[str, Any]], None],
) -> None:
    """What workers share, and then the workers, until cancelled. `opened` closes it: the workers first."""
    check(settings)
    port = opened.enter_context(port_kept(settings.listen_host, settings.listen_port))
    environment = {**os.environ, **_environment(listen_port=str(port), workers=str(settings.workers))}
    if not settings.redis_url.get_secret_value():
        store = EmbeddedValkey(settings.data_dir)
        opened.push_async_callback(store.stop)
        await store.start()
        guard = asyncio.create_task(store.guard())
        opened.callback(guard.cancel)
        environment |= _environment(redis_url=store.url)
    opened.push_async_callback(supervisor.stop)
    await supervisor.run(environment, on_ready)


def _environment(**settings: str) -> dict[str, str]:
    return {f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in settings.items()}


def obey(switch: Switch) -> None:
    """In a worker, once it is ready: do what the supervisor says. When it is gone, end as after SIGTERM."""
    loop, pipe = asyncio.get_running_loop(), sys.stdin.fileno()

    def heard() -> None:
        try:
            orders = os.read(pipe, 64)
        except OSError:
            orders = b""
        if _LEAD in orders:
            switch.lead()
        if _ASK in orders:
            with contextlib.suppress(OSError):  # nobody reads any more: the end of the orders says so, too
                os.write(sys.stdout.fileno(), _ANSWER)
        if not orders:
            loop.remove_reader(pipe)
            _LOG.error("the supervisor is gone: this worker drains and ends")
            signal.raise_signal(signal.SIGTERM)

    loop.add_reader(pipe, heard)
