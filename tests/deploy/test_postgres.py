"""The local PostgreSQL: it starts, keeps what was committed, can be taken away, and never outlives who started it."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local import debian, postgres
from deploy.local.ports import free_ports
from deploy.local.postgres import Postgres, PostgresFailed, run_postgres
from tests.fixtures_postgres import Databases, native

ROOT = Path(__file__).parents[2]
UNTIL_SECONDS_MAX = 60.0
SILENT_SECONDS = 0.2  # a server that runs answers in a hundredth of this
SSL_REQUEST = struct.pack(">ii", 8, 80877103)  # the one message that asks for one byte and nothing else


def _ask(url: str, *statements: str) -> list[Any]:
    """The rows of the last statement; committed."""
    with psycopg.connect(native(url)) as connection:
        for statement in statements:
            found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + UNTIL_SECONDS_MAX
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _segments() -> set[str]:
    """The ids of the machine's System V segments."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def test_it_is_the_real_one_and_durable(archive_pg_url: str) -> None:
    assert _ask(archive_pg_url, "SHOW fsync") == [("on",)]
    assert _ask(archive_pg_url, "SHOW synchronous_commit") == [("on",)]
    assert _ask(archive_pg_url, "SHOW server_encoding") == [("UTF8",)]
    assert _ask(archive_pg_url, "SELECT version() LIKE 'PostgreSQL%'") == [(True,)]


TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema !~ '^pg_|^information_schema$'"


def test_every_test_has_an_empty_database_of_its_own(archive_databases: Databases, archive_database: str) -> None:
    _ask(archive_database, "CREATE TABLE mine (number int)")
    with archive_databases.one() as other:
        assert other != archive_database
        assert _ask(other, TABLES) == [(0,)]
        _ask(other, "CREATE TABLE theirs (number int)", "CREATE SCHEMA more", "CREATE TABLE more.theirs (number int)")
        name = other.rpartition("/")[2]
        _ask(other, f"ALTER DATABASE {name} SET enable_seqscan = off")
        _ask(other, f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET synchronous_commit = off")
        held = psycopg.connect(native(other))  # somebody forgot to close it, in the middle of something
        held.execute("SELECT * FROM theirs")
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    held.close()
    with archive_databases.one() as again:
        assert again == other
        assert _ask(again, TABLES) == [(0,)]
        assert _ask(again, "SHOW synchronous_commit") == _ask(again, "SHOW enable_seqscan") == [("on",)]
        _ask(again, "CREATE TABLE theirs (number int)")


def test_databases_are_dropped_at_the_end(archive_pg_url: str) -> None:
    databases = Databases(archive_pg_url)
    with databases.one() as url:
        count = f"SELECT count(*) FROM pg_database WHERE datname = '{url.rpartition('/')[2]}'"
    assert _ask(archive_pg_url, count) == [(1,)]
    databases.drop()
    assert _ask(archive_pg_url, count) == [(0,)]


def test_a_kill_loses_nothing_that_was_committed(own_postgres: Postgres) -> None:
    url = own_postgres.url
    _ask(url, "CREATE TABLE kept (number int)", "INSERT INTO kept VALUES (1)")
    with psycopg.connect(native(url)) as open_still:
        open_still.execute("INSERT INTO kept VALUES (2)")
        own_postgres.kill()
        assert own_postgres.pid == 0
        with pytest.raises(psycopg.OperationalError):
            open_still.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(native(url))
    own_postgres.start()
    assert own_postgres.url == url
    assert _ask(url, "SELECT number FROM kept") == [(1,)]


def test_a_paused_server_says_nothing_to_anybody(own_postgres: Postgres) -> None:
    with psycopg.connect(native(own_postgres.url)) as before, ThreadPoolExecutor(1) as pool:
        own_postgres.pause()
        asked = pool.submit(before.execute, "SELECT 1")
        with socket.create_connection(("127.0.0.1", own_postgres.port), SILENT_SECONDS) as late:
            late.sendall(SSL_REQUEST)
            with pytest.raises(TimeoutError):
                late.recv(1)
            assert not asked.done()
            own_postgres.resume()
            late.settimeout(UNTIL_SECONDS_MAX)
            assert late.recv(1) == b"N"
        assert asked.result(UNTIL_SECONDS_MAX).fetchone() == (1,)


def test_a_paused_server_can_be_stopped_and_started_again(own_postgres: Postgres) -> None:
    url = own_postgres.url
    _ask(url, "CREATE TABLE kept (number int)")
    own_postgres.pause()
    own_postgres.stop()
    own_postgres.stop()
    assert own_postgres.pid == 0
    own_postgres.start()
    assert _ask(url, "SELECT * FROM kept") == []


def test_who_connects_and_says_nothing_does_not_delay_a_stop(own_postgres: Postgres) -> None:
    own_postgres.pause()  # it takes the connection when it is shutting down already, and waits for its first message
    with socket.create_connection(("127.0.0.1", own_postgres.port)):
        begun = time.monotonic()
        own_postgres.stop()
        assert time.monotonic() - begun < 45, "a minute is what PostgreSQL gives it"
    own_postgres.start()


def test_only_loopback_only_with_the_password_never_as_root(own_postgres: Postgres) -> None:
    assert _ask(own_postgres.url, "SHOW listen_addresses") == [("127.0.0.1",)]
    password = native(own_postgres.url).split(":")[2].partition("@")[0]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(native(own_postgres.url).replace(password, "guessed"))
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"user=postgres host={own_postgres.folder} port={own_postgres.port}")
    status = Path(f"/proc/{own_postgres.pid}/status").read_text()
    identities = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert "0" not in identities


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_is_left_behind(end: str) -> None:
    with run_postgres() as server:
        folder, every = server.folder, [server.pid, *postgres._children(server.pid)]
        assert len(every) > 1
        segment = (folder / "data" / "postmaster.pid").read_text().splitlines()[postgres.SEGMENT_LINE].split()[-1]
        assert segment in _segments()
        getattr(server, end)()
    assert all(map(_gone, every))
    assert not folder.exists()
    assert segment not in _segments()


def test_it_ends_with_who_started_it() -> None:
    starter = (
        "import signal\nfrom deploy.local.postgres import run_postgres\n"
        "with run_postgres() as server:\n    print(server.pid, server.folder, flush=True)\n    signal.pause()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", starter]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        pid, folder = running.stdout.readline().split()
        every = [int(pid), *postgres._children(int(pid))]
        assert not _gone(every[0])
        running.send_signal(signal.SIGKILL)
    _until(lambda: all(map(_gone, every)), "the server is still there")
    left = Postgres(Path(folder))  # a killed process cannot tidy up: its data are whole, and can be used again
    left.start()
    try:
        assert _ask(left.url, "SELECT 1") == [(1,)]
    finally:
        left.stop()
        subprocess.run(["rm", "-r", folder], check=True)


def test_a_port_that_was_taken_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        (free,) = free_ports(1)
        chosen = [free, first.getsockname()[1]]
        monkeypatch.setattr(postgres, "free_ports", lambda count: [chosen.pop() for _ in range(count)])
        with run_postgres() as server:
            assert server.port == free
            assert _ask(server.url, "SELECT 1") == [(1,)]


def test_a_server_that_cannot_start_says_why(own_postgres: Postgres) -> None:
    own_postgres.stop()
    with (own_postgres.folder / "data" / "postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = much\n")
    with pytest.raises(PostgresFailed, match=r"PostgreSQL ended with 1:(.|\n)*shared_buffers.*much"):
        own_postgres.start()
    assert own_postgres.pid == 0


def test_a_cluster_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "INITDB", ("--encoding=KLINGON",))
    with pytest.raises(PostgresFailed, match=r'could not make .*data:\n(.|\n)*"KLINGON"'), run_postgres():
        pass


def test_a_folder_is_used_again(monkeypatch: pytest.MonkeyPatch, passable: Path) -> None:
    monkeypatch.chdir(passable)
    for rows in ([], [(1,)]):  # the folder is named from where we are, which is not where the server is
        with run_postgres(Path("kept") / "postgres") as server:
            assert _ask(server.url, "CREATE TABLE IF NOT EXISTS kept (number int)", "SELECT number FROM kept") == rows
            _ask(server.url, "INSERT INTO kept VALUES (1)")
    assert not (passable / "kept" / "postgres" / "half").exists()


def test_a_folder_out_of_reach_is_named(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(0o700)
    within = shut / "postgres"
    if os.geteuid():  # the server runs as whoever made the folder
        with run_postgres(within) as server:
            assert _ask(server.url, "SELECT 1") == [(1,)]
        return
    with pytest.raises(PostgresFailed, match=r"the account `postgres` has no way through .*: choose another"):
        Postgres(within).start()


# --- the package -----------------------------------------------------------------------------------------------------
@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without PostgreSQL, seen as root; what a test writes into bin/ is all there is on the path."""
    monkeypatch.setattr(debian, "ROOT", tmp_path / "lib")
    monkeypatch.setattr(debian, "CREATE_CLUSTER", tmp_path / "etc" / "createcluster.conf")
    monkeypatch.setattr(debian, "_has_account", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def _write(bare: Path, name: str, text: str = "") -> None:
    (bare / "bin").mkdir(exist_ok=True)
    (bare / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
    (bare / "bin" / name).chmod(0o755)


def test_what_is_missing_is_said(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"no PostgreSQL in {bare / 'lib'} and no `postgres` on the path"
    assert debian.missing().startswith("no `setpriv` on the path")
    _write(bare, "setpriv")
    assert debian.missing() == f"{nowhere}, and no `apt-get` to install it with"
    _write(bare, "apt-get")
    assert debian.missing() == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert debian.missing() == f"{nowhere}; root can `apt-get install postgresql`"
    with pytest.raises(PostgresFailed, match="PostgreSQL cannot start: no PostgreSQL in"):
        debian.programs()
    for name in debian.NEEDED:
        _write(bare, name)
    assert debian.missing() == ""
    assert debian.programs() == bare / "bin"
    assert debian.as_account(["postgres"]) == ["postgres"]


def test_an_account_that_is_missing_is_said(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("setpriv", *debian.NEEDED):
        _write(bare, name)
    monkeypatch.setattr(debian, "_has_account", lambda: False)
    assert debian.missing() == "no account `postgres`, and PostgreSQL refuses root"


INSTALLS = """
echo "$DEBIAN_FRONTEND $*" >> "{bare}/said"
test "$2" = update || for version in 9 15; do
    /bin/mkdir -p "{bare}/lib/$version/bin"
    for name in initdb pg_isready postgres; do : > "{bare}/lib/$version/bin/$name"; done
done
"""


def test_the_package_is_installed_once_without_a_cluster_of_its_own(bare: Path) -> None:
    _write(bare, "setpriv")
    _write(bare, "apt-get", INSTALLS.format(bare=bare))
    assert debian.programs() == bare / "lib" / "15" / "bin", "the newest, by number"
    assert debian.CREATE_CLUSTER.read_text() == "create_main_cluster = false\n"
    update, install = (bare / "said").read_text().splitlines()
    assert update == "noninteractive -q update"
    assert install.startswith("noninteractive -q install -y ")
    assert install.endswith(" postgresql")
    debian.programs()
    assert len((bare / "said").read_text().splitlines()) == 2, "it is there now"


def test_an_installation_that_fails_says_what_to_do(bare: Path) -> None:
    _write(bare, "setpriv")
    _write(bare, "apt-get", "echo no network; exit 100")
    with pytest.raises(
        PostgresFailed, match=r"apt-get update failed; install the package `postgresql`(.|\n)*no network"
    ):
        debian.programs()
