# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Records -> facts, compiled. switch/store/_facts_reference.py is its specification.

A record is copied into its note as it is, but for what is personal and for the mark that it is masked; the copy equals
what the plain twin packs anew. That holds only of bytes that packing.py would write today: every number and text in its
shortest form, every tuple with all its fields. Anything else is left to the twin, so this code may know too little and
never too much.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from switch.store._shortest cimport (
    FALSE, In, NIL, SHORT_TEXT, TEXT, TRUE, PyUnicode_DecodeUTF8, Text, read_array, read_count, read_number,
    read_text,
)

from hashlib import sha256

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold, LimitCharge, State, Transition
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.store._facts_reference import FactReader as _Reference
from switch.store.notes import MASK_BYTES
from switch.store.packing import RECORD_VERSION


cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject *kind, Py_ssize_t items)


COMPILED = True

cdef enum:
    HOLD = 8                # how many fields each tuple has
    INSTRUCTION = 12
    PARTY = 4
    ACCOUNT = 3
    DOCUMENT = 2
    MONEY = 2
    ENTRY = 3
    CHARGE = 6
    STEP = 6
    FIGURE = 2
    ENUM_MAX = 15           # members stand in tables of 16
    MASK = 12               # hexadecimal digits
    MASKS = 7               # personal values of a payment
    BLOCK = 64              # of SHA-256
    UETR = 36               # characters
    ROOM = 4096             # bytes of a masked record; one is about 450

# A field of the domain that is moved, renamed or added stops the import, not a payment: values are read by place.
assert Hold._fields == (
    "instruction", "corridor_id", "rail", "entries", "charges", "prepared_time_ms", "overdue_time_ms", "masked",
)
assert Instruction._fields == (
    "participant", "request_id", "uetr", "end_to_end_id", "debit", "credit", "debtor", "creditor", "creditor_agent",
    "purpose", "remark", "quote_id",
)
assert Party._fields == ("name", "place", "account", "document") and Account._fields == ("scheme", "value", "level")
assert Document._fields == ("type", "number") and Money._fields == ("asset", "amount_minor")
assert Entry._fields == ("participant", "asset", "amount_minor") and len(LimitCharge._fields) == CHARGE
assert Transition._fields == ("state", "time_ms", "reason", "rail_code", "rail_reference", "figures")
assert SettlementFact._fields == (
    "event_id", "sequence", "uetr", "debtor_agent", "state", "reason", "rail", "corridor_id", "rail_reference",
    "entries", "prepared_time_ms", "final_time_ms", "request_id", "note",
)
assert RECORD_VERSION == 1 and MASK == 2 * MASK_BYTES


cdef uint32_t _known(kind) except? 0:
    """Which numbers have a member: bit n for member n."""
    assert all([0 < member <= ENUM_MAX for member in kind]), kind
    return sum([1 << member for member in kind])


cdef uint32_t ASSETS = _known(Asset), PLACES = _known(Place), SCHEMES = _known(Scheme), TYPES = _known(DocumentType)
cdef dict _members = {int(member): member for member in Asset}
cdef list ASSET_OF = [_members.get(number) for number in range(ENUM_MAX + 1)]
cdef object COMMITTED = State.COMMITTED, ABORTED = State.ABORTED
assert {state.value: state.final for state in State} == {"P": False, "C": True, "A": True, "D": False}


# --- a record --------------------------------------------------------------------------------------------------------


cdef bint _member(In *read, uint32_t known) noexcept:
    cdef int64_t value = 0
    return read_number(read, &value) and 0 < value <= ENUM_MAX and known >> value & 1


cdef struct Found:              # what the fact needs of a record
    Text agent, request_id, uetr, corridor_id, rail, reason, rail_reference
    const uint8_t *entries
    int64_t prepared_time_ms, final_time_ms
    uint8_t state               # the letter; 0 = no step yet
    const uint8_t *masked       # where it says that it is not masked
    Text[MASKS] personal        # in the order of PATHS


cdef enum:                      # places in `personal`
    NAME = 0                    # of a party, and three further those of the other
    ACCOUNT_VALUE = 1
    DOCUMENT_NUMBER = 2
    CREDITOR = 3
    REMARK = 6

cdef tuple _whats = ("name", "account.value", "document.number")
cdef list _paths = [f"{whose}.{what}" for whose in ("debtor", "creditor") for what in _whats]
cdef list PATHS = [f"|{path}|".encode() for path in (*_paths, "remark")]
assert len(PATHS) == MASKS


cdef bint _money(In *read) noexcept:
    cdef int64_t amount = 0
    return read_array(read, MONEY) and _member(read, ASSETS) and read_number(read, &amount)


cdef bint _party(In *read, Text *personal) noexcept:
    cdef int64_t level = 0
    if not (read_array(read, PARTY) and read_text(read, &personal[NAME]) and _member(read, PLACES)):
        return False
    if not (read_array(read, ACCOUNT) and _member(read, SCHEMES) and read_text(read, &personal[ACCOUNT_VALUE])):
        return False
    if not read_number(read, &level) or read.at == read.end:
        return False
    if read.at[0] == NIL:
        read.at += 1
        return True
    return read_array(read, DOCUMENT) and _member(read, TYPES) and read_text(read, &personal[DOCUMENT_NUMBER])


cdef bint _instruction(In *read, Found *found) noexcept:
    cdef Text other
    if not (read_array(read, INSTRUCTION) and read_text(read, &found.agent) and read_text(read, &found.request_id)):
        return False
    if not (read_text(read, &found.uetr) and read_text(read, &other) and _money(read) and _money(read)):
        return False
    if not (_party(read, &found.personal[NAME]) and _party(read, &found.personal[CREDITOR])):
        return False
    if not (read_text(read, &other) and read_text(read, &other) and read_text(read, &found.personal[REMARK])):
        return False
    return read_text(read, &other)


cdef bint _entries(In *read) noexcept:
    cdef Text owner
    cdef int64_t amount = 0
    cdef Py_ssize_t left = read_count(read)
    while left > 0:
        if not (read_array(read, ENTRY) and read_text(read, &owner) and _member(read, ASSETS)):
            return False
        if not read_number(read, &amount):
            return False
        left -= 1
    return left == 0


cdef bint _charges(In *read) noexcept:
    cdef Text text
    cdef int64_t number = 0
    cdef Py_ssize_t left = read_count(read)
    while left > 0:
        if not (read_array(read, CHARGE) and read_text(read, &text) and read_text(read, &text)):
            return False
        if not read_text(read, &text):
            return False
        if not (read_number(read, &number) and read_number(read, &number) and read_number(read, &number)):
            return False
        left -= 1
    return left == 0


cdef bint _hold(In *read, Found *found) noexcept:
    cdef int64_t overdue = 0
    if not (read_array(read, HOLD) and _instruction(read, found)):
        return False
    if not (read_text(read, &found.corridor_id) and read_text(read, &found.rail)):
        return False
    found.entries = read.at
    if not (_entries(read) and _charges(read) and read_number(read, &found.prepared_time_ms)):
        return False
    if not read_number(read, &overdue):
        return False
    if read.at == read.end or read.at[0] != FALSE:  # masked already: the twin
        return False
    found.masked = read.at
    read.at += 1
    return True


cdef bint _step(In *read, Found *found) noexcept:
    cdef Text text
    cdef Py_ssize_t left
    if not (read_array(read, STEP) and read_number(read, &found.final_time_ms) and read_text(read, &found.reason)):
        return False
    if not (read_text(read, &text) and read_text(read, &found.rail_reference)):
        return False
    left = read_count(read)
    while left > 0:
        if not (read_array(read, FIGURE) and read_text(read, &text) and read_text(read, &text)):
            return False
        left -= 1
    if left < 0 or not read_text(read, &text) or text.size != 1:
        return False
    found.state = text.start[0]
    return found.state in (c"P", c"C", c"A", c"D")


cdef bint _record(In *read, Found *found) noexcept:
    """A record whose last step is final."""
    cdef int64_t version = 0
    if not (read_number(read, &version) and version == 1 and _hold(read, found) and found.uetr.size == UETR):
        return False
    while read.at < read.end:
        if not _step(read, found):
            return False
    return found.state in (c"C", c"A")


cdef const char *DIGITS = b"0123456789abcdef"


# --- a fact ----------------------------------------------------------------------------------------------------------


cdef inline str _str(const Text *text):
    return PyUnicode_DecodeUTF8(<const char *> text.start, text.size, NULL)


cdef inline void _put(object made, Py_ssize_t place, object value) noexcept:
    Py_INCREF(value)
    PyTuple_SET_ITEM(made, place, value)


cdef tuple _entries_of(In read):
    """What _entries has seen."""
    cdef Py_ssize_t place, number = read_count(&read)
    cdef tuple entries = PyTuple_New(number)
    cdef Text owner = Text(NULL, 0)
    cdef int64_t asset = 0, amount = 0
    for place in range(number):
        read_array(&read, ENTRY)
        read_text(&read, &owner)
        read_number(&read, &asset)
        read_number(&read, &amount)
        entry = PyType_GenericAlloc(<PyTypeObject *> Entry, ENTRY)
        _put(entry, 0, _str(&owner))
        _put(entry, 1, ASSET_OF[asset])
        _put(entry, 2, amount)
        _put(entries, place, entry)
    return entries


cdef class FactReader:
    """As the twin."""

    cdef object _plain, _encrypt
    cdef uint8_t[BLOCK] _inner   # the key of masks as HMAC (RFC 2104) begins its two hashes with it
    cdef bytes _outer

    def __init__(self, notes, plain=None):
        """`plain`: who reads what is not read here, for tests."""
        cdef bytes key = notes.mask_key.ljust(BLOCK, b"\0")
        cdef bytes inner = bytes([byte ^ 0x36 for byte in key])
        assert len(key) == BLOCK
        memcpy(self._inner, <const char *> inner, BLOCK)
        self._outer = bytes([byte ^ 0x5C for byte in key])
        self._encrypt = notes.cipher.encrypt
        self._plain = plain or _Reference(notes)

    def read(self, bytes record not None, sequence):
        """The fact of a record: see the reference."""
        cdef Found found
        cdef In read
        cdef const uint8_t *start = <const uint8_t *> <const char *> record
        cdef int place
        read.at, read.end = start, start + len(record)
        found.state = 0
        for place in range(MASKS):
            found.personal[place].size = 0
        if len(record) > ROOM - MASKS * (1 + MASK) or not _record(&read, &found):
            return self._plain.read(record, sequence)
        read.at = start
        return self._fact(&found, self._note(&read, &found), sequence)

    cdef object _fact(self, Found *found, bytes note, sequence):
        fact = PyType_GenericAlloc(<PyTypeObject *> SettlementFact, 14)
        cdef str uetr = _str(&found.uetr)
        cdef In entries
        entries.at, entries.end = found.entries, found.masked
        _put(fact, 0, uetr)
        _put(fact, 1, sequence)
        _put(fact, 2, uetr)
        _put(fact, 3, _str(&found.agent))
        _put(fact, 4, COMMITTED if found.state == c"C" else ABORTED)
        _put(fact, 5, _str(&found.reason))
        _put(fact, 6, _str(&found.rail))
        _put(fact, 7, _str(&found.corridor_id))
        _put(fact, 8, _str(&found.rail_reference))
        _put(fact, 9, _entries_of(entries) if found.state == c"C" else ())
        _put(fact, 10, found.prepared_time_ms)
        _put(fact, 11, found.final_time_ms)
        _put(fact, 12, _str(&found.request_id))
        _put(fact, 13, note)
        return fact

    cdef bytes _note(self, In *rest, Found *found):
        """The record with masks where personal values were, enciphered."""
        cdef uint8_t[ROOM] room
        cdef uint8_t *at = room
        cdef int place
        cdef Text *text
        cdef const uint8_t *head
        for place in range(MASKS):
            text = &found.personal[place]
            if text.size:  # what is empty stays empty
                head = text.start - (1 if text.size < SHORT_TEXT else 3)
                at = _copied(at, rest, head)
                at[0] = TEXT + MASK
                self._mask(at + 1, &found.uetr, PATHS[place], text)
                at += 1 + MASK
                rest.at = text.start + text.size
        at = _copied(at, rest, found.masked)
        at[0] = TRUE
        rest.at += 1
        at = _copied(at + 1, rest, rest.end)
        masked = PyBytes_FromStringAndSize(<const char *> room, at - room)
        return self._encrypt(masked, [PyBytes_FromStringAndSize(<const char *> found.uetr.start, UETR)])

    cdef int _mask(self, uint8_t *to, const Text *uetr, bytes path, const Text *value) except -1:
        """The mask of one value, as Notes makes it: the first bytes of an HMAC, in hexadecimal digits."""
        cdef Py_ssize_t path_size = len(path)
        cdef bytes asked = PyBytes_FromStringAndSize(NULL, BLOCK + UETR + path_size + value.size)
        cdef uint8_t *at = <uint8_t *> <char *> asked
        cdef const uint8_t *digest
        cdef int place
        memcpy(at, self._inner, BLOCK)
        memcpy(at + BLOCK, uetr.start, UETR)
        memcpy(at + BLOCK + UETR, <const char *> path, path_size)
        memcpy(at + BLOCK + UETR + path_size, value.start, value.size)
        cdef bytes made = sha256(self._outer + <bytes> sha256(asked).digest()).digest()
        digest = <const uint8_t *> <const char *> made
        for place in range(MASK // 2):
            to[2 * place] = DIGITS[digest[place] >> 4]
            to[2 * place + 1] = DIGITS[digest[place] & 15]
        return 0


cdef inline uint8_t *_copied(uint8_t *at, In *rest, const uint8_t *until) noexcept:
    """As it is, up to a place."""
    memcpy(at, rest.at, until - rest.at)
    at += until - rest.at
    rest.at = until
    return at
