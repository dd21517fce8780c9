# Messages of the contract as bytes, in C: what the compiled parts of switch/api and switch/events share.
#
# A message is written from its end to its front: a part's length is known when its head is written, and nothing is
# measured first. Nothing here refuses: what does not fit into its room, or is not what it should be, makes `failed`
# true, and then the readable path has the word. Who takes a message's numbers from here asserts them when it starts.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size) noexcept
    long long PyLong_AsLongLongAndOverflow(PyObject *value, int *overflow) noexcept
    void PyErr_Clear()


cdef enum:                  # numbers of fields
    MONEY_ASSET = 1         # Money
    MONEY_AMOUNT_MINOR = 2
    ENTRY_PARTICIPANT = 1   # Entry
    ENTRY_ASSET = 2
    ENTRY_AMOUNT_MINOR = 3
    SECONDS = 1             # google.protobuf.Timestamp
    NANOS = 2
    VARINT = 0              # wire types
    LENGTH_DELIMITED = 2
    HEAD_ROOM = 32          # bytes; more than any number or head takes
    ENUM_MAX = 15           # members stand in tables of 16
    CODE_MAX = 8            # bytes of an asset's name


# --- writing ---------------------------------------------------------------------------------------------------------


cdef struct Out:
    uint8_t *at             # where the last byte was written
    const uint8_t *floor    # nothing is written before it
    bint failed             # what was written is of no use


cdef inline bint has_room(Out *out, Py_ssize_t size) noexcept:
    """True when `size` bytes and a head can be written."""
    if out.at - out.floor < size + HEAD_ROOM:
        out.failed = True
    return not out.failed


cdef inline Py_ssize_t varint_size(uint64_t value) noexcept:
    cdef Py_ssize_t size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline void put_varint(Out *out, uint64_t value) noexcept:
    """There has to be room."""
    cdef uint8_t *at = out.at - varint_size(value)
    out.at = at
    while value >= 0x80:
        at[0] = <uint8_t> (value & 0x7F | 0x80)
        at += 1
        value >>= 7
    at[0] = <uint8_t> value


cdef inline void put_head(Out *out, int field, const uint8_t *end) noexcept:
    """The length of what stands between here and `end`, and the tag."""
    if has_room(out, 0):
        put_varint(out, <uint64_t> (end - out.at))
        put_varint(out, <uint64_t> field << 3 | LENGTH_DELIMITED)


cdef inline void put_number(Out *out, int field, int64_t value) noexcept:
    """A number, nothing when zero; a negative one has ten bytes."""
    if value and has_room(out, 0):
        put_varint(out, <uint64_t> value)
        put_varint(out, <uint64_t> field << 3 | VARINT)


cdef inline void put_bytes(Out *out, int field, const char *start, Py_ssize_t size) noexcept:
    """Nothing when empty."""
    cdef const uint8_t *end = out.at
    if size and has_room(out, size):
        out.at -= size
        memcpy(out.at, start, size)
        put_head(out, field, end)


cdef inline void put_text(Out *out, int field, object value) noexcept:
    """A str, nothing when empty."""
    cdef Py_ssize_t size = 0
    cdef const char *text = NULL
    if isinstance(value, str):
        text = PyUnicode_AsUTF8AndSize(<PyObject *> value, &size)
    if text == NULL:  # no text, or one with a lone surrogate
        PyErr_Clear()
        out.failed = True
    else:
        put_bytes(out, field, text, size)


cdef inline void put_time(Out *out, int field, int64_t ms) noexcept:
    """A Timestamp of Unix milliseconds; there and empty when zero."""
    cdef const uint8_t *end = out.at
    if ms < 0:
        out.failed = True
        return
    put_number(out, NANOS, ms % 1000 * 1_000_000)
    put_number(out, SECONDS, ms // 1000)
    put_head(out, field, end)


cdef inline int64_t int_of(Out *out, object value) noexcept:
    """An int of 64 bits, a bool among them."""
    cdef int overflow = 1
    cdef int64_t number = 0
    if isinstance(value, int):
        number = PyLong_AsLongLongAndOverflow(<PyObject *> value, &overflow)
    if overflow:
        out.failed = True
    return number


# --- members of an enum, by number -----------------------------------------------------------------------------------


cdef struct Code:           # the name of a member; size 0 = none
    Py_ssize_t size
    char[CODE_MAX] text


cdef inline list members_of(kind):
    """None where there is none."""
    cdef list members = [None] * (ENUM_MAX + 1)
    for member in kind:
        assert 0 < member <= ENUM_MAX, member
        members[<int> member] = member
    return members


cdef inline int name_codes(Code *codes, list members) except -1:
    """Fills a table of all members."""
    cdef int number
    cdef bytes name
    for number in range(ENUM_MAX + 1):
        name = b"" if members[number] is None else members[number].name.encode()
        assert len(name) <= CODE_MAX, name
        codes[number].size = len(name)
        memcpy(codes[number].text, <const char *> name, len(name))
    return 0


cdef inline int named(const Code *codes, const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """The number of the member with this name, else 0."""
    cdef int number
    if size:
        for number in range(1, ENUM_MAX + 1):
            if codes[number].size == size and memcmp(codes[number].text, text, size) == 0:
                return number
    return 0
