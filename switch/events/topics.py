"""The four topics as data: how each is made, what a wrong one differs in, and the command that mends it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from switch.errors import BrokerUnavailable, ConfigError
from switch.events.broker import BROKER_ERRORS, Access, said
from switch.events.schema import SETTLEMENT_TOPIC
from switch.events.window_schema import POSITION_TOPIC, WINDOW_TOPIC
from switch.limits import (
    BROKER_ANSWER_MS_MAX,
    PRODUCER_STUCK_MS_MAX,
    SETTLEMENT_PARTITIONS,
    SETTLEMENT_RETENTION_MS,
)

__all__ = [
    "DLQ_TOPIC",
    "ENSURE",
    "BrokerSettings",
    "Difference",
    "TopicSpec",
    "Topics",
    "check",
    "ensure",
    "present",
    "require_topics",
    "topics",
    "topics_of",
]

DLQ_TOPIC: Final = "bayswitch.settlement.dlq.v1"
FOR_EVER: Final = -1
ENSURE: Final = "bayswitch topics ensure"  # the command that makes what is missing
_MESSAGE_BYTES: Final = 1_048_588  # what a broker takes when nobody changed it; the longest window event fits
_LOOKS_S: Final = (0.2, 0.5, 1)  # pauses between looks for a topic that may just have been made
_LOG = logging.getLogger("bayswitch.events")


class TopicSpec(NamedTuple):
    """How a topic is. Three copies of which two must confirm; one node (make services, tests) takes 1 and 1."""

    name: str = SETTLEMENT_TOPIC
    partitions: int = SETTLEMENT_PARTITIONS
    replication: int = 3
    min_in_sync: int = 2  # the broker's own default is 1, which promises nothing (reliability.md 1.6)
    retention_ms: int = SETTLEMENT_RETENTION_MS
    cleanup: str = "delete"  # a journal is never compacted
    key: str = "debtor agent"  # what the record key says; records of one key are in order

    @property
    def configs(self) -> dict[str, str]:
        """The broker's own words for it."""
        kept = {"retention.ms": str(self.retention_ms), "retention.bytes": str(FOR_EVER)}
        return {
            "cleanup.policy": self.cleanup,
            **(kept if self.cleanup == "delete" else {}),
            "max.message.bytes": str(_MESSAGE_BYTES),
            "min.insync.replicas": str(self.min_in_sync),
            "unclean.leader.election.enable": "false",
        }


class Topics(NamedTuple):
    """The topics of one switch."""

    payment: TopicSpec
    window: TopicSpec
    position: TopicSpec
    dlq: TopicSpec


class BrokerSettings(Protocol):
    """What the settings say of the broker."""

    @property
    def kafka_bootstrap(self) -> str: ...
    @property
    def kafka_partitions(self) -> int: ...
    @property
    def kafka_replication(self) -> int: ...
    @property
    def kafka_min_in_sync(self) -> int: ...


class Difference(NamedTuple):
    """What is wrong with a topic, and the command that mends it."""

    topic: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what}; {self.mend}"


def topics(partitions: int = SETTLEMENT_PARTITIONS, replication: int = 3, min_in_sync: int = 2) -> Topics:
    """The four topics. `partitions` is of the payment topic alone."""
    payment = TopicSpec(SETTLEMENT_TOPIC, partitions, replication, min_in_sync)
    # A few events a day, and a store made anew reads them all: kept for ever, in one order.
    window = payment._replace(name=WINDOW_TOPIC, partitions=1, retention_ms=FOR_EVER, key="arrangement")
    # As many keys as participants have assets.
    position = payment._replace(name=POSITION_TOPIC, partitions=3, cleanup="compact", key="participant|asset")
    # What nobody has dealt with must not go away by itself.
    dlq = payment._replace(name=DLQ_TOPIC, partitions=1, retention_ms=FOR_EVER, key="as the record had it")
    return Topics(payment, window, position, dlq)


def topics_of(settings: BrokerSettings) -> Topics:
    """The four topics as the settings want them."""
    return topics(settings.kafka_partitions, settings.kafka_replication, settings.kafka_min_in_sync)


async def ensure(
    bootstrap: str, specs: Iterable[TopicSpec], *, budget_ms: int = PRODUCER_STUCK_MS_MAX, access: Access | None = None
) -> list[str]:
    """Create the topics that are missing; the names of those. One that exists is left as it is. Repeatable.

    Raises:
        BrokerUnavailable: no answer in the budget, or too few brokers for the replication; others may be made.
    """
    async with _admin(bootstrap, budget_ms, access) as admin:
        there = await admin.list_topics()
        missing = [spec for spec in specs if spec.name not in there]
        if not missing:
            return []
        made = [NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=spec.configs) for spec in missing]
        answer = await admin.create_topics(made, timeout_ms=budget_ms)
    created = []
    for name, code, *text in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise BrokerUnavailable(f"topic {name} could not be created: {for_code(code).__name__} {text}")
        created += [] if code else [name]
    return created


async def present(bootstrap: str, *, budget_ms: int, access: Access | None = None) -> frozenset[str]:
    """The names of all topics. Raises BrokerUnavailable."""
    async with _admin(bootstrap, budget_ms, access) as admin:
        return frozenset(await admin.list_topics())


async def check(
    bootstrap: str, specs: Iterable[TopicSpec], *, budget_ms: int = PRODUCER_STUCK_MS_MAX, access: Access | None = None
) -> list[Difference]:
    """What is not as the specs say; empty is right. More copies, or a longer retention, are right too. Makes nothing.

    Raises:
        BrokerUnavailable: no answer in the budget.
    """
    wanted = {spec.name: spec for spec in specs}
    async with _admin(bootstrap, budget_ms, access) as admin:
        # All of them: to be asked about one by name makes a broker create it when its settings allow that.
        there = {one["topic"]: one["partitions"] for one in await admin.describe_topics()}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted if name in there]
        answers = await admin.describe_configs(resources) if resources else []
    configs = {name: {entry[0]: entry[1] for entry in entries} for name, entries in _resources(answers)}
    found: list[Difference] = []
    for name, spec in wanted.items():
        if name not in there:
            found.append(Difference(name, "is missing", ENSURE))
            continue
        found += _layout(bootstrap, spec, there[name])
        found += _settings(bootstrap, spec, configs.get(name, {}))
    return found


async def require_topics(settings: BrokerSettings, access: Access | None = None) -> None:
    """At the start of a process in production: the topics are as the settings say, or it does not start.

    A broker that does not answer is only logged: payments do not need it, and events wait in the outbox.

    Raises:
        ConfigError: names every difference and the command that mends it.
    """
    try:
        differences = await _known_everywhere(settings, access)
    except BrokerUnavailable as error:
        _LOG.warning("the topics could not be checked, events wait in the outbox: %s", error)
        return
    if differences:
        raise ConfigError("kafka_bootstrap: the topics are not as told: " + " | ".join(map(str, differences)))


async def _known_everywhere(settings: BrokerSettings, access: Access | None) -> list[Difference]:
    """As `check`, but a topic that is missing is looked for again: a broker hears a moment later of what another made."""
    for pause_s in (*_LOOKS_S, 0):
        differences = await check(settings.kafka_bootstrap, topics_of(settings), access=access)
        if pause_s == 0 or not any(each.mend == ENSURE for each in differences):
            break
        await asyncio.sleep(pause_s)
    return differences


@contextlib.asynccontextmanager
async def _admin(bootstrap: str, budget_ms: int, access: Access | None) -> AsyncIterator[Any]:
    answer_ms = min(BROKER_ANSWER_MS_MAX, budget_ms)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=answer_ms, **(access or {}))
    try:
        async with asyncio.timeout(budget_ms / 1000):
            await admin.start()
            yield admin
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"topics could not be looked up: {said(error)}") from error
    finally:
        await admin.close()


def _resources(answers: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Topic and its configuration entries (name, value, …)."""
    for answer in answers:
        for code, _text, _kind, name, entries in answer.resources:
            if code:
                raise BrokerUnavailable(f"topic {name} could not be described: {for_code(code).__name__}")
            yield name, entries


def _layout(bootstrap: str, spec: TopicSpec, partitions: Sequence[Any]) -> Iterator[Difference]:
    """What is wrong with the number of partitions and of their copies."""
    if len(partitions) != spec.partitions:
        what = f"has {len(partitions)} partitions and not {spec.partitions}"
        anew = f"while it is empty: kafka-topics.sh --bootstrap-server {bootstrap} --delete --topic {spec.name}"
        mend = f"{anew} && {ENSURE}"
        if spec.name == SETTLEMENT_TOPIC:  # another count would move the keys, and with them the order
            mend = f"BAYSWITCH_KAFKA_PARTITIONS={len(partitions)}; or {mend}"
        yield Difference(spec.name, what, mend)
    few = sorted(one["partition"] for one in partitions if len(one["replicas"]) < spec.replication)
    if few:
        what = f"partition {few[0]} and {len(few) - 1} more" if len(few) > 1 else f"partition {few[0]}"
        mend = f"kafka-reassign-partitions.sh --bootstrap-server {bootstrap} --reassignment-json-file PLAN --execute"
        yield Difference(spec.name, f"{what} have fewer than {spec.replication} copies", mend)


def _settings(bootstrap: str, spec: TopicSpec, found: Mapping[str, str]) -> Iterator[Difference]:
    """What is wrong with the configuration."""
    for name, wanted in spec.configs.items():
        value = found.get(name, "")
        if not _RULES[name](value, wanted):
            alter = f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics"
            mend = f"{alter} --entity-name {spec.name} --add-config {name}={wanted}"
            yield Difference(spec.name, f"{name} is {value or 'unknown'} and not {wanted}", mend)


def _equal(value: str, wanted: str) -> bool:
    return value == wanted


def _at_least(value: str, wanted: str) -> bool:
    return value.isdigit() and int(value) >= int(wanted)


def _as_long(value: str, wanted: str) -> bool:
    """-1 is for ever, or without bound."""
    return value == str(FOR_EVER) or (wanted != str(FOR_EVER) and _at_least(value, wanted))


_RULES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "cleanup.policy": _equal,
    "max.message.bytes": _at_least,
    "min.insync.replicas": _at_least,
    "retention.bytes": _as_long,
    "retention.ms": _as_long,
    "unclean.leader.election.enable": _equal,
}
