"""Apache Kafka on loopback: the real broker, from Maven, in KRaft mode, for the tests and for `make services`.

    with cluster(nodes=3, folder=path) as kafka:        # or `async with`
        print(kafka.bootstrap)

The jars named in pom.xml are copied once into a folder of the project (the user's cache when installed without a
checkout); later starts need neither Maven nor a network. Every broker is watched by a guard process (guard.py), so
none outlives the process that started it.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from xml.etree import ElementTree

from deploy.local.classes import shared_classes
from deploy.local.node import KafkaFailed, Node, new_cluster_id

__all__ = ["Cluster", "KafkaFailed", "Node", "available", "cluster", "libs", "missing"]

POM = Path(__file__).with_name("pom.xml")
READY_SECONDS_MAX = 120  # a start takes 2 s; a busy machine takes its time
FETCH_SECONDS_MAX = 600  # 43 MB, once
START_ATTEMPTS_MAX = 3  # a free port may be taken between choosing and binding it


def missing() -> str:
    """What a start lacks, as a sentence for people, or "" when nothing."""
    if shutil.which("java") is None:
        return "no `java` (17 or newer) on the path"
    if not _libs_folder().is_dir() and shutil.which("mvn") is None:
        return "no `mvn` on the path to fetch Kafka with"
    return ""


def available() -> bool:
    """True when a broker can be started here: Java, and Maven unless the jars are there already."""
    return not missing()


def version() -> str:
    """The Kafka version of pom.xml."""
    found = ElementTree.parse(POM).find(".//{*}kafka.version")
    assert found is not None
    assert found.text
    return found.text


def _libs_folder() -> Path:
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file():
        base = Path(__file__).parent / "libs"
    else:  # installed without a checkout: never write into site-packages
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bayswitch"
    return base / f"kafka-{version()}"


def libs() -> Path:
    """The folder with Kafka's jars, fetched when it is not there. Safe to call from several processes at once.

    The folder exists only when it is complete: Maven copies into a neighbour that is then renamed.

    Raises:
        KafkaFailed: Maven failed; carries the end of its words.
    """
    folder = _libs_folder()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():  # another process fetched it while we waited
            return folder
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".half-") as half:
            target = Path(half) / "jars"
            _fetch(target)
            target.rename(folder)
    return folder


def _fetch(target: Path) -> None:
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    try:
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(POM), *goal],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FETCH_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KafkaFailed(f"Maven could not fetch Kafka: {error}") from error
    if done.returncode or not any(target.glob("kafka_*.jar")):
        raise KafkaFailed(f"Maven could not fetch Kafka:\n{done.stdout.decode(errors='replace')[-2000:]}")


def cluster(nodes: int = 1, *, folder: Path | None = None, quick: bool = True) -> "Cluster":
    """A Kafka of 1 or 3 nodes (3 voters, replication 3, min.insync.replicas 2), not yet started.

    `folder` keeps the data and the logs, and is used again by a later start; without it they are thrown away at the
    end. `quick` starts faster and runs slower: turn it off to measure.
    """
    return Cluster(nodes, folder, quick=quick)


class Cluster:
    """Brokers that start and stop together. `nodes` may be killed, paused and started again one by one."""

    def __init__(self, count: int, folder: Path | None, *, quick: bool) -> None:
        assert count in (1, 3), "one node, or three voters"
        self.nodes: list[Node] = []
        self._count = count
        self._quick = quick
        self._throwaway = folder is None
        self._folder = folder

    @property
    def folder(self) -> Path:
        """Data, configuration and logs: node-<number>/broker.log and the rest."""
        assert self._folder is not None, "not started"
        return self._folder

    @property
    def bootstrap(self) -> str:
        """host:port,... of all nodes, for BAYSWITCH_KAFKA_BOOTSTRAP."""
        return ",".join(node.address for node in self.nodes)

    def start(self) -> None:
        """Format when new, start, and return when the brokers answer and know each other.

        Raises:
            KafkaFailed: with the end of the broker's log; nothing is left running.
        """
        jars = libs()
        classes = shared_classes(jars)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="bayswitch-kafka-"))
        for attempt in range(START_ATTEMPTS_MAX):
            try:
                self._lay_out(self._folder, jars, classes)
                self._each(Node.start)
                self._await_ready()
                return
            except KafkaFailed as error:
                taken = any(node.port_taken() for node in self.nodes)
                self.stop(keep=True)
                if not taken or attempt + 1 == START_ATTEMPTS_MAX:
                    self.stop()
                    raise KafkaFailed(str(error)) from error
            except BaseException:
                self.stop()
                raise

    def _lay_out(self, folder: Path, jars: Path, classes: Path | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = range(1, self._count + 1)
        self.nodes = [Node(number, folder / f"node-{number}", jars, classes) for number in numbers]
        named = folder / "cluster-id"
        if not named.exists():
            named.write_text(new_cluster_id())
        for node in self.nodes:
            node.configure(self.nodes, quick=self._quick)
        self._each(lambda node: node.format(named.read_text()))

    def _each(self, action: Callable[[Node], None]) -> None:
        """A JVM takes a second to begin: three begin together."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            for outcome in [pool.submit(action, node) for node in self.nodes]:
                outcome.result()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while waiting := [node for node in self.nodes if not node.ready(len(self.nodes))]:  # all: any may have ended
            waiting[0].be_in_time(deadline)

    def stop(self, *, keep: bool = False) -> None:
        """Stop every broker that runs and, unless `keep`, throw away data nobody asked to keep. Safe to repeat."""
        if self.nodes:
            self._each(Node.stop)
        if self._throwaway and self._folder is not None and not keep:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> "Cluster":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> "Cluster":
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)
