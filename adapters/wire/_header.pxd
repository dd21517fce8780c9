# The fixed-width header and the framing in C. As in the XML codec, what is not recognised goes to the plain twin.

from cpython.object cimport PyObject

from adapters.wire._leaf cimport Piece


cdef struct Slot:
    int kind                    # a spec.Kind: ASCII, DIGITS, CODE, HEADER_DATE or HEADER_TIME
    Py_ssize_t length           # bytes in the header
    bint required               # not all spaces
    Piece constant              # exactly these bytes; empty = a field of the record
    Py_ssize_t code_count       # of CODE, else 0
    Piece *codes                # owned by the codec


cdef class HeaderView


cdef class HeaderCodec:
    cdef readonly object spec
    cdef readonly object record
    cdef readonly Py_ssize_t length     # bytes
    cdef object _reference      # the plain twin
    cdef list _kept             # the bytes that pieces point into
    cdef Slot *_slots           # in order, constants included
    cdef Py_ssize_t _slot_count
    cdef Py_ssize_t _value_count        # fields of the record

    cpdef bytes write(self, record)
    cpdef object read(self, bytes data)
    cpdef HeaderView view(self, record)
    cdef object taken(self, bytes data, record, Py_ssize_t size, const int *places)


cdef class HeaderView:
    cdef readonly object record
    cdef HeaderCodec _codec     # its table
    cdef object _reference      # the plain twin
    cdef int *_places           # value of the header -> place in the record, -1 = checked only
    cdef Py_ssize_t _size       # fields of the record

    cpdef object read(self, bytes data)


cdef class Deframer:
    cdef Py_ssize_t _max_bytes  # of one payload
    cdef bytearray _buffer      # the unfinished frame; begins with a length; after SIZE it is that length for ever

    cpdef list feed(self, data)
