# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What is plain on the wire, in C. The contract is in _plain.pxd.

No number of a rule stands here (see _shapes.py) but the weights of the two check characters, which are standards.
"""

from cpython.mem cimport PyMem_Calloc
from libc.string cimport memcmp, memcpy, memset

from switch._wire cimport LENGTH_DELIMITED, VARINT

from switch.api import _shapes


cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    object PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors)


cdef enum:
    PLACES_MAX = 64             # of a Shape
    UTF8_BYTES_MAX = 4          # of one character

assert _shapes.PLACES_MAX == PLACES_MAX

cdef uint8_t[100] PROVINCES     # 1 = a resident identity card may begin with these two digits
cdef uint8_t[100] PERMITS       # 1 = a residence permit may, with 0000 after them
cdef int _begin
for _begin in range(100):
    PROVINCES[_begin] = _begin in _shapes.MAINLAND_PROVINCES
    PERMITS[_begin] = _begin in _shapes.PERMIT_PLACES


# --- fields ----------------------------------------------------------------------------------------------------------


cdef const uint8_t *varint(const uint8_t *at, const uint8_t *end, int64_t *value) noexcept nogil:
    cdef uint64_t read = 0
    cdef int shift = 0
    while at < end and shift < 56:
        read |= <uint64_t> (at[0] & 0x7F) << shift
        if at[0] < 0x80:
            value[0] = <int64_t> read
            return at + 1
        at += 1
        shift += 7
    return NULL


cdef bint split(const uint8_t *at, const uint8_t *end, Piece *pieces, int fields, uint32_t lengths) noexcept nogil:
    cdef int number, last = 0
    cdef int64_t value = 0
    memset(pieces, 0, (fields + 1) * sizeof(Piece))
    while at < end:
        number = at[0] >> 3
        if number <= last or number > fields or (at[0] & 7) != (LENGTH_DELIMITED if lengths >> number & 1 else VARINT):
            return False
        at = varint(at + 1, end, &value)
        if at == NULL:
            return False
        pieces[number].start = at
        pieces[number].size = value
        if lengths >> number & 1:
            if value > end - at:
                return False
            at += value
        last = number
    return True


# --- texts -----------------------------------------------------------------------------------------------------------


cdef Shape *chain_of(shapes) except? NULL:
    cdef Shape *chain = NULL
    cdef Shape *made
    cdef int code
    for chars_min, chars_max, places in shapes:
        made = <Shape *> PyMem_Calloc(1, sizeof(Shape))
        if made == NULL:
            raise MemoryError
        made.chars_min, made.chars_max = chars_min, chars_max
        for code in range(256):
            made.places[code] = places[code]
        made.other = chain
        chain = made
    return chain


cdef bint fits(const Shape *shape, const uint8_t *text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t place
    while shape != NULL:
        if shape.chars_min <= size <= shape.chars_max:
            place = 0
            while place < size and shape.places[text[place]] >> place & 1:
                place += 1
            if place == size:
                return True
        shape = shape.other
    return False


cdef str ascii_of(const Piece *piece):
    cdef object made = PyUnicode_New(piece.size, 127)
    memcpy(PyUnicode_DATA(made), piece.start, piece.size)
    return <str> made


cdef str shaped(const Piece *piece, const Shape *shape):
    return ascii_of(piece) if fits(shape, piece.start, piece.size) else None


cdef str shaped_or_empty(const Piece *piece, const Shape *shape):
    return shaped(piece, shape) if piece.size else ""


cdef str text_of(const Piece *piece, Py_ssize_t chars_max):
    """Within the rules of a person's text and of Max35Text: what is printable is no control to either."""
    cdef const uint8_t *byte = piece.start
    cdef const uint8_t *stop = byte + piece.size
    if piece.size == 0:
        return ""
    while byte < stop and 0x20 <= byte[0] < 0x7F:
        byte += 1
    if byte < stop:
        return _beyond_ascii(piece, chars_max) if byte[0] >= 0x80 else None
    if piece.size > chars_max or piece.start[0] == 0x20 or (stop - 1)[0] == 0x20:
        return None
    return ascii_of(piece)


cdef str _beyond_ascii(const Piece *piece, Py_ssize_t chars_max):
    cdef str text
    if piece.size > UTF8_BYTES_MAX * chars_max:
        return None
    try:
        text = PyUnicode_DecodeUTF8(<const char *> piece.start, piece.size, NULL)
    except UnicodeDecodeError:
        return None
    if len(text) > chars_max or not text.isprintable() or len(text.strip()) != len(text):
        return None
    return text


cdef object asked(rule, kind, const Piece *piece):
    try:
        return rule(kind, (<const char *> piece.start)[:piece.size].decode())
    except Exception:  # whatever it is, the readable path meets it again
        return None


# --- documents with a check character: twins of switch/domain/document.py ----------------------------------------------


cdef bint _digits(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t place
    for place in range(size):
        if not 0x30 <= text[place] <= 0x39:
            return False
    return True


cdef inline int _two(const uint8_t *digits) noexcept nogil:
    return (digits[0] - 0x30) * 10 + digits[1] - 0x30


cdef bint is_hkid(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """The absent first letter counts 36, A=10 .. Z=35; weights 9 .. 2, the check's is 1; the sum divides by 11."""
    cdef int place, total
    if size != 10 or not 0x41 <= text[0] <= 0x5A or not _digits(text + 1, 6):
        return False
    if text[7] != 0x28 or text[9] != 0x29 or not (0x30 <= text[8] <= 0x39 or text[8] == 0x41):
        return False
    total = 36 * 9 + (text[0] - 55) * 8 + (10 if text[8] == 0x41 else text[8] - 0x30)
    for place in range(6):
        total += (text[1 + place] - 0x30) * (7 - place)
    return total % 11 == 0


cdef bint is_mainland_id(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    return _is_eighteen(text, size) and PROVINCES[_two(text)]


cdef bint is_residence_permit(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    return _is_eighteen(text, size) and PERMITS[_two(text)] and memcmp(text + 2, b"0000", 4) == 0


cdef bint _is_eighteen(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """Born on one of the first 28 days of a month from 1900 to 2099, so that no calendar is needed.

    ISO 7064 MOD 11-2: the weight of a place is a power of two, so the sum folds from the left.
    """
    cdef int place, total = 0
    if size != 18 or not _digits(text, 17) or not (0x30 <= text[17] <= 0x39 or text[17] == 0x58):
        return False
    if not 19 <= _two(text + 6) <= 20 or not 1 <= _two(text + 10) <= 12 or not 1 <= _two(text + 12) <= 28:
        return False
    for place in range(17):
        total = (total + text[place] - 0x30) * 2 % 11
    return (total + (10 if text[17] == 0x58 else text[17] - 0x30)) % 11 == 1
