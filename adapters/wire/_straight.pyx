# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The write program run backwards. The contract is in `_straight.pxd`."""

from cpython.object cimport PyObject
from libc.string cimport memchr, memcmp

from adapters.wire._leaf cimport Leaf, Piece, check_leaf, take_leaf

from switch.limits import XML_DEPTH_MAX as _XML_DEPTH_MAX


cdef enum:
    OPEN_MAX = 48               # optional parts inside one another, an attribute among them

assert 2 * _XML_DEPTH_MAX <= OPEN_MAX


cdef bint read_value(const Leaf *leaf, const char *stop, Cursor *cursor) noexcept:
    cdef Py_ssize_t place, length = stop - cursor.at
    cdef PyObject *value
    if leaf.slot < 0:
        if length != leaf.constant.length or memcmp(cursor.at, leaf.constant.start, length) != 0:
            return False
    else:
        place = leaf.slot if cursor.places == NULL else cursor.places[leaf.slot]
        if place < 0:
            if not check_leaf(leaf, cursor.at, length):
                return False
        else:
            value = take_leaf(leaf, cursor.at, length)
            if value == NULL:
                return False
            cursor.values[place] = value
        cursor.found += 1
    cursor.at = stop
    return True


cdef inline bint _stands(const Cursor *cursor, const Piece *piece) noexcept:
    return cursor.end - cursor.at >= piece.length and memcmp(cursor.at, piece.start, piece.length) == 0


cdef bint read_straight(const Step *steps, Py_ssize_t count, Cursor *cursor) noexcept:
    cdef Py_ssize_t[OPEN_MAX] ends      # of the optional parts that are open
    cdef Py_ssize_t[OPEN_MAX] before    # values found when each was opened
    cdef Py_ssize_t place = 0, depth = 0
    cdef const Step *step
    cdef const char *stop
    while place < count:
        step = &steps[place]
        place += 1
        if not _stands(cursor, &step.piece):
            return False
        cursor.at += step.piece.length
        if step.act == VALUE:
            # An attribute ends at its quote, text at the next tag.
            stop = <const char *> memchr(cursor.at, 0x22 if step.leaf.name.length else 0x3C, cursor.end - cursor.at)
            if stop == NULL or not read_value(step.leaf, stop, cursor):
                return False
        elif step.act == JUMP_IF_ABSENT:
            if not _stands(cursor, &steps[place].piece):
                place = step.target
            elif depth == OPEN_MAX:
                return False
            else:
                ends[depth] = step.target
                before[depth] = cursor.found
                depth += 1
        while depth and place == ends[depth - 1]:
            depth -= 1
            if cursor.found == before[depth]:
                return False  # an optional element that says nothing
    return cursor.at == cursor.end
