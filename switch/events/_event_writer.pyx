# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Facts -> records of the topic, compiled. switch/events/_event_wire_reference.py is its specification.

A value is written from its end to its front: a part's length is known when its head is written, and nothing is measured
first. What does not fit into the room for it, or is not what the domain says, is left to the reference.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from bayswitch.v1 import event_pb2, payment_pb2
from google.protobuf import timestamp_pb2

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.events import _event_wire_reference as _reference
from switch.events.envelope import attributes, second_text
from switch.events.schema import SETTLEMENT_TOPIC
from switch.limits import EVENT_BYTES_MAX


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size) noexcept
    long long PyLong_AsLongLongAndOverflow(PyObject *value, int *overflow) noexcept
    void PyErr_Clear()


COMPILED = True

cdef enum:                  # numbers of fields
    EVENT_ID = 1            # SettlementEvent
    SEQUENCE = 2
    UETR = 3
    DEBTOR_AGENT = 4
    STATE = 5
    REASON = 6
    RAIL = 7
    CORRIDOR = 8
    RAIL_REFERENCE = 9
    ENTRIES = 10
    PREPARED_TIME = 11
    FINAL_TIME = 12
    REQUEST_ID = 13
    NOTE = 14
    PARTICIPANT = 1         # Entry
    ASSET = 2
    AMOUNT_MINOR = 3
    SECONDS = 1             # google.protobuf.Timestamp
    NANOS = 2
    LENGTH_DELIMITED = 2    # wire types
    VARINT = 0
    ROOM = 8192             # bytes of one value; one is about 700
    HEAD_ROOM = 32          # more than any number or head takes
    ENUM_MAX = 15           # members stand in tables of 16
    SECOND = 19             # characters of 2026-11-23T06:00:00
    MILLISECONDS = 24       # and with .000Z behind them

# A field of the contract or of the domain that is moved, renamed or added stops the import, not an event.
assert {field.name: field.number for field in event_pb2.SettlementEvent.DESCRIPTOR.fields} == {
    "event_id": EVENT_ID, "sequence": SEQUENCE, "uetr": UETR, "debtor_agent": DEBTOR_AGENT, "state": STATE,
    "reason": REASON, "rail": RAIL, "corridor": CORRIDOR, "rail_reference": RAIL_REFERENCE, "entries": ENTRIES,
    "prepared_time": PREPARED_TIME, "final_time": FINAL_TIME, "request_id": REQUEST_ID, "note": NOTE,
}
assert {field.name: field.number for field in payment_pb2.Entry.DESCRIPTOR.fields} == {
    "participant": PARTICIPANT, "asset": ASSET, "amount_minor": AMOUNT_MINOR,
}
assert {field.name: field.number for field in timestamp_pb2.Timestamp.DESCRIPTOR.fields} == {
    "seconds": SECONDS, "nanos": NANOS,
}
assert SettlementFact._fields == (
    "event_id", "sequence", "uetr", "debtor_agent", "state", "reason", "rail", "corridor_id", "rail_reference",
    "entries", "prepared_time_ms", "final_time_ms", "request_id", "note",
)
assert Entry._fields == ("participant", "asset", "amount_minor") and ROOM >= EVENT_BYTES_MAX

cdef Py_ssize_t EVENT_BYTES = EVENT_BYTES_MAX
cdef object COMMITTED = State.COMMITTED, ABORTED = State.ABORTED
cdef int COMMITTED_NUMBER = payment_pb2.PAYMENT_STATE_COMMITTED, ABORTED_NUMBER = payment_pb2.PAYMENT_STATE_ABORTED
assert all([0 < member <= ENUM_MAX for member in Asset])
cdef dict _names = {int(member): member.name for member in Asset}
cdef list ASSET_NAMES = [_names.get(number) for number in range(ENUM_MAX + 1)]

# Attributes that all records share, as the reference puts them.
cdef list _shared = attributes("", SETTLEMENT_TOPIC, "", b"", 0)
cdef tuple VERSION = _shared[0], SOURCE = _shared[2], TYPE = _shared[3], CONTENT = _shared[7]
assert [name for name, _ in _shared] == [
    "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_partitionkey", "content-type",
]


# --- parts, from the end to the front --------------------------------------------------------------------------------


cdef struct Out:
    uint8_t *at             # where the last byte was written
    const uint8_t *floor    # nothing is written before it
    bint failed             # what was written is of no use


cdef inline bint _has_room(Out *out, Py_ssize_t size) noexcept:
    """True when `size` bytes and a head can be written."""
    if out.at - out.floor < size + HEAD_ROOM:
        out.failed = True
    return not out.failed


cdef inline void _varint(Out *out, uint64_t value) noexcept:
    cdef Py_ssize_t size = 1
    cdef uint64_t rest = value
    while rest >= 0x80:
        rest >>= 7
        size += 1
    out.at -= size
    cdef uint8_t *at = out.at
    while value >= 0x80:
        at[0] = <uint8_t> (value & 0x7F | 0x80)
        at += 1
        value >>= 7
    at[0] = <uint8_t> value


cdef inline void _head(Out *out, int field, const uint8_t *end) noexcept:
    """The length of what stands between here and `end`, and the tag."""
    if _has_room(out, 0):
        _varint(out, <uint64_t> (end - out.at))
        _varint(out, <uint64_t> field << 3 | LENGTH_DELIMITED)


cdef inline void _number(Out *out, int field, int64_t value) noexcept:
    """A number, nothing when zero; a negative one has ten bytes."""
    if value and _has_room(out, 0):
        _varint(out, <uint64_t> value)
        _varint(out, <uint64_t> field << 3 | VARINT)


cdef inline int64_t _int(Out *out, object value) noexcept:
    cdef int overflow = 1
    cdef int64_t number = 0
    if isinstance(value, int) and type(value) is not bool:
        number = PyLong_AsLongLongAndOverflow(<PyObject *> value, &overflow)
    if overflow:
        out.failed = True
    return number


cdef inline void _bytes(Out *out, int field, const char *start, Py_ssize_t size) noexcept:
    """Nothing when empty."""
    cdef const uint8_t *end = out.at
    if size and _has_room(out, size):
        out.at -= size
        memcpy(out.at, start, size)
        _head(out, field, end)


cdef void _text(Out *out, int field, object value) noexcept:
    cdef Py_ssize_t size = 0
    cdef const char *text = NULL
    if isinstance(value, str):
        text = PyUnicode_AsUTF8AndSize(<PyObject *> value, &size)
    if text == NULL:  # no text, or one with a lone surrogate
        PyErr_Clear()
        out.failed = True
    else:
        _bytes(out, field, text, size)


cdef inline void _time(Out *out, int field, int64_t ms) noexcept:
    cdef const uint8_t *end = out.at
    if ms < 0:
        out.failed = True
        return
    _number(out, NANOS, ms % 1000 * 1_000_000)
    _number(out, SECONDS, ms // 1000)
    _head(out, field, end)


cdef inline void _entry(Out *out, object entry) noexcept:
    cdef const uint8_t *end = out.at
    if type(entry) is not Entry or type((<tuple> entry)[1]) is not Asset:
        out.failed = True
        return
    _number(out, AMOUNT_MINOR, _int(out, (<tuple> entry)[2]))
    _text(out, ASSET, ASSET_NAMES[_int(out, (<tuple> entry)[1])])
    _text(out, PARTICIPANT, (<tuple> entry)[0])
    _head(out, ENTRIES, end)


# --- a record --------------------------------------------------------------------------------------------------------


cdef void _value(Out *out, tuple fact, int64_t prepared_time_ms, int64_t final_time_ms) noexcept:
    cdef tuple entries = <tuple> fact[9]
    cdef bytes note = <bytes> fact[13]
    cdef Py_ssize_t place
    _bytes(out, NOTE, PyBytes_AS_STRING(note), len(note))
    _text(out, REQUEST_ID, fact[12])
    _time(out, FINAL_TIME, final_time_ms)
    _time(out, PREPARED_TIME, prepared_time_ms)
    for place in range(len(entries) - 1, -1, -1):
        _entry(out, entries[place])
    _text(out, RAIL_REFERENCE, fact[8])
    _text(out, CORRIDOR, fact[7])
    _text(out, RAIL, fact[6])
    _text(out, REASON, fact[5])
    _number(out, STATE, COMMITTED_NUMBER if fact[4] is COMMITTED else ABORTED_NUMBER)
    _text(out, DEBTOR_AGENT, fact[3])
    _text(out, UETR, fact[2])
    _number(out, SEQUENCE, _int(out, fact[1]))
    _text(out, EVENT_ID, fact[0])


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
