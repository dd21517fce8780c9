"""The bytes on the topic: golden records, round trip, and what is refused."""

import json
from typing import Any

import pytest
from bayswitch.v1 import event_pb2
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.errors import REASONS, CodecError
from switch.events import decode, encode, headers
from switch.limits import AMOUNT_MINOR_MAX, EVENT_BYTES_MAX, REQUEST_ID_CHARS_MAX
from tests.events.make_golden import FACTS, GOLDEN, Golden, records


@pytest.mark.parametrize("one", list(records()), ids=lambda one: one.name)
def test_golden(one: Golden) -> None:
    """Consumers in other languages are tested with these files; make_golden.py says when they may change."""
    record: dict[str, Any] = json.loads((GOLDEN / f"{one.name}.json").read_text("utf-8"))
    assert one.value == (GOLDEN / f"{one.name}.pb").read_bytes()
    assert one.headers == [(header, text.encode()) for header, text in record["headers"].items()]
    assert one.data == record["data"]
    assert one.read == one.made_of


def test_every_golden_file_is_tested() -> None:
    names = {one.name for one in records()}
    assert {path.name for path in GOLDEN.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("pb", "json")}


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
    request_id=st.text(max_size=REQUEST_ID_CHARS_MAX),
    note=st.binary(max_size=256),
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
