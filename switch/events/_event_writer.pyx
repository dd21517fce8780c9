# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Facts -> records of the topic, compiled. switch/events/_event_wire_reference.py is its specification.

A value is written from its end to its front, see switch/_wire.pxd. What does not fit into the room for it, or is not
what the domain says, is left to the reference.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from bayswitch.v1 import event_pb2, payment_pb2
from google.protobuf import timestamp_pb2

from switch._wire cimport (
    ENTRY_AMOUNT_MINOR, ENTRY_ASSET, ENTRY_PARTICIPANT, NANOS, SECONDS, Out, int_of, members_of, put_bytes, put_head,
    put_number, put_text, put_time,
)

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.events import _event_wire_reference as _reference
from switch.events.envelope import attributes, second_text
from switch.events.schema import SETTLEMENT_TOPIC
from switch.limits import EVENT_BYTES_MAX


COMPILED = True

cdef enum:
    ROOM = 8192             # bytes of one value; one is about 700
    SECOND = 19             # characters of 2026-11-23T06:00:00
    MILLISECONDS = 24       # and with .000Z behind them

# A field of the contract or of the domain that is moved, renamed or added stops the import, not an event.
assert {field.name: field.number for field in event_pb2.SettlementEvent.DESCRIPTOR.fields} == {
    "event_id": EVENT_ID, "sequence": SEQUENCE, "uetr": UETR, "debtor_agent": DEBTOR_AGENT, "state": STATE,
    "reason": REASON, "rail": RAIL, "corridor": CORRIDOR, "rail_reference": RAIL_REFERENCE, "entries": ENTRIES,
    "prepared_time": PREPARED_TIME, "final_time": FINAL_TIME, "request_id": REQUEST_ID, "note": NOTE,
}
assert {field.name: field.number for field in payment_pb2.Entry.DESCRIPTOR.fields} == {
    "participant": ENTRY_PARTICIPANT, "asset": ENTRY_ASSET, "amount_minor": ENTRY_AMOUNT_MINOR,
}
assert {field.name: field.number for field in timestamp_pb2.Timestamp.DESCRIPTOR.fields} == {
    "seconds": SECONDS, "nanos": NANOS,
}
assert SettlementFact._fields == (
    "event_id", "sequence", "uetr", "debtor_agent", "state", "reason", "rail", "corridor_id", "rail_reference",
    "entries", "prepared_time_ms", "final_time_ms", "request_id", "note",
)
assert Entry._fields == ("participant", "asset", "amount_minor") and ROOM >= EVENT_BYTES_MAX

EVENT_BYTES = EVENT_BYTES_MAX
COMMITTED, ABORTED = State.COMMITTED, State.ABORTED
COMMITTED_NUMBER, ABORTED_NUMBER = payment_pb2.PAYMENT_STATE_COMMITTED, payment_pb2.PAYMENT_STATE_ABORTED
cdef list ASSET_NAMES = [None if member is None else member.name for member in members_of(Asset)]

ATTRIBUTES = attributes("", SETTLEMENT_TOPIC, "", b"", 0)
cdef tuple VERSION = ATTRIBUTES[0], SOURCE = ATTRIBUTES[2], TYPE = ATTRIBUTES[3], CONTENT = ATTRIBUTES[7]
assert [name for name, _ in ATTRIBUTES] == [
    "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_partitionkey", "content-type",
]


# --- a record, from its end to its front -----------------------------------------------------------------------------


cdef inline int64_t _int(Out *out, object value) noexcept:
    """A bool is left to the reference."""
    if type(value) is bool:
        out.failed = True
    return int_of(out, value)


cdef inline void _entry(Out *out, object entry) noexcept:
    cdef const uint8_t *end = out.at
    if type(entry) is not Entry or type((<tuple> entry)[1]) is not Asset:
        out.failed = True
        return
    put_number(out, ENTRY_AMOUNT_MINOR, _int(out, (<tuple> entry)[2]))
    put_text(out, ENTRY_ASSET, ASSET_NAMES[int_of(out, (<tuple> entry)[1])])
    put_text(out, ENTRY_PARTICIPANT, (<tuple> entry)[0])
    put_head(out, ENTRIES, end)


cdef void _value(Out *out, tuple fact, int64_t prepared_time_ms, int64_t final_time_ms) noexcept:
    cdef tuple entries = <tuple> fact[9]
    cdef bytes note = <bytes> fact[13]
    cdef Py_ssize_t place
    put_bytes(out, NOTE, PyBytes_AS_STRING(note), len(note))
    put_text(out, REQUEST_ID, fact[12])
    put_time(out, FINAL_TIME, final_time_ms)
    put_time(out, PREPARED_TIME, prepared_time_ms)
    for place in range(len(entries) - 1, -1, -1):
        _entry(out, entries[place])
    put_text(out, RAIL_REFERENCE, fact[8])
    put_text(out, CORRIDOR, fact[7])
    put_text(out, RAIL, fact[6])
    put_text(out, REASON, fact[5])
    put_number(out, STATE, COMMITTED_NUMBER if fact[4] is COMMITTED else ABORTED_NUMBER)
    put_text(out, DEBTOR_AGENT, fact[3])
    put_text(out, UETR, fact[2])
    put_number(out, SEQUENCE, _int(out, fact[1]))
    put_text(out, EVENT_ID, fact[0])


cdef bytes _time_text(int64_t ms):
    """As envelope.attributes writes it."""
    cdef bytes second = second_text(ms // 1000)
    cdef int left = <int> (ms % 1000)
    cdef bytes text = PyBytes_FromStringAndSize(NULL, MILLISECONDS)
    cdef char *at = PyBytes_AS_STRING(text)
    if len(second) != SECOND:
        raise ValueError("a year of four digits")
    memcpy(at, PyBytes_AS_STRING(second), SECOND)
    at[19], at[20], at[21], at[22], at[23] = c".", 48 + left // 100, 48 + left // 10 % 10, 48 + left % 10, c"Z"
    return text


def record_of(fact):
    """Key, value and headers of a fact's record: see the reference."""
    cdef uint8_t[ROOM] room
    cdef Out out = Out(&room[0] + ROOM, &room[0], False)
    cdef int64_t prepared_time_ms, final_time_ms
    cdef bytes event_id, key, value
    if type(fact) is not SettlementFact:
        return _reference.record_of(fact)
    cdef tuple told = <tuple> fact
    if type(told[9]) is not tuple or type(told[13]) is not bytes:
        return _reference.record_of(fact)
    prepared_time_ms, final_time_ms = _int(&out, told[10]), _int(&out, told[11])
    if told[4] is COMMITTED or told[4] is ABORTED:
        _value(&out, told, prepared_time_ms, final_time_ms)
    else:
        out.failed = True
    if out.failed or &room[0] + ROOM - out.at > EVENT_BYTES:
        return _reference.record_of(fact)
    value = PyBytes_FromStringAndSize(<const char *> out.at, &room[0] + ROOM - out.at)
    event_id, key = (<str> told[0]).encode(), (<str> told[3]).encode("ascii")
    subject = event_id if told[2] is told[0] else (<str> told[2]).encode()
    return key, value, [
        VERSION, ("ce_id", event_id), SOURCE, TYPE, ("ce_subject", subject),
        ("ce_time", _time_text(final_time_ms)), ("ce_partitionkey", key), CONTENT,
    ]
