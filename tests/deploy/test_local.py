"""The local servers: they start, are what they say, take a blow, and never outlive whoever started them."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local import kafka, node
from deploy.local.kafka import KafkaFailed
from deploy.local.ports import free_ports
from switch.events import KafkaSink, TopicSpec, tail
from tests.events.support import FakeOutbox, fact

ROOT = Path(__file__).parents[2]
GUARD = ROOT / "deploy" / "local" / "guard.py"
UNTIL_SECONDS_MAX = 60.0
SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


def _alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + UNTIL_SECONDS_MAX
    while _alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@contextmanager
def _guarded(command: list[str]) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    guard = subprocess.Popen(
        [sys.executable, str(GUARD), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with guard:
        assert guard.stdout is not None
        yield guard, int(guard.stdout.readline())


def test_the_guard_ends_its_command_when_the_starter_is_gone() -> None:
    with _guarded(SLEEPER) as (guard, pid):
        assert _alive(pid)
        assert guard.stdin is not None
        guard.stdin.close()  # what the kernel does for a starter that was killed
        assert guard.wait(UNTIL_SECONDS_MAX) == 128 + signal.SIGTERM
        _until_gone(pid)


def test_the_command_ends_even_when_the_guard_is_killed() -> None:
    with _guarded(SLEEPER) as (guard, pid):
        guard.kill()
        guard.wait(UNTIL_SECONDS_MAX)
        _until_gone(pid)


def test_a_start_from_a_thread_outlives_the_thread() -> None:
    """What PR_SET_PDEATHSIG in the starter would get wrong."""
    held: list[subprocess.Popen[bytes]] = []
    pids: list[int] = []

    def start() -> None:
        guard = subprocess.Popen([sys.executable, str(GUARD), *SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert guard.stdout is not None
        pids.append(int(guard.stdout.readline()))
        held.append(guard)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    with held[0] as guard:
        assert guard.poll() is None
        assert _alive(pids[0])
        os.kill(pids[0], signal.SIGTERM)
        assert guard.wait(UNTIL_SECONDS_MAX) == 128 + signal.SIGTERM


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kafka.missing() == "no `java` (17 or newer) on the path"
    assert not kafka.available()
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    monkeypatch.setattr(kafka, "_libs_folder", lambda: tmp_path / "none")
    assert kafka.missing() == "no `mvn` on the path to fetch Kafka with"


def test_a_fetch_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Half a folder of jars would start half a broker for ever after."""
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text('#!/bin/sh\nfor last; do :; done\nmkdir -p "${last#*=}"\necho no network; exit 1\n')
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{maven.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(kafka, "_libs_folder", lambda: tmp_path / "libs" / "kafka-0")
    with pytest.raises(KafkaFailed, match="no network"):
        kafka.libs()
    assert [path.name for path in (tmp_path / "libs").iterdir()] == [".lock"]


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    node = kafka.Node(1, tmp_path, kafka.libs())
    node.configure([node], quick=True)
    node.start()  # never formatted
    with pytest.raises(KafkaFailed, match=r"ended with \d+(.|\n)*meta\.properties"):
        node.await_ready(1, time.monotonic() + UNTIL_SECONDS_MAX)
    assert node.pid == 0


def test_any_cluster_id_can_be_formatted(tmp_path: Path) -> None:
    """One random id in 64 begins with a hyphen; the storage tool once took it for an option."""
    node = kafka.Node(1, tmp_path, kafka.libs())
    node.configure([node], quick=True)
    node.format("-BCDEFGHIJKLMNOPQRSTUg")
    assert "cluster.id=-BCDEFGHIJKLMNOPQRSTUg" in (tmp_path / "data" / "meta.properties").read_text()


def test_a_port_that_was_taken_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one node that cannot start ends the wait for all; what it says fills more than the end of its log."""
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        chosen = free_ports(7)
        chosen[3] = first.getsockname()[1]  # of the second node, in the first attempt
        monkeypatch.setattr(
            node, "free_ports", lambda count: [chosen.pop(0) if chosen else free_ports(1)[0] for _ in range(count)]
        )
        with kafka.cluster(3) as running:
            assert "Address already in use" in (running.folder / "node-2" / "broker.log").read_text()
            assert not any(node.port_taken() for node in running.nodes)
            assert chosen == []


async def test_three_nodes_confirm_twice_and_take_a_blow(tmp_path: Path) -> None:
    """Replication 3, two in sync: one broker may be killed and events go on. Then the same data is there again."""
    topic, outbox = f"test.{uuid.uuid4().hex}", FakeOutbox()
    running = kafka.cluster(3, folder=tmp_path)
    async with running:
        sink = KafkaSink(running.bootstrap, TopicSpec(topic, partitions=2), stuck_ms=60_000)
        await sink.publish(outbox.put(0, [fact("ALFA", 1)]))
        running.nodes[1].kill()
        await sink.publish(outbox.put(0, [fact("ALFA", 2)]))
        await sink.close()
        assert [one.fact.sequence async for one in tail(running.bootstrap, topic, follow=False)] == [1, 2]
    assert [node.pid for node in running.nodes] == [0, 0, 0]


def test_make_services_starts_reports_and_stops(passable: Path) -> None:
    """Run as a developer runs it; SIGTERM ends it as Ctrl-C does, and leaves no process."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "TMPDIR": str(passable)}
    command = [sys.executable, "-m", "deploy.local"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as services:
        assert services.stdout is not None
        said = ""
        for line in services.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        exports = dict(re.findall(r"^export (BAYSWITCH_\w+)=(\S+)$", said, re.MULTILINE))
        assert re.fullmatch(r"127\.0\.0\.1:\d+", exports["BAYSWITCH_KAFKA_BOOTSTRAP"])
        assert exports["BAYSWITCH_REDIS_URL"].startswith("redis://127.0.0.1:")
        assert re.fullmatch(r"postgresql\+psycopg://\S+@127\.0\.0\.1:\d+/\w+", exports["BAYSWITCH_ARCHIVE_URL"])
        children = _descendants(services.pid)
        assert len(children) >= 7, "two guards, a broker, three stores, a database"
        services.send_signal(signal.SIGTERM)
        assert services.wait(UNTIL_SECONDS_MAX) == 0
    for pid in children:
        _until_gone(pid)
    assert [path.name for path in passable.iterdir()] == [f"bayswitch-ports-{os.getuid()}"], "only who has which port"


def _descendants(pid: int) -> list[int]:
    """Every process below this one."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        below.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(below.get(pid, []))
    for child in found:
        found += below.get(child, [])
    return found
