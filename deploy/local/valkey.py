"""Real Valkey servers for a developer and for the tests: one server, or a cluster of three masters.

Loopback only, free ports, a directory of their own, stopped by process id. The settings are the ones money needs
(append-only file, fsync before every answer, nothing evicted), so that what runs here runs as it will for real.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.local import standstill
from deploy.local.ports import free_ports
from switch.store.embedded import spawn_server

__all__ = ["FOLLOW_AT_ONCE", "Cluster", "CommandFailed", "Valkey", "run_cluster", "run_valkey"]

START_S_MAX = 60.0
STOP_S_MAX = 10.0
ANSWER_S_MAX = 30.0  # to one command: the machine may stand still, or its disk
POLL_S = 0.02
SLOTS = 16_384
CommandFailed = redis.RedisError  # refused, or not answered in time
FOLLOW_AT_ONCE = ("--repl-diskless-sync-delay", "0")  # a replica is in step after milliseconds, not after 5 s


class Valkey:
    """One server. `start` again on the same directory finds the same data."""

    def __init__(self, directory: Path, port: int, *extra: str) -> None:
        self.directory = directory
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Returns when the server answers and has its data in memory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        listen = ("--port", str(self.port), "--bind", "127.0.0.1", "--protected-mode", "yes")
        self._process = spawn_server(self.directory, *listen, *self._extra)
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"valkey-server ended at once; see {self.directory / 'valkey.log'}")
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
                self.command("PING")
                return
            time.sleep(POLL_S)
        raise RuntimeError(f"valkey-server did not answer; see {self.directory / 'valkey.log'}")

    def command(self, *words: str | int) -> object:
        """One command, one connection, no retry. Raises CommandFailed."""
        with redis.Redis(
            host="127.0.0.1",
            port=self.port,
            socket_timeout=ANSWER_S_MAX,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            return client.execute_command(*words)

    def pause(self) -> None:
        """The server is there and says nothing."""
        standstill.pause(self.pid)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut: nothing is flushed, nothing is said."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S_MAX)


class Cluster:
    """Three masters that share the slots, and `replicas` (0 or 1) of each."""

    def __init__(self, directory: Path, replicas: int = 0) -> None:
        # A master that is lost takes its own shards with it, never the others.
        coverage = ("--cluster-require-full-coverage", "no")
        settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000", *coverage, *FOLLOW_AT_ONCE)
        self.nodes = [Valkey(directory / str(port), port, *settings) for port in free_ports(3 * (1 + replicas))]
        self.masters, self.replicas = self.nodes[:3], self.nodes[3:]
        self.url = self.masters[0].url

    def start(self) -> None:
        """Returns when every node says the cluster is ok and every replica is in step."""
        for node in self.nodes:
            node.start()
        shares = [SLOTS * index // 3 for index in range(4)]
        for index, master in enumerate(self.masters):
            master.command("CLUSTER", "ADDSLOTSRANGE", shares[index], shares[index + 1] - 1)
            master.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        self._until(lambda: all(len(self._known(node)) == len(self.nodes) for node in self.nodes))
        for replica, master in zip(self.replicas, self.masters, strict=False):
            replica.command("CLUSTER", "REPLICATE", str(master.command("CLUSTER", "MYID")))
        self._until(lambda: all(self._whole(node) for node in self.nodes))
        if self.replicas:
            self._until(lambda: all(master.command("WAIT", 1, 100) == 1 for master in self.masters))

    @staticmethod
    def _known(node: Valkey) -> list[str]:
        return [line for line in str(node.command("CLUSTER", "NODES")).splitlines() if "handshake" not in line]

    @staticmethod
    def _whole(node: Valkey) -> bool:
        """It knows who has each slot: one that has not heard of the others' yet says that the cluster is ok, too."""
        info = str(node.command("CLUSTER", "INFO"))
        return "cluster_state:ok" in info and f"cluster_slots_ok:{SLOTS}" in info

    @staticmethod
    def _until(reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S_MAX
        while not reached():
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster did not come together")
            time.sleep(POLL_S)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


@contextlib.contextmanager
def run_valkey(directory: Path, *settings: str) -> Iterator[Valkey]:
    """One server for the time of the block; `settings` as on its command line, after ours."""
    server = Valkey(directory, free_ports(1)[0], *settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def run_cluster(directory: Path, replicas: int = 0) -> Iterator[Cluster]:
    """A cluster for the time of the block."""
    cluster = Cluster(directory, replicas)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
