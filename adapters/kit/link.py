"""The client's side of a rail: a few long connections, many requests under way on each."""

import asyncio
import random
from collections import deque
from collections.abc import Callable

from adapters.kit.frames import FrameConnection
from switch.errors import CodecError, RailSilent, RailUnavailable
from switch.limits import (
    RAIL_BACKOFF_FIRST_MS,
    RAIL_BACKOFF_MS_MAX,
    RAIL_CONNECT_MS_MAX,
    RAIL_IN_FLIGHT_MAX,
    RAIL_RECONNECT_MS_MAX,
)

__all__ = ["Link"]


class _Waiter:
    """One request under way: who waits, and on which connection it was written."""

    __slots__ = ("connection", "future")

    def __init__(self, future: "asyncio.Future[bytes]", connection: FrameConnection) -> None:
        self.future = future
        self.connection = connection


class Link:
    """Pipelined requests to one rail over `connections` connections, reconnected in the background.

    `correlate` gives the key of an answer, "" for an interim one that nobody waits for, or None for a message that
    answers nothing of ours; that goes to `on_unsolicited` (a payment from the rail) or is dropped and counted, as is one
    for which `correlate` raises CodecError. Answers to one key are taken in order by the requests that wait for it. An
    answer nobody waits for (late, or given twice) is dropped and counted.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        connections: int,
        correlate: Callable[[bytes], str | None],
        on_unsolicited: Callable[[bytes], None] | None = None,
        in_flight_max: int = RAIL_IN_FLIGHT_MAX,
    ) -> None:
        assert connections > 0
        self.name = name
        self.late = 0  # answers nobody waited for
        self.dropped = 0  # messages nobody could place
        self._host, self._port, self._count = host, port, connections
        self._correlate = correlate
        self._on_unsolicited = on_unsolicited
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._connections: list[FrameConnection] = []  # those that are up
        self._next = 0
        self._keepers: list[asyncio.Task[None]] = []
        self._some_up = asyncio.Event()
        self._back_by = 0.0  # loop time: after a cut requests wait until then for the next connection
        self._closed = False

    @property
    def up(self) -> int:
        """How many connections are up."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """How many requests wait for an answer."""
        return self._in_flight

    async def start(self) -> None:
        """Open the connections. Returns when one is up, or after RAIL_CONNECT_MS_MAX: the rail may be down."""
        assert not self._keepers
        self._keepers = [asyncio.create_task(self._keep_one(), name=f"link:{self.name}") for _ in range(self._count)]
        try:
            async with asyncio.timeout(RAIL_CONNECT_MS_MAX / 1000):
                await self._some_up.wait()
        except TimeoutError:
            return  # the keepers go on trying; until then every request is RailUnavailable

    async def close(self) -> None:
        """Hang up. What waits for an answer gets RailSilent. Repeats change nothing."""
        self._closed = True
        keepers, self._keepers = self._keepers, []
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()
            self._lost(connection)
        self._some_up.set()  # who waits for the next connection looks, and finds none

    async def request(self, key: str, payload: bytes, budget_ms: int) -> bytes:
        """Write `payload` and wait at most `budget_ms` for the answer whose key is `key`.

        After a cancel the slot is free and the answer, when it comes, is dropped: the outcome is unknown.

        Raises:
            RailUnavailable: nothing was written: no connection is up, nor was just now, or too much is under way.
            RailSilent: written, and no answer: time, a cut, or `close`.
        """
        if self._in_flight >= self._in_flight_max:
            raise RailUnavailable(f"{self.name}: {self._in_flight_max} requests under way")
        loop = asyncio.get_running_loop()
        end = loop.time() + budget_ms / 1000
        connection = self._pick() or await self._picked_after_a_cut(end)
        if connection is None:
            raise RailUnavailable(f"{self.name}: no connection")
        waiter = _Waiter(loop.create_future(), connection)
        self._waiting.setdefault(key, deque()).append(waiter)
        self._in_flight += 1
        timer = loop.call_at(end, self._expire, waiter.future)
        connection.send(payload)
        try:
            return await waiter.future
        finally:
            timer.cancel()
            self._release(key, waiter)

    def send(self, payload: bytes) -> bool:
        """Write a message that awaits no answer (our answer to an inbound payment). False: no connection is up."""
        connection = self._pick()
        if connection is None:
            return False
        connection.send(payload)
        return True

    # --- inside ------------------------------------------------------------------------------------------------------
    def _pick(self) -> FrameConnection | None:
        """The next connection that is up and whose peer keeps up."""
        for _ in range(len(self._connections)):
            self._next = (self._next + 1) % len(self._connections)
            connection = self._connections[self._next]
            if connection.up and not connection.paused:
                return connection
        return None

    async def _picked_after_a_cut(self, end: float) -> FrameConnection | None:
        """The connection that follows one that was cut just now: most cuts are a restart. None: it is not back in time."""
        loop = asyncio.get_running_loop()
        end = min(end, self._back_by)
        if self._connections or end <= loop.time():
            return None
        self._in_flight += 1
        try:
            async with asyncio.timeout_at(end):
                await self._some_up.wait()
        except TimeoutError:
            return None
        finally:
            self._in_flight -= 1
        return self._pick()

    def _expire(self, future: "asyncio.Future[bytes]") -> None:
        if not future.done():
            future.set_exception(RailSilent(f"{self.name}: no answer in time"))

    def _release(self, key: str, waiter: _Waiter) -> None:
        """Free the slot of a request that ended, however it ended."""
        self._in_flight -= 1
        waiters = self._waiting.get(key)
        if waiters is None:
            return
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            del self._waiting[key]

    def _frame(self, connection: FrameConnection, payload: bytes) -> None:
        try:
            key = self._correlate(payload)
        except CodecError:
            self.dropped += 1
            return
        if key == "":
            return  # understood, and not the answer yet
        if key is None:
            if self._on_unsolicited is None:
                self.dropped += 1
            else:
                self._on_unsolicited(payload)
            return
        waiters = self._waiting.get(key)
        while waiters:
            future = waiters.popleft().future
            if not future.done():
                future.set_result(payload)
                return
        self.late += 1

    def _made(self, connection: FrameConnection) -> None:
        if self._closed:
            connection.close()
            return
        self._connections.append(connection)
        self._some_up.set()

    def _lost(self, connection: FrameConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            if not self._connections:
                self._some_up.clear()
                self._back_by = asyncio.get_running_loop().time() + RAIL_RECONNECT_MS_MAX / 1000
        silent = f"{self.name}: connection lost"
        for waiters in self._waiting.values():
            for waiter in waiters:
                if waiter.connection is connection and not waiter.future.done():
                    waiter.future.set_exception(RailSilent(silent))

    async def _keep_one(self) -> None:
        """Keep one connection up until cancelled."""
        backoff_ms = RAIL_BACKOFF_FIRST_MS
        while True:
            gone = asyncio.Event()
            if await self._connect(gone):
                backoff_ms = RAIL_BACKOFF_FIRST_MS
                await gone.wait()
            # Full jitter: a rail that comes back is not met by all its clients in the same millisecond.
            await asyncio.sleep(random.uniform(0.5, 1.0) * backoff_ms / 1000)
            backoff_ms = min(backoff_ms * 2, RAIL_BACKOFF_MS_MAX)

    async def _connect(self, gone: asyncio.Event) -> bool:
        def lost(connection: FrameConnection) -> None:
            self._lost(connection)
            gone.set()

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RAIL_CONNECT_MS_MAX / 1000):
                await loop.create_connection(
                    lambda: FrameConnection(self._frame, lost, self._made), self._host, self._port
                )
        except (OSError, TimeoutError):
            return False
        return True
