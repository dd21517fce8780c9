# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The text of one field in C: the compiled twin of `_values`. The contract is in `_leaf.pxd`."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp, memcpy

from adapters.wire._digits cimport (
    all_digits, digits_value, is_date, put_amount, put_number, put_time, take_amount, take_time
)
from adapters.wire._values import COUNT_MAX as _COUNT_MAX, TIME_MS_MAX as _TIME_MS_MAX
from adapters.wire.spec import Kind
from switch.limits import AMOUNT_MINOR_MAX as _AMOUNT_MINOR_MAX


cdef extern from "Python.h":
    int PyUnicode_Check(PyObject *value)
    int PyLong_Check(PyObject *value)
    int PyBool_Check(PyObject *value)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *text)
    const char *PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size) noexcept
    PyObject *PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar) noexcept
    void *PyUnicode_DATA(PyObject *text)
    PyObject *PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors) noexcept
    long long PyLong_AsLongLongAndOverflow(PyObject *value, int *overflow) noexcept
    PyObject *PyLong_FromLongLong(long long value) noexcept
    void PyErr_Clear()
    void _keep "Py_INCREF" (PyObject *value)
    void _drop "Py_DECREF" (PyObject *value)


cdef enum:
    TEXT = 0
    ASCII = 1
    DIGITS = 2
    CODE = 3
    AMOUNT = 4
    COUNT = 5
    UETR = 6
    DATE_TIME = 7
    LOCAL_TIME = 8
    DATE = 9

assert [kind.value for kind in Kind][:10] == list(range(10)) and Kind.DATE == DATE and Kind.AMOUNT == AMOUNT

cdef int64_t COUNT_MAX = _COUNT_MAX
cdef int64_t AMOUNT_MINOR_MAX = _AMOUNT_MINOR_MAX
cdef int64_t TIME_MS_MAX = _TIME_MS_MAX

# What a byte of a TEXT or ASCII value is.
cdef enum:
    PLAIN = 0       # ASCII that stands for itself
    SPECIAL = 1     # & < > ": escaped when written
    HIGH = 2        # part of a character beyond ASCII
    BAD = 3         # a control

cdef uint8_t[256] CLASSES
cdef int _byte
for _byte in range(256):
    CLASSES[_byte] = BAD if _byte < 0x20 or _byte == 0x7F else HIGH if _byte >= 0x80 else PLAIN
for _byte in b'&<>"':
    CLASSES[_byte] = SPECIAL


# --- writing ---------------------------------------------------------------------------------------------------------


cdef char *put_leaf(const Leaf *leaf, PyObject *value, char *at, const char *end) noexcept:
    cdef int kind = leaf.kind
    cdef int overflow = 0
    cdef int64_t number
    cdef Py_ssize_t size = 0
    cdef const char *text
    if end - at < 40:  # no number, time or UETR is longer
        return NULL
    if kind == AMOUNT or kind == COUNT or kind == DATE_TIME or kind == LOCAL_TIME:
        if not PyLong_Check(value) or PyBool_Check(value):
            return NULL
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow or number < 0:
            return NULL
        if kind == AMOUNT:
            return put_amount(at, number) if number <= AMOUNT_MINOR_MAX else NULL
        if kind == COUNT:
            return put_number(at, number) if number <= COUNT_MAX else NULL
        return put_time(at, number, kind == DATE_TIME) if number <= TIME_MS_MAX else NULL
    if not PyUnicode_Check(value):
        return NULL
    text = PyUnicode_AsUTF8AndSize(value, &size)
    if text == NULL:  # a lone surrogate
        PyErr_Clear()
        return NULL
    if kind <= DIGITS:
        if not leaf.min_chars <= PyUnicode_GET_LENGTH(value) <= leaf.max_chars:
            return NULL
        if kind == DIGITS:
            if not all_digits(text, size):
                return NULL
        elif kind == ASCII:
            if size != PyUnicode_GET_LENGTH(value):
                return NULL
        elif size and (text[0] == 0x20 or text[size - 1] == 0x20):
            return NULL
    elif kind == CODE:
        return _put_code(leaf, text, size, at, end)
    elif not (_is_uetr(text, size) if kind == UETR else is_date(text, size)):
        return NULL
    return _put_text(text, size, at, end, leaf.name.length != 0)


cdef char *_put_text(const char *text, Py_ssize_t size, char *at, const char *end, bint attribute) noexcept:
    """Copy what stands for itself, escape the rest; controls, U+FFFE and U+FFFF are not recognised."""
    cdef const uint8_t *byte = <const uint8_t *> text
    cdef const uint8_t *stop = byte + size
    cdef int what
    if end - at < size:
        return NULL
    while byte < stop:
        what = CLASSES[byte[0]]
        if what == PLAIN:
            at[0] = <char> byte[0]
            at += 1
        elif what == SPECIAL:
            if end - at < (stop - byte) + 6:  # room for the rest as it is and for one escape
                return NULL
            at = _put_escape(at, byte[0], attribute)
        elif what == BAD or _is_bad_high(byte, stop):
            return NULL
        else:
            at[0] = <char> byte[0]
            at += 1
        byte += 1
    return at


cdef inline char *_put_escape(char *at, uint8_t byte, bint attribute) noexcept:
    if byte == 0x26:
        memcpy(at, b"&amp;", 5)
        return at + 5
    if byte == 0x3C:
        memcpy(at, b"&lt;", 4)
        return at + 4
    if byte == 0x3E:
        memcpy(at, b"&gt;", 4)
        return at + 4
    if attribute:
        memcpy(at, b"&quot;", 6)
        return at + 6
    at[0] = <char> byte
    return at + 1


cdef inline bint _is_bad_high(const uint8_t *byte, const uint8_t *stop) noexcept:
    """Of valid UTF-8: does U+0080..U+009F, U+FFFE or U+FFFF begin here?"""
    if byte[0] == 0xC2:
        return byte[1] < 0xA0
    return byte[0] == 0xEF and byte[1] == 0xBF and byte[2] >= 0xBE


# --- reading ---------------------------------------------------------------------------------------------------------


cdef PyObject *take_leaf(const Leaf *leaf, const char *text, Py_ssize_t length) noexcept:
    cdef int kind = leaf.kind
    cdef int64_t number
    cdef Py_ssize_t place
    if kind <= ASCII:
        return _take_text(leaf, text, length)
    if kind == DIGITS:
        if not leaf.min_chars <= length <= leaf.max_chars or not all_digits(text, length):
            return NULL
        return _ascii(text, length)
    if kind == CODE:
        place = _code_place(leaf, text, length)
        if place < 0:
            return NULL
        _keep(leaf.code_values[place])
        return leaf.code_values[place]
    if kind == UETR:
        return _ascii(text, length) if _is_uetr(text, length) else NULL
    if kind == DATE:
        return _ascii(text, length) if is_date(text, length) else NULL
    if kind == AMOUNT:
        number = take_amount(text, length)
    elif kind == COUNT:
        number = digits_value(text, length) if 1 <= length <= 15 else -1
    else:
        number = take_time(text, length)
    return PyLong_FromLongLong(number) if number >= 0 else NULL


cdef bint check_leaf(const Leaf *leaf, const char *text, Py_ssize_t length) noexcept:
    cdef PyObject *value
    cdef Py_ssize_t place
    if leaf.kind == CODE:
        return _code_place(leaf, text, length) >= 0
    if leaf.kind == UETR:
        return _is_uetr(text, length)
    if leaf.kind == DATE:
        return is_date(text, length)
    if leaf.kind <= ASCII and leaf.min_chars <= length <= leaf.max_chars:
        for place in range(length):
            if CLASSES[<uint8_t> text[place]] != PLAIN:
                break
        else:
            return leaf.kind == ASCII or not length or (text[0] != 0x20 and text[length - 1] != 0x20)
    value = take_leaf(leaf, text, length)
    if value == NULL:
        return False
    _drop(value)
    return True


cdef inline PyObject *_ascii(const char *text, Py_ssize_t length) noexcept:
    """A str of bytes known to be ASCII."""
    cdef PyObject *made = PyUnicode_New(length, 127)
    if made == NULL:
        PyErr_Clear()
        return NULL
    memcpy(PyUnicode_DATA(made), text, length)
    return made


cdef PyObject *_take_text(const Leaf *leaf, const char *text, Py_ssize_t length) noexcept:
    cdef const uint8_t *byte = <const uint8_t *> text
    cdef const uint8_t *stop = byte + length
    cdef int what, all_of_it = 0
    while byte < stop:
        what = CLASSES[byte[0]]
        if what == SPECIAL and byte[0] == 0x22:
            what = PLAIN
        if what & 1:  # SPECIAL or BAD
            if what == SPECIAL and byte[0] == 0x26:
                return _take_escaped(leaf, text, length)
            return NULL
        all_of_it |= what
        byte += 1
    return _checked_text(leaf, text, length, all_of_it == PLAIN)


cdef PyObject *_take_escaped(const Leaf *leaf, const char *text, Py_ssize_t length) noexcept:
    """The same with the five entities replaced; character references and raw < > are left to the plain twin."""
    cdef PyObject *made = NULL
    cdef char *plain = <char *> PyMem_Malloc(length)
    cdef const char *at = text
    cdef const char *end = text + length
    cdef char *out = plain
    cdef uint8_t byte
    cdef bint high = False
    if plain == NULL:
        return NULL
    while at < end:
        byte = <uint8_t> at[0]
        if byte == 0x26:
            at = _entity(at, end, out)
            if at == NULL:
                break
            out += 1
            continue
        if byte == 0x3C or byte == 0x3E or CLASSES[byte] == BAD:
            at = NULL
            break
        high |= byte >= 0x80
        out[0] = <char> byte
        out += 1
        at += 1
    if at != NULL:
        made = _checked_text(leaf, plain, out - plain, not high)
    PyMem_Free(plain)
    return made


cdef inline const char *_entity(const char *at, const char *end, char *out) noexcept:
    """Where one of the five entities ends, its character in `out`; NULL for any other reference."""
    cdef Py_ssize_t left = end - at
    if left >= 5 and memcmp(at, b"&amp;", 5) == 0:
        out[0] = 0x26
        return at + 5
    if left >= 4 and memcmp(at, b"&lt;", 4) == 0:
        out[0] = 0x3C
        return at + 4
    if left >= 4 and memcmp(at, b"&gt;", 4) == 0:
        out[0] = 0x3E
        return at + 4
    if left >= 6 and memcmp(at, b"&quot;", 6) == 0:
        out[0] = 0x22
        return at + 6
    if left >= 6 and memcmp(at, b"&apos;", 6) == 0:
        out[0] = 0x27
        return at + 6
    return NULL


cdef PyObject *_checked_text(const Leaf *leaf, const char *text, Py_ssize_t size, bint plain) noexcept:
    """The str of text free of ASCII controls, once its length, its ends and its characters beyond ASCII are right."""
    cdef PyObject *made
    cdef const uint8_t *byte = <const uint8_t *> text
    cdef const uint8_t *stop = byte + size
    cdef Py_ssize_t chars
    if leaf.kind == TEXT and size and (text[0] == 0x20 or text[size - 1] == 0x20):
        return NULL
    if plain:
        return _ascii(text, size) if leaf.min_chars <= size <= leaf.max_chars else NULL
    if leaf.kind == ASCII:
        return NULL
    made = PyUnicode_DecodeUTF8(text, size, NULL)
    if made == NULL:
        PyErr_Clear()
        return NULL
    chars = PyUnicode_GET_LENGTH(made)
    while byte < stop:
        if byte[0] >= 0xC2 and _is_bad_high(byte, stop):
            break
        byte += 1
    if byte < stop or not leaf.min_chars <= chars <= leaf.max_chars:
        _drop(made)
        return NULL
    return made


cdef Py_ssize_t _code_place(const Leaf *leaf, const char *markup, Py_ssize_t length) noexcept:
    """The place of a code in the list by its escaped text, or -1."""
    cdef Py_ssize_t place
    for place in range(leaf.code_count):
        if leaf.codes[place].length == length and memcmp(leaf.codes[place].start, markup, length) == 0:
            return place
    return -1


cdef char *_put_code(const Leaf *leaf, const char *text, Py_ssize_t size, char *at, const char *end) noexcept:
    cdef Py_ssize_t place, code_size = 0
    cdef const char *code
    for place in range(leaf.code_count):
        code = PyUnicode_AsUTF8AndSize(leaf.code_values[place], &code_size)
        if code_size == size and memcmp(code, text, size) == 0:
            if end - at < leaf.codes[place].length:
                return NULL
            memcpy(at, leaf.codes[place].start, leaf.codes[place].length)
            return at + leaf.codes[place].length
    return NULL


cdef bint _is_uetr(const char *text, Py_ssize_t length) noexcept:
    cdef Py_ssize_t place
    cdef uint8_t byte
    if length != 36 or text[14] != 0x34:
        return False
    byte = <uint8_t> text[19]
    if byte != 0x38 and byte != 0x39 and byte != 0x61 and byte != 0x62:
        return False
    for place in range(36):
        byte = <uint8_t> text[place]
        if place == 8 or place == 13 or place == 18 or place == 23:
            if byte != 0x2D:
                return False
        elif not (0x30 <= byte <= 0x39 or 0x61 <= byte <= 0x66):
            return False
    return True
