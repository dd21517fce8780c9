"""The topics as an AsyncAPI 3 document with Kafka bindings 0.5.0, made from the code that makes the topics.

    python -m switch.events.asyncapi > proto/asyncapi.json

Payloads are the messages of proto/bayswitch/v1/event.proto, beside which the document lies. Figures are those of
production: settings may choose another number of partitions for the payment topic.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from switch.events.envelope import CONTENT_TYPE, SOURCE
from switch.events.schema import SETTLEMENT_TOPIC
from switch.events.settler import GROUP
from switch.events.topics import DLQ_TOPIC, TopicSpec, topics
from switch.events.window_schema import POSITION_TOPIC, WINDOW_TOPIC

__all__ = ["document"]

_BINDING: Final = "0.5.0"
_PROTOBUF: Final = "application/vnd.google.protobuf;version=3"
_UUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_PARTICIPANT: Final = "[A-Z0-9_]{1,16}"
_ARRANGEMENT: Final = "[a-z0-9_-]+"


class _Channel(NamedTuple):
    """One topic, and what a record of it is."""

    name: str  # of the channel in the document
    message: str  # in bayswitch.v1; "": any
    title: str
    about: str
    key: str  # pattern of the record key; "": any
    event_id: str  # pattern
    subject: str  # pattern


_CHANNELS: Final[Mapping[str, _Channel]] = {
    SETTLEMENT_TOPIC: _Channel(
        "payment",
        "SettlementEvent",
        "Final payments",
        "Every final payment, committed or aborted. At least once, in order per debtor agent; ce_id is stable for ever: "
        "drop a repeat by it. Sequences are gapless per debtor agent.",
        f"^{_PARTICIPANT}$",
        _UUID,
        _UUID,
    ),
    WINDOW_TOPIC: _Channel(
        "window",
        "WindowEvent",
        "Settlement windows",
        "A window was opened, cut, closed, settled. At least once, in order per arrangement.",
        f"^{_ARRANGEMENT}$",
        f"^{_ARRANGEMENT}/[1-9][0-9]*$",
        rf"^{_ARRANGEMENT}\.[1-9][0-9]*$",
    ),
    POSITION_TOPIC: _Channel(
        "position",
        "PositionEvent",
        "Latest positions",
        "What a participant owes in an asset by the log alone. Compacted: a greater sequence of the same key is newer.",
        rf"^{_PARTICIPANT}\|[A-Z]+$",
        rf"^{_PARTICIPANT}\|[A-Z]+/[1-9][0-9]*$",
        rf"^{_PARTICIPANT}\|[A-Z]+$",
    ),
    DLQ_TOPIC: _Channel(
        "dlq",
        "",
        "Dead letters",
        "Records that could not be settled, as they were, and markers of those that are dealt with.",
        "",
        "",
        "",
    ),
}
_LETTER_HEADERS: Final[Mapping[str, str]] = {
    "x-error-code": "Why, as a code.",
    "x-error-text": "Why, in words; holds no value of the record.",
    "x-origin-topic": "The topic the record was on,",
    "x-origin-partition": "its partition",
    "x-origin-offset": "and its offset there.",
    "x-attempts": "How many times it was tried.",
}


def document() -> dict[str, Any]:
    """The document as data."""
    specs = {spec.name: spec for spec in topics()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Bayswitch settlement events",
            "version": "1.0.0",
            "description": "What settlement consumers read from Kafka. Each record is CloudEvents 1.0 in binary mode. "
            "Within v1 headers and fields may be added: leave alone what you do not know. No personal value is in it.",
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "broker": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The setting kafka_bootstrap of the switch.",
                "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "host:port,… of the brokers"}},
            }
        },
        "channels": {each.name: _channel(specs[topic], each) for topic, each in _CHANNELS.items()},
        "operations": _operations(),
        "components": {"messages": {_message_name(each): _message(topic, each) for topic, each in _CHANNELS.items()}},
    }


def _channel(spec: TopicSpec, each: _Channel) -> dict[str, Any]:
    configs = spec.configs
    told: dict[str, Any] = {"cleanup.policy": [configs["cleanup.policy"]]}
    told |= {name: int(configs[name]) for name in ("retention.ms", "retention.bytes") if name in configs}
    told["max.message.bytes"] = int(configs["max.message.bytes"])
    return {
        "address": spec.name,
        "title": each.title,
        "description": each.about,
        "servers": [{"$ref": "#/servers/broker"}],
        "messages": {_message_name(each): {"$ref": f"#/components/messages/{_message_name(each)}"}},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "replicas": spec.replication,
                "topicConfiguration": told,
                "x-min.insync.replicas": spec.min_in_sync,
                "x-unclean.leader.election.enable": False,
                "x-key": spec.key,
                "bindingVersion": _BINDING,
            }
        },
    }


def _message_name(each: _Channel) -> str:
    return each.message or "DeadLetter"


def _message(topic: str, each: _Channel) -> dict[str, Any]:
    key = {"type": "string", "description": f"The record key: {_key_of(topic)}."}
    message: dict[str, Any] = {
        "name": _message_name(each),
        "title": each.title,
        "summary": each.about,
        "headers": _cloudevent(topic, each) if each.message else _letter(),
    }
    if each.message:
        reference = f"./bayswitch/v1/event.proto#bayswitch.v1.{each.message}"
        message["contentType"] = CONTENT_TYPE
        message["payload"] = {"schemaFormat": _PROTOBUF, "schema": {"$ref": reference}}
        key["pattern"] = each.key
    else:
        message["contentType"] = "application/octet-stream"
    message["bindings"] = {"kafka": {"key": key, "bindingVersion": _BINDING}}
    return message


def _key_of(topic: str) -> str:
    """What the record key of a topic says."""
    return next(spec.key for spec in topics() if spec.name == topic)


def _cloudevent(topic: str, each: _Channel) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "pattern": each.event_id, "description": "Stable for ever: drop a repeat by it."},
        "ce_source": {"type": "string", "const": SOURCE},
        "ce_type": {"type": "string", "const": topic},
        "ce_subject": {"type": "string", "pattern": each.subject},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_partitionkey": {"type": "string", "pattern": each.key, "description": "Equal to the record key."},
        "content-type": {"type": "string", "const": CONTENT_TYPE},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _letter() -> dict[str, Any]:
    properties = {name: {"type": "string", "description": about} for name, about in _LETTER_HEADERS.items()}
    return {"type": "object", "description": "Behind the record's own headers.", "properties": properties}


def _operations() -> dict[str, Any]:
    """The switch sends on every channel; its settler reads the first."""
    sends = {f"send_{each.name}": _operation("send", each) for each in _CHANNELS.values()}
    reads = _operation("receive", _CHANNELS[SETTLEMENT_TOPIC])
    reads["bindings"]["kafka"]["groupId"] = {"type": "string", "enum": [GROUP]}
    return {**sends, "settle_payment": reads}


def _operation(action: str, each: _Channel) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{each.name}"},
        "messages": [{"$ref": f"#/channels/{each.name}/messages/{_message_name(each)}"}],
        "bindings": {"kafka": {"bindingVersion": _BINDING}},
    }


def main() -> None:
    print(json.dumps(document(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
