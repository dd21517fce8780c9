"""Kafka, and nothing else of the switch knows it: the store's outbox goes to the settlement topic, readers read it."""

from switch.events.broker import Published, TopicSpec, ensure_topic, tail
from switch.events.relay import Relay
from switch.events.schema import SETTLEMENT_TOPIC, decode, encode, headers
from switch.events.sink import KafkaSink

__all__ = [
    "SETTLEMENT_TOPIC",
    "KafkaSink",
    "Published",
    "Relay",
    "TopicSpec",
    "decode",
    "encode",
    "ensure_topic",
    "headers",
    "tail",
]
