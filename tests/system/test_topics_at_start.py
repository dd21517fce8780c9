"""In production nothing is made by the way: on topics that are not as told no process starts, and says what mends it.

A broker that does not answer is another matter: payments do not need it, so everything starts.
"""

import asyncio
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.local import kafka
from deploy.local.valkey import Valkey
from switch.cli.processes import start_part
from switch.cli.sandbox import Sandbox, load_scenario
from switch.events import KafkaSink
from switch.events.schema import SETTLEMENT_TOPIC
from switch.events.topics import DLQ_TOPIC, ENSURE, topics
from switch.events.window_schema import POSITION_TOPIC, WINDOW_TOPIC
from switch.ports import OutboxEntry
from switch.store import open_store
from tests.cli.support import Cli
from tests.settlement import paid
from tests.store.builders import NOTE_KEY, join
from tests.system.support import committed, payments_in, step, until

COMMANDS = ("serve", "settler", "relay")
ALL = (SETTLEMENT_TOPIC, WINDOW_TOPIC, POSITION_TOPIC, DLQ_TOPIC)
PARTITIONS = 3
REFUSED = 2
COMMAND_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Cluster]:
    if missing := kafka.missing():
        pytest.fail(f"a real Kafka is needed: {missing}")
    with kafka.cluster(folder=tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def environment(broker: kafka.Cluster, own_valkey: Valkey, tmp_path: Path) -> dict[str, str]:
    """Of a switch in production, with a store of its own."""
    return {
        "BAYSWITCH_DATA_DIR": str(tmp_path / "data"),
        "BAYSWITCH_REDIS_URL": own_valkey.url,
        "BAYSWITCH_KAFKA_BOOTSTRAP": broker.bootstrap,
        "BAYSWITCH_KAFKA_PARTITIONS": str(PARTITIONS),
        "BAYSWITCH_PRODUCTION": "true",
        "BAYSWITCH_DEMO_IDENTITY": "true",
        "BAYSWITCH_LISTEN_PORT": "0",
    }


class Processes:
    """`bayswitch serve`, `settler` and `relay`, side by side."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._cli = Cli(environment)
        self._environment = environment
        self._folder = folder

    def topics(self, call: str) -> int:
        return self._cli("topics", call).code

    def right(self) -> None:
        """The topics are, as soon as the broker has heard of what was just changed."""
        until(lambda: self.topics("check") == 0, "the topics are right")

    def refused(self, names: Sequence[str] = COMMANDS, **changes: str) -> str:
        """None of them starts; the line that each of them says, the same."""
        with ThreadPoolExecutor(len(names)) as pool:
            ended = list(pool.map(lambda name: self._run(name, changes), names))
        assert [one.returncode for one in ended] == [REFUSED] * len(names), ended
        said = {line for one in ended for line in one.stderr.splitlines()}
        assert len(said) == 1, said
        return said.pop()

    def _run(self, name: str, changes: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-m", "switch", name, "--json"]
        whole = {**self._cli.environment, **changes}
        return subprocess.run(
            words, env=whole, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
        )

    def start(self) -> None:
        """All of them start, and end in order."""
        with ThreadPoolExecutor(len(COMMANDS)) as pool:
            ended = list(pool.map(self._start, COMMANDS))
        assert ended == [0] * len(COMMANDS)

    def _start(self, name: str) -> int:
        log = f"{name}-{uuid.uuid4().hex[:6]}"
        return start_part(log, name, environment=self._environment, directory=self._folder).stop()


@pytest.fixture
def processes(environment: Mapping[str, str], tmp_path: Path) -> Processes:
    return Processes(environment, tmp_path)


def admin(bootstrap: str, call: Callable[[Any], Any]) -> None:
    """One call of an administrator at the broker."""

    async def made() -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await client.start()
        try:
            await call(client)
        finally:
            await client.close()

    asyncio.run(made())


def enter(redis_url: str) -> None:
    """One participant joins."""

    async def joined() -> None:
        store = await open_store(redis_url, shards=1, durability="fsync", data_dir=Path(), note_key=NOTE_KEY)
        await join(store)
        await store.close()

    asyncio.run(joined())


def java_tool(command: str) -> None:
    """What a `kafka-….sh` of the distribution runs: the same words to the same program, from the jars."""
    name, *words = shlex.split(command)
    program = {"kafka-configs.sh": "kafka.admin.ConfigCommand"}[name]
    subprocess.run(
        ["java", "-cp", f"{kafka.libs()}/*", program, *words],
        check=True,
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
    )


def test_topics_are_made_by_hand_and_checked_at_every_start(processes: Processes, broker: kafka.Cluster) -> None:
    said = processes.refused()
    assert all(f"{topic}: is missing; {ENSURE}" in said for topic in ALL), said
    assert processes.topics("ensure") == 0
    processes.right()
    processes.start()

    admin(broker.bootstrap, lambda client: client.delete_topics([DLQ_TOPIC]))
    said = processes.refused()
    assert said.endswith(f"the topics are not as told: {DLQ_TOPIC}: is missing; {ENSURE}"), said
    assert processes.topics("ensure") == 0

    wrong = {**topics(PARTITIONS, 1, 1).payment.configs, "cleanup.policy": "compact"}
    changed = ConfigResource(ConfigResourceType.TOPIC, SETTLEMENT_TOPIC, wrong)
    admin(broker.bootstrap, lambda client: client.alter_configs([changed]))
    said = processes.refused()
    what, _, mend = said.partition("as told: ")[2].partition("; ")
    assert what == f"{SETTLEMENT_TOPIC}: cleanup.policy is compact and not delete"
    java_tool(mend)  # the very words that were said
    processes.right()


# what the settings want | what is said of the payment topic, and how it is mended
OTHER_SETTINGS = f"""
BAYSWITCH_KAFKA_PARTITIONS=5  | has 3 partitions and not 5; BAYSWITCH_KAFKA_PARTITIONS=3; or while it is empty: kafka-topics.sh .* --delete --topic {SETTLEMENT_TOPIC} && {ENSURE}
BAYSWITCH_KAFKA_REPLICATION=3 | partition 0 and 2 more have fewer than 3 copies; kafka-reassign-partitions.sh --bootstrap-server .* --execute
BAYSWITCH_KAFKA_MIN_IN_SYNC=2 | min.insync.replicas is 1 and not 2; kafka-configs.sh --bootstrap-server .* --entity-name {SETTLEMENT_TOPIC} --add-config min.insync.replicas=2
"""


def test_topics_that_promise_less_than_the_settings(processes: Processes) -> None:
    """All at once, and each is named: a start takes a second, and there are three commands."""
    assert processes.topics("ensure") == 0
    rows = [[part.strip() for part in row.split(" | ")] for row in OTHER_SETTINGS.strip().splitlines()]
    said = processes.refused(**{name: value for name, _, value in (change.partition("=") for change, _ in rows)})
    for _, says in rows:
        assert re.search(f"{re.escape(SETTLEMENT_TOPIC)}: {says}", said), said


def test_a_broker_that_is_down_stops_no_start(
    broker: kafka.Cluster, processes: Processes, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """Switch, relay and settler start, payments are made; when the broker is back the events reach it."""
    assert processes.topics("ensure") == 0
    node = broker.nodes[0]
    node.kill()
    production = {name: environment[name] for name in environment if "KAFKA" in name or "PRODUCTION" in name}
    store = {"BAYSWITCH_REDIS_URL": environment["BAYSWITCH_REDIS_URL"]}
    sandbox = Sandbox(tmp_path / "sandbox", production | store, signing=False, apart=True)
    try:
        sandbox.start()
        sandbox.enrol(load_scenario())
        with payments_in(sandbox) as provider:
            paid = committed(provider("HKWALLET"), step("hk-mo"))
        assert [event["uetr"] for event in sandbox.events()] == [paid.uetr]
        node.start()
        until(lambda: not sandbox.events(), "the outbox drains")
        assert [event["uetr"] for event in sandbox.events(broker.bootstrap)] == [paid.uetr]
    finally:
        assert not any(sandbox.stop().values())


def test_an_empty_store_under_a_log_that_is_not_is_refused(
    processes: Processes, broker: kafka.Cluster, own_valkey: Valkey
) -> None:
    """What lost its data would pay again what the log has; a store that has participants is nobody's loss."""
    assert processes.topics("ensure") == 0

    async def published() -> None:
        sink = KafkaSink(broker.bootstrap, topics(PARTITIONS, 1, 1).payment)
        await sink.publish([OutboxEntry(0, "1-0", paid("ALFA", 1))])
        await sink.close()

    asyncio.run(published())
    said = processes.refused(names=("serve", "settler"))
    assert said.endswith("the store is empty and the payment topic is not: `bayswitch rebuild` first"), said
    enter(own_valkey.url)
    processes.start()
