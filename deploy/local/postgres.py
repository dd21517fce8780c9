"""PostgreSQL on loopback: the real server, from Debian's package, for the archive's tests and for `make services`.

    with run_postgres() as server:
        print(server.url)

A guard process (guard.py) watches the server, so it does not outlive the process that started it. As root it runs as
the package's own account, for PostgreSQL refuses root; its folder must then be within that account's reach.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local.debian import ACCOUNT, PostgresFailed, as_account, missing, programs
from deploy.local.ports import HOST, TAKEN, free_ports
from deploy.local.standstill import GONE, await_that, pause, send, state

__all__ = ["Postgres", "PostgresFailed", "missing", "run_postgres"]

USER = "postgres"  # of the database; the password is new for every data folder
START_SECONDS_MAX = 60  # a start takes a fifth of a second; one after a kill replays the log
STOP_SECONDS_MAX = 3  # a fast shutdown takes a tenth; who connects and says nothing would delay it by a minute
PROGRAM_SECONDS_MAX = 60  # initdb takes a second
START_ATTEMPTS_MAX = 3  # a free port may be taken between choosing and binding it
POLL_SECONDS = 0.02
LOG_TAIL_CHARS = 2_000
GUARD = Path(__file__).with_name("guard.py")
SEGMENT_LINE = 6  # of postmaster.pid: key and id of the System V segment

# A cluster sorts by code points, so that it does the same on every machine; only its password opens it.
INITDB = ("--no-locale", "--encoding=UTF8", "--auth=scram-sha-256", "--no-sync", f"--username={USER}")
# Segments in files of the data folder go with it, also after a kill; those in /dev/shm would stay.
SETTINGS = ("fsync=on", "timezone=UTC", "log_timezone=UTC", "dynamic_shared_memory_type=mmap")


class Postgres:
    """One server. `start` again finds the same data on the same port. Not for several threads at once.

    `folder` holds data, password, log and the Unix socket, and is used again by a later object. As root it is given to
    the package's account.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.port = 0  # chosen by the first start
        self.pid = 0  # of the server's first process; 0 when it does not run
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For SQLAlchemy, with the password; the database is `postgres`, its user may do everything."""
        return f"postgresql+psycopg://{USER}:{self._password.read_text()}@{HOST}:{self.port}/postgres"

    @property
    def _password(self) -> Path:
        return self.folder / "password"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "postgres.log"

    def start(self) -> None:
        """Make the cluster when there is none, start, and return when the server takes connections.

        Raises:
            PostgresFailed: with the end of what initdb or the server said; nothing is left running.
        """
        assert not self.pid, "this server runs"
        where = programs()
        self._lay_out(where)
        attempts = 1 if self.port else START_ATTEMPTS_MAX
        for attempt in range(attempts):
            self.port = self.port if attempts == 1 else free_ports(1)[0]
            try:
                self._launch(where)
                self._await_ready(where)
                return
            except PostgresFailed:
                if TAKEN not in self._tail() or attempt + 1 == attempts:
                    raise

    def _lay_out(self, where: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._data.exists():
            return
        half = self.folder / "half"  # `data` exists only when it is complete
        shutil.rmtree(half, ignore_errors=True)
        self._password.touch(0o600)
        self._password.write_text(secrets.token_hex(16))
        if os.geteuid() == 0:
            for path in (self.folder, self._password):
                shutil.chown(path, ACCOUNT, ACCOUNT)
        words = [str(where / "initdb"), *INITDB, f"--pwfile={self._password}", f"--pgdata={half}"]
        try:
            done = subprocess.run(
                as_account(words),
                cwd=self.folder,
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PROGRAM_SECONDS_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PostgresFailed(f"PostgreSQL's initdb did not run: {error}") from error
        if done.returncode:
            said = done.stdout.decode(errors="replace")[-LOG_TAIL_CHARS:]
            raise PostgresFailed(f"PostgreSQL could not make {self._data}{_out_of_reach(self.folder)}:\n{said}")
        half.rename(self._data)

    def _launch(self, where: Path) -> None:
        settings = [word for setting in SETTINGS for word in ("-c", setting)]
        listen = ["-h", HOST, "-p", str(self.port), "-k", str(self.folder)]
        server = as_account([str(where / "postgres"), "-D", str(self._data), *listen, *settings])
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-S", str(GUARD), *server],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._guard.stdout is not None
        said = self._guard.stdout.readline()
        if not said.strip().isdigit():
            self._forget()
            raise PostgresFailed(f"the guard of PostgreSQL ended at once:\n{self._tail()}")
        self.pid = int(said)

    def _await_ready(self, where: Path) -> None:
        """Until pg_isready says so; a server that is late is ended.

        Asked over the Unix socket, which is ours alone: behind the port there may be the server of somebody else.
        """
        ask = [str(where / "pg_isready"), "-q", "-h", str(self.folder), "-p", str(self.port), "-t", "1"]
        deadline = time.monotonic() + START_SECONDS_MAX
        while subprocess.run(ask, timeout=PROGRAM_SECONDS_MAX, check=False).returncode:
            assert self._guard is not None
            if self._guard.poll() is not None:
                code = self._guard.returncode
                self._forget()
                raise PostgresFailed(f"PostgreSQL ended with {code}:\n{self._tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise PostgresFailed(f"PostgreSQL is not ready in its time:\n{self._tail()}")
            time.sleep(POLL_SECONDS)

    def _tail(self) -> str:
        """The end of the server's own log."""
        return self._log.read_text(errors="replace")[-LOG_TAIL_CHARS:] if self._log.exists() else ""

    def pause(self) -> None:
        """SIGSTOP to every process of the server: connections stay open and nothing answers."""
        pause(self.pid)  # from here on it makes no child
        for child in _children(self.pid):
            pause(child)

    def resume(self) -> None:
        """SIGCONT after `pause`. Safe to repeat."""
        send(signal.SIGCONT, [*_children(self.pid), self.pid])

    def kill(self) -> None:
        """As a power cut: every process at once, nothing is flushed. `start` brings the server back with its data."""
        assert self.pid, "this server does not run"
        self.pause()
        children = _children(self.pid)
        send(signal.SIGKILL, [self.pid, *children])
        self._forget()
        await_that(lambda: all(state(pid) in GONE for pid in children))

    def stop(self) -> None:
        """Fast shutdown, which waits for no client; `kill` when it takes too long. Safe to repeat, and after `kill`."""
        if self.pid and self._guard is not None:
            send(signal.SIGINT, [self.pid])
            self.resume()  # a paused process cannot hear the first
            try:
                self._guard.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
            else:
                self._forget()
        self._free_segment()

    def _free_segment(self) -> None:
        """What a killed server left to the system: a segment of 56 bytes, which its next start would have freed."""
        with contextlib.suppress(FileNotFoundError):  # it stopped in order, or never ran
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            if len(lines) > SEGMENT_LINE:
                number = lines[SEGMENT_LINE].split()[-1]
                subprocess.run(["ipcrm", "-m", number], capture_output=True, timeout=PROGRAM_SECONDS_MAX, check=False)

    def _forget(self) -> None:
        guard, self._guard, self.pid = self._guard, None, 0
        if guard is not None:
            guard.wait()  # it ends right after the server
            for pipe in (guard.stdin, guard.stdout):
                if pipe is not None:
                    pipe.close()


def _environment() -> dict[str, str]:
    """The log in English; PGOPTIONS and the like are for clients of other servers."""
    return {**{name: text for name, text in os.environ.items() if not name.startswith("PG")}, "LC_ALL": "C"}


def _out_of_reach(folder: Path) -> str:
    """Names the folder above that keeps the account out, when one does: initdb's own words name another."""
    if os.geteuid() == 0:
        for above in reversed(folder.absolute().parents):
            if not above.stat().st_mode & 0o001:
                return f"; the account `{ACCOUNT}` has no way through {above}: choose another folder (or TMPDIR)"
    return ""


def _children(pid: int) -> list[int]:
    """Every process that the server made: each runs in a session of its own, so that no signal reaches all of them."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


@contextlib.contextmanager
def run_postgres(folder: Path | None = None) -> Iterator[Postgres]:
    """One server for the time of the block; without a `folder` its data are thrown away at the end."""
    with contextlib.ExitStack() as thrown_away:
        if folder is None:
            folder = Path(thrown_away.enter_context(tempfile.TemporaryDirectory(prefix="bayswitch-postgres-")))
        server = Postgres(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
