# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Records of the topic -> facts and digests, compiled. switch/events/_event_wire_reference.py is its specification.

Only what the relay writes is read here: its headers in their order, fields in ascending order, each at most once, none
unknown, every value valid. For anything else the reference has the word, which refuses in words; so this code may know
too little and never too much.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from hashlib import sha256

from switch._wire cimport (
    ENTRY_AMOUNT_MINOR, ENTRY_ASSET, ENTRY_PARTICIPANT, ENUM_MAX, LENGTH_DELIMITED, NANOS, SECONDS, VARINT, Code,
    members_of, name_codes, named,
)
from switch.events._event_writer cimport (
    ABORTED, ABORTED_NUMBER, ATTRIBUTES, COMMITTED, COMMITTED_NUMBER, CORRIDOR, DEBTOR_AGENT, ENTRIES, EVENT_BYTES,
    EVENT_ID, FINAL_TIME, NOTE, PREPARED_TIME, RAIL, RAIL_REFERENCE, REASON, REQUEST_ID, SEQUENCE, STATE, UETR,
)

from switch.domain.money import Asset
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.events import _event_wire_reference as _reference


cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject *kind, Py_ssize_t items)
    object PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors)


cdef enum:
    FIELDS = 14             # of a SettlementEvent, an Entry, a Timestamp
    ENTRY_FIELDS = 3
    TIME_FIELDS = 2
    NUMBERS_OF_EVENT = 1 << SEQUENCE | 1 << STATE  # which fields are numbers: bit n for field n
    NUMBERS_OF_ENTRY = 1 << ENTRY_AMOUNT_MINOR
    NUMBERS_OF_TIME = 1 << SECONDS | 1 << NANOS
    ENTRIES_MAX = 64
    HEADERS = 8

cdef uint64_t SECONDS_MAX = 1 << 40  # no time of ours is that late; Unix milliseconds of it fit
cdef list ASSETS = members_of(Asset)
cdef Code[ENUM_MAX + 1] CODES   # by asset
name_codes(CODES, ASSETS)
cdef list NAMES = [name for name, _ in ATTRIBUTES], NAME_BYTES = [name.encode() for name in NAMES]
cdef bytes VERSION = ATTRIBUTES[0][1], TYPE = ATTRIBUTES[3][1], CONTENT = ATTRIBUTES[7][1]
assert [name.startswith("ce_") for name in NAMES] == [True] * (HEADERS - 1) + [False]


# --- fields ----------------------------------------------------------------------------------------------------------


cdef struct Piece:              # one field
    const uint8_t *start        # its content; NULL = not there, or a number
    uint64_t size               # bytes of the content, or the number


cdef const uint8_t *_varint(const uint8_t *at, const uint8_t *end, uint64_t *value) noexcept:
    """The end of a varint in its shortest form; NULL: it is not, does not end, or is of more than 64 bits."""
    cdef int shift = 0
    cdef uint8_t byte
    value[0] = 0
    while at < end and shift < 64:
        byte = at[0]
        at += 1
        if shift == 63 and byte > 1:
            return NULL
        value[0] |= <uint64_t> (byte & 0x7F) << shift
        if byte < 0x80:
            return at if byte or not shift else NULL
        shift += 7
    return NULL


cdef bint _split(Piece *message, Piece *pieces, int fields, uint32_t numbers, Piece *many, int *found) noexcept:
    """Fields 1 .. `fields` in ascending order, each at most once; but ENTRIES of an event, which go into `many`."""
    cdef const uint8_t *at = message.start
    cdef const uint8_t *end = at + message.size
    cdef int field, last = 0
    cdef bint is_number
    cdef uint64_t tag = 0
    cdef Piece piece
    for field in range(fields + 1):
        pieces[field].start, pieces[field].size = NULL, 0
    while at < end:
        at = _varint(at, end, &tag)
        if at == NULL or tag >> 3 > <uint64_t> fields or tag >> 3 == 0:
            return False
        field = <int> (tag >> 3)
        if field < last or (field == last and (many == NULL or field != ENTRIES)):
            return False
        last = field
        is_number = numbers >> field & 1
        if tag & 7 != <uint64_t> (VARINT if is_number else LENGTH_DELIMITED):
            return False
        at = _varint(at, end, &piece.size)
        if at == NULL:
            return False
        piece.start = NULL
        if not is_number:
            if piece.size > <uint64_t> (end - at):
                return False
            piece.start = at
            at += piece.size
        pieces[field] = piece
        if many != NULL and field == ENTRIES:
            if found[0] == ENTRIES_MAX:
                return False
            many[found[0]] = piece
            found[0] += 1
    return True


cdef bint _time(Piece *message, int64_t *ms) noexcept:
    """Unix milliseconds; 0 when it was not set."""
    cdef Piece[TIME_FIELDS + 1] piece
    ms[0] = 0
    if message.start == NULL:
        return True
    if not _split(message, piece, TIME_FIELDS, NUMBERS_OF_TIME, NULL, NULL):
        return False
    if piece[SECONDS].size >= SECONDS_MAX or piece[NANOS].size >= 1_000_000_000:
        return False
    ms[0] = <int64_t> (piece[SECONDS].size * 1000 + piece[NANOS].size // 1_000_000)
    return True


# --- values ----------------------------------------------------------------------------------------------------------


cdef inline str _str(const Piece *piece):
    """Raises UnicodeDecodeError."""
    return PyUnicode_DecodeUTF8(<const char *> piece.start, <Py_ssize_t> piece.size, NULL) if piece.size else ""


cdef inline void _put(object made, Py_ssize_t place, object value) noexcept:
    Py_INCREF(value)
    PyTuple_SET_ITEM(made, place, value)


cdef object _entries(Piece *messages, int number):
    """None: one of them is not plain."""
    cdef list entries = []
    cdef Piece[ENTRY_FIELDS + 1] piece
    cdef int place, asset
    for place in range(number):
        if not _split(&messages[place], piece, ENTRY_FIELDS, NUMBERS_OF_ENTRY, NULL, NULL):
            return None
        asset = named(CODES, piece[ENTRY_ASSET].start, <Py_ssize_t> piece[ENTRY_ASSET].size)
        if not asset:
            return None
        entry = PyType_GenericAlloc(<PyTypeObject *> Entry, ENTRY_FIELDS)
        _put(entry, 0, _str(&piece[ENTRY_PARTICIPANT]))
        _put(entry, 1, ASSETS[asset])
        _put(entry, 2, <int64_t> piece[ENTRY_AMOUNT_MINOR].size)
        entries.append(entry)
    return tuple(entries)


cdef object _fact(bytes value, bytes ce_id):
    """None: not plain. UnicodeDecodeError: neither."""
    cdef Piece[FIELDS + 1] piece
    cdef Piece[ENTRIES_MAX] messages
    cdef Piece whole
    cdef int number = 0
    cdef int64_t prepared_time_ms, final_time_ms
    whole.start, whole.size = <const uint8_t *> PyBytes_AS_STRING(value), <uint64_t> len(value)
    if not _split(&whole, piece, FIELDS, NUMBERS_OF_EVENT, messages, &number):
        return None
    if not (_time(&piece[PREPARED_TIME], &prepared_time_ms) and _time(&piece[FINAL_TIME], &final_time_ms)):
        return None
    if not piece[EVENT_ID].size or not piece[UETR].size or not piece[DEBTOR_AGENT].size:
        return None
    if <uint64_t> len(ce_id) != piece[EVENT_ID].size or <int64_t> piece[SEQUENCE].size <= 0:
        return None
    if memcmp(PyBytes_AS_STRING(ce_id), piece[EVENT_ID].start, len(ce_id)):
        return None
    if <int64_t> piece[STATE].size != COMMITTED_NUMBER and <int64_t> piece[STATE].size != ABORTED_NUMBER:
        return None
    cdef object entries = _entries(messages, number)
    if entries is None:
        return None
    fact = PyType_GenericAlloc(<PyTypeObject *> SettlementFact, FIELDS)
    cdef object made = _texts(fact, piece)
    _put(fact, 1, <int64_t> piece[SEQUENCE].size)
    _put(fact, 4, COMMITTED if <int64_t> piece[STATE].size == COMMITTED_NUMBER else ABORTED)
    _put(fact, 9, entries)
    _put(fact, 10, prepared_time_ms)
    _put(fact, 11, final_time_ms)
    _put(fact, 13, PyBytes_FromStringAndSize(<const char *> piece[NOTE].start, <Py_ssize_t> piece[NOTE].size))
    return made


cdef object _texts(object fact, Piece *piece):
    """Puts the texts of a fact into it; raises UnicodeDecodeError before anybody sees it."""
    _put(fact, 0, _str(&piece[EVENT_ID]))
    _put(fact, 2, _str(&piece[UETR]))
    _put(fact, 3, _str(&piece[DEBTOR_AGENT]))
    _put(fact, 5, _str(&piece[REASON]))
    _put(fact, 6, _str(&piece[RAIL]))
    _put(fact, 7, _str(&piece[CORRIDOR]))
    _put(fact, 8, _str(&piece[RAIL_REFERENCE]))
    _put(fact, 12, _str(&piece[REQUEST_ID]))
    return fact


cdef bytes _ce_id(object headers):
    """The id among headers that are ours, all of them and in our order; None: they are not."""
    cdef Py_ssize_t place
    cdef tuple given
    if type(headers) is not tuple or len(<tuple> headers) != HEADERS:
        return None
    for place in range(HEADERS):
        one = (<tuple> headers)[place]
        if type(one) is not tuple or len(<tuple> one) != 2 or (<tuple> one)[0] != NAMES[place]:
            return None
        if type((<tuple> one)[1]) is not bytes:
            return None
    given = <tuple> headers
    if given[0][1] != VERSION or given[3][1] != TYPE or given[7][1] != CONTENT:
        return None
    return <bytes> given[1][1]


# --- Python's side ---------------------------------------------------------------------------------------------------


def fact_of(value, headers):
    """The fact of a record: see the reference."""
    cdef bytes ce_id = _ce_id(headers)
    cdef object fact = None
    if ce_id is not None and type(value) is bytes and len(<bytes> value) <= EVENT_BYTES:
        try:
            fact = _fact(<bytes> value, ce_id)
        except UnicodeDecodeError:
            fact = None
    return _reference.fact_of(value, headers) if fact is None else fact


def digest_of(bytes key not None, bytes value not None, headers):
    """The digest of a record: see the reference."""
    cdef list parts
    cdef bytes ours
    cdef uint8_t *at
    cdef Py_ssize_t place, size = 0, length
    if _ce_id(headers) is None:
        return _reference.digest_of(key, value, headers)
    parts = [key, value]
    for place in range(HEADERS - 1):  # the last, the content's type, is none of CloudEvents
        parts.append(NAME_BYTES[place])
        parts.append((<tuple> (<tuple> headers)[place])[1])
    for part in parts:
        size += len(<bytes> part)
    length = len(parts)
    ours = PyBytes_FromStringAndSize(NULL, 4 * (length + 1) + size)
    at = <uint8_t *> PyBytes_AS_STRING(ours)
    at = _big_endian(at, length)
    for part in parts:
        at = _big_endian(at, len(<bytes> part))
    for part in parts:
        memcpy(at, PyBytes_AS_STRING(<bytes> part), len(<bytes> part))
        at += len(<bytes> part)
    return sha256(ours).digest()


cdef inline uint8_t *_big_endian(uint8_t *at, Py_ssize_t number) noexcept:
    at[0], at[1] = <uint8_t> (number >> 24), <uint8_t> (number >> 16)
    at[2], at[3] = <uint8_t> (number >> 8), <uint8_t> number
    return at + 4
