"""The bytes on the topic: golden records, round trip, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from bayswitch.v1 import event_pb2
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.errors import REASONS, CodecError
from switch.events import decode, encode, headers
from switch.limits import AMOUNT_MINOR_MAX, EVENT_BYTES_MAX

GOLDEN = Path(__file__).with_name("golden")
UETR = "8a562c67-ca16-48ba-b074-65581be6f001"

FACTS = {
    "committed": SettlementFact(
        event_id=UETR,
        sequence=41,
        uetr=UETR,
        debtor_agent="PEARLPAY",
        state=State.COMMITTED,
        reason="",
        rail="alipay",
        corridor_id="hk-cn-hkd-cny",
        rail_reference="20261123110075000001",
        entries=(
            Entry("PEARLPAY", Asset.HKD, 10_050),
            Entry("DELTAFX", Asset.HKD, -10_000),
            Entry("DELTAFX", Asset.CNY, 9_217),
            Entry("ALIPAYGW", Asset.CNY, -9_217),
            Entry("BAYSWITCH", Asset.HKD, -50),
        ),
        prepared_time_ms=1_795_413_600_007,
        final_time_ms=1_795_413_600_250,
    ),
    "aborted": SettlementFact(
        event_id="0d1f7a36-6f1b-4b4c-9d0e-0f5b3c1a2e77",
        sequence=42,
        uetr="0d1f7a36-6f1b-4b4c-9d0e-0f5b3c1a2e77",
        debtor_agent="PEARLPAY",
        state=State.ABORTED,
        reason="CREDITOR_ACCOUNT_CLOSED",
        rail="hkfps",
        corridor_id="mo-hk-hkd",
        rail_reference="",
        entries=(),
        prepared_time_ms=1_795_413_601_000,
        final_time_ms=1_795_413_602_000,
    ),
}


@pytest.mark.parametrize("name", FACTS)
def test_golden(name: str) -> None:
    """Consumers in other languages are tested with these files: they change only with the version of the topic."""
    value = (GOLDEN / f"{name}.pb").read_bytes()
    record: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    attributes = [(header, text.encode()) for header, text in record["headers"].items()]
    assert encode(FACTS[name]) == value
    assert headers(FACTS[name]) == attributes
    assert (
        MessageToDict(event_pb2.SettlementEvent.FromString(value), preserving_proto_field_name=True) == record["data"]
    )
    assert decode(value, attributes) == FACTS[name]


_names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", min_size=1, max_size=16)
_times = st.integers(0, 4_102_444_800_000)
_facts = st.builds(
    lambda uetr, **rest: SettlementFact(event_id=str(uetr), uetr=str(uetr), **rest),
    uetr=st.uuids(version=4),
    sequence=st.integers(1, 2**53 - 1),
    debtor_agent=_names,
    state=st.sampled_from([State.COMMITTED, State.ABORTED]),
    reason=st.sampled_from(["", *REASONS]),
    rail=st.sampled_from(["hkfps", "mofps", "alipay", "ecny"]),
    corridor_id=st.text("abcdefghijklmnopqrstuvwxyz-", max_size=32),
    rail_reference=st.text(max_size=64),
    entries=st.lists(
        st.builds(Entry, _names, st.sampled_from(Asset), st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX)), max_size=5
    ).map(tuple),
    prepared_time_ms=_times,
    final_time_ms=_times,
)


@given(_facts)
def test_what_is_written_is_read(one: SettlementFact) -> None:
    assert decode(encode(one), headers(one)) == one


@given(_facts)
def test_the_same_fact_gives_the_same_bytes(one: SettlementFact) -> None:
    assert encode(one) == encode(one)
    assert len(encode(one)) < EVENT_BYTES_MAX // 4, "the bound leaves room to grow"


def test_only_a_final_payment_is_a_fact() -> None:
    with pytest.raises(AssertionError):
        encode(FACTS["committed"]._replace(state=State.IN_DOUBT))


def test_a_later_minor_version_is_read() -> None:
    """v1 may gain headers and fields; a reader of today leaves them alone."""
    one = FACTS["committed"]
    grown = encode(one) + bytes([0xFA, 0x06, 0x03]) + b"new"  # field 111, length-delimited
    assert decode(grown, [*headers(one), ("ce_newattribute", b"x")]) == one


REFUSED = """
# what is changed              path              rule
  ce_specversion 0.3           ce_specversion    CloudEvents 1.0
  ce_specversion -             ce_specversion    CloudEvents 1.0
  ce_type other.v2             ce_type           bayswitch.settlement.payment.v1
  content-type text/plain      content-type      application/protobuf
  ce_id other                  ce_id             equal to event_id
  event_id -                   event_id          missing
  uetr -                       uetr              missing
  debtor_agent -               debtor_agent      missing
  sequence 0                   sequence          from 1
  state 1                      state             COMMITTED or ABORTED
  state 99                     state             COMMITTED or ABORTED
  asset XAU                    entries[0].asset  an asset of the switch
  value empty                  event_id          missing
  value none                   value             at most 8192 bytes
  value long                   value             at most 8192 bytes
  value garbage                value             not a SettlementEvent
"""


def _changed(what: str, to: str) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    one = FACTS["committed"]
    attributes = dict(headers(one))
    if what in attributes:
        attributes[what] = to.encode()
        return encode(one), [item for item in attributes.items() if item[1] != b"-"]
    if what == "value":
        return {"empty": b"", "none": None, "long": bytes(EVENT_BYTES_MAX + 1), "garbage": b"\xff\xff"}[to], [
            *attributes.items()
        ]
    event = event_pb2.SettlementEvent.FromString(encode(one))
    if what == "asset":
        event.entries[0].asset = to
    else:
        setattr(event, what, int(to) if to.isdigit() else "")
    return event.SerializeToString(), [*attributes.items()]


@pytest.mark.parametrize(
    "row",
    [line for line in REFUSED.strip().splitlines() if not line.startswith("#")],
    ids=lambda row: row[2:30].strip(),
)
def test_refused(row: str) -> None:
    what, to, path = row.split()[:3]
    rule = row.split(maxsplit=3)[3]
    with pytest.raises(CodecError) as refusal:
        decode(*_changed(what, to))
    assert (refusal.value.path, refusal.value.rule) == (path, rule)
