# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The text of one field in C: the compiled twin of `_values`. The contract is in `_leaf.pxd`."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr, memcmp, memcpy

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
cdef int64_t DAY_MS = 86_400_000
cdef int64_t HONG_KONG_MS = 8 * 3_600_000

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

cdef int[13] DAYS_BEFORE = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]


# --- writing -----------------------------------------------------------------------------------------------------------


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
            return _put_amount(at, number) if number <= AMOUNT_MINOR_MAX else NULL
        if kind == COUNT:
            return _put_number(at, number) if number <= COUNT_MAX else NULL
        return _put_time(at, number, kind == DATE_TIME) if number <= TIME_MS_MAX else NULL
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
    elif not (_is_uetr(text, size) if kind == UETR else _is_date(text, size)):
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


cdef char *_put_number(char *at, int64_t number) noexcept:
    cdef char[20] digits
    cdef int count = 0
    while True:
        digits[count] = <char> (0x30 + number % 10)
        count += 1
        number = number // 10
        if number == 0:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


cdef inline char *_put_two(char *at, int64_t number) noexcept:
    at[0] = <char> (0x30 + number // 10)
    at[1] = <char> (0x30 + number % 10)
    return at + 2


cdef char *_put_amount(char *at, int64_t minor) noexcept:
    at = _put_number(at, minor // 100)
    at[0] = 0x2E
    return _put_two(at + 1, minor % 100)


cdef char *_put_time(char *at, int64_t time_ms, bint full) noexcept:
    """Hong Kong time; the day by the era arithmetic of the proleptic Gregorian calendar (400 years = 146,097 days)."""
    cdef int64_t local = time_ms + HONG_KONG_MS
    cdef int64_t seconds = local % DAY_MS // 1000
    cdef int64_t days = local // DAY_MS + 719_468  # since 0000-03-01
    cdef int64_t era = days // 146_097
    cdef int64_t day_of_era = days - era * 146_097
    cdef int64_t year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    cdef int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef int64_t month = (5 * day_of_year + 2) // 153
    cdef int64_t day = day_of_year - (153 * month + 2) // 5 + 1
    cdef int64_t year = year_of_era + era * 400
    month = month + 3 if month < 10 else month - 9
    if month <= 2:
        year += 1
    at = _put_two(_put_two(at, year // 100), year % 100)
    at[0] = 0x2D
    at = _put_two(at + 1, month)
    at[0] = 0x2D
    at = _put_two(at + 1, day)
    at[0] = 0x54
    at = _put_two(at + 1, seconds // 3600)
    at[0] = 0x3A
    at = _put_two(at + 1, seconds // 60 % 60)
    at[0] = 0x3A
    at = _put_two(at + 1, seconds % 60)
    if not full:
        return at
    at[0] = 0x2E
    at[1] = <char> (0x30 + local % 1000 // 100)
    at = _put_two(at + 2, local % 100)
    memcpy(at, b"+08:00", 6)
    return at + 6


# --- reading -----------------------------------------------------------------------------------------------------------


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
        return _ascii(text, length) if _is_date(text, length) else NULL
    if kind == AMOUNT:
        number = _amount(text, length)
    elif kind == COUNT:
        number = digits_value(text, length) if 1 <= length <= 15 else -1
    else:
        number = _time(text, length)
    return PyLong_FromLongLong(number) if number >= 0 else NULL


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


cdef int64_t digits_value(const char *text, Py_ssize_t count) noexcept:
    """The number in at most 18 digits, or -1."""
    cdef int64_t number = 0
    cdef Py_ssize_t place
    cdef unsigned int digit
    for place in range(count):
        digit = <unsigned int> (<uint8_t> text[place]) - 0x30
        if digit > 9:
            return -1
        number = number * 10 + digit
    return number


cdef bint all_digits(const char *text, Py_ssize_t count) noexcept:
    cdef Py_ssize_t place
    for place in range(count):
        if <unsigned int> (<uint8_t> text[place]) - 0x30 > 9:
            return False
    return True


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


cdef int64_t _amount(const char *text, Py_ssize_t length) noexcept:
    """Minor units of digits with nought to two decimals, or -1."""
    cdef const char *point
    cdef int64_t whole, cents
    cdef Py_ssize_t decimals = 0
    if not 1 <= length <= 16:
        return -1
    point = <const char *> memchr(text, 0x2E, length)
    if point != NULL:
        decimals = text + length - point - 1
        if point == text or not 1 <= decimals <= 2:
            return -1
        length = point - text
    if length + decimals > 15:
        return -1
    whole = digits_value(text, length)
    cents = digits_value(point + 1, decimals) if decimals else 0
    if whole < 0 or cents < 0:
        return -1
    if decimals == 1:
        cents *= 10
    whole = whole * 100 + cents
    return whole if whole <= AMOUNT_MINOR_MAX else -1


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


cdef int64_t day_number(int64_t year, int64_t month, int64_t day) noexcept:
    cdef bint leap
    cdef int64_t before = year - 1
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= 31:
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if (month == 2 and day > 28 + leap) or (day == 31 and month in (4, 6, 9, 11)):
        return -1
    return before * 365 + before // 4 - before // 100 + before // 400 + DAYS_BEFORE[month] + (leap and month > 2) + day - 1


cdef int64_t _day(const char *text) noexcept:
    """Days since 0001-01-01 of YYYY-MM-DD, or -1."""
    if text[4] != 0x2D or text[7] != 0x2D:
        return -1
    return day_number(digits_value(text, 4), digits_value(text + 5, 2), digits_value(text + 8, 2))


cdef bint _is_date(const char *text, Py_ssize_t length) noexcept:
    return length == 10 and _day(text) >= 0


cdef int64_t _time(const char *text, Py_ssize_t length) noexcept:
    """Unix ms of an ISO 8601 time (see `_values.parse_iso_time`), or -1."""
    cdef const char *at = text + 19
    cdef const char *end = text + length
    cdef int64_t day, hour, minute, second, offset_hour, offset_minute
    cdef int64_t ms = 0, offset = HONG_KONG_MS
    cdef int places = 0
    if length < 19 or text[10] != 0x54 or text[13] != 0x3A or text[16] != 0x3A:
        return -1
    day, hour, minute, second = _day(text), digits_value(text + 11, 2), digits_value(text + 14, 2), digits_value(text + 17, 2)
    if day < 0 or not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59:
        return -1
    if at < end and at[0] == 0x2E:
        at += 1
        while at < end and 0x30 <= at[0] <= 0x39:
            if places < 3:
                ms = ms * 10 + (at[0] - 0x30)
            places += 1
            at += 1
        if not 1 <= places <= 9:
            return -1
        while places < 3:
            ms *= 10
            places += 1
    if end - at == 1 and at[0] == 0x5A:
        offset = 0
    elif end - at == 6 and (at[0] == 0x2B or at[0] == 0x2D) and at[3] == 0x3A:
        offset_hour, offset_minute = digits_value(at + 1, 2), digits_value(at + 4, 2)
        if offset_hour < 0 or not 0 <= offset_minute <= 59 or offset_hour * 60 + offset_minute > 840:
            return -1
        offset = (offset_hour * 60 + offset_minute) * (60_000 if at[0] == 0x2B else -60_000)
    elif at != end:
        return -1
    ms += (day - 719_162) * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000 - offset
    return ms if 0 <= ms <= TIME_MS_MAX else -1
