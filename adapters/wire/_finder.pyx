# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled finder: the twin of `_look.Finder`. The contract is in `_finder.pxd`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from adapters.wire._leaf cimport Piece
from adapters.wire._look import FOUND_CHARS_MAX as _FOUND_CHARS_MAX, check_names


cdef extern from "Python.h":
    object PyTuple_New(Py_ssize_t size)
    void PyTuple_SET_ITEM(object values, Py_ssize_t place, PyObject *value)
    PyObject *PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar) except NULL
    void *PyUnicode_DATA(PyObject *text)
    PyObject *Py_None
    void _keep "Py_INCREF" (PyObject *value)


cdef extern from "string.h":
    const char *memmem(const void *text, size_t length, const void *part, size_t part_length) noexcept


cdef Py_ssize_t FOUND_CHARS_MAX = _FOUND_CHARS_MAX


cdef class Finder:
    """The texts of a few elements by name; see `_look.Finder`, whose promises these are."""

    def __cinit__(self, *names):
        cdef Py_ssize_t place
        check_names(names)
        self._kept = tuple(f"{name}>".encode() for name in names)
        self._count = len(names)
        self._names = <Piece *> PyMem_Calloc(self._count, sizeof(Piece))
        if self._names == NULL:
            raise MemoryError
        for place, name in enumerate(self._kept):
            self._names[place].start = PyBytes_AS_STRING(name)
            self._names[place].length = PyBytes_GET_SIZE(name)

    def __dealloc__(self):
        PyMem_Free(self._names)

    cpdef tuple find(self, bytes data):
        """See `_look.Finder.find`."""
        cdef const char *at
        cdef const char *end
        cdef Piece found
        cdef PyObject *text
        cdef Py_ssize_t place
        if data is None:
            raise TypeError("bytes are wanted")
        at = PyBytes_AS_STRING(data)
        end = at + PyBytes_GET_SIZE(data)
        made = PyTuple_New(self._count)
        for place in range(self._count):
            text = Py_None
            if at != NULL:
                at = _find(&self._names[place], at, end, &found)
            if at == NULL:
                _keep(text)
            else:
                text = PyUnicode_New(found.length, 127)
                memcpy(PyUnicode_DATA(text), found.start, found.length)
            PyTuple_SET_ITEM(made, place, text)
        return made


cdef const char *_find(const Piece *name, const char *at, const char *end, Piece *found) noexcept:
    """The '<' behind the text of the first such element from `at` on, its text in `found`; NULL: there is none."""
    cdef const char *tag
    cdef const char *stop
    while True:
        tag = memmem(at, end - at, name.start, name.length)
        if tag == NULL:
            return NULL
        if _opens(at, tag):
            stop = _text(tag + name.length, found)
            if stop != NULL:
                return stop
        at = tag + 1


cdef inline bint _opens(const char *begin, const char *name) noexcept:
    """Whether `<` or `<p:` stands before the name, at `begin` or behind it."""
    cdef const char *at = name - 1
    if at < begin:
        return False
    if at[0] == 0x3C:
        return True
    if at[0] != 0x3A:
        return False
    at -= 1
    while at >= begin and _in_name(<uint8_t> at[0]):
        at -= 1
    return at >= begin and at[0] == 0x3C and name - at > 2


cdef inline bint _in_name(uint8_t byte) noexcept:
    return 0x61 <= (byte | 0x20) <= 0x7A or 0x30 <= byte <= 0x39 or byte == 0x5F or byte == 0x2D or byte == 0x2E


cdef inline const char *_past_space(const char *at) noexcept:
    """The NUL behind the end is no space."""
    while at[0] == 0x20 or at[0] == 0x09 or at[0] == 0x0A or at[0] == 0x0D:
        at += 1
    return at


cdef inline const char *_text(const char *at, Piece *found) noexcept:
    """The '<' behind a text that begins here, or NULL; the NUL behind the end is no text."""
    at = _past_space(at)
    found.start = at
    while 0x20 < <uint8_t> at[0] < 0x7F and at[0] != 0x3C and at[0] != 0x3E and at[0] != 0x26:
        at += 1
    found.length = at - found.start
    if not 1 <= found.length <= FOUND_CHARS_MAX:
        return NULL
    at = _past_space(at)
    return at if at[0] == 0x3C else NULL
