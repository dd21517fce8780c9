"""A settlement fact as it lies on the topic: one protobuf `SettlementEvent` under CloudEvents 1.0 headers.

The contract is proto/bayswitch/v1/event.proto; the golden bytes in tests/events/golden hold this file to it. Pure:
no broker is known here. This is the one file of `events` that imports protobuf and bayswitch.v1.

Binary content mode of the CloudEvents Kafka binding: attributes are headers named `ce_…`, the value is the data alone.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from bayswitch.v1 import event_pb2, payment_pb2
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.errors import CodecError
from switch.limits import EVENT_BYTES_MAX

__all__ = ["CONTENT_TYPE", "SETTLEMENT_TOPIC", "SOURCE", "Headers", "decode", "encode", "headers", "key"]

SETTLEMENT_TOPIC: Final = "bayswitch.settlement.payment.v1"  # also ce_type: topic and type carry one version
SOURCE: Final = "/bayswitch/settlement"  # ce_source, a URI reference; with ce_id it names an event for ever
CONTENT_TYPE: Final = "application/protobuf"

Headers = list[tuple[str, bytes]]

_STATE_OUT: Final = {
    State.COMMITTED: payment_pb2.PAYMENT_STATE_COMMITTED,
    State.ABORTED: payment_pb2.PAYMENT_STATE_ABORTED,
}
_STATE_IN: Final[Mapping[int, State]] = {wire: state for state, wire in _STATE_OUT.items()}
_REQUIRED: Final = ("event_id", "uetr", "debtor_agent")


def key(fact: SettlementFact) -> bytes:
    """The record key: events of one debtor agent stay in order because they share a partition."""
    return fact.debtor_agent.encode("ascii")


def headers(fact: SettlementFact) -> Headers:
    """The CloudEvents attributes, in the order event.proto names them."""
    final = datetime.fromtimestamp(fact.final_time_ms // 1000, UTC).replace(tzinfo=None).isoformat()
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", fact.event_id.encode("ascii")),
        ("ce_source", SOURCE.encode("ascii")),
        ("ce_type", SETTLEMENT_TOPIC.encode("ascii")),
        ("ce_subject", fact.uetr.encode("ascii")),
        ("ce_time", f"{final}.{fact.final_time_ms % 1000:03d}Z".encode("ascii")),
        ("ce_partitionkey", key(fact)),
        ("content-type", CONTENT_TYPE.encode("ascii")),
    ]


def encode(fact: SettlementFact) -> bytes:
    """The record value. The same fact always gives the same bytes."""
    assert fact.state.final, "only a final payment is a fact"
    event = event_pb2.SettlementEvent(
        event_id=fact.event_id,
        sequence=fact.sequence,
        uetr=fact.uetr,
        debtor_agent=fact.debtor_agent,
        state=_STATE_OUT[fact.state],
        reason=fact.reason,
        rail=fact.rail,
        corridor=fact.corridor_id,
        rail_reference=fact.rail_reference,
        entries=(
            payment_pb2.Entry(participant=entry.participant, asset=entry.asset.name, amount_minor=entry.amount_minor)
            for entry in fact.entries
        ),
        prepared_time=_timestamp(fact.prepared_time_ms),
        final_time=_timestamp(fact.final_time_ms),
    )
    value = event.SerializeToString(deterministic=True)
    assert len(value) <= EVENT_BYTES_MAX, "every field of a fact is bounded"
    return value


def decode(value: bytes | None, attributes: Iterable[tuple[str, bytes]]) -> SettlementFact:
    """A record of the topic -> the fact. Headers and fields that are not known are left alone: v1 may grow.

    Raises:
        CodecError: not an event of this type and version, or a field is missing or not one of its values.
    """
    given = dict(attributes)
    _demand("ce_specversion", given.get("ce_specversion") == b"1.0", "CloudEvents 1.0")
    _demand("ce_type", given.get("ce_type") == SETTLEMENT_TOPIC.encode("ascii"), SETTLEMENT_TOPIC)
    _demand("content-type", given.get("content-type") == CONTENT_TYPE.encode("ascii"), CONTENT_TYPE)
    if value is None or len(value) > EVENT_BYTES_MAX:
        raise CodecError("value", f"at most {EVENT_BYTES_MAX} bytes")
    try:
        event = event_pb2.SettlementEvent.FromString(value)
    except DecodeError as error:
        raise CodecError("value", "not a SettlementEvent") from error
    for name in _REQUIRED:
        _demand(name, bool(getattr(event, name)), "missing")
    _demand("ce_id", given.get("ce_id") == event.event_id.encode(), "equal to event_id")
    _demand("sequence", event.sequence > 0, "from 1")
    _demand("state", event.state in _STATE_IN, "COMMITTED or ABORTED")
    return SettlementFact(
        event_id=event.event_id,
        sequence=event.sequence,
        uetr=event.uetr,
        debtor_agent=event.debtor_agent,
        state=_STATE_IN[event.state],
        reason=event.reason,
        rail=event.rail,
        corridor_id=event.corridor,
        rail_reference=event.rail_reference,
        entries=tuple(_entry(place, entry) for place, entry in enumerate(event.entries)),
        prepared_time_ms=event.prepared_time.ToMilliseconds(),
        final_time_ms=event.final_time.ToMilliseconds(),
    )


def _entry(place: int, entry: payment_pb2.Entry) -> Entry:
    _demand(f"entries[{place}].asset", entry.asset in Asset.__members__, "an asset of the switch")
    return Entry(entry.participant, Asset[entry.asset], entry.amount_minor)


def _timestamp(time_ms: int) -> Timestamp:
    return Timestamp(seconds=time_ms // 1000, nanos=time_ms % 1000 * 1_000_000)


def _demand(path: str, kept: bool, rule: str) -> None:
    if not kept:
        raise CodecError(path, rule)
