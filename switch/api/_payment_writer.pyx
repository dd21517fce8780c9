# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Payments -> bytes, compiled. switch/api/_payment_wire_reference.py is its specification.

A message is written from its end to its front, see switch/_wire.pxd. What does not fit into the room for it, or is not
what the domain says, is left to the reference.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from bayswitch.v1 import common_pb2, payment_pb2
from google.protobuf import timestamp_pb2

from switch._wire cimport (
    ENTRY_AMOUNT_MINOR, ENTRY_ASSET, ENTRY_PARTICIPANT, LENGTH_DELIMITED, MONEY_AMOUNT_MINOR, MONEY_ASSET, NANOS,
    SECONDS, Out, int_of, members_of, put_head, put_number, put_text, put_time, put_varint, varint_size,
)

from switch.api import _payment_wire_reference as _reference
from switch.api._wire_layout import fields_of
from switch.api.convert import STATE_TO_WIRE
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.payment import Hold, Payment, State, Transition
from switch.domain.position import Entry
from switch.errors import REASONS


cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(PyObject *table, PyObject *key) noexcept
    void PyErr_Clear()


cdef enum:                  # numbers of fields
    UETR = 1                # Payment
    REQUEST_ID = 2
    END_TO_END_ID = 3
    PARTICIPANT = 4
    STATE = 5
    DEBIT = 6
    CREDIT = 7
    CORRIDOR = 8
    RAIL = 9
    RAIL_REFERENCE = 10
    REASON = 11
    ISO_REASON = 12
    RAIL_CODE = 13
    QUOTE_ID = 14
    PREPARED_TIME = 15
    FINAL_TIME = 16
    ENTRIES = 17
    HISTORY = 18
    STEP_STATE = 1          # StateChange
    STEP_TIME = 2
    STEP_REASON = 3
    STEP_RAIL_CODE = 4
    PAYMENT = 1             # SubmitPaymentResponse, SubmitPaymentResult
    REPLAY = 3              # SubmitPaymentResult
    RESULTS = 1             # SubmitPaymentsResponse
    ROOM = 8192             # bytes of one answer; a payment with its history is under 1 KiB
    STATES = 4

# A field of the contract that is moved, renamed, retyped or added stops the import, not a payment.
assert fields_of(payment_pb2.Payment) == {
    "uetr": (UETR, "text"), "request_id": (REQUEST_ID, "text"), "end_to_end_id": (END_TO_END_ID, "text"),
    "participant": (PARTICIPANT, "text"), "state": (STATE, "number"), "debit": (DEBIT, "message"),
    "credit": (CREDIT, "message"), "corridor": (CORRIDOR, "text"), "rail": (RAIL, "text"),
    "rail_reference": (RAIL_REFERENCE, "text"), "reason": (REASON, "text"), "iso_reason": (ISO_REASON, "text"),
    "rail_code": (RAIL_CODE, "text"), "quote_id": (QUOTE_ID, "text"), "prepared_time": (PREPARED_TIME, "message"),
    "final_time": (FINAL_TIME, "message"), "entries": (ENTRIES, "messages"), "history": (HISTORY, "messages"),
}
assert fields_of(common_pb2.Money) == {
    "asset": (MONEY_ASSET, "text"), "amount_minor": (MONEY_AMOUNT_MINOR, "number"),
}
assert fields_of(payment_pb2.Entry) == {
    "participant": (ENTRY_PARTICIPANT, "text"), "asset": (ENTRY_ASSET, "text"),
    "amount_minor": (ENTRY_AMOUNT_MINOR, "number"),
}
assert fields_of(payment_pb2.StateChange) == {
    "state": (STEP_STATE, "number"), "change_time": (STEP_TIME, "message"), "reason": (STEP_REASON, "text"),
    "rail_code": (STEP_RAIL_CODE, "text"),
}
assert fields_of(timestamp_pb2.Timestamp) == {"seconds": (SECONDS, "number"), "nanos": (NANOS, "number")}
assert fields_of(payment_pb2.SubmitPaymentResponse) == {"payment": (PAYMENT, "message")}
assert fields_of(payment_pb2.SubmitPaymentResult) == {
    "payment": (PAYMENT, "message"), "error": (2, "message"), "replay": (REPLAY, "number"),
}
assert fields_of(payment_pb2.SubmitPaymentsResponse) == {"results": (RESULTS, "messages")}
# So does a field of the domain: its values are read by place.
assert Payment._fields == ("hold", "history") and Money._fields == ("asset", "amount_minor")
assert Hold._fields[:6] == ("instruction", "corridor_id", "rail", "entries", "charges", "prepared_time_ms")
assert Instruction._fields[:6] == ("participant", "request_id", "uetr", "end_to_end_id", "debit", "credit")
assert Instruction._fields[11:] == ("quote_id",) and Entry._fields == ("participant", "asset", "amount_minor")
assert Transition._fields[:5] == ("state", "time_ms", "reason", "rail_code", "rail_reference")

cdef Py_ssize_t PAYMENT_PLACES = len(Payment._fields), MONEY_PLACES = len(Money._fields)
cdef Py_ssize_t HOLD_PLACES = len(Hold._fields), INSTRUCTION_PLACES = len(Instruction._fields)
cdef Py_ssize_t ENTRY_PLACES = len(Entry._fields), STEP_PLACES = len(Transition._fields)
cdef object COMMITTED = State.COMMITTED, ABORTED = State.ABORTED

assert len(State) == STATES
cdef tuple STATE_OF = tuple(State)
cdef int[STATES] STATE_NUMBERS
cdef bint[STATES] IS_FINAL
cdef int _place
for _place in range(STATES):
    STATE_NUMBERS[_place] = STATE_TO_WIRE[STATE_OF[_place]]
    IS_FINAL[_place] = STATE_OF[_place].final
cdef list ASSET_NAMES = [None if member is None else member.name for member in members_of(Asset)]
cdef dict ISO = {name: reason.iso for name, reason in REASONS.items()}


# --- parts, from the end to the front --------------------------------------------------------------------------------


cdef inline void _asset(Out *out, int field, object asset) noexcept:
    if type(asset) is Asset:
        put_text(out, field, ASSET_NAMES[int_of(out, asset)])
    else:
        out.failed = True


cdef inline tuple _fields(object value, Py_ssize_t count):
    """`value` as the tuple it is; TypeError for anything else, so that no place is read blindly."""
    if not isinstance(value, tuple) or len(<tuple> value) != count:
        raise TypeError("not a payment of switch.domain")
    return <tuple> value


cdef inline int _state(object state) except -1:
    """Its place in STATE_OF. By identity: the hash of a member is worked out in Python."""
    cdef int place
    for place in range(STATES):
        if STATE_OF[place] is state:
            return place
    raise TypeError("not a state of switch.domain")


# --- messages --------------------------------------------------------------------------------------------------------


cdef int _money(Out *out, int field, object money) except -1:
    cdef tuple value = _fields(money, MONEY_PLACES)
    cdef const uint8_t *end = out.at
    put_number(out, MONEY_AMOUNT_MINOR, int_of(out, value[1]))
    _asset(out, MONEY_ASSET, value[0])
    put_head(out, field, end)
    return 0


cdef int _entry(Out *out, object entry) except -1:
    cdef tuple value = _fields(entry, ENTRY_PLACES)
    cdef const uint8_t *end = out.at
    put_number(out, ENTRY_AMOUNT_MINOR, int_of(out, value[2]))
    _asset(out, ENTRY_ASSET, value[1])
    put_text(out, ENTRY_PARTICIPANT, value[0])
    put_head(out, ENTRIES, end)
    return 0


cdef int _step(Out *out, object step) except -1:
    cdef tuple value = _fields(step, STEP_PLACES)
    cdef const uint8_t *end = out.at
    put_text(out, STEP_RAIL_CODE, value[3])
    put_text(out, STEP_REASON, value[2])
    put_time(out, STEP_TIME, int_of(out, value[1]))
    put_number(out, STEP_STATE, STATE_NUMBERS[_state(value[0])])
    put_head(out, HISTORY, end)
    return 0


cdef int _aborted(Out *out, object reason) except -1:
    """Why: our reason, and the ISO code that stands beside it in the catalogue."""
    cdef PyObject *iso = PyDict_GetItemWithError(<PyObject *> ISO, <PyObject *> reason)
    if iso == NULL:
        PyErr_Clear()
        out.failed = True
        return 0
    put_text(out, ISO_REASON, <object> iso)
    put_text(out, REASON, reason)
    return 0


cdef int _payment(Out *out, object payment) except -1:
    """The field `payment` of an answer."""
    cdef tuple record = _fields(payment, PAYMENT_PLACES)
    cdef tuple hold = _fields(record[0], HOLD_PLACES), history = <tuple?> record[1]
    cdef tuple instruction = _fields(hold[0], INSTRUCTION_PLACES), entries = <tuple?> hold[3]
    if not history:
        raise TypeError("a payment without a history")
    cdef tuple last = _fields(history[len(history) - 1], STEP_PLACES)
    cdef int state = _state(last[0])
    cdef const uint8_t *end = out.at
    cdef Py_ssize_t place
    for place in range(len(history) - 1, -1, -1):
        _step(out, history[place])
    if last[0] is COMMITTED:  # the entries that count
        for place in range(len(entries) - 1, -1, -1):
            _entry(out, entries[place])
    if IS_FINAL[state]:
        put_time(out, FINAL_TIME, int_of(out, last[1]))
    put_time(out, PREPARED_TIME, int_of(out, hold[5]))
    put_text(out, QUOTE_ID, instruction[11])
    put_text(out, RAIL_CODE, last[3])
    if last[0] is ABORTED:
        _aborted(out, last[2])
    put_text(out, RAIL_REFERENCE, last[4])
    put_text(out, RAIL, hold[2])
    put_text(out, CORRIDOR, hold[1])
    _money(out, CREDIT, instruction[5])
    _money(out, DEBIT, instruction[4])
    put_number(out, STATE, STATE_NUMBERS[state])
    put_text(out, PARTICIPANT, instruction[0])
    put_text(out, END_TO_END_ID, instruction[3])
    put_text(out, REQUEST_ID, instruction[1])
    put_text(out, UETR, instruction[2])
    put_head(out, PAYMENT, end)
    return 0


cdef bytes _answer(object payment, bint replay):
    """The bytes of an answer with the payment; None when the reference has to write it."""
    cdef uint8_t[ROOM] room
    cdef Out out = Out(&room[0] + ROOM, &room[0], False)
    put_number(&out, REPLAY, replay)
    _payment(&out, payment)
    return None if out.failed else PyBytes_FromStringAndSize(<const char *> out.at, &room[0] + ROOM - out.at)


# --- Python's side ---------------------------------------------------------------------------------------------------


def write_result(payment, bint replay):
    """A SubmitPaymentResult: see the reference. TypeError: not a payment."""
    cdef bytes written = _answer(payment, replay)
    return _reference.write_result(payment, replay) if written is None else written


def write_response(payment):
    """A SubmitPaymentResponse: see the reference. TypeError: not a payment."""
    cdef bytes written = _answer(payment, False)
    return _reference.write_response(payment) if written is None else written


def write_results(list results not None):
    """A SubmitPaymentsResponse of the bytes of its results: see the reference. TypeError: not bytes."""
    cdef Py_ssize_t size = 0, place
    cdef bytes result, written
    cdef Out out
    for result in results:
        size += 1 + varint_size(len(result)) + len(result)
    written = PyBytes_FromStringAndSize(NULL, size)
    out.at = <uint8_t *> <char *> written + size
    for place in range(len(results) - 1, -1, -1):
        result = <bytes> results[place]
        out.at -= len(result)
        memcpy(out.at, <const char *> result, len(result))
        put_varint(&out, <uint64_t> len(result))
        put_varint(&out, RESULTS << 3 | LENGTH_DELIMITED)
    return written
