"""Kafka, and nothing else of the switch knows it: the store's outbox goes to the settlement topic, readers read it."""

from switch.events.broker import Published, tail
from switch.events.consumer import Delivery, SettlementConsumer
from switch.events.relay import Relay
from switch.events.schema import SETTLEMENT_TOPIC, decode, encode, headers
from switch.events.sequences import GapFound
from switch.events.sink import KafkaSink
from switch.events.topics import Topics, TopicSpec, require_topics, topics, topics_of

__all__ = [
    "SETTLEMENT_TOPIC",
    "Delivery",
    "GapFound",
    "KafkaSink",
    "Published",
    "Relay",
    "SettlementConsumer",
    "TopicSpec",
    "Topics",
    "decode",
    "encode",
    "headers",
    "require_topics",
    "tail",
    "topics",
    "topics_of",
]
