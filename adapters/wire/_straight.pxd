# Reading a message that stands exactly as its own table writes it: the write program run backwards, one comparison for
# each run of tags instead of one for each tag. What differs by a space goes to the reader of `_xml`, which knows more.

from cpython.object cimport PyObject

from adapters.wire._leaf cimport Leaf, Piece


cdef enum Act:
    NOTHING = 0                 # the piece is all
    VALUE = 1                   # the leaf's value; its absence is not recognised
    JUMP_IF_ABSENT = 2          # to `target` when no slot of first_slot..end_slot - 1 has a value


cdef struct Step:
    Piece piece                 # stands before the act; may be empty, but never behind a jump
    int act                     # an Act
    Leaf *leaf                  # of VALUE, else NULL
    Py_ssize_t first_slot       # of JUMP_IF_ABSENT
    Py_ssize_t end_slot
    Py_ssize_t target           # index of a step; the count of steps = the end


cdef struct Cursor:
    const char *at              # next byte
    const char *end             # behind the last byte; there stands a NUL, as behind any bytes object
    PyObject **values           # by place in the record; new references; NULL = absent
    const int *places           # slot -> place in the record, -1 = checked only; NULL = every slot is its own place
    Py_ssize_t found            # values so far, those that are only checked too
    int nodes                   # upper bound of the elements of the table and those skipped


# Read the value up to `stop`; the cursor stands there afterwards.
cdef bint read_value(const Leaf *leaf, const char *stop, Cursor *cursor) noexcept

# Read the whole message. False: not recognised; then some values may be there already.
cdef bint read_straight(const Step *steps, Py_ssize_t count, Cursor *cursor) noexcept
