# A look at a message without reading it, in C: the twin of `_look.Finder`. Nothing is handed to the plain twin here,
# for there is nothing to refuse: what stands in the message is found, or None.

from adapters.wire._leaf cimport Piece


cdef class Finder:
    cdef tuple _kept            # the bytes that pieces point into
    cdef Piece *_names          # `Name>` of each; owned
    cdef Py_ssize_t _count

    cpdef tuple find(self, bytes data)
