"""One Kafka broker and controller in a process of its own: configured, formatted, started, asked, stopped."""

import base64
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local import standstill
from deploy.local.ports import HOST, TAKEN, free_ports

__all__ = ["KafkaFailed", "Node", "new_cluster_id"]

STOP_SECONDS_MAX = (
    5  # a controlled shutdown takes one; voters that stop together wait for each other in vain, and a kill is safe
)
FORMAT_SECONDS_MAX = 60
ASK_SECONDS_MAX = 2  # one question to a broker that may be half awake
ASK_PAUSE_SECONDS = 0.05
LOG_TAIL_CHARS = 2_000
GUARD = Path(__file__).with_name("guard.py")

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
"""

# The short session is for a broker that was killed: its next life is let in when the session of the last one is over.
PROPERTIES = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
unclean.leader.election.enable=false
auto.create.topics.enable=false
"""


class KafkaFailed(Exception):
    """The local Kafka could not be fetched, formatted or started; the text ends with what it said itself."""


class Node:
    """A broker on loopback. Its ports stay the same over kill and start. Not for several threads at once."""

    def __init__(self, number: int, folder: Path, jars: Path, classes: Path | None = None) -> None:
        """`classes` of `shared_classes` for these jars."""
        folder.mkdir(parents=True, exist_ok=True)
        self.number = number
        self.port, self.controller_port = free_ports(2)
        self.pid = 0  # of the broker itself; 0 when it does not run
        self.log = folder / "broker.log"
        self._data = folder / "data"
        self._properties = folder / "server.properties"
        self._logging = folder / "log4j2.properties"
        self._jars = f"{jars}/*"
        self._classes = [f"-XX:SharedArchiveFile={classes}"] if classes else []
        self._quick = True
        self._guard: subprocess.Popen[bytes] | None = None
        self._log_begins = 0  # where in the log this life begins, in bytes

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"{HOST}:{self.port}"

    def configure(self, nodes: Sequence["Node"], *, quick: bool) -> None:
        """Write the configuration of this node in the cluster of `nodes`."""
        self._quick = quick
        self._logging.write_text(LOGGING)
        self._properties.write_text(
            PROPERTIES.format(
                number=self.number,
                voters=",".join(f"{node.number}@{HOST}:{node.controller_port}" for node in nodes),
                host=HOST,
                port=self.port,
                controller_port=self.controller_port,
                data=self._data,
                replicas=len(nodes),
                in_sync=2 if len(nodes) == 3 else 1,
            )
        )

    def format(self, cluster_id: str) -> None:
        """Prepare the data folder; one that is formatted stays as it is. Raises KafkaFailed."""
        if (self._data / "meta.properties").exists():
            return
        # One word with "=": an id may begin with a hyphen, and would be taken for an option of its own.
        tool = [*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}"]
        tool += ["--config", str(self._properties)]
        try:
            done = subprocess.run(tool, capture_output=True, timeout=FORMAT_SECONDS_MAX, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KafkaFailed(f"Kafka's storage tool did not run: {error}") from error
        if done.returncode:
            words = (done.stdout + done.stderr).decode(errors="replace")
            raise KafkaFailed(f"Kafka could not format {self._data}:\n{words[-LOG_TAIL_CHARS:]}")

    def _java(self) -> list[str]:
        quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"] if self._quick else []
        logging = f"-Dlog4j2.configurationFile={self._logging}"
        return ["java", "-Xmx512m", *quick, *self._classes, logging, "-cp", self._jars]

    def start(self, *options: str) -> None:
        """Start the process, on the same ports and data as before; `await_ready` says when it answers.

        `options` are the JVM's, for this life.
        """
        assert not self.pid, "this node runs"
        command = [sys.executable, "-S", str(GUARD), *self._java(), *options, "kafka.Kafka", str(self._properties)]
        with self.log.open("ab") as log:
            self._log_begins = log.tell()
            self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self._guard.stdout is not None
        said = self._guard.stdout.readline()
        if not said.strip().isdigit():
            self._forget()
            raise KafkaFailed(f"the guard of Kafka node {self.number} ended at once:\n{self.tail()}")
        self.pid = int(said)

    def await_ready(self, count: int, deadline: float) -> None:
        """Return when this broker answers and knows `count` brokers; `deadline` is a time.monotonic().

        Raises:
            KafkaFailed: the process ended, or the deadline passed.
        """
        while not self.ready(count):
            self.be_in_time(deadline)

    def be_in_time(self, deadline: float) -> None:
        """A pause before the next question; raises KafkaFailed after `deadline`, a time.monotonic()."""
        if time.monotonic() > deadline:
            raise KafkaFailed(f"Kafka node {self.number} is not ready in its time:\n{self.tail()}")
        time.sleep(ASK_PAUSE_SECONDS)

    def ready(self, count: int) -> bool:
        """Whether this broker answers and knows `count` brokers. Raises KafkaFailed when the process ended."""
        assert self._guard is not None
        if self._guard.poll() is None:
            return self._brokers_known() >= count
        code = self._guard.returncode
        self._forget()
        raise KafkaFailed(f"Kafka node {self.number} ended with {code}:\n{self.tail()}")

    def _brokers_known(self) -> int:
        """Ask for the metadata of no topic (Metadata, version 4) and count the brokers in the answer."""
        client = b"bayswitch"
        body = struct.pack(">hhih", 3, 4, 1, len(client)) + client + struct.pack(">i?", 0, False)
        try:
            with socket.create_connection((HOST, self.port), ASK_SECONDS_MAX) as connection:
                connection.sendall(struct.pack(">i", len(body)) + body)
                answer = connection.makefile("rb").read(16)
        except OSError:  # not listening yet
            return 0
        if len(answer) < 16:
            return 0
        _size, _correlation, _throttle_ms, brokers = struct.unpack(">iiii", answer)
        return int(brokers)

    def port_taken(self) -> bool:
        """Whether the last start failed because another program had one of the ports."""
        return TAKEN in self._said()

    def tail(self) -> str:
        """The end of what the broker said in this life."""
        return self._said()[-LOG_TAIL_CHARS:]

    def _said(self) -> str:
        text = self.log.read_bytes() if self.log.exists() else b""
        return text[self._log_begins :].decode(errors="replace")

    def stop(self, seconds_max: float = STOP_SECONDS_MAX) -> None:
        """Controlled shutdown; SIGKILL when it takes too long. Nothing happens when the node does not run."""
        if not self.pid or self._guard is None:
            return
        os.kill(self.pid, signal.SIGTERM)
        os.kill(self.pid, signal.SIGCONT)  # a paused process cannot hear the first
        try:
            self._guard.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.kill()
        else:
            self._forget()

    def kill(self) -> None:
        """SIGKILL, as a crash; returns when the process is gone. `start` brings it back with its data."""
        assert self.pid, "this node does not run"
        os.kill(self.pid, signal.SIGKILL)
        self._forget()

    def pause(self) -> None:
        """Connections stay open and nothing answers, from now on."""
        standstill.pause(self.pid)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def _forget(self) -> None:
        guard, self._guard, self.pid = self._guard, None, 0
        if guard is not None:
            guard.wait()  # it ends right after the broker, whose process id stays taken until then
            for pipe in (guard.stdin, guard.stdout):
                if pipe is not None:
                    pipe.close()


def new_cluster_id() -> str:
    """16 random bytes, as `Node.format` wants them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
