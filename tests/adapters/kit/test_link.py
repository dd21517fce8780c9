"""The link: answers find their askers, silence is told from refusal, and a cut link comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from adapters.kit.faults import Fault, FaultRule, FaultTable, Operation
from adapters.kit.link import Answer, Link
from adapters.kit.mock_server import MockServer, Reply
from adapters.kit.promises import until
from adapters.wire import frame
from deploy.local.ports import free_ports
from switch.errors import CodecError, RailSilent, RailUnavailable
from tests.cycles import left_in_cycles

AMPLE_MS = 30_000
SILENT_MS = 2_000  # waited out by some; the others are answered in it on a machine that stands still, too


def _correlate(payload: bytes) -> str | None:
    word, _, key = payload.decode().partition(":")
    if word == "push":
        return None
    if word != "answer":
        raise CodecError("word", "UNKNOWN")
    return key


class _Peer:
    """Answers "ask:KEY" with "answer:KEY", unless told to stay silent; remembers what it got."""

    def __init__(self) -> None:
        self.faults = FaultTable()
        self.got: list[bytes] = []
        self.silent: set[str] = set()
        # A port of its own: offline and back, it must find it free.
        self.server = MockServer("127.0.0.1", free_ports(1)[0], self._handle, self.faults)

    def _handle(self, payload: bytes) -> Reply | None:
        self.got.append(payload)
        word, _, key = payload.decode().partition(":")
        if word != "ask" or key in self.silent:
            return None
        answer = key.encode() if key.startswith("answer") else b"answer:" + key.encode()
        return Reply((answer,), self.faults.take(Operation.PREPARE))


@asynccontextmanager
async def _linked(
    *, connections: int = 1, in_flight_max: int = 100, on_unsolicited: Callable[[bytes], None] | None = None
) -> AsyncIterator[tuple[Link, _Peer]]:
    peer = _Peer()
    await peer.server.start()
    link = Link(
        "test", "127.0.0.1", peer.server.port, connections=connections, correlate=_correlate,
        on_unsolicited=on_unsolicited, in_flight_max=in_flight_max,
    )  # fmt: skip
    await link.start()
    try:
        await _until(lambda: link.up == len(peer.server._connections) == connections)
        yield link, peer
    finally:
        await link.close()
        await peer.server.close()


async def _until(condition: Callable[[], bool]) -> None:
    await until(condition, "in time")


class _Recorder:
    """A transport that notes each write."""

    def __init__(self, transport: asyncio.Transport, writes: list[bytes]) -> None:
        self.transport = transport
        self.writes = writes

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.transport.write(data)

    def is_closing(self) -> bool:
        return self.transport.is_closing()


async def test_answers_find_their_askers() -> None:
    async with _linked(connections=3, in_flight_max=1000) as (link, _):
        keys = [str(number) for number in range(500)]
        answers = await asyncio.gather(*(link.request(key, f"ask:{key}".encode(), AMPLE_MS) for key in keys))
        assert answers == [f"answer:{key}".encode() for key in keys]
        assert (link.in_flight, link.late, link.dropped) == (0, 0, 0)


async def test_requests_of_one_key_are_answered_in_order() -> None:
    async with _linked() as (link, _):
        answers = await asyncio.gather(*(link.request("k", b"ask:k", AMPLE_MS) for _ in range(5)))
        assert answers == [b"answer:k"] * 5
        assert link.late == 0


async def test_one_loop_turn_is_one_write() -> None:
    async with _linked() as (link, _):
        writes: list[bytes] = []
        connection = link._connections[0]
        transport = connection._transport
        assert transport is not None
        recorder = _Recorder(transport, writes)
        connection._transport = recorder  # type: ignore[assignment]
        await asyncio.gather(*(link.request(str(number), f"ask:{number}".encode(), AMPLE_MS) for number in range(50)))
        connection._transport = transport
        assert writes == [b"".join(frame(f"ask:{number}".encode()) for number in range(50))]


async def test_time_out_is_silence_and_a_late_answer_is_dropped() -> None:
    async with _linked() as (link, peer):
        peer.faults.set(FaultRule(Fault.parse("silent_then_late:150"), count=1))
        with pytest.raises(RailSilent):
            await link.request("k", b"ask:k", 50)
        assert link.in_flight == 0
        await _until(lambda: link.late == 1)
        assert await link.request("k", b"ask:k", AMPLE_MS) == b"answer:k"


async def test_silence_leaves_nothing_in_a_cycle() -> None:
    """What waited has the payment: it must not wait for the collector."""
    async with _linked() as (link, peer):
        peer.silent.add("k")
        with left_in_cycles() as left:
            for _ in range(20):
                with pytest.raises(RailSilent):
                    await link.request("k", b"ask:k", 1)
        assert not [each for each in left if isinstance(each, RailSilent | asyncio.Future)]


async def test_no_connection_is_unavailable() -> None:
    peer = _Peer()
    await peer.server.start()
    port = peer.server.port
    await peer.server.close()
    link = Link("test", "127.0.0.1", port, connections=2, correlate=_correlate)
    with pytest.raises(RailUnavailable):
        await link.request("k", b"ask:k", AMPLE_MS)
    assert not link.send(b"note:1")
    await link.close()


async def test_after_a_cut_requests_wait_for_the_next_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kit.link.RAIL_RECONNECT_MS_MAX", AMPLE_MS)
    async with _linked() as (link, peer):
        peer.faults.set(FaultRule(Fault.parse("offline")))
        await _until(lambda: link.up == 0)
        waiting = [asyncio.create_task(link.request(key, f"ask:{key}".encode(), AMPLE_MS)) for key in "ab"]
        await asyncio.sleep(0)
        assert (link.up, link.in_flight) == (0, 2)
        peer.faults.clear()
        assert await asyncio.gather(*waiting) == [b"answer:a", b"answer:b"]
        assert link.in_flight == 0


@pytest.mark.parametrize("budget_ms", [AMPLE_MS, 1])
async def test_a_rail_that_does_not_come_back_is_unavailable(monkeypatch: pytest.MonkeyPatch, budget_ms: int) -> None:
    """For those that wait after the cut, in bounded time; for those that come later, at once."""
    monkeypatch.setattr("adapters.kit.link.RAIL_RECONNECT_MS_MAX", 50 if budget_ms > 1 else AMPLE_MS)
    async with _linked() as (link, peer):
        peer.faults.set(FaultRule(Fault.parse("offline")))
        await _until(lambda: link.up == 0)
        with pytest.raises(RailUnavailable):
            await link.request("a", b"ask:a", budget_ms)
        assert link.in_flight == 0
        assert peer.got == []


async def test_close_ends_the_wait_after_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kit.link.RAIL_RECONNECT_MS_MAX", AMPLE_MS)
    async with _linked(in_flight_max=1) as (link, peer):
        peer.faults.set(FaultRule(Fault.parse("offline")))
        await _until(lambda: link.up == 0)
        waiting = asyncio.create_task(link.request("a", b"ask:a", AMPLE_MS))
        await _until(lambda: link.in_flight == 1)
        with pytest.raises(RailUnavailable, match="under way"):
            await link.request("b", b"ask:b", AMPLE_MS)
        await link.close()
        with pytest.raises(RailUnavailable, match="no connection"):
            await waiting


async def test_start_returns_although_the_rail_is_down_and_finds_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kit.link.RAIL_CONNECT_MS_MAX", 50)
    peer = _Peer()
    await peer.server.start()
    peer.faults.set(FaultRule(Fault.parse("offline")))
    link = Link("test", "127.0.0.1", peer.server.port, connections=1, correlate=_correlate)
    await link.start()
    assert link.up == 0
    peer.faults.clear()
    await _until(lambda: link.up == 1)
    assert await link.request("k", b"ask:k", AMPLE_MS) == b"answer:k"
    await link.close()
    await peer.server.close()


async def test_too_many_under_way_is_unavailable() -> None:
    async with _linked(in_flight_max=2) as (link, peer):
        peer.silent = {"a", "b"}
        waiting = [asyncio.create_task(link.request(key, f"ask:{key}".encode(), AMPLE_MS)) for key in "ab"]
        await _until(lambda: link.in_flight == 2)
        with pytest.raises(RailUnavailable):
            await link.request("c", b"ask:c", AMPLE_MS)
        await link.close()
        assert all(isinstance(end, RailSilent) for end in await asyncio.gather(*waiting, return_exceptions=True))


async def test_a_cut_is_silence_for_what_was_written_there_and_for_nothing_else() -> None:
    async with _linked(connections=2) as (link, peer):
        await _until(lambda: link.up == 2)
        peer.silent = {"a", "b"}
        waiting = [asyncio.create_task(link.request(key, f"ask:{key}".encode(), AMPLE_MS)) for key in "ab"]
        await _until(lambda: len(peer.got) == 2)
        next(iter(peer.server._connections)).abort()
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        assert len(pending) == 1
        assert isinstance(done.pop().exception(), RailSilent)
        await _until(lambda: link.up == 2)
        pending.pop().cancel()


async def test_a_cancelled_request_frees_its_slot() -> None:
    async with _linked() as (link, peer):
        peer.silent = {"a"}
        waiting = asyncio.create_task(link.request("a", b"ask:a", AMPLE_MS))
        await _until(lambda: link.in_flight == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert link.in_flight == 0
        assert await link.request("b", b"ask:b", AMPLE_MS) == b"answer:b"


async def test_what_answers_nothing_goes_to_the_desk_or_is_counted() -> None:
    taken: list[bytes] = []
    async with _linked(on_unsolicited=taken.append) as (link, peer):
        assert peer.server.push(b"push:1")
        assert peer.server.push(b"rubbish")
        await _until(lambda: link.dropped == 1)
        assert taken == [b"push:1"]
        assert link.send(b"note:1")
        await _until(lambda: b"note:1" in peer.got)
    async with _linked() as (link, peer):
        assert peer.server.push(b"push:1")
        await _until(lambda: link.dropped == 1)


async def test_a_stream_that_cannot_be_deframed_is_cut() -> None:
    async with _linked() as (link, peer):
        connection = next(iter(peer.server._connections))
        assert connection._transport is not None
        waiting = asyncio.create_task(link.request("a", b"note:a", AMPLE_MS))
        await _until(lambda: link.in_flight == 1)
        connection._transport.write(b"\xff\xff\xff\xff")
        with pytest.raises(RailSilent):
            await waiting
        await _until(lambda: link.up == 1)


# --- many at once ----------------------------------------------------------------------------------------------------
def _asks(count: int) -> list[tuple[str, bytes]]:
    return [(f"k{n}", f"ask:k{n}".encode()) for n in range(count)]


async def test_many_are_answered_in_waves_each_once_whoever_takes_his_time() -> None:
    async with _linked(in_flight_max=1_000) as (link, peer):
        peer.silent = {"k7"}
        answers = []
        async with aclosing(link.request_all(_asks(1_000), AMPLE_MS)) as waves:
            async for wave in waves:
                answers += wave
                await _until(lambda: link.in_flight <= 1)  # the rest has come before we ask for it
                if len(answers) == 999:
                    peer.server.push(b"answer:k7")
    assert sorted(answers) == [(n, f"answer:k{n}".encode()) for n in range(1_000)]
    assert (link.in_flight, link.late, link.dropped) == (0, 0, 0)


async def test_of_many_only_those_without_an_answer_are_silent() -> None:
    async with _linked() as (link, peer):
        peer.silent = {"k1", "k3"}
        told = dict([one async for wave in link.request_all(_asks(5), SILENT_MS) for one in wave])
        assert {place for place, said in told.items() if isinstance(said, RailSilent)} == {1, 3}
        assert {place for place, said in told.items() if isinstance(said, bytes)} == {0, 2, 4}
        # The same through a cut.
        asked = asyncio.ensure_future(_all_of(link.request_all(_asks(5), AMPLE_MS)))
        await _until(lambda: link.in_flight == 2)
        await peer.server.close()
        assert {place for place, said in await asked if isinstance(said, RailSilent)} == {1, 3}
        assert link.in_flight == 0


async def test_who_leaves_before_all_have_answered_frees_every_slot() -> None:
    async with _linked() as (link, peer):
        peer.silent = {"k1"}
        async with aclosing(link.request_all(_asks(3), AMPLE_MS)) as waves:
            await anext(waves)
        assert link.in_flight == 0
        peer.server.push(b"answer:k1")
        await _until(lambda: link.late == 1)
        # A cancel in the middle of the wait does the same.
        asked = asyncio.ensure_future(_all_of(link.request_all(_asks(3), AMPLE_MS)))
        await _until(lambda: link.in_flight == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert link.in_flight == 0


async def test_of_many_those_that_find_no_room_were_not_written() -> None:
    async with _linked(in_flight_max=3) as (link, peer):
        told = dict(await _all_of(link.request_all(_asks(5), AMPLE_MS)))
        assert {place for place, said in told.items() if isinstance(said, RailUnavailable)} == {3, 4}
        assert [told[place] for place in range(3)] == [b"answer:k0", b"answer:k1", b"answer:k2"]
        assert len(peer.got) == 3
    assert [type(said) for _, said in await _all_of(link.request_all(_asks(2), AMPLE_MS))] == [RailUnavailable] * 2
    assert await _all_of(link.request_all([], AMPLE_MS)) == []


async def _all_of(waves: AsyncIterator[list[Answer]]) -> list[Answer]:
    return [one async for wave in waves for one in wave]
