# The text of one field, bytes <-> Python value: layout and the two functions that the compiled codecs share.
#
# Nothing here allocates but `take_leaf`, which makes the value, and nothing raises: NULL means "not recognised", and the
# caller hands the whole message to the plain twin, which finds the words. So these functions may refuse too much, never
# too little.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t


cdef struct Piece:
    const char *start           # borrowed from a bytes object that the codec keeps; not NUL-terminated by contract
    Py_ssize_t length           # bytes


cdef struct Leaf:
    int kind                    # a spec.Kind
    Py_ssize_t slot             # place in the record; -1 = a constant, and then only `constant` counts
    Py_ssize_t min_chars        # of TEXT, ASCII and DIGITS, in characters
    Py_ssize_t max_chars
    bint required               # an attribute: where its element is; text: see spec.Field
    Piece name                  # of an attribute: ` Name="`; of text: empty
    Piece constant              # the escaped text; empty = not a constant
    Py_ssize_t code_count       # of CODE, else 0
    Piece *codes                # the escaped text of each; owned by the codec
    PyObject **code_values      # the str of each, ASCII; borrowed from the spec


# Append the text of `value`, escaped for an element or an attribute, at `at`; the new end, or NULL when the value is not
# of the kind or does not end before `end`. Never touches a byte at or after `end`.
cdef char *put_leaf(const Leaf *leaf, PyObject *value, char *at, const char *end) noexcept

# The value of `length` bytes of raw markup between two tags or two quotes; a new reference, or NULL.
cdef PyObject *take_leaf(const Leaf *leaf, const char *text, Py_ssize_t length) noexcept

# 0-9 only; true of no bytes at all.
cdef bint all_digits(const char *text, Py_ssize_t count) noexcept

# The number in at most 18 digits, or -1.
cdef int64_t digits_value(const char *text, Py_ssize_t count) noexcept

# Days since 0001-01-01 of a day of the Gregorian calendar, or -1 when there is no such day.
cdef int64_t day_number(int64_t year, int64_t month, int64_t day) noexcept
