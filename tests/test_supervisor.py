"""The supervisor over workers that are ten lines each: who leads, how often a dead one is replaced, how all of it ends."""

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.local.standstill import pause
from switch.app import workers
from switch.app.port import port_kept
from switch.app.workers import Supervisor, WorkerNotReady
from switch.errors import ConfigError
from tests.waiting import eventually

# Ready at once, or when a pipe it finds is opened for writing; writes down what it hears on its standard input and by SIGHUP; its end, and SIGTERM, end it with 0.
# Asked whether it is there it answers, or where a file says so only each tenth time.
_WORKER = """
import os, signal, sys
number, told = sys.argv[1], open(sys.argv[2], "a", buffering=1)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGHUP, lambda *_: told.write(f"{os.getpid()} reload\\n"))
if os.path.exists(sys.argv[2] + ".hold"):
    open(sys.argv[2] + ".held", "w").close()
    open(sys.argv[2] + ".hold").close()
print('{"pid": %d}' % os.getpid(), flush=True)
asked, busy = 0, os.path.exists(sys.argv[2] + ".busy")
while order := os.read(0, 1):
    told.write(f"{os.getpid()} {order.decode()}\\n")
    asked += order == b"?"
    if order == b"?" and (not busy or asked % 10 == 0):
        os.write(1, b".")
"""
_LOGGER = "bayswitch.workers"
_END_MS = 5_000  # one that obeys has ended by then, also where the machine stands still meanwhile


class Crew:
    """A supervisor, and what its workers wrote down."""

    def __init__(
        self, supervisor: Supervisor, told: Path, running: asyncio.Task[None], ready: Mapping[str, Any]
    ) -> None:
        self.supervisor = supervisor
        self.told = told
        self.running = running
        self.ready = ready

    def heard(self, what: str) -> list[int]:
        """Process ids of those who heard it, in order."""
        return [int(line.split()[0]) for line in self.told.read_text().splitlines() if line.split()[1] == what]


def script(text: str, *arguments: str) -> Sequence[str]:
    return (sys.executable, "-I", "-S", "-c", text, *arguments)


@contextlib.asynccontextmanager
async def crew_of(count: int, told: Path, drain_ms: int = 5_000) -> AsyncIterator[Crew]:
    said: list[Mapping[str, Any]] = []
    ready = asyncio.Event()
    supervisor = Supervisor(count, lambda number: script(_WORKER, str(number), str(told)), drain_ms)

    def on_ready(it: Mapping[str, Any]) -> None:
        said.append(it)
        ready.set()

    running = asyncio.create_task(supervisor.run(os.environ, on_ready))
    try:
        await ready.wait()
        yield Crew(supervisor, told, running, said[0])
    finally:
        running.cancel()
        await asyncio.wait((running,))
        await supervisor.stop()
    assert running.cancelled(), running.exception()


async def failed(*command: str) -> WorkerNotReady:
    """How a supervisor says that its first worker did not start."""
    supervisor = Supervisor(2, lambda _: command, 0)
    with pytest.raises(WorkerNotReady) as caught:
        await supervisor.run(os.environ, lambda _: None)
    await supervisor.stop()
    return caught.value


def pids(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Of every worker that was ready, in order."""
    return [int(found[1]) for found in re.finditer(r"is ready: process (\d+)", caplog.text)]


async def test_one_leads_and_when_it_is_gone_another(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, _LOGGER)
    async with crew_of(3, tmp_path / "told") as crew:
        await eventually(lambda: len(crew.heard("L")) == 1, "one is told to lead")
        (first,) = crew.heard("L")
        assert first == pids(caplog)[-1], "who became ready last"
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: len(crew.heard("L")) == 2, "another is told to lead")
        assert crew.heard("L")[1] != first
        await eventually(lambda: len(pids(caplog)) == 4, "the dead one is replaced")
        assert f"process {first}, ended with -9" in caplog.text
    assert len(crew.heard("L")) == 2, "nobody is told to lead because all end"


async def test_a_restart_of_all_moves_the_lead_once_and_a_second_one_follows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, _LOGGER)
    async with crew_of(3, tmp_path / "told") as crew:
        await eventually(lambda: len(crew.heard("L")) == 1, "one leads")
        crew.supervisor.restart()
        await eventually(lambda: len(pids(caplog)) >= 4, "it has begun")
        crew.supervisor.restart()
        crew.supervisor.restart()
        await eventually(lambda: caplog.text.count("all 3 workers have been restarted") == 2, "both")
        await eventually(lambda: len(crew.heard("L")) == 3, "the lead moved with each")
        assert len(pids(caplog)) == 9
        assert "ended with" not in caplog.text, "nobody was missed"


async def test_pauses_double_up_to_a_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it dies once it is ready or before: both are pauses of one row."""
    monkeypatch.setattr(workers, "_BACKOFF_FIRST_MS", 1)
    monkeypatch.setattr(workers, "_BACKOFF_MS_MAX", 8)
    ready_once = script(
        "import os, sys\nif os.path.exists(sys.argv[1]): sys.exit(3)\nprint('{}')", str(tmp_path / "told")
    )
    supervisor = Supervisor(2, lambda _: ready_once, 0)
    running = asyncio.create_task(supervisor.run(os.environ, lambda _: None))
    await eventually(lambda: caplog.text.count("worker 0 is started again in 8 ms") >= 2, "the bound")
    (tmp_path / "told").touch()
    await eventually(lambda: "worker 0 ended with 3 before it was ready" in caplog.text, "it does not get ready")
    before = caplog.text.count("worker 0 is started again in 8 ms")
    await eventually(lambda: caplog.text.count("worker 0 is started again in 8 ms") > before, "again, without an end")
    running.cancel()
    await asyncio.wait((running,))
    await supervisor.stop()
    pauses = [int(each) for each in re.findall(r"worker 0 is started again in (\d+) ms", caplog.text)]
    assert pauses[:5] == [1, 2, 4, 8, 8]
    assert set(pauses[5:]) <= {8}


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        ("import sys; sys.exit(2)", 2, "ended with 2 before it was ready"),
        ("import os; os.kill(os.getpid(), 9)", 70, "ended with -9 before it was ready"),
        ("print('hello', flush=True); input()", 70, "said something else"),
        ("print('7', flush=True); input()", 70, "said something else"),
    ],
)
async def test_a_first_worker_that_does_not_start(text: str, code: int, why: str) -> None:
    error = await failed(*script(text))
    assert (error.code, why in str(error)) == (code, True), error


async def test_a_worker_that_cannot_be_started_or_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be started" in str(await failed("there-is-no-such-command"))
    monkeypatch.setattr(workers, "_START_MS_MAX", 50)
    error = await failed(*script("input()"))
    assert (error.code, "not ready after 50 ms" in str(error)) == (4, True)


async def test_a_worker_that_starts_hears_later_that_rules_changed(tmp_path: Path) -> None:
    """It may have read the old ones; and a SIGHUP that it does not hear yet would end it."""
    told = tmp_path / "told"
    async with crew_of(2, told) as crew:
        os.mkfifo(told.with_suffix(".hold"))
        crew.supervisor.restart()
        await eventually(told.with_suffix(".held").exists, "a new one starts")
        crew.supervisor.reload()
        await eventually(lambda: len(crew.heard("reload")) == 2, "those that are ready hear it at once")
        opened = os.open(told.with_suffix(".hold"), os.O_WRONLY)
        os.unlink(told.with_suffix(".hold"))
        os.close(opened)
        await eventually(lambda: len(crew.heard("reload")) == 3, "the new one too")


async def test_one_that_does_not_end_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_END_MS", _END_MS)
    caplog.set_level(logging.INFO, _LOGGER)
    async with crew_of(2, tmp_path / "told", drain_ms=0):
        pause(pids(caplog)[1])
    assert f"worker 1 did not end in {_END_MS} ms and is killed" in caplog.text
    assert "worker 0 did not end" not in caplog.text
    with pytest.raises(ProcessLookupError):
        os.kill(pids(caplog)[1], 0)


async def test_one_that_hangs_is_killed_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there and does nothing: the kernel would go on giving it connections. The lead goes to the other."""
    monkeypatch.setattr(workers, "WORKER_LOOK_MS", 50)
    monkeypatch.setattr(workers, "WORKER_LOOKS_MISSED_MAX", 40)
    caplog.set_level(logging.INFO, _LOGGER)
    async with crew_of(2, tmp_path / "told") as crew:
        await eventually(lambda: len(crew.heard("L")) == 1, "one leads")
        (first,) = crew.heard("L")
        pause(first)
        await eventually(lambda: len(pids(caplog)) == 3, "it is replaced")
        assert f"process {first}, does not answer and is killed" in caplog.text
        assert f"process {first}, ended with -9" in caplog.text
        await eventually(lambda: len(crew.heard("L")) == 2, "another leads")
        assert caplog.text.count("does not answer") == 1, "the others do"


async def test_one_that_is_busy_and_answers_now_and_then_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "WORKER_LOOK_MS", 50)
    monkeypatch.setattr(workers, "WORKER_LOOKS_MISSED_MAX", 40)
    caplog.set_level(logging.INFO, _LOGGER)
    (tmp_path / "told.busy").touch()
    async with crew_of(1, tmp_path / "told") as crew:
        await eventually(lambda: len(crew.heard("?")) > 50, "it was asked more often than it may be silent in a row")
        assert set(crew.heard("?")) == set(pids(caplog)), "the same one all the time"
    assert "does not answer" not in caplog.text


async def test_looks_are_counted_not_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that slept for an hour has looked once, whatever its clock says: one answer in between is enough."""
    monkeypatch.setattr(workers, "WORKER_LOOKS_MISSED_MAX", 3)
    asked: list[bytes] = []

    class Silent(workers._Worker):
        def __init__(self) -> None:
            pass

        def order(self, what: bytes) -> None:
            asked.append(what)

        async def _answered(self) -> bool:
            return len(asked) == 3

    await Silent().hangs()
    assert asked == [b"?"] * 6, "two missed, one answered, three missed"


def listening(port: int, **options: bool) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), **options)


def test_a_port_is_kept_for_those_who_share_it() -> None:
    with port_kept("127.0.0.1", 0) as port:
        with listening(port, reuse_port=True), listening(port, reuse_port=True):
            with socket.create_connection(("127.0.0.1", port)):
                pass
            with (
                pytest.raises(ConfigError, match=f"listen_port: :{port} cannot be bound"),
                port_kept("", port),
            ):
                pass
        with pytest.raises(ConnectionRefusedError):  # nobody listens, the keeper neither
            socket.create_connection(("127.0.0.1", port))
    with port_kept("127.0.0.1", port) as again:
        assert again == port
    with port_kept("localhost", 0) as found, listening(found, reuse_port=True):
        pass
    with pytest.raises(ConfigError, match="listen_port: "), port_kept("no.such.host.invalid", 0):
        pass
