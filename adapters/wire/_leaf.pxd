# The text of one field, bytes <-> Python value: layout and the two functions that the compiled codecs share.
#
# Nothing here allocates but `take_leaf`, which makes the value, and nothing raises: NULL means "not recognised", and
# the caller hands the whole message to the plain twin, which finds the words. So these functions may refuse too much,
# never too little.

from cpython.object cimport PyObject

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


# Append the text of `value`, escaped for an element or an attribute, at `at`; the new end, or NULL when the value is
# not of the kind or does not end before `end`. Never touches a byte at or after `end`.
cdef char *put_leaf(const Leaf *leaf, PyObject *value, char *at, const char *end) noexcept

# The value of `length` bytes of raw markup between two tags or two quotes; a new reference, or NULL.
cdef PyObject *take_leaf(const Leaf *leaf, const char *text, Py_ssize_t length) noexcept

# Whether take_leaf would give a value, without making one where that can be told from the bytes.
cdef bint check_leaf(const Leaf *leaf, const char *text, Py_ssize_t length) noexcept
