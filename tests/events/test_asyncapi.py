"""The AsyncAPI document: the committed one is the one the code makes, and it says what records and topics really are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bayswitch.v1 import event_pb2

from switch.events import topics
from switch.events.asyncapi import document
from switch.events.topics import TopicSpec
from tests.events.make_golden import records

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "proto" / "asyncapi.json"
FOUND = document()
# Of AsyncAPI 3.0.0 and of the Kafka bindings 0.5.0: what may stand there.
MAY = {
    "root": {"asyncapi", "info", "servers", "defaultContentType", "channels", "operations", "components"},
    "server": {"host", "protocol", "description", "variables"},
    "channel": {"address", "title", "description", "servers", "messages", "bindings"},
    "operation": {"action", "channel", "messages", "bindings"},
    "message": {"name", "title", "summary", "headers", "payload", "contentType", "bindings"},
    "channel binding": {"topic", "partitions", "replicas", "topicConfiguration", "bindingVersion"},
    "operation binding": {"groupId", "clientId", "bindingVersion"},
    "message binding": {"key", "schemaIdLocation", "schemaIdPayloadEncoding", "schemaLookupStrategy", "bindingVersion"},
    "topic configuration": {
        "cleanup.policy", "retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes",
    },
}  # fmt: skip
EXTENSION = re.compile(r"x-[\w.-]+")


def test_the_committed_document_is_the_one_the_code_makes() -> None:
    """`python -m switch.events.asyncapi > proto/asyncapi.json` after a change."""
    assert json.loads(COMMITTED.read_text("utf-8")) == FOUND
    assert COMMITTED.read_text("utf-8") == json.dumps(FOUND, indent=2, ensure_ascii=False) + "\n"


def _parts() -> Iterator[tuple[str, Any]]:
    yield "root", FOUND
    yield from (("server", server) for server in FOUND["servers"].values())
    for channel in FOUND["channels"].values():
        yield "channel", channel
        yield "channel binding", channel["bindings"]["kafka"]
        yield "topic configuration", channel["bindings"]["kafka"]["topicConfiguration"]
    for operation in FOUND["operations"].values():
        yield "operation", operation
        yield "operation binding", operation["bindings"]["kafka"]
    for message in FOUND["components"]["messages"].values():
        yield "message", message
        yield "message binding", message["bindings"]["kafka"]


def test_nothing_stands_where_it_may_not() -> None:
    for kind, part in _parts():
        strange = {name for name in part if not EXTENSION.fullmatch(name)} - MAY[kind]
        assert not strange, (kind, strange)
        assert "bindingVersion" not in MAY[kind] or part["bindingVersion"] == "0.5.0"
    assert FOUND["asyncapi"] == "3.0.0"
    assert FOUND["info"].keys() >= {"title", "version"}
    assert {operation["action"] for operation in FOUND["operations"].values()} == {"send", "receive"}


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            assert len(part) == 1, "nothing stands beside a reference"
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def test_every_reference_leads_somewhere() -> None:
    found = list(_references(FOUND))
    assert len(found) > 20
    for reference in found:
        file, _, path = reference.partition("#")
        if not file:
            part = FOUND
            for step in path.strip("/").split("/"):
                part = part[step]
            continue
        assert (COMMITTED.parent / file).is_file()
        message = path.removeprefix("bayswitch.v1.")
        assert message in event_pb2.DESCRIPTOR.message_types_by_name


@pytest.mark.parametrize("spec", topics(), ids=lambda spec: spec.name)
def test_each_topic_is_described_as_it_is_made(spec: TopicSpec) -> None:
    (channel,) = [one for one in FOUND["channels"].values() if one["address"] == spec.name]
    binding = channel["bindings"]["kafka"]
    assert (binding["topic"], binding["partitions"], binding["replicas"]) == (spec.name, spec.partitions, 3)
    assert (binding["x-min.insync.replicas"], binding["x-unclean.leader.election.enable"]) == (2, False)
    told = binding["topicConfiguration"]
    assert {name: str(value).strip("[]'") for name, value in told.items()}.items() <= spec.configs.items()


@pytest.mark.parametrize("golden", list(records()), ids=lambda golden: golden.name)
def test_each_golden_record_is_as_described(golden: Any) -> None:
    headers = {name: text.decode() for name, text in golden.headers}
    (channel,) = [one for one in FOUND["channels"].values() if one["address"] == headers["ce_type"]]
    (name,) = channel["messages"]
    message = FOUND["components"]["messages"][name]
    assert name == golden.message.DESCRIPTOR.name
    schema = message["headers"]
    assert schema["required"] == list(headers), "all of them, in this order"
    for header, rule in schema["properties"].items():
        assert headers[header] == rule.get("const", headers[header])
        assert re.search(rule.get("pattern", ""), headers[header]), header
    assert re.search(message["bindings"]["kafka"]["key"]["pattern"], headers["ce_partitionkey"])
