# What is plain on the wire, in C: the fields of a message, and the texts in them that are valid and canonical.
#
# Nothing here refuses: what is not plain is False, NULL or None, and then the readable path has the word. So these
# functions may know too little, never too much.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef struct Piece:              # one field
    const uint8_t *start        # its content, or for a number any address; NULL = not there
    int64_t size                # bytes of the content, or the number; never negative


cdef struct Shape:              # a _shapes.Shape
    Py_ssize_t chars_min
    Py_ssize_t chars_max
    uint64_t[256] places        # bit n: the character may stand at place n
    Shape *other                # another shape of the same rule; NULL = none


# The end of a varint of up to 56 bits, NULL when it is longer or does not end before `end`.
cdef const uint8_t *varint(const uint8_t *at, const uint8_t *end, int64_t *value) noexcept nogil

# Fields 1 .. `fields` of a message in ascending order, each at most once; False for anything else. `lengths` has bit n
# where field n is length-delimited, `pieces` a place for each and one more. A text that is there and empty, or a number
# that is there and zero, is as one that is not there; a message has a `start` when it is there.
cdef bint split(const uint8_t *at, const uint8_t *end, Piece *pieces, int fields, uint32_t lengths) noexcept nogil

# The shapes of one rule as a chain, NULL for no shape; they stay as long as the process.
cdef Shape *chain_of(shapes) except? NULL

# Does the text have one of the shapes?
cdef bint fits(const Shape *shape, const uint8_t *text, Py_ssize_t size) noexcept nogil

# The str of bytes known to be ASCII.
cdef str ascii_of(const Piece *piece)

# A text of one of the shapes, else None.
cdef str shaped(const Piece *piece, const Shape *shape)

# The same, "" when empty.
cdef str shaped_or_empty(const Piece *piece, const Shape *shape)

# A printable text of at most `chars_max` characters without a space at either end; "" when empty, else None.
cdef str text_of(const Piece *piece, Py_ssize_t chars_max)

# What rule(kind, text) makes of a value; None when it refuses, which the readable path puts into words.
cdef object asked(rule, kind, const Piece *piece)

# A canonical HKID of one letter; the two 18-digit cards of the usual centuries. Others are left to their rules.
cdef bint is_hkid(const uint8_t *text, Py_ssize_t size) noexcept nogil
cdef bint is_mainland_id(const uint8_t *text, Py_ssize_t size) noexcept nogil
cdef bint is_residence_permit(const uint8_t *text, Py_ssize_t size) noexcept nogil
