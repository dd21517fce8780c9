"""The client's side of a rail: a few long connections, many requests under way on each."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence

from adapters.kit.frames import FrameConnection
from switch.errors import CodecError, RailError, RailSilent, RailUnavailable
from switch.limits import (
    RAIL_BACKOFF_FIRST_MS,
    RAIL_BACKOFF_MS_MAX,
    RAIL_CONNECT_MS_MAX,
    RAIL_IN_FLIGHT_MAX,
    RAIL_RECONNECT_MS_MAX,
)

__all__ = ["Answer", "Link"]

Answer = tuple[int, bytes | RailError]  # the place of a request, and what came of it


class _Asked:
    """Requests that were written together on one connection, and the answers nobody has taken yet."""

    __slots__ = ("_answers", "_wake", "connection", "keys", "timer", "unanswered")

    def __init__(self, keys: Sequence[str], connection: FrameConnection) -> None:
        self.keys = keys
        self.connection = connection
        self.unanswered = set(range(len(keys)))
        self.timer: asyncio.TimerHandle | None = None
        self._answers: list[Answer] = []
        self._wake: asyncio.Future[None] | None = None

    def answered(self, place: int, said: bytes | RailError) -> None:
        self.unanswered.discard(place)
        self._answers.append((place, said))
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def wave(self) -> list[Answer]:
        """The answers that have come since the last wave, one at least: it waits for it. Empty: all have been taken."""
        if not self._answers and self.unanswered:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        answers, self._answers = self._answers, []
        return answers


def _given(said: bytes | RailError) -> bytes:
    """The answer, or the error raised. It knows this frame by its traceback: the frame must not know it, too."""
    if isinstance(said, bytes):
        return said
    try:
        raise said
    finally:
        del said


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
        self._waiting: dict[str, list[tuple[_Asked, int]]] = {}  # by key, in the order in which they were written
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
            raise RailUnavailable(self._full())
        end = asyncio.get_running_loop().time() + budget_ms / 1000
        connection = self._pick() or await self._picked_after_a_cut(end, 1)
        if connection is None:
            raise RailUnavailable(f"{self.name}: no connection")
        return _given(await self._answer(self._write(connection, (key,), (payload,), end)))

    async def _answer(self, asked: "_Asked") -> bytes | RailError:
        """Of one that was asked alone."""
        try:
            ((_, answer),) = await asked.wave()
        finally:
            self._leave(asked)
        return answer

    async def request_all(
        self, requests: Sequence[tuple[str, bytes]], budget_ms: int
    ) -> AsyncGenerator[list[Answer], None]:
        """`request` of each, written in one go, and answered in waves: each once, with its place in `requests`.

        An error of one is its answer. Ended early, it is for those without an answer as after a cancel.
        """
        room = max(0, self._in_flight_max - self._in_flight)
        if room < len(requests):
            yield [(place, RailUnavailable(self._full())) for place in range(room, len(requests))]
            requests = requests[:room]
        if not requests:
            return
        end = asyncio.get_running_loop().time() + budget_ms / 1000
        connection = self._pick() or await self._picked_after_a_cut(end, len(requests))
        if connection is None:
            yield [(place, RailUnavailable(f"{self.name}: no connection")) for place in range(len(requests))]
            return
        keys, payloads = zip(*requests, strict=True)
        asked = self._write(connection, keys, payloads, end)
        try:
            while wave := await asked.wave():
                yield wave
        finally:
            self._leave(asked)

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

    async def _picked_after_a_cut(self, end: float, count: int) -> FrameConnection | None:
        """The connection that follows one that was cut just now: most cuts are a restart. None: it is not back in time."""
        loop = asyncio.get_running_loop()
        end = min(end, self._back_by)
        if self._connections or end <= loop.time():
            return None
        self._in_flight += count
        try:
            async with asyncio.timeout_at(end):
                await self._some_up.wait()
        except TimeoutError:
            return None
        finally:
            self._in_flight -= count
        return self._pick()

    def _full(self) -> str:
        return f"{self.name}: {self._in_flight_max} requests under way"

    def _write(self, connection: FrameConnection, keys: Sequence[str], payloads: Sequence[bytes], end: float) -> _Asked:
        asked = _Asked(keys, connection)
        waiting = self._waiting
        for place, key in enumerate(keys):
            same = waiting.get(key)
            if same is None:
                waiting[key] = [(asked, place)]
            else:
                same.append((asked, place))
        self._in_flight += len(keys)
        asked.timer = asyncio.get_running_loop().call_at(end, self._give_up, asked, "no answer in time")
        connection.send_all(payloads)
        return asked

    def _leave(self, asked: _Asked) -> None:
        """Nobody waits for these any more."""
        if asked.timer is not None:
            asked.timer.cancel()
        if asked.unanswered:
            self._give_up(asked, "nobody waits any more")

    def _give_up(self, asked: _Asked, why: str) -> None:
        """Free the slots of those that have no answer, and say so."""
        for place in sorted(asked.unanswered):
            key = asked.keys[place]
            same = self._waiting[key]
            same.remove((asked, place))
            if not same:
                del self._waiting[key]
            self._in_flight -= 1
            asked.answered(place, RailSilent(f"{self.name}: {why}"))

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
        same = self._waiting.get(key)
        if same is None:
            self.late += 1
            return
        asked, place = same.pop(0)
        if not same:
            del self._waiting[key]
        self._in_flight -= 1
        asked.answered(place, payload)

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
        for asked in {asked for same in self._waiting.values() for asked, _ in same}:
            if asked.connection is connection:
                self._give_up(asked, "connection lost")

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
