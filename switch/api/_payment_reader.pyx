# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Bytes -> instructions, compiled. switch/api/_payment_wire_reference.py is its specification.

Only what is plain is read: fields in ascending order, each at most once, none unknown, every value valid. For anything
else the answer is None and the readable path has the word, so this code may know too little and never too much.
"""

from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint8_t, uint32_t

from bayswitch.v1 import common_pb2, payment_pb2

from switch._wire cimport ENUM_MAX, MONEY_AMOUNT_MINOR, MONEY_ASSET, Code, members_of, name_codes, named
from switch.api._plain cimport (
    Piece, Shape, ascii_of, asked, chain_of, fits, is_hkid, is_mainland_id, is_residence_permit, shaped,
    shaped_or_empty, split, text_of, varint,
)

from switch.api import _shapes
from switch.api._wire_layout import fields_of
from switch.domain.document import Document, DocumentType, parse_document
from switch.domain.identifiers import parse_account
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.limits import (
    AMOUNT_MINOR_MAX as _AMOUNT_MINOR_MAX, MAX35_CHARS as _MAX35_CHARS, NAME_CHARS_MAX as _NAME_CHARS_MAX,
    REMARK_CHARS_MAX as _REMARK_CHARS_MAX,
)


cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject *kind, Py_ssize_t items)


COMPILED = True

cdef enum:                  # numbers of fields
    REQUEST_ID = 1          # SubmitPaymentRequest
    UETR = 2
    END_TO_END_ID = 3
    DEBIT = 4
    CREDIT = 5
    DEBTOR = 6
    CREDITOR = 7
    CREDITOR_AGENT = 8
    PURPOSE = 9
    REMARK = 10
    QUOTE_ID = 11
    REQUEST_FIELDS = 11
    MONEY_FIELDS = 2        # Money
    NAME = 1                # Party
    PLACE = 2
    ACCOUNT = 3
    DOCUMENT = 4
    PARTY_FIELDS = 4
    SCHEME = 1              # Account
    VALUE = 2
    LEVEL = 3
    ACCOUNT_FIELDS = 3
    TYPE = 1                # Document
    NUMBER = 2
    DOCUMENT_FIELDS = 2
    ITEMS_TAG = 0x0A        # SubmitPaymentsRequest: field 1, length-delimited
    ACCOUNT_SCHEME = 1      # a Scheme
    MAINLAND_ID = 1         # a DocumentType
    RESIDENCE_PERMIT = 2
    HKID = 4

# A field of the contract that is moved, renamed, retyped or added stops the import, not a payment.
assert fields_of(payment_pb2.SubmitPaymentRequest) == {
    "request_id": (REQUEST_ID, "text"), "uetr": (UETR, "text"), "end_to_end_id": (END_TO_END_ID, "text"),
    "debit": (DEBIT, "message"), "credit": (CREDIT, "message"), "debtor": (DEBTOR, "message"),
    "creditor": (CREDITOR, "message"), "creditor_agent": (CREDITOR_AGENT, "text"), "purpose": (PURPOSE, "text"),
    "remark": (REMARK, "text"), "quote_id": (QUOTE_ID, "text"),
}
assert fields_of(common_pb2.Money) == {
    "asset": (MONEY_ASSET, "text"), "amount_minor": (MONEY_AMOUNT_MINOR, "number"),
}
assert fields_of(common_pb2.Party) == {
    "name": (NAME, "text"), "place": (PLACE, "number"), "account": (ACCOUNT, "message"),
    "document": (DOCUMENT, "message"),
}
assert fields_of(common_pb2.Account) == {
    "scheme": (SCHEME, "number"), "value": (VALUE, "text"), "level": (LEVEL, "number"),
}
assert fields_of(common_pb2.Document) == {"type": (TYPE, "number"), "number": (NUMBER, "text")}
assert fields_of(payment_pb2.SubmitPaymentsRequest) == {"items": (ITEMS_TAG >> 3, "messages")}
# So does a field of the domain: its values are put by place.
assert Instruction._fields == (
    "participant", "request_id", "uetr", "end_to_end_id", "debit", "credit", "debtor", "creditor", "creditor_agent",
    "purpose", "remark", "quote_id",
)
assert Money._fields == ("asset", "amount_minor") and Party._fields == ("name", "place", "account", "document")
assert Account._fields == ("scheme", "value", "level") and Document._fields == ("type", "number")
assert Scheme.ACCOUNT == ACCOUNT_SCHEME and DocumentType.HKID == HKID
assert DocumentType.MAINLAND_ID == MAINLAND_ID and DocumentType.RESIDENCE_PERMIT == RESIDENCE_PERMIT


# --- tables ----------------------------------------------------------------------------------------------------------


cdef uint32_t _lengths(message) except? 0:
    """Which fields are length-delimited: bit n for field n."""
    return sum([1 << number for number, kind in fields_of(message).values() if kind != "number"])


cdef int64_t AMOUNT_MINOR_MAX = _AMOUNT_MINOR_MAX
cdef Py_ssize_t MAX35_CHARS = _MAX35_CHARS, NAME_CHARS_MAX = _NAME_CHARS_MAX, REMARK_CHARS_MAX = _REMARK_CHARS_MAX
cdef uint32_t REQUEST_LENGTHS = _lengths(payment_pb2.SubmitPaymentRequest)
cdef uint32_t MONEY_LENGTHS = _lengths(common_pb2.Money)
cdef uint32_t PARTY_LENGTHS = _lengths(common_pb2.Party)
cdef uint32_t ACCOUNT_LENGTHS = _lengths(common_pb2.Account)
cdef uint32_t DOCUMENT_LENGTHS = _lengths(common_pb2.Document)
cdef Shape *REQUEST_IDS = chain_of((_shapes.REQUEST_ID,))
cdef Shape *UETRS = chain_of((_shapes.UETR,))
cdef Shape *AGENTS = chain_of((_shapes.CREDITOR_AGENT,))
cdef Shape *PURPOSES = chain_of((_shapes.PURPOSE,))
cdef Shape *ACCOUNTS[ENUM_MAX + 1]      # by scheme; NULL = ask the rule
cdef Shape *DOCUMENTS[ENUM_MAX + 1]     # by type; NULL = ask the rule, but for those with a check character
cdef int64_t[ENUM_MAX + 1] LEVEL_MAX    # by scheme
cdef Code[ENUM_MAX + 1] CODES           # by asset
cdef list ASSETS = members_of(Asset), PLACES = members_of(Place)
cdef list SCHEMES = members_of(Scheme), TYPES = members_of(DocumentType)


cdef _fill_tables():
    cdef int number
    for number in range(ENUM_MAX + 1):
        ACCOUNTS[number] = chain_of(_shapes.ACCOUNTS.get(number, ()))
        DOCUMENTS[number] = chain_of(_shapes.DOCUMENTS.get(number, ()))
        LEVEL_MAX[number] = _shapes.LEVEL_MAX.get(number, 0)
    name_codes(CODES, ASSETS)

_fill_tables()


# --- values ----------------------------------------------------------------------------------------------------------


cdef inline object _new(kind, Py_ssize_t fields):
    """A NamedTuple without its values: `_put` each before anybody sees it."""
    return PyType_GenericAlloc(<PyTypeObject *> kind, fields)


cdef inline void _put(object made, Py_ssize_t place, object value) noexcept:
    Py_INCREF(value)
    PyTuple_SET_ITEM(made, place, value)


cdef inline bint _split(const Piece *message, Piece *pieces, int fields, uint32_t lengths) noexcept nogil:
    """False as well when the message is not there."""
    return message.start != NULL and split(message.start, message.start + message.size, pieces, fields, lengths)


cdef inline int _member(const Piece *piece, list members) noexcept:
    """The number of an enum's value when it has a member, else 0: not said, or not known."""
    return <int> piece.size if piece.size <= ENUM_MAX and members[piece.size] is not None else 0


cdef object _money(const Piece *message):
    cdef Piece[MONEY_FIELDS + 1] piece
    cdef int asset
    if not _split(message, piece, MONEY_FIELDS, MONEY_LENGTHS):
        return None
    asset = named(CODES, piece[MONEY_ASSET].start, piece[MONEY_ASSET].size)
    if not asset or not 0 < piece[MONEY_AMOUNT_MINOR].size <= AMOUNT_MINOR_MAX:
        return None
    made = _new(Money, 2)
    _put(made, 0, ASSETS[asset])
    _put(made, 1, piece[MONEY_AMOUNT_MINOR].size)
    return made


cdef object _credit(const Piece *message, object debit, str quote_id):
    """Left out, the credit is the debit; but not with a quote, and in one asset it is equal."""
    if message.start == NULL:
        return None if quote_id else debit
    cdef object credit = _money(message)
    if credit is None or ((<tuple> credit)[0] is (<tuple> debit)[0] and (<tuple> credit)[1] != (<tuple> debit)[1]):
        return None
    return credit


cdef object _account(const Piece *message, int *scheme):
    cdef Piece[ACCOUNT_FIELDS + 1] piece
    cdef object value
    if not _split(message, piece, ACCOUNT_FIELDS, ACCOUNT_LENGTHS):
        return None
    scheme[0] = _member(&piece[SCHEME], SCHEMES)
    if not scheme[0] or not piece[VALUE].size or piece[LEVEL].size > LEVEL_MAX[scheme[0]]:
        return None
    value = shaped(&piece[VALUE], ACCOUNTS[scheme[0]])
    if value is None:
        value = asked(parse_account, SCHEMES[scheme[0]], &piece[VALUE])
        if value is None:
            return None
    made = _new(Account, 3)
    _put(made, 0, SCHEMES[scheme[0]])
    _put(made, 1, value)
    _put(made, 2, piece[LEVEL].size)
    return made


cdef bint _is_canonical(int kind, const uint8_t *number, Py_ssize_t size) noexcept nogil:
    """Is this a document's number that its rule takes as it is? False may mean that the rule has to be asked."""
    if kind == HKID:
        return is_hkid(number, size)
    if kind == MAINLAND_ID:
        return is_mainland_id(number, size)
    if kind == RESIDENCE_PERMIT:
        return is_residence_permit(number, size)
    return fits(DOCUMENTS[kind], number, size)


cdef object _document(const Piece *message):
    cdef Piece[DOCUMENT_FIELDS + 1] piece
    cdef const Piece *number = &piece[NUMBER]
    cdef int kind
    if not _split(message, piece, DOCUMENT_FIELDS, DOCUMENT_LENGTHS):
        return None
    kind = _member(&piece[TYPE], TYPES)
    if not kind or not number.size:
        return None
    if not _is_canonical(kind, number.start, number.size):
        return asked(parse_document, TYPES[kind], number)
    made = _new(Document, 2)
    _put(made, 0, TYPES[kind])
    _put(made, 1, ascii_of(number))
    return made


cdef object _party(const Piece *message, int *scheme):
    cdef Piece[PARTY_FIELDS + 1] piece
    cdef object document = None
    if not _split(message, piece, PARTY_FIELDS, PARTY_LENGTHS):
        return None
    cdef str name = text_of(&piece[NAME], NAME_CHARS_MAX)
    cdef int place = _member(&piece[PLACE], PLACES)
    cdef object account = _account(&piece[ACCOUNT], scheme)
    if not name or not place or account is None:
        return None
    if piece[DOCUMENT].start != NULL:
        document = _document(&piece[DOCUMENT])
        if document is None:
            return None
    made = _new(Party, 4)
    _put(made, 0, name)
    _put(made, 1, PLACES[place])
    _put(made, 2, account)
    _put(made, 3, document)
    return made


cdef object _instruction(str participant, const uint8_t *start, Py_ssize_t size):
    """The instruction; None as soon as something is not plain."""
    cdef Piece[REQUEST_FIELDS + 1] piece
    cdef int scheme = 0
    if not split(start, start + size, piece, REQUEST_FIELDS, REQUEST_LENGTHS):
        return None
    cdef str request_id = shaped(&piece[REQUEST_ID], REQUEST_IDS)
    cdef str uetr = shaped(&piece[UETR], UETRS)
    cdef str end_to_end_id = text_of(&piece[END_TO_END_ID], MAX35_CHARS)
    cdef str agent = shaped_or_empty(&piece[CREDITOR_AGENT], AGENTS)
    cdef str purpose = shaped_or_empty(&piece[PURPOSE], PURPOSES)
    cdef str remark = text_of(&piece[REMARK], REMARK_CHARS_MAX)
    cdef str quote_id = shaped_or_empty(&piece[QUOTE_ID], UETRS)
    cdef object debit = _money(&piece[DEBIT])
    if request_id is None or uetr is None or not end_to_end_id or agent is None or purpose is None:
        return None
    if remark is None or quote_id is None or debit is None:
        return None
    cdef object credit = _credit(&piece[CREDIT], debit, quote_id)
    cdef object debtor = _party(&piece[DEBTOR], &scheme), creditor = _party(&piece[CREDITOR], &scheme)
    if credit is None or debtor is None or creditor is None or (not agent and scheme == ACCOUNT_SCHEME):
        return None
    made = _new(Instruction, 12)
    _put(made, 0, participant)
    _put(made, 1, request_id)
    _put(made, 2, uetr)
    _put(made, 3, end_to_end_id)
    _put(made, 4, debit)
    _put(made, 5, credit)
    _put(made, 6, debtor)
    _put(made, 7, creditor)
    _put(made, 8, agent)
    _put(made, 9, purpose)
    _put(made, 10, remark)
    _put(made, 11, quote_id)
    return made


# --- Python's side ---------------------------------------------------------------------------------------------------


def read_submit(str participant not None, bytes data not None):
    """The instruction of a SubmitPaymentRequest, or None: see the reference."""
    return _instruction(participant, <const uint8_t *> <const char *> data, len(data))


def read_batch(str participant not None, bytes data not None):
    """Each item of a SubmitPaymentsRequest, its instruction or its bytes; or None: see the reference."""
    cdef const uint8_t *at = <const uint8_t *> <const char *> data
    cdef const uint8_t *end = at + len(data)
    cdef int64_t size = 0
    cdef list read = []
    while at < end:
        if at[0] != ITEMS_TAG:
            return None
        at = varint(at + 1, end, &size)
        if at == NULL or size > end - at:
            return None
        instruction = _instruction(participant, at, size)
        read.append((<const char *> at)[:size] if instruction is None else instruction)
        at += size
    return read


def count_items(bytes data not None):
    """How many items a SubmitPaymentsRequest has, none of them read; or None: see the reference."""
    cdef const uint8_t *at = <const uint8_t *> <const char *> data
    cdef const uint8_t *end = at + len(data)
    cdef int64_t size = 0
    cdef Py_ssize_t number = 0
    while at < end:
        if at[0] != ITEMS_TAG:
            return None
        at = varint(at + 1, end, &size)
        if at == NULL or size > end - at:
            return None
        number += 1
        at += size
    return number
