# The XML codec in C: one message's table, flattened once, walked for every message.
#
# Two programs are made from the tree of `_layout`:
#   write   a straight line of steps with jumps over optional elements: no tree, no search
#   read    the elements in document order, each with its place among its siblings: what is expected next is tried first
# A message that stands as the first writes it is read by running that backwards (`_straight`), any other by the second.
# Neither makes a Python object but the values of the record. What they do not recognise at once goes to the plain twin.

from cpython.object cimport PyObject

from adapters.wire._leaf cimport Leaf, Piece
from adapters.wire._straight cimport Step


cdef struct Element:
    Piece open                  # `<Name` and the declaration of its namespace, without `>`
    Piece close                 # `</Name>`
    Leaf *attributes            # attribute_count of them
    Py_ssize_t attribute_count
    Leaf *text                  # NULL = holds elements
    Py_ssize_t first_child      # index of an element; -1 = none
    Py_ssize_t next_sibling     # -1 = the last
    bint expected               # must stand wherever its parent does
    bint constant               # has no slots: may hold no value
    int depth                   # 1 = the root
    Py_ssize_t ignored_count    # children whose content is skipped; they stand anywhere among the others
    Piece *ignored              # `<Name`, with a declaration where its namespace is another; owned by the codec


cdef class XmlView


cdef class XmlCodec:
    cdef readonly object spec
    cdef readonly object record
    cdef object _reference      # the plain twin: what is not recognised goes there
    cdef list _kept             # the bytes that pieces point into
    cdef Py_ssize_t _slots      # fields of the record
    cdef Leaf *_leaves
    cdef Py_ssize_t _leaf_count
    cdef Step *_steps
    cdef Py_ssize_t _step_count
    cdef Element *_elements     # in document order; 0 = the root
    cdef Py_ssize_t _element_count

    cpdef bytes write(self, record)
    cpdef object read(self, bytes data)
    cpdef XmlView view(self, record)
    cdef object taken(self, bytes data, record, Py_ssize_t size, const int *places)


cdef class XmlView:
    cdef readonly object record
    cdef XmlCodec _codec        # its tables
    cdef object _reference      # the plain twin
    cdef int *_places           # by slot, as Cursor.places
    cdef Py_ssize_t _size       # fields of the record

    cpdef object read(self, bytes data)
