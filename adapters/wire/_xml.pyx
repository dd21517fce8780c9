# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled XML codec: the twin of `_reference.XmlCodec`. The contract is in `_xml.pxd`.

It takes the road that every sound message takes and leaves it at the first surprise, a refusal included: then the plain
twin reads or writes the message from its beginning. So a value may come from either, and an error always from the
specification. What stays here when read: the table's own form, white space between elements, the five entities.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from libc.string cimport memchr, memcmp, memcpy

from adapters.wire._leaf cimport Leaf, Piece, put_leaf
from adapters.wire._skip cimport skip_element
from adapters.wire._straight cimport Cursor, JUMP_IF_ABSENT, Step, VALUE, read_straight, read_value
from adapters.wire._program import compile_message, escaped
from adapters.wire._reference import XmlCodec as _Reference
from adapters.wire._layout import layout, places_in
from switch.limits import RAIL_MESSAGE_BYTES_MAX as _RAIL_MESSAGE_BYTES_MAX

COMPILED = True


cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        pass
    PyObject *Py_None
    int PyTuple_Check(object value)
    Py_ssize_t PyTuple_GET_SIZE(object record)
    PyObject *PyTuple_GET_ITEM(object record, Py_ssize_t place)
    object PyType_GenericAlloc(PyTypeObject *record, Py_ssize_t size)  # a tuple whose values are all NULL
    void _keep "Py_INCREF" (PyObject *value)
    void _drop "Py_DECREF" (PyObject *value)
    PyObject **_items "&PyTuple_GET_ITEM" (PyObject *record, Py_ssize_t first)


# One message is written at a time: nothing below lets go of the interpreter's lock between the first byte and the copy.
cdef enum:
    BUFFER_BYTES = 65536
assert BUFFER_BYTES == _RAIL_MESSAGE_BYTES_MAX
cdef char[BUFFER_BYTES] BUFFER

# Declarations that are passed over without a search; any other is read by the plain twin.
cdef list _DECLARATIONS = [
    b'<?xml version="1.0" encoding="%s"%s?>' % (name, standalone)
    for name in (b"UTF-8", b"utf-8") for standalone in (b"", b' standalone="yes"', b' standalone="no"')
]
cdef Piece[6] DECLARATIONS


cdef Piece _piece(bytes text):
    cdef Piece made
    made.start = PyBytes_AS_STRING(text)
    made.length = PyBytes_GET_SIZE(text)
    return made


cdef int _place
for _place in range(6):
    DECLARATIONS[_place] = _piece(_DECLARATIONS[_place])


cdef class XmlCodec:
    """One message, bytes <-> record, by its table; see `_reference.XmlCodec`, whose promises these are."""

    def __cinit__(self, spec, record):
        self._kept = []
        self._reference = _Reference(spec, record)
        self.spec = spec
        self.record = record
        self._slots = sum(not field.const for field in spec.fields)
        _lay_out(self, compile_message(layout(spec)))

    def __dealloc__(self):
        cdef Py_ssize_t place
        if self._leaves != NULL:
            for place in range(self._leaf_count):
                PyMem_Free(self._leaves[place].codes)
                PyMem_Free(self._leaves[place].code_values)
        if self._elements != NULL:
            for place in range(self._element_count):
                PyMem_Free(self._elements[place].ignored)
        PyMem_Free(self._leaves)
        PyMem_Free(self._steps)
        PyMem_Free(self._elements)

    @classmethod
    def __class_getitem__(cls, _):
        return cls

    cpdef bytes write(self, record):
        """See `_reference.XmlCodec.write`."""
        cdef Py_ssize_t length = -1
        if PyTuple_Check(record) and PyTuple_GET_SIZE(record) == self._slots:
            length = _write(self._steps, self._step_count, record)
        if length < 0:
            return self._reference.write(record)
        return PyBytes_FromStringAndSize(BUFFER, length)

    cpdef object read(self, bytes data):
        """See `_reference.XmlCodec.read`."""
        made = self.taken(data, self.record, self._slots, NULL)
        return self._reference.read(data) if made is None else made

    cpdef XmlView view(self, record):
        """See `_reference.XmlCodec.view`."""
        return XmlView(self, record)

    cdef object taken(self, bytes data, record, Py_ssize_t size, const int *places):
        """A record of `size` values, or None where anything is not recognised."""
        cdef Cursor cursor
        if data is None or PyBytes_GET_SIZE(data) > BUFFER_BYTES:
            return None
        made = PyType_GenericAlloc(<PyTypeObject *> record, size)
        cursor.at = PyBytes_AS_STRING(data)
        cursor.end = cursor.at + PyBytes_GET_SIZE(data)
        cursor.values = _items(<PyObject *> made, 0)
        cursor.places = places
        cursor.found = 0
        cursor.nodes = self._element_count
        if not read_straight(self._steps, self._step_count, &cursor):
            _empty(cursor.values, size)
            cursor.at = PyBytes_AS_STRING(data)
            cursor.found = 0
            if not _read_document(self._elements, &cursor):
                return None
        _fill(cursor.values, size)
        return made


cdef class XmlView:
    """Some fields of one message; see `_reference.View`, whose promises these are."""

    def __cinit__(self, XmlCodec codec, record):
        self._codec = codec
        self._reference = codec._reference.view(record)
        self.record = record
        self._size = len(record._fields)
        self._places = <int *> PyMem_Calloc(codec._slots or 1, sizeof(int))
        if self._places == NULL:
            raise MemoryError
        for slot, place in enumerate(places_in(record, codec.record)):
            self._places[<Py_ssize_t> slot] = place

    def __dealloc__(self):
        PyMem_Free(self._places)

    cpdef object read(self, bytes data):
        """See `_reference.View.read`."""
        made = self._codec.taken(data, self.record, self._size, self._places)
        return self._reference.read(data) if made is None else made


cdef Piece _held(list kept, bytes text):
    """A piece of bytes that live as long as their codec."""
    kept.append(text)
    return _piece(text)


cdef int _lay_out(XmlCodec codec, program) except -1:
    """The programs as C arrays."""
    cdef Py_ssize_t place
    attributes = {row.first_attribute + at for row in program.elements for at in range(row.attribute_count)}
    codec._leaf_count, codec._step_count, codec._element_count = map(len, program)
    codec._leaves = <Leaf *> PyMem_Calloc(codec._leaf_count, sizeof(Leaf))
    codec._steps = <Step *> PyMem_Calloc(codec._step_count, sizeof(Step))
    codec._elements = <Element *> PyMem_Calloc(codec._element_count, sizeof(Element))
    if codec._leaves == NULL or codec._steps == NULL or codec._elements == NULL:
        raise MemoryError
    for place, leaf in enumerate(program.leaves):
        _lay_leaf(codec, &codec._leaves[place], leaf, place in attributes)
    for place, row in enumerate(program.steps):
        _lay_step(codec, &codec._steps[place], row)
    for place, row in enumerate(program.elements):
        _lay_element(codec, &codec._elements[place], row)
    return 0


cdef int _lay_leaf(XmlCodec codec, Leaf *made, leaf, bint attribute) except -1:
    cdef Py_ssize_t place
    field = leaf.field
    made.kind = field.kind
    made.slot = leaf.slot
    made.min_chars, made.max_chars, made.required = field.min_chars, field.max_chars, leaf.required
    made.name = _held(codec._kept, f' {leaf.name}="'.encode() if attribute else b"")
    made.constant = _held(codec._kept, escaped(field.const, attribute=attribute).encode())
    made.codes = <Piece *> PyMem_Calloc(len(field.codes) or 1, sizeof(Piece))
    made.code_values = <PyObject **> PyMem_Calloc(len(field.codes) or 1, sizeof(PyObject *))
    if made.codes == NULL or made.code_values == NULL:
        raise MemoryError
    made.code_count = len(field.codes)
    for place, code in enumerate(field.codes):
        made.codes[place] = _held(codec._kept, escaped(code, attribute=attribute).encode())
        made.code_values[place] = <PyObject *> code  # the spec holds it
    return 0


cdef int _lay_step(XmlCodec codec, Step *made, row) except -1:
    made.piece = _held(codec._kept, row.piece)
    made.act = row.act
    made.leaf = &codec._leaves[<Py_ssize_t> row.leaf] if row.leaf >= 0 else NULL
    made.first_slot, made.end_slot, made.target = row.first_slot, row.end_slot, row.target
    return 0


cdef int _lay_element(XmlCodec codec, Element *made, row) except -1:
    cdef Py_ssize_t place
    made.open = _held(codec._kept, row.open)
    made.close = _held(codec._kept, row.close)
    made.attributes = &codec._leaves[<Py_ssize_t> row.first_attribute] if row.attribute_count else NULL
    made.attribute_count = row.attribute_count
    made.text = &codec._leaves[<Py_ssize_t> row.text] if row.text >= 0 else NULL
    made.first_child, made.next_sibling = row.first_child, row.next_sibling
    made.expected, made.constant, made.depth = row.expected, row.constant, row.depth
    made.ignored = <Piece *> PyMem_Calloc(len(row.ignored) or 1, sizeof(Piece))
    if made.ignored == NULL:
        raise MemoryError
    made.ignored_count = len(row.ignored)
    for place, opening in enumerate(row.ignored):
        made.ignored[place] = _held(codec._kept, opening)
    return 0


cdef Py_ssize_t _write(const Step *steps, Py_ssize_t count, object record) noexcept:
    """Run the write program into BUFFER: the length of the message, or -1."""
    cdef char *at = BUFFER
    cdef const char *end = BUFFER + BUFFER_BYTES
    cdef const Step *step
    cdef PyObject *value
    cdef Py_ssize_t place = 0
    while place < count:
        step = &steps[place]
        place += 1
        if end - at < step.piece.length:
            return -1
        memcpy(at, step.piece.start, step.piece.length)
        at += step.piece.length
        if step.act == VALUE:
            value = PyTuple_GET_ITEM(record, step.leaf.slot)
            at = put_leaf(step.leaf, value, at, end)  # None is of no kind
            if at == NULL:
                return -1
        elif step.act == JUMP_IF_ABSENT and _absent(record, step.first_slot, step.end_slot):
            place = step.target
    return at - BUFFER


cdef inline bint _absent(object record, Py_ssize_t first, Py_ssize_t end) noexcept:
    cdef Py_ssize_t slot
    for slot in range(first, end):
        if PyTuple_GET_ITEM(record, slot) != Py_None:
            return False
    return True


cdef void _empty(PyObject **values, Py_ssize_t count) noexcept:
    """Back to a record without any value."""
    cdef Py_ssize_t place
    cdef PyObject *value
    for place in range(count):
        value = values[place]
        if value != NULL:
            values[place] = NULL
            _drop(value)


cdef inline void _fill(PyObject **values, Py_ssize_t count) noexcept:
    """None for what is absent."""
    cdef Py_ssize_t place
    for place in range(count):
        if values[place] == NULL:
            _keep(Py_None)
            values[place] = Py_None


cdef inline void _skip_space(Cursor *cursor) noexcept:
    """The NUL behind the end is no space."""
    while cursor.at[0] == 0x20 or 0x09 <= cursor.at[0] <= 0x0A or cursor.at[0] == 0x0D:
        cursor.at += 1


cdef inline bint _take(Cursor *cursor, const Piece *piece) noexcept:
    """Step over exactly these bytes, if they stand here."""
    if cursor.end - cursor.at < piece.length or memcmp(cursor.at, piece.start, piece.length) != 0:
        return False
    cursor.at += piece.length
    return True


cdef bint _read_document(const Element *elements, Cursor *cursor) noexcept:
    cdef int place
    for place in range(6):
        if _take(cursor, &DECLARATIONS[place]):
            break
    _skip_space(cursor)
    if not _opens(&elements[0], cursor) or not _read_element(elements, 0, cursor):
        return False
    _skip_space(cursor)
    return cursor.at == cursor.end


cdef inline bint _opens(const Element *element, Cursor *cursor) noexcept:
    """Step over `<Name`, if it stands here as a whole name."""
    cdef const char *start = cursor.at
    if not _take(cursor, &element.open):
        return False
    if cursor.at[0] == 0x3E or (cursor.at[0] == 0x20 and element.attribute_count):
        return True
    cursor.at = start
    return False


cdef bint _read_element(const Element *elements, Py_ssize_t place, Cursor *cursor) noexcept:
    """The rest of an element behind `<Name`. Goes as deep as the table does, which is at most XML_DEPTH_MAX."""
    cdef const Element *element = &elements[place]
    cdef Py_ssize_t found = cursor.found
    cdef const char *stop
    if element.attribute_count and not _read_attributes(element, cursor):
        return False
    if cursor.at[0] != 0x3E:
        return False
    cursor.at += 1
    if element.text == NULL:
        if not _read_children(elements, element, cursor):
            return False
    else:
        stop = <const char *> memchr(cursor.at, 0x3C, cursor.end - cursor.at)
        if stop == NULL or not read_value(element.text, stop, cursor):
            return False
    return _take(cursor, &element.close) and (element.constant or cursor.found != found)


cdef bint _read_attributes(const Element *element, Cursor *cursor) noexcept:
    """Attributes in the order of the table, one space before each; any other way is left to the plain twin."""
    cdef Py_ssize_t place
    cdef const char *stop
    for place in range(element.attribute_count):
        if not _take(cursor, &element.attributes[place].name):
            if element.attributes[place].required:
                return False
            continue
        stop = <const char *> memchr(cursor.at, 0x22, cursor.end - cursor.at)
        if stop == NULL or not read_value(&element.attributes[place], stop, cursor):
            return False
        cursor.at += 1
    return True


cdef bint _read_children(const Element *elements, const Element *element, Cursor *cursor) noexcept:
    """Elements in the order of the table up to the first end tag, which is not stepped over."""
    cdef Py_ssize_t child = element.first_child
    _skip_space(cursor)
    while not (cursor.at[0] == 0x3C and cursor.at[1] == 0x2F):
        if child >= 0 and _opens(&elements[child], cursor):
            if not _read_element(elements, child, cursor):
                return False
            child = elements[child].next_sibling
        elif not (element.ignored_count and _skip_ignored(element, cursor)):
            if child < 0 or elements[child].expected:
                return False
            child = elements[child].next_sibling
        _skip_space(cursor)
    while child >= 0:
        if elements[child].expected:
            return False
        child = elements[child].next_sibling
    return True


cdef bint _skip_ignored(const Element *element, Cursor *cursor) noexcept:
    """Step over one ignored element, if one stands here in a form that `_skip` knows."""
    cdef const char *start = cursor.at
    cdef const char *behind
    cdef const Piece *opening
    cdef Py_ssize_t place
    for place in range(element.ignored_count):
        opening = &element.ignored[place]
        if _take(cursor, opening):
            behind = NULL
            if cursor.at[0] == 0x20 or cursor.at[0] == 0x2F or cursor.at[0] == 0x3E:  # the whole name
                behind = skip_element(
                    start, cursor.end, opening.start[opening.length - 1] == 0x22, element.depth + 1, &cursor.nodes
                )
            cursor.at = behind if behind != NULL else start
            if behind != NULL:
                return True
    return False
