"""A client of the broker that is slow, or deaf, when it starts and stops."""

import asyncio

import pytest

from switch.events import opening
from switch.events.opening import opened


class _Client:
    """Starts and stops when it is let; one that is deaf does not hear a cancel."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.may_start, self.may_stop = asyncio.Event(), asyncio.Event()
        self.calls: list[str] = []
        self._deaf = deaf

    async def _until(self, event: asyncio.Event) -> None:
        while not event.is_set():
            try:
                await event.wait()
            except asyncio.CancelledError:
                if not self._deaf:
                    raise

    async def start(self) -> None:
        self.calls.append("start")
        await self._until(self.may_start)
        self.calls.append("started")

    async def stop(self) -> None:
        self.calls.append("stop")
        await self._until(self.may_stop)
        self.calls.append("stopped")


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLIENT_START_ENDS_MS", "CLIENT_STOP_MS"):
        monkeypatch.setattr(opening, name, 20)
    monkeypatch.setattr(opening, "_CANCELLED_SECONDS_MAX", 0.02)


async def _use(client: _Client) -> None:
    async with opened(client):
        client.calls.append("used")
        await asyncio.Event().wait()


async def test_it_is_stopped_at_the_end() -> None:
    client = _Client()
    client.may_start.set()
    client.may_stop.set()
    async with opened(client) as same:
        assert same is client
    assert client.calls == ["start", "started", "stop", "stopped"]


async def test_a_cancelled_start_may_come_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "CLIENT_START_ENDS_MS", 60_000)
    client = _Client()
    client.may_stop.set()
    using = asyncio.create_task(_use(client))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    using.cancel()
    await asyncio.wait({using}, timeout=0.01)
    assert client.calls == ["start"]
    client.may_start.set()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert client.calls == ["start", "started", "stop", "stopped"]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize("started", [False, True])
async def test_neither_start_nor_stop_keeps_us(started: bool, deaf: bool) -> None:
    client = _Client(deaf=deaf)
    if started:
        client.may_start.set()
    using = asyncio.create_task(_use(client))
    await asyncio.wait({using}, timeout=0.01)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert "stop" in client.calls
    assert "stopped" not in client.calls
    client.may_start.set()  # a deaf one would live on in this loop
    client.may_stop.set()


async def test_what_its_start_raises_is_raised_and_it_is_stopped() -> None:
    class Broken(_Client):
        async def start(self) -> None:
            raise OSError("no broker")

    client = Broken()
    client.may_stop.set()
    with pytest.raises(OSError, match="no broker"):
        await _use(client)
    assert client.calls == ["stop", "stopped"]
