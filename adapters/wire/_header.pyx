# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled header codec and framing: the twins of those in `_reference`. The contract is in `_header.pxd`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy, memset

from adapters.wire._digits cimport all_digits, day_number, digits_value
from adapters.wire._layout import places_in
from adapters.wire._leaf cimport Piece
from adapters.wire._reference import HeaderCodec as _Reference
from adapters.wire.spec import Kind
from switch.errors import CodecError


cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        pass
    int PyTuple_Check(object value)
    int PyUnicode_Check(PyObject *value)
    Py_ssize_t PyTuple_GET_SIZE(object record)
    PyObject *PyTuple_GET_ITEM(object record, Py_ssize_t place)
    int PyUnicode_IS_ASCII "PyUnicode_IS_COMPACT_ASCII" (PyObject *text)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *text)
    char *PyUnicode_DATA(PyObject *text)
    PyObject *PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar) except NULL
    void PyTuple_SET_ITEM(object record, Py_ssize_t place, PyObject *value)
    object PyType_GenericAlloc(PyTypeObject *record, Py_ssize_t size)  # a tuple whose values are all NULL


cdef enum:
    ASCII = 1
    DIGITS = 2
    CODE = 3
    HEADER_DATE = 10
    HEADER_TIME = 11

assert (Kind.ASCII, Kind.DIGITS, Kind.CODE) == (ASCII, DIGITS, CODE)
assert (Kind.HEADER_DATE, Kind.HEADER_TIME) == (HEADER_DATE, HEADER_TIME)


cdef class HeaderCodec:
    """A fixed-width ASCII header; see `_reference.HeaderCodec`, whose promises these are."""

    def __cinit__(self, spec, record):
        self._kept = []
        self._reference = _Reference(spec, record)
        self.spec = spec
        self.record = record
        self.length = self._reference.length
        self._value_count = len(record._fields)
        self._slot_count = len(spec.fields)
        self._slots = <Slot *> PyMem_Calloc(self._slot_count or 1, sizeof(Slot))
        if self._slots == NULL:
            raise MemoryError
        for place, field in enumerate(spec.fields):
            _lay_slot(self, &self._slots[<Py_ssize_t> place], field)

    def __dealloc__(self):
        cdef Py_ssize_t place
        if self._slots != NULL:
            for place in range(self._slot_count):
                PyMem_Free(self._slots[place].codes)
        PyMem_Free(self._slots)

    @classmethod
    def __class_getitem__(cls, _):
        return cls

    cpdef bytes write(self, record):
        """See `_reference.HeaderCodec.write`."""
        cdef bytes made
        if PyTuple_Check(record) and PyTuple_GET_SIZE(record) == self._value_count:
            made = PyBytes_FromStringAndSize(NULL, self.length)
            if _write(self._slots, self._slot_count, record, PyBytes_AS_STRING(made)):
                return made
        return self._reference.write(record)

    cpdef object read(self, bytes data):
        """See `_reference.HeaderCodec.read`."""
        made = self.taken(data, self.record, self._value_count, NULL)
        return self._reference.read(data) if made is None else made

    cpdef HeaderView view(self, record):
        """See `_reference.HeaderCodec.view`."""
        return HeaderView(self, record)

    cdef object taken(self, bytes data, record, Py_ssize_t size, const int *places):
        """A record of `size` values, or None where anything is not recognised. `places` as in `_straight.Cursor`."""
        cdef const char *at
        cdef Slot *slot
        cdef Py_ssize_t number, length, place, item = 0
        cdef PyObject *text
        if data is None or PyBytes_GET_SIZE(data) != self.length:
            return None
        made = PyType_GenericAlloc(<PyTypeObject *> record, size)
        at = PyBytes_AS_STRING(data)
        for number in range(self._slot_count):
            slot = &self._slots[number]
            if slot.constant.length:
                if memcmp(at, slot.constant.start, slot.length) != 0:
                    return None
            else:
                length = slot.length
                while length and at[length - 1] == 0x20:
                    length -= 1
                if not _is_right(slot, at, length):
                    return None
                place = item if places == NULL else places[item]
                if place >= 0:
                    text = PyUnicode_New(length, 127)
                    memcpy(PyUnicode_DATA(text), at, length)
                    PyTuple_SET_ITEM(made, place, text)
                item += 1
            at += slot.length
        return made


cdef class HeaderView:
    """Some fields of one header; see `_reference.View`, whose promises these are."""

    def __cinit__(self, HeaderCodec codec, record):
        self._codec = codec
        self._reference = codec._reference.view(record)
        self.record = record
        self._size = len(record._fields)
        self._places = <int *> PyMem_Calloc(codec._value_count or 1, sizeof(int))
        if self._places == NULL:
            raise MemoryError
        for item, place in enumerate(places_in(record, codec.record)):
            self._places[<Py_ssize_t> item] = place

    def __dealloc__(self):
        PyMem_Free(self._places)

    cpdef object read(self, bytes data):
        """See `_reference.View.read`."""
        made = self._codec.taken(data, self.record, self._size, self._places)
        return self._reference.read(data) if made is None else made


cdef int _lay_slot(HeaderCodec codec, Slot *made, field) except -1:
    made.kind, made.length, made.required = field.kind, field.length, field.required
    made.constant = _held(codec._kept, field.const.encode())
    made.codes = <Piece *> PyMem_Calloc(len(field.codes) or 1, sizeof(Piece))
    if made.codes == NULL:
        raise MemoryError
    made.code_count = len(field.codes)
    for place, code in enumerate(field.codes):
        made.codes[<Py_ssize_t> place] = _held(codec._kept, code.encode())
    return 0


cdef Piece _held(list kept, bytes text):
    """A piece of bytes that live as long as their codec."""
    cdef Piece made
    kept.append(text)
    made.start = PyBytes_AS_STRING(text)
    made.length = PyBytes_GET_SIZE(text)
    return made


cdef bint _write(const Slot *slots, Py_ssize_t count, object record, char *at) noexcept:
    """Fill the header at `at`; False when a value is not recognised."""
    cdef Py_ssize_t place, length, item = 0
    cdef PyObject *value
    cdef const char *text
    for place in range(count):
        length = slots[place].length
        if slots[place].constant.length:
            memcpy(at, slots[place].constant.start, length)
            at += length
            continue
        value = PyTuple_GET_ITEM(record, item)
        item += 1
        if not PyUnicode_Check(value) or not PyUnicode_IS_ASCII(value) or PyUnicode_GET_LENGTH(value) > length:
            return False
        text = PyUnicode_DATA(value)
        length = PyUnicode_GET_LENGTH(value)
        if not _is_right(&slots[place], text, length):
            return False
        memcpy(at, text, length)
        memset(at + length, 0x20, slots[place].length - length)
        at += slots[place].length
    return True


cdef bint _is_right(const Slot *slot, const char *text, Py_ssize_t length) noexcept:
    """Text without the padding: does it keep the rule of the slot?"""
    cdef Py_ssize_t place
    if length == 0:
        return not slot.required
    if text[length - 1] == 0x20:
        return False
    if slot.kind == ASCII:
        for place in range(length):
            if not 0x20 <= <uint8_t> text[place] <= 0x7E:
                return False
        return True
    if slot.kind == DIGITS:
        return all_digits(text, length)
    if slot.kind == CODE:
        for place in range(slot.code_count):
            if slot.codes[place].length == length and memcmp(slot.codes[place].start, text, length) == 0:
                return True
        return False
    if not all_digits(text, length):
        return False
    if slot.kind == HEADER_DATE:
        if length != 8:
            return False
        return day_number(digits_value(text, 4), digits_value(text + 4, 2), digits_value(text + 6, 2)) >= 0
    if length != 6:
        return False
    return digits_value(text, 2) < 24 and digits_value(text + 2, 2) < 60 and digits_value(text + 4, 2) < 60


# --- framing ----------------------------------------------------------------------------------------------------------


cpdef bytes frame(bytes payload):
    """See `_reference.frame`."""
    cdef Py_ssize_t length = len(payload)
    cdef bytes made
    cdef char *at
    if length > 0xFFFFFFFF:
        raise CodecError("/", "SIZE")
    made = PyBytes_FromStringAndSize(NULL, length + 4)
    at = PyBytes_AS_STRING(made)
    at[0], at[1], at[2], at[3] = <char> (length >> 24), <char> (length >> 16), <char> (length >> 8), <char> length
    memcpy(at + 4, PyBytes_AS_STRING(payload), length)
    return made


cdef class Deframer:
    """See `_reference.Deframer`, whose promises these are."""

    def __cinit__(self, max_bytes):
        if not 0 < max_bytes <= 0xFFFFFFFF:
            raise ValueError("max_bytes is 1 to 2**32 - 1")
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def pending_bytes(self):
        """Bytes of an unfinished frame: not 0 at the end of a stream means that it was cut."""
        return len(self._buffer)

    cpdef list feed(self, data):
        """See `_reference.Deframer.feed`."""
        cdef const char *start
        cdef Py_ssize_t left, length, done = 0
        cdef list payloads = []
        self._buffer += data
        start = PyByteArray_AS_STRING(self._buffer)
        left = PyByteArray_GET_SIZE(self._buffer)
        while left >= 4:
            length = _length(<const uint8_t *> start + done)
            if length > self._max_bytes:
                del self._buffer[:done], self._buffer[4:]
                raise CodecError("/", "SIZE")
            if left < length + 4:
                break
            payloads.append(PyBytes_FromStringAndSize(start + done + 4, length))
            done += length + 4
            left -= length + 4
        if done:
            del self._buffer[:done]
        return payloads


cdef inline Py_ssize_t _length(const uint8_t *at) noexcept:
    return (<Py_ssize_t> at[0] << 24) | (<Py_ssize_t> at[1] << 16) | (<Py_ssize_t> at[2] << 8) | at[3]
