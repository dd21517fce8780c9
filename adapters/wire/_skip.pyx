# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Passing over an ignored element in C. The contract is in `_skip.pxd`; what is well-formed is said in `_scan`."""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp

from switch.limits import XML_DEPTH_MAX as _XML_DEPTH_MAX, XML_NODES_MAX as _XML_NODES_MAX


cdef enum:
    NAMES_MAX = 32              # open elements, prefixes in scope, attributes of one tag: more goes to the plain twin

assert _XML_DEPTH_MAX <= NAMES_MAX
cdef int XML_DEPTH_MAX = _XML_DEPTH_MAX
cdef int XML_NODES_MAX = _XML_NODES_MAX


cdef struct Name:
    const char *start
    Py_ssize_t length
    Py_ssize_t prefix           # bytes before the colon; 0 = no prefix


cdef struct Skip:
    const char *at
    const char *end
    Name[32] open               # the elements inside one another; 0 is the ignored one
    int count
    bint declares               # the ignored one may declare its default namespace
    Name[32] prefixes           # declared inside the ignored element
    int[32] declared_by         # how many elements were open with the one that declares it
    int prefix_count


cdef const char *skip_element(const char *at, const char *end, bint declares, int depth, int *nodes) noexcept:
    cdef Skip skip
    skip.at = at
    skip.end = end
    skip.count = 0
    skip.prefix_count = 0
    skip.declares = declares
    nodes[0] += 1
    if depth > XML_DEPTH_MAX or nodes[0] > XML_NODES_MAX or not _start_tag(&skip):
        return NULL
    while skip.count:
        if not _text(&skip):
            return NULL
        if skip.at[1] == 0x2F:
            if not _end_tag(&skip):
                return NULL
            continue
        nodes[0] += 1
        if depth + skip.count > XML_DEPTH_MAX or nodes[0] > XML_NODES_MAX or not _start_tag(&skip):
            return NULL
    return skip.at


cdef inline bint _is_first(uint8_t byte) noexcept:
    return 0x61 <= (byte | 0x20) <= 0x7A or byte == 0x5F


cdef inline bint _is_next(uint8_t byte) noexcept:
    return _is_first(byte) or 0x30 <= byte <= 0x39 or byte == 0x2D or byte == 0x2E


cdef bint _text(Skip *skip) noexcept:
    """Up to the next '<': printable ASCII and line ends, no reference, no '>'."""
    cdef uint8_t byte
    while skip.at < skip.end:
        byte = <uint8_t> skip.at[0]
        if byte == 0x3C:
            return True
        if byte == 0x26 or byte == 0x3E or byte > 0x7E or (byte < 0x20 and byte != 0x0A):
            return False
        skip.at += 1
    return False


cdef bint _name(Skip *skip, Name *made) noexcept:
    """A name with at most one colon; what follows it is not looked at."""
    cdef const char *at = skip.at
    made.start = at
    made.prefix = 0
    if not _is_first(<uint8_t> at[0]):
        return False
    while _is_next(<uint8_t> at[0]):
        at += 1
    if at[0] == 0x3A:
        made.prefix = at - made.start
        at += 1
        if not _is_first(<uint8_t> at[0]):
            return False
        while _is_next(<uint8_t> at[0]):
            at += 1
    made.length = at - made.start
    skip.at = at
    return True


cdef inline bint _same(const char *start, Py_ssize_t length, const char *other, Py_ssize_t other_length) noexcept:
    return length == other_length and memcmp(start, other, length) == 0


cdef bint _start_tag(Skip *skip) noexcept:
    cdef Name *name = &skip.open[skip.count]
    cdef bint closed = False
    cdef int place
    if skip.count == NAMES_MAX:
        return False
    skip.at += 1
    if not _name(skip, name):
        return False
    skip.count += 1
    if not _attributes(skip, &closed):
        return False
    if name.prefix:
        for place in range(skip.prefix_count):
            if _same(skip.prefixes[place].start, skip.prefixes[place].length, name.start, name.prefix):
                break
        else:
            return False
    if closed:
        _close(skip)
    return True


cdef void _close(Skip *skip) noexcept:
    """The innermost element is over, and what it declared."""
    while skip.prefix_count and skip.declared_by[skip.prefix_count - 1] == skip.count:
        skip.prefix_count -= 1
    skip.count -= 1


cdef bint _end_tag(Skip *skip) noexcept:
    cdef Name *name = &skip.open[skip.count - 1]
    skip.at += 2
    if skip.end - skip.at <= name.length or skip.at[name.length] != 0x3E:
        return False
    if memcmp(skip.at, name.start, name.length) != 0:
        return False
    skip.at += name.length + 1
    _close(skip)
    return True


cdef bint _attributes(Skip *skip, bint *closed) noexcept:
    """The rest of a start tag; the element it belongs to is counted already."""
    cdef Name[32] seen
    cdef int count = 0, place
    cdef const char *value
    while skip.at[0] == 0x20:
        skip.at += 1
        if count == NAMES_MAX or not _name(skip, &seen[count]) or skip.at[0] != 0x3D or skip.at[1] != 0x22:
            return False
        skip.at += 2
        value = skip.at
        if not _value(skip):
            return False
        for place in range(count):
            if _same(seen[place].start, seen[place].length, seen[count].start, seen[count].length):
                return False
        if seen[count].length >= 5 and memcmp(seen[count].start, b"xmlns", 5) == 0:
            if not _declaration(skip, &seen[count], value):
                return False
        elif seen[count].prefix:
            return False
        count += 1
        skip.at += 1
    closed[0] = skip.at[0] == 0x2F
    if closed[0]:
        skip.at += 1
    if skip.at[0] != 0x3E:
        return False
    skip.at += 1
    return True


cdef bint _value(Skip *skip) noexcept:
    """Up to the closing quote: printable ASCII without '<' and '&'."""
    cdef uint8_t byte
    while skip.at < skip.end:
        byte = <uint8_t> skip.at[0]
        if byte == 0x22:
            return True
        if byte == 0x26 or byte == 0x3C or byte > 0x7E or byte < 0x20:
            return False
        skip.at += 1
    return False


cdef bint _declaration(Skip *skip, const Name *name, const char *value) noexcept:
    """xmlns="..." or xmlns:p="...", of a namespace that is a plain http: or urn: one and not reserved."""
    cdef Py_ssize_t length = skip.at - value
    if not _is_plain_uri(value, length) or (name.length != 5 and name.prefix != 5):
        return False
    if name.length == 5:
        return skip.count > 1 or skip.declares
    if skip.prefix_count == NAMES_MAX or (name.length >= 9 and memcmp(name.start + 6, b"xml", 3) == 0):
        return False
    skip.prefixes[skip.prefix_count].start = name.start + 6
    skip.prefixes[skip.prefix_count].length = name.length - 6
    skip.declared_by[skip.prefix_count] = skip.count
    skip.prefix_count += 1
    return True


cdef bint _is_plain_uri(const char *uri, Py_ssize_t length) noexcept:
    """http://host/path#name or urn:a:b, of letters, digits and - . _ only; none of those that XML reserves."""
    cdef Py_ssize_t place
    cdef bint urn = length > 4 and memcmp(uri, b"urn:", 4) == 0
    cdef bint fragment = False
    if not urn and not (length > 7 and memcmp(uri, b"http://", 7) == 0):
        return False
    for place in range(4 if urn else 7, length):
        if uri[place] == 0x23 and not fragment and not urn:
            fragment = True
        elif not (_is_next(<uint8_t> uri[place]) or uri[place] == (0x3A if urn else 0x2F)):
            return False
    return urn or not (
        _same(uri, length, b"http://www.w3.org/XML/1998/namespace", 36)
        or _same(uri, length, b"http://www.w3.org/2000/xmlns/", 29)
    )
