"""The topic as operators and readers meet it: made when missing, read from either end."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from switch.domain.settlement import SettlementFact
from switch.errors import BrokerUnavailable
from switch.events.schema import SETTLEMENT_TOPIC, decode
from switch.limits import PRODUCER_STUCK_MS_MAX, SETTLEMENT_PARTITIONS, SETTLEMENT_RETENTION_MS

__all__ = ["BROKER_ERRORS", "Access", "Published", "TopicSpec", "ensure_topic", "said", "tail"]

# How to reach a broker that is not open on loopback: keyword arguments of every aiokafka client, as they are
# (security_protocol, ssl_context, sasl_mechanism, sasl_plain_username, …).
Access = Mapping[str, Any]

# What aiokafka raises when the broker is not there, not well, or answers what it should not (StopAsyncIteration and
# assertions are its own faults and not in this list).
BROKER_ERRORS = (KafkaError, OSError, TimeoutError, asyncio.IncompleteReadError)

# aiokafka logs every attempt at a broker that is down, ten a second. The relay says it once, and when it is over.
# A level that somebody chose is left alone.
if logging.getLogger("aiokafka").level == logging.NOTSET:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

TAIL_WAIT_MS = 200  # how long one fetch waits for more; bounds how late the end of the topic is noticed


class TopicSpec(NamedTuple):
    """How a topic is made. Three copies of which two must confirm; one node (make services, tests) takes 1 and 1."""

    name: str = SETTLEMENT_TOPIC
    partitions: int = SETTLEMENT_PARTITIONS
    replication: int = 3
    min_in_sync: int = 2  # the broker's own default is 1, which promises nothing (reliability.md 1.6)
    retention_ms: int = SETTLEMENT_RETENTION_MS


class Published(NamedTuple):
    """One record of the topic. `partition` and `offset` are its place in the log."""

    fact: SettlementFact
    partition: int
    offset: int


def said(error: BaseException) -> str:
    """An error of the client as one line for operators; the client's texts hold addresses and topic names only."""
    kind, text = type(error).__name__, str(error)
    return text if text.startswith(kind) else f"{kind}: {text}".rstrip(": ")


async def ensure_topic(
    bootstrap: str, spec: TopicSpec, *, budget_ms: int = PRODUCER_STUCK_MS_MAX, access: Access | None = None
) -> bool:
    """Create the topic when it is missing; True when this call did. One that exists is left as it is. Repeatable.

    Raises:
        BrokerUnavailable: no answer in the budget, or too few brokers for `spec.replication`.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=budget_ms, **(access or {}))
    try:
        async with asyncio.timeout(budget_ms / 1000):
            await admin.start()
            if spec.name in await admin.list_topics():
                return False
            answer = await admin.create_topics([_new_topic(spec)], timeout_ms=budget_ms)
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"topic {spec.name} could not be looked up: {said(error)}") from error
    finally:
        await admin.close()
    _name, code, *text = answer.topic_errors[0]
    if code and for_code(code) is not TopicAlreadyExistsError:
        raise BrokerUnavailable(f"topic {spec.name} could not be created: {for_code(code).__name__} {text}")
    return not code


def _new_topic(spec: TopicSpec) -> NewTopic:
    configs = {
        "cleanup.policy": "delete",  # a journal is never compacted
        "min.insync.replicas": str(spec.min_in_sync),
        "retention.ms": str(spec.retention_ms),
        "unclean.leader.election.enable": "false",
    }
    return NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=configs)


async def tail(
    bootstrap: str,
    topic: str = SETTLEMENT_TOPIC,
    *,
    from_beginning: bool = True,
    follow: bool = True,
    access: Access | None = None,
) -> AsyncGenerator[Published]:
    """Events of the topic: all there are (`from_beginning`) or only what comes; for ever, or to the present end.

    Reads on its own, in no consumer group, and commits nothing: any number may read. In order per debtor agent; a
    repeat shows twice, with the same event_id. Close it with `aclose` (or `contextlib.aclosing`).

    Raises:
        BrokerUnavailable: the broker or the topic is not there.
        CodecError: a record is not an event of this version.
    """
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if from_beginning else "latest",
        request_timeout_ms=PRODUCER_STUCK_MS_MAX,
        **(access or {}),
    )
    try:
        await consumer.start()
        ends = await consumer.end_offsets(consumer.assignment())
        if not from_beginning:  # now, not when the first fetch gets to it
            for place, offset in ends.items():
                consumer.seek(place, offset)
        while follow or any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=TAIL_WAIT_MS)).values():
                for record in records:
                    yield Published(decode(record.value, record.headers), record.partition, record.offset)
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"topic {topic} cannot be read: {said(error)}") from error
    finally:
        await consumer.stop()
