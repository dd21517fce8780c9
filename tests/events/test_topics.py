"""Topics on a real broker: made once, as told; every difference is named, with the command that mends it."""

import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.local import kafka
from switch.errors import BrokerUnavailable, ConfigError
from switch.events import KafkaSink, TopicSpec, require_topics, topics, topics_of
from switch.events.topics import Difference, check, ensure
from switch.limits import SETTLEMENT_PARTITIONS, SETTLEMENT_RETENTION_MS
from tests.events.support import FakeOutbox, fact, spec_of
from tests.waiting import eventually

NOWHERE = "127.0.0.1:1"  # tcpmux: nobody listens


class Settings(NamedTuple):
    """As much of the settings as the topics need."""

    kafka_bootstrap: str
    kafka_partitions: int = 4
    kafka_replication: int = 1
    kafka_min_in_sync: int = 1


@pytest.fixture
async def admin(kafka_bootstrap: str) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def topic(patient_broker: None) -> str:
    return f"test.{uuid.uuid4().hex}"


def test_the_four_topics_are_what_the_contract_says() -> None:
    four = topics()
    assert [(spec.name, spec.cleanup, spec.key) for spec in four] == [
        ("bayswitch.settlement.payment.v1", "delete", "debtor agent"),
        ("bayswitch.settlement.window.v1", "delete", "arrangement"),
        ("bayswitch.settlement.position.v1", "compact", "participant|asset"),
        ("bayswitch.settlement.dlq.v1", "delete", "as the record had it"),
    ]
    assert {(spec.replication, spec.min_in_sync) for spec in four} == {(3, 2)}
    assert (four.payment.partitions, four.payment.retention_ms) == (SETTLEMENT_PARTITIONS, SETTLEMENT_RETENTION_MS)
    assert [spec.partitions for spec in four[1:]] == [1, 3, 1]
    assert (four.window.retention_ms, four.dlq.retention_ms) == (-1, -1), "a rebuild reads every window there was"
    assert topics_of(Settings(NOWHERE)).payment == TopicSpec(partitions=4, replication=1, min_in_sync=1)


async def test_missing_topics_are_made_once_and_then_right(kafka_bootstrap: str, topic: str, admin: Any) -> None:
    specs = [spec._replace(name=f"{topic}.{place}") for place, spec in enumerate(topics(3, 1, 1))]
    missing = [Difference(spec.name, "is missing", "bayswitch topics ensure") for spec in specs]
    assert await check(kafka_bootstrap, specs) == missing
    assert not {spec.name for spec in specs} & set(await admin.list_topics()), "to look makes nothing"
    assert await ensure(kafka_bootstrap, specs[:1]) == [specs[0].name]
    assert await ensure(kafka_bootstrap, specs) == [spec.name for spec in specs[1:]]
    assert await ensure(kafka_bootstrap, [spec._replace(partitions=7) for spec in specs]) == [], "what is there stays"
    await _known(admin, *(spec.name for spec in specs))
    assert await check(kafka_bootstrap, specs) == []
    configs = await _configs(admin, specs[0].name)
    assert configs["cleanup.policy"] == "delete"
    assert configs["retention.ms"] == "7776000000"
    assert configs["unclean.leader.election.enable"] == "false"
    assert (await _configs(admin, specs[2].name))["cleanup.policy"] == "compact"


async def _known(admin: Any, *names: str) -> None:
    """The controller has made them; the broker hears of it a moment later."""

    async def known() -> bool:
        return set(names) <= set(await admin.list_topics())

    await eventually(known, "the broker knows the topics")


async def _configs(admin: Any, name: str) -> dict[str, str]:
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}


WRONG = """
# of      made with                             is said to be                                             mended by
  payment cleanup.policy=compact                cleanup.policy is compact and not delete                  --add-config cleanup.policy=delete
  payment retention.ms=86400000                 retention.ms is 86400000 and not 7776000000               --add-config retention.ms=7776000000
  payment retention.bytes=1000000               retention.bytes is 1000000 and not -1                     --add-config retention.bytes=-1
  payment max.message.bytes=100000              max.message.bytes is 100000 and not 1048588               --add-config max.message.bytes=1048588
  payment unclean.leader.election.enable=true   unclean.leader.election.enable is true and not false      --add-config unclean.leader.election.enable=false
  window  retention.ms=7776000000               retention.ms is 7776000000 and not -1                     --add-config retention.ms=-1
  position cleanup.policy=delete                cleanup.policy is delete and not compact                  --add-config cleanup.policy=compact
"""
RIGHT = """
  payment  retention.ms=-1
  payment  retention.ms=8000000000
  payment  max.message.bytes=2000000
  position retention.ms=1000
"""


async def _made(admin: Any, topic: str, what: str, change: str) -> TopicSpec:
    spec: TopicSpec = getattr(topics(2, 1, 1), what)._replace(name=topic)
    name, _, value = change.partition("=")
    made = NewTopic(topic, spec.partitions, 1, topic_configs={**spec.configs, name: value})
    await admin.create_topics([made])
    await _known(admin, topic)
    return spec


@pytest.mark.parametrize("row", [line.strip() for line in WRONG.strip().splitlines() if not line.startswith("#")])
async def test_a_wrong_setting_is_named_and_mended(kafka_bootstrap: str, topic: str, admin: Any, row: str) -> None:
    what, change, rest = row.split(maxsplit=2)
    said, mend = (part.strip() for part in rest.split("  ", 1))
    spec = await _made(admin, topic, what, change)
    (found,) = await check(kafka_bootstrap, [spec])
    assert (found.topic, found.what) == (topic, said)
    assert found.mend.startswith(f"kafka-configs.sh --bootstrap-server {kafka_bootstrap} --alter --entity-type topics ")
    assert found.mend.endswith(f" --entity-name {topic} {mend}")


@pytest.mark.parametrize("row", RIGHT.strip().splitlines())
async def test_what_is_better_than_told_is_right(kafka_bootstrap: str, topic: str, admin: Any, row: str) -> None:
    spec = await _made(admin, topic, *row.split())
    assert await check(kafka_bootstrap, [spec]) == []


async def test_other_partitions_too_few_copies_and_too_few_in_sync(
    kafka_bootstrap: str, topic: str, admin: Any
) -> None:
    made = TopicSpec(topic, partitions=2, replication=1, min_in_sync=1)
    await ensure(kafka_bootstrap, [made])
    await _known(admin, topic)
    found = await check(kafka_bootstrap, [made._replace(partitions=3, replication=3, min_in_sync=2)])
    assert [difference.what for difference in found] == [
        "has 2 partitions and not 3",
        "partition 0 and 1 more have fewer than 3 copies",
        "min.insync.replicas is 1 and not 2",
    ]
    assert "kafka-reassign-partitions.sh" in found[1].mend
    assert await check(kafka_bootstrap, [made._replace(partitions=1)]) != [], "more partitions are other partitions"


async def test_more_copies_than_brokers_is_said(kafka_bootstrap: str, topic: str) -> None:
    with pytest.raises(BrokerUnavailable, match="InvalidReplicationFactor"):
        await ensure(kafka_bootstrap, [TopicSpec(topic, replication=99)])


async def test_in_production_nothing_is_made_by_the_way(kafka_bootstrap: str, topic: str, admin: Any) -> None:
    sink = KafkaSink(kafka_bootstrap, spec_of(topic, 2), create=False)
    entries = FakeOutbox().put(0, [fact("ALFA", 1)])
    with pytest.raises(BrokerUnavailable, match=f"topic {topic} is missing; bayswitch topics ensure"):
        await sink.publish(entries)
    assert topic not in await admin.list_topics()
    await ensure(kafka_bootstrap, [spec_of(topic, 2)])
    await _known(admin, topic)
    await sink.publish(entries)
    await sink.close()


@pytest.mark.usefixtures("patient_broker")
async def test_in_production_wrong_topics_stop_the_start(kafka_bootstrap: str, admin: Any) -> None:
    specs = topics_of(Settings(kafka_bootstrap))
    await ensure(kafka_bootstrap, specs)
    await _known(admin, *(spec.name for spec in specs))
    await require_topics(Settings(kafka_bootstrap))
    with pytest.raises(ConfigError) as refusal:
        await require_topics(Settings(kafka_bootstrap, kafka_partitions=5, kafka_min_in_sync=2))
    text = str(refusal.value)
    assert "payment.v1: has 4 partitions and not 5; BAYSWITCH_KAFKA_PARTITIONS=4; or while it is empty" in text
    assert text.count("min.insync.replicas is 1 and not 2; kafka-configs.sh") == 4


async def test_a_broker_that_does_not_answer_only_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bayswitch.events"):
        await require_topics(Settings(NOWHERE))
    assert "the topics could not be checked, events wait in the outbox" in caplog.text
    with pytest.raises(BrokerUnavailable, match="could not be looked up"):
        await check(NOWHERE, topics())


@pytest.mark.usefixtures("patient_broker")
async def test_three_brokers_keep_three_copies_and_confirm_twice() -> None:
    """As in production: nothing is to be told but the number of partitions."""
    async with kafka.cluster(3) as running:
        await ensure(running.bootstrap, topics(6))
        await require_topics(
            Settings(running.bootstrap, 6, 3, 2)
        )  # at once: another broker may not have heard of them yet

        async def right() -> bool:
            with contextlib.suppress(BrokerUnavailable):  # one names a topic, another has not heard of it
                return await check(running.bootstrap, topics(6)) == []
            return False

        await eventually(right, "every broker knows the topics")
