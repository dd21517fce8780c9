# The XML codec in C: one message's table, flattened once, walked for every message.
#
# Two programs are made from the tree of `_layout`:
#   write   a straight line of steps with jumps over optional elements: no tree, no search
#   read    the elements in document order, each with its place among its siblings: what is expected next is tried first
# Neither makes a Python object but the values of the record. What they do not recognise at once goes to the plain twin.

from cpython.object cimport PyObject

from adapters.wire._leaf cimport Leaf, Piece


cdef enum Act:
    NOTHING = 0                 # the piece is all
    VALUE = 1                   # append the leaf's value; its absence is not recognised
    JUMP_IF_ABSENT = 2          # to `target` when no slot of first_slot..end_slot - 1 has a value


cdef struct Step:
    Piece piece                 # appended before the act; may be empty
    int act                     # an Act
    Leaf *leaf                  # of VALUE, else NULL
    Py_ssize_t first_slot       # of JUMP_IF_ABSENT
    Py_ssize_t end_slot
    Py_ssize_t target           # index of a step; the count of steps = the end


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


cdef struct Cursor:
    const char *at              # next byte
    const char *end             # behind the last byte; there stands a NUL, as behind any bytes object
    PyObject **values           # by slot; new references; NULL = absent
    Py_ssize_t found            # values so far
    int nodes                   # upper bound of the elements of the table and those skipped


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
