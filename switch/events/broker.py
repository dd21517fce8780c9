"""The topic as its readers meet it, and what every client of the broker has in common."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from switch.domain.settlement import SettlementFact
from switch.errors import BrokerUnavailable
from switch.events.opening import opened
from switch.events.schema import SETTLEMENT_TOPIC, decode
from switch.limits import BROKER_ANSWER_MS_MAX

__all__ = ["BROKER_ERRORS", "Access", "Published", "records", "said", "tail"]

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


class Published(NamedTuple):
    """One record of the topic. `partition` and `offset` are its place in the log."""

    fact: SettlementFact
    partition: int
    offset: int


def said(error: BaseException) -> str:
    """An error of the client as one line for operators; the client's texts hold addresses and topic names only."""
    kind, text = type(error).__name__, str(error)
    return text if text.startswith(kind) else f"{kind}: {text}".rstrip(": ")


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
    raw = records(bootstrap, topic, from_beginning=from_beginning, follow=follow, access=access)
    async with contextlib.aclosing(raw):
        async for record in raw:
            yield Published(decode(record.value, record.headers), record.partition, record.offset)


async def records(
    bootstrap: str,
    topic: str,
    *,
    from_beginning: bool = True,
    follow: bool = False,
    begins: Mapping[int, int] | None = None,
    ends: Mapping[int, int] | None = None,
    others: bool = False,
    last: int = 0,
    access: Access | None = None,
) -> AsyncGenerator[Any]:
    """The records of a topic as aiokafka gives them. As `tail` in all else.

    `begins`, `ends`: offset by partition, [from, to); with `begins`, only the partitions in it, unless `others`. `last`:
    begin at most so many offsets before the present end of each partition.
    """
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=BROKER_ANSWER_MS_MAX,
        **(access or {}),
    )
    try:
        async with opened(consumer):
            upto = await _placed(consumer, topic, from_beginning, begins, others, last)
            if ends is not None:
                upto = {place: min(end, ends.get(place.partition, end)) for place, end in upto.items()}
            while follow or any([await consumer.position(place) < end for place, end in upto.items()]):
                for place, fetched in (await consumer.getmany(timeout_ms=TAIL_WAIT_MS)).items():
                    for record in fetched:
                        if follow or record.offset < upto[place]:
                            yield record
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"topic {topic} cannot be read: {said(error)}") from error


async def _placed(
    consumer: AIOKafkaConsumer,
    topic: str,
    from_beginning: bool,
    begins: Mapping[int, int] | None,
    others: bool,
    last: int,
) -> dict[Any, int]:
    """Put the consumer where it begins; the present end of every partition that it reads."""
    places = [place for place in consumer.assignment() if others or begins is None or place.partition in begins]
    if not places:
        raise BrokerUnavailable(f"topic {topic} is missing, or has no such partition")
    consumer.pause(*(consumer.assignment() - set(places)))
    ends: dict[Any, int] = await consumer.end_offsets(places)
    first: dict[Any, int] = await consumer.beginning_offsets(places)
    for place, end in ends.items():  # now, not when the first fetch gets to it
        if begins is not None and place.partition in begins:
            consumer.seek(place, max(first[place], begins[place.partition]))
        elif last or not from_beginning:
            consumer.seek(place, max(first[place], end - last))
    return ends
