# msgpack in its shortest forms, as packing.py writes it, in C. A reader moves on over what it reads.
#
# Nothing here refuses: what is longer than it has to be, cut off, or no text, is False or -1, and then the plain path
# has the word. So these functions may know too little, never too much.

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors)


cdef enum:
    ARRAY = 0x90            # the first byte of a short array, of a short text, and of the others
    TEXT = 0xA0
    NIL = 0xC0
    FALSE = 0xC2
    TRUE = 0xC3
    TEXT_16 = 0xDA
    SHORT_TEXT = 32         # a text under this many bytes has a head of one byte


cdef struct In:
    const uint8_t *at
    const uint8_t *end


cdef struct Text:               # its bytes; a text that is not there has none
    const uint8_t *start
    Py_ssize_t size


cdef inline bint read_array(In *read, Py_ssize_t size) noexcept:
    """The head of an array of so many, at most 15."""
    if read.at == read.end or read.at[0] != ARRAY + size:
        return False
    read.at += 1
    return True


cdef inline Py_ssize_t read_count(In *read) noexcept:
    """How many a short array has; -1: it is none."""
    cdef uint8_t head
    if read.at == read.end:
        return -1
    head = read.at[0]
    read.at += 1
    return head & 0x0F if head & 0xF0 == ARRAY else -1


cdef inline bint _is_utf8(const uint8_t *start, Py_ssize_t size) noexcept:
    cdef Py_ssize_t place
    cdef uint8_t high = 0
    for place in range(size):
        high |= start[place]
    if high < 0x80:
        return True
    try:
        PyUnicode_DecodeUTF8(<const char *> start, size, NULL)
    except UnicodeDecodeError:
        return False
    return True


cdef inline bint read_text(In *read, Text *found) noexcept:
    cdef Py_ssize_t size
    if read.at == read.end:
        return False
    if read.at[0] & 0xE0 == TEXT:
        size = read.at[0] & 0x1F
        read.at += 1
    elif read.at[0] == TEXT_16 and read.end - read.at > 2:
        size = read.at[1] << 8 | read.at[2]
        read.at += 3
        if size < SHORT_TEXT:
            return False
    else:
        return False
    if read.end - read.at < size or not _is_utf8(read.at, size):
        return False
    found.start, found.size = read.at, size
    read.at += size
    return True


cdef inline bint read_number(In *read, int64_t *value) noexcept:
    """A whole number, in the shortest of its forms: 0xCC to 0xCF have 1, 2, 4, 8 bytes, 0xD0 to 0xD3 are negative."""
    cdef uint8_t first
    cdef int bytes_of, place
    cdef uint64_t told = 0
    if read.at == read.end:
        return False
    first = read.at[0]
    read.at += 1
    if first < 0x80 or first >= 0xE0:
        value[0] = first if first < 0x80 else <int64_t> first - 0x100
        return True
    if not 0xCC <= first <= 0xD3:
        return False
    bytes_of = 1 << (first & 3)
    if read.end - read.at < bytes_of:
        return False
    for place in range(bytes_of):
        told = told << 8 | read.at[place]
    read.at += bytes_of
    if first < 0xD0:
        value[0] = <int64_t> told
        return told >> 63 == 0 and told >= (0x80 if bytes_of == 1 else <uint64_t> 1 << 4 * bytes_of)
    told = -told if bytes_of == 8 else (<uint64_t> 1 << 8 * bytes_of) - told  # how far it is under zero
    value[0] = -<int64_t> told
    if told >> 63 or told > <uint64_t> 1 << (8 * bytes_of - 1):
        return False
    return told > (0x20 if bytes_of == 1 else <uint64_t> 1 << (4 * bytes_of - 1))
