"""Our own server: started once per directory, found again, never two on one file, gone with us, its data not."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from switch.domain.payment import State
from switch.errors import ConfigError, StoreUnavailable
from switch.limits import EMBEDDED_START_MS_MAX
from switch.store import EmbeddedValkey, Store, embedded, open_store
from tests.store.builders import ACK, NOTE_KEY, NOW_MS, hold, join, until


async def opened(data_dir: Path) -> Store:
    return await open_store("", shards=1, durability="fsync", data_dir=data_dir, note_key=NOTE_KEY)


def alive(pid: int) -> bool:
    """False also of a zombie: a killed child that nobody has waited for holds nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_second_start_on_the_directory_finds_the_data(embedded_dir: Path) -> None:
    store = await opened(embedded_dir)
    await join(store)
    reserved = hold(100)
    await store.payments.prepare(reserved, "")
    await store.close()
    again = await opened(embedded_dir)
    assert (await again.payments.commit(reserved, ACK, NOW_MS)).state is State.COMMITTED
    await again.close()
    assert os.stat(embedded_dir).st_mode & 0o077 == 0


async def test_a_server_that_ends_under_us_is_started_again_with_its_data(embedded_dir: Path) -> None:
    """No restart of the switch: calls meanwhile fail as StoreUnavailable, then everything acknowledged is there."""
    store = await opened(embedded_dir)
    try:
        await join(store)
        reserved = hold(100)
        await store.payments.prepare(reserved, "")
        assert store.embedded is not None
        before = store.embedded.pid
        os.kill(before, signal.SIGKILL)
        found = None
        async with asyncio.timeout(60):
            while found is None:
                with contextlib.suppress(StoreUnavailable):
                    found = await store.payments.get(reserved.participant, reserved.uetr)
                await asyncio.sleep(0.01)
        assert found.state is State.PREPARED
        assert store.embedded.pid != before
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def _another_that_says(data_dir: Path, word: Callable[[], bytes]) -> AsyncIterator[None]:
    """In the place of the directory's server: it takes every greeting, and to a PING it says `word`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.read(4_096):
                pings = request.count(b"PING")
                writer.write(b"+OK\r\n" * (request.count(b"*") - pings) + word() * pings)  # "*" begins a request
        finally:
            writer.close()

    lock = os.open(data_dir / "valkey.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        async with await asyncio.start_unix_server(answer, data_dir / "valkey.sock"):
            yield
    finally:
        os.close(lock)


async def test_a_server_that_reads_its_data_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it was a minute for all: a store of ten million payments could not have been opened again."""
    loop, heard = asyncio.get_running_loop(), 0
    time, step_s = loop.time, 0.6 * EMBEDDED_START_MS_MAX / 1_000  # two of them are more than the patience

    class Patient(EmbeddedValkey):
        """For whom much time passes after each word of its server."""

        async def _answers(self, patience: asyncio.Timeout) -> bool:
            nonlocal heard
            before = patience.when()
            answers = await super()._answers(patience)
            heard += patience.when() != before
            return answers

    monkeypatch.setattr(loop, "time", lambda: time() + heard * step_s)
    async with _another_that_says(tmp_path, lambda: b"+PONG\r\n" if heard == 4 else b"-LOADING the data\r\n"):
        await Patient(tmp_path).start()
    assert heard == 4


async def test_a_server_that_says_nothing_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "EMBEDDED_START_MS_MAX", 200)
    async with _another_that_says(tmp_path, lambda: b""):
        with pytest.raises(ConfigError, match="does not answer"):
            await EmbeddedValkey(tmp_path).start()


async def test_two_of_us_share_one_server_and_its_owner_stops_it(embedded_dir: Path) -> None:
    first, second = EmbeddedValkey(embedded_dir), EmbeddedValkey(embedded_dir)
    await asyncio.gather(first.start(), second.start())
    owners = [server for server in (first, second) if server.pid]
    assert len(owners) == 1
    pid = owners[0].pid
    for server in (first, second):
        if server not in owners:
            await server.stop()
    assert alive(pid)
    await owners[0].stop()
    assert not alive(pid)


async def test_who_joined_a_server_takes_it_over_when_its_owner_ends_it(embedded_dir: Path) -> None:
    """A command that looked into the store had started its server; the switch that joined it must not stay without."""
    looking = await opened(embedded_dir)
    serving = await opened(embedded_dir)
    try:
        await join(serving)
        reserved = hold(100)
        await serving.payments.prepare(reserved, "")
        await looking.close()
        found = None
        async with asyncio.timeout(60):
            while found is None:
                with contextlib.suppress(StoreUnavailable):
                    found = await serving.payments.get(reserved.participant, reserved.uetr)
                await asyncio.sleep(0.01)
        assert found.state is State.PREPARED
        assert serving.embedded is not None
        assert serving.embedded.pid
    finally:
        await serving.close()


async def test_a_stale_socket_and_pid_file_are_in_nobodys_way(embedded_dir: Path) -> None:
    server = EmbeddedValkey(embedded_dir)
    await server.start()
    os.kill(server.pid, signal.SIGKILL)

    async def gone() -> bool:
        return not alive(server.pid)

    await until(gone)
    assert server.socket_path.exists()
    assert (embedded_dir / "valkey.pid").exists()
    again = EmbeddedValkey(embedded_dir)
    await again.start()
    assert again.pid
    await again.stop()
    await server.stop()


async def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / ("long" * 30))
    assert len(os.fsencode(server.socket_path)) < 100
    await server.start()
    await server.stop()


async def test_a_directory_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data directory"):
        await EmbeddedValkey(tmp_path / "file" / "data").start()


OWNER = """
import asyncio, sys
from pathlib import Path
from switch.store import open_store
from tests.fixtures_valkey import PATIENCE_MS
from tests.store.builders import ACK, NOTE_KEY, NOW_MS, hold, join, store_waits

async def main():
    store = await open_store("", shards=1, durability="fsync", data_dir=Path(sys.argv[1]), note_key=NOTE_KEY)
    await join(store, cap_minor=10**9)
    print(store.embedded.pid, flush=True)
    while True:
        reserved = hold(1)
        await store.payments.prepare(reserved, "")
        await store.payments.commit(reserved, ACK, NOW_MS)
        print(reserved.uetr, flush=True)

with store_waits(PATIENCE_MS):
    asyncio.run(main())
"""


@pytest.mark.parametrize("both", [False, True], ids=["us", "us and the server"])
async def test_a_sigkill_leaves_no_server_and_all_acknowledged_data(embedded_dir: Path, both: bool) -> None:
    root = Path(__file__).parents[2]
    command = (sys.executable, "-c", OWNER, str(embedded_dir))
    owner = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=root)
    assert owner.stdout is not None
    pid = int(await owner.stdout.readline())
    acknowledged = [await owner.stdout.readline() for _ in range(50)]
    if both:
        os.kill(pid, signal.SIGKILL)
    owner.kill()
    acknowledged += [line for line in (await owner.stdout.read()).splitlines(keepends=True) if line.endswith(b"\n")]
    await owner.wait()

    async def gone() -> bool:
        return not alive(pid)

    await until(gone)
    store = await opened(embedded_dir)
    for line in acknowledged:
        payment = await store.payments.get("ALFA", line.decode().strip())
        assert payment is not None
        assert payment.state is State.COMMITTED
    await store.close()
