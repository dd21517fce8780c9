"""A settlement fact as it lies on the topic: one protobuf `SettlementEvent` under CloudEvents 1.0 headers.

The contract is proto/bayswitch/v1/event.proto; the golden bytes in tests/events/golden hold this file to it. Pure:
no broker is known here.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bayswitch.v1 import event_pb2, payment_pb2
from google.protobuf.message import DecodeError

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.errors import CodecError
from switch.events.envelope import Headers, attributes, demand, opened, time_ms_of, timestamp
from switch.limits import EVENT_BYTES_MAX

__all__ = ["SETTLEMENT_TOPIC", "Headers", "decode", "encode", "headers", "key"]

SETTLEMENT_TOPIC: Final = "bayswitch.settlement.payment.v1"  # also ce_type: topic and type carry one version

_STATE_OUT: Final = {
    State.COMMITTED: payment_pb2.PAYMENT_STATE_COMMITTED,
    State.ABORTED: payment_pb2.PAYMENT_STATE_ABORTED,
}
_STATE_IN: Final[Mapping[int, State]] = {wire: state for state, wire in _STATE_OUT.items()}
_ASSETS: Final[Mapping[str, Asset]] = dict(Asset.__members__)
_REQUIRED: Final = ("event_id", "uetr", "debtor_agent")


def key(fact: SettlementFact) -> bytes:
    """The record key: events of one debtor agent stay in order because they share a partition."""
    return fact.debtor_agent.encode("ascii")


def headers(fact: SettlementFact) -> Headers:
    """The CloudEvents attributes of its record."""
    return attributes(fact.event_id, SETTLEMENT_TOPIC, fact.uetr, key(fact), fact.final_time_ms)


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
        entries=[
            payment_pb2.Entry(participant=participant, asset=asset.name, amount_minor=amount_minor)
            for participant, asset, amount_minor in fact.entries
        ],
        prepared_time=timestamp(fact.prepared_time_ms),
        final_time=timestamp(fact.final_time_ms),
        request_id=fact.request_id,
        note=fact.note,
    )
    value = event.SerializeToString(deterministic=True)
    assert len(value) <= EVENT_BYTES_MAX, "every field of a fact is bounded"
    return value


def decode(value: bytes | None, attributes: Iterable[tuple[str, bytes]]) -> SettlementFact:
    """A record of the topic -> the fact. Headers and fields that are not known are left alone: v1 may grow.

    Raises:
        CodecError: not an event of this type and version, or a field is missing or not one of its values.
    """
    data, ce_id = opened(value, attributes, SETTLEMENT_TOPIC, EVENT_BYTES_MAX)
    try:
        event = event_pb2.SettlementEvent.FromString(data)
    except DecodeError as error:
        raise CodecError("value", "not a SettlementEvent") from error
    for name in _REQUIRED:
        demand(name, bool(getattr(event, name)), "missing")
    demand("ce_id", ce_id == event.event_id.encode(), "equal to event_id")
    demand("sequence", event.sequence > 0, "from 1")
    demand("state", event.state in _STATE_IN, "COMMITTED or ABORTED")
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
        entries=tuple(_entries(event.entries)),
        prepared_time_ms=time_ms_of(event.prepared_time),
        final_time_ms=time_ms_of(event.final_time),
        request_id=event.request_id,
        note=event.note,
    )


def _entries(entries: Iterable[payment_pb2.Entry]) -> Iterator[Entry]:
    for place, entry in enumerate(entries):
        asset = _ASSETS.get(entry.asset)
        if asset is None:
            raise CodecError(f"entries[{place}].asset", "an asset of the switch")
        yield Entry(entry.participant, asset, entry.amount_minor)
