# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The router, compiled. switch/routing/_reference.py is its specification; the layout is in _router.pxd.

An instruction is read by position, for a NamedTuple is a tuple: no attribute is looked up on the way to a hit.
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject

from switch.domain.corridor import Measure, Period, Route
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.errors import ConfigError, Refused
from switch.limits import AMOUNT_MINOR_MAX, CORRIDORS_MAX
from switch.routing._verdict import refusal

COMPILED = True

cdef enum:
    PARTICIPANT = 0         # Instruction
    DEBIT = 4
    CREDIT = 5
    DEBTOR = 6
    CREDITOR = 7
    CREDITOR_AGENT = 8
    PURPOSE = 9
    INSTRUCTION_FIELDS = 12
    ASSET = 0               # Money
    AMOUNT_MINOR = 1
    MONEY_FIELDS = 2
    PLACE = 1               # Party
    ACCOUNT = 2
    DOCUMENT = 3
    PARTY_FIELDS = 4
    SCHEME = 0              # Account
    LEVEL = 2
    ACCOUNT_FIELDS = 3
    TYPE = 0                # Document
    DOCUMENT_FIELDS = 2

# The positions above are the fields' order; a field moved in the domain stops the import, not a payment.
_LAYOUT = (
    (Instruction, INSTRUCTION_FIELDS, {
        "participant": PARTICIPANT, "debit": DEBIT, "credit": CREDIT, "debtor": DEBTOR, "creditor": CREDITOR,
        "creditor_agent": CREDITOR_AGENT, "purpose": PURPOSE,
    }),
    (Money, MONEY_FIELDS, {"asset": ASSET, "amount_minor": AMOUNT_MINOR}),
    (Party, PARTY_FIELDS, {"place": PLACE, "account": ACCOUNT, "document": DOCUMENT}),
    (Account, ACCOUNT_FIELDS, {"scheme": SCHEME, "level": LEVEL}),
    (Document, DOCUMENT_FIELDS, {"type": TYPE}),
)
for _kind, _count, _places in _LAYOUT:
    assert len(_kind._fields) == _count, _kind
    for _field, _place in _places.items():
        assert _kind._fields.index(_field) == _place, (_kind, _field)
for _members in (Asset, Place, Scheme):
    assert all(1 <= _member <= 15 for _member in _members), _members  # 4 bits of the key each
assert all(1 <= _member <= 31 for _member in DocumentType)  # bits of Row.papers

cdef int64_t HONG_KONG_MS = 8 * 3_600_000
cdef int64_t MINUTE_MS = 60_000
cdef int64_t MINUTES_OF_DAY = 1440
cdef uint64_t AGENT_SHIFT = 20
cdef uint64_t SPREAD = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: neighbours land far apart


cdef inline tuple _fields(object value, Py_ssize_t count):
    """`value` as the tuple it is; TypeError for anything else, so that no position is read blindly."""
    if not isinstance(value, tuple) or len(<tuple>value) != count:
        raise TypeError("not an instruction of switch.domain")
    return <tuple>value


cdef inline uint64_t _pack(
    uint64_t debtor_place, uint64_t creditor_place, uint64_t debit, uint64_t credit, uint64_t scheme
) noexcept nogil:
    """The low 20 bits of a key; 0, which matches nothing, when a value has no place in 4 bits."""
    if (debtor_place | creditor_place | debit | credit | scheme) >> 4:
        return 0
    return scheme | credit << 4 | debit << 8 | creditor_place << 12 | debtor_place << 16


cdef inline uint64_t _slot_of(uint64_t key, uint64_t mask) noexcept nogil:
    return (key * SPREAD) >> 20 & mask


cdef class Router:
    """An immutable table of corridors. `route` is pure: no I/O, no clock of its own, safe to repeat."""

    def __cinit__(self, corridors):
        """Raises ConfigError: two rows answer to one key, or there are too many."""
        rows = tuple(corridors)
        if len(rows) > CORRIDORS_MAX:
            raise ConfigError(f"{len(rows)} corridors; at most {CORRIDORS_MAX} are taken")
        cdef uint64_t slots = 8
        while slots < 2 * <uint64_t>sum([len(row.schemes) for row in rows]):
            slots *= 2
        self._mask = slots - 1
        self._slots = <Slot*>PyMem_Calloc(slots, sizeof(Slot))
        self._rows = <Row*>PyMem_Calloc(len(rows) + 1, sizeof(Row))
        self._txns = <Txn*>PyMem_Calloc(sum([len(row.limits) for row in rows]) + 1, sizeof(Txn))
        if self._slots is NULL or self._rows is NULL or self._txns is NULL:
            raise MemoryError
        self._routes = [Route(row, row.rail, row.gateway) for row in rows]
        shared = {}  # most rows name the same few sets
        self._purposes = [shared.setdefault(row.purposes, frozenset(row.purposes)) for row in rows]
        self._papers_from = [shared.setdefault(row.papers_from, frozenset(row.papers_from)) for row in rows]
        self._agents = {}
        self._fill(rows)

    def __dealloc__(self):
        PyMem_Free(self._slots)
        PyMem_Free(self._rows)
        PyMem_Free(self._txns)

    def _fill(self, rows):
        cdef int32_t number, txn = 0
        cdef Row* row
        for number, corridor in enumerate(rows):
            row = &self._rows[number]
            for document in corridor.papers:
                row.papers |= <uint32_t>1 << <uint32_t>document
            row.asks_purpose = bool(corridor.purposes)
            row.open_minute, row.close_minute = corridor.hours
            row.txn_first = txn
            for place, limit in enumerate(corridor.limits):
                if limit.period is Period.TXN:
                    self._txns[txn].amount_minor_max = _amount_max(limit)
                    self._txns[txn].of_credit = limit.measure is Measure.CREDIT
                    self._txns[txn].wallet_level = limit.wallet_level
                    self._txns[txn].limit = place
                    txn += 1
            row.txn_count = txn - row.txn_first
            self._insert(corridor, number)

    def _insert(self, corridor, int32_t number):
        cdef uint64_t agent = 0, key, at
        if corridor.creditor_agent:
            agent = self._agents.setdefault(corridor.creditor_agent, len(self._agents) + 1)
        for scheme in corridor.schemes:
            key = agent << AGENT_SHIFT | _pack(
                corridor.debtor_place, corridor.creditor_place, corridor.debit_asset, corridor.credit_asset, scheme
            )
            if self._find(key) >= 0:
                first = self._routes[self._find(key)].corridor.id
                raise ConfigError(f"corridors {first!r} and {corridor.id!r} both take {scheme.name}")
            at = _slot_of(key, self._mask)
            while self._slots[at].key:
                at = at + 1 & self._mask
            self._slots[at].key = key
            self._slots[at].row = number

    # --- the inner path: C only ----------------------------------------------------------------------------------
    cdef int32_t _find(self, uint64_t key) noexcept nogil:
        """Row of a whole key, or -1. Ends at a free slot, and half of them are free."""
        cdef uint64_t at = _slot_of(key, self._mask)
        while self._slots[at].key:
            if self._slots[at].key == key:
                return self._slots[at].row
            at = at + 1 & self._mask
        return -1

    cdef int32_t _match(self, uint64_t key, uint64_t agent) noexcept nogil:
        """Row for a named agent, else for any, else -1."""
        cdef int32_t row = -1
        if agent:
            row = self._find(agent << AGENT_SHIFT | key)
        return row if row >= 0 else self._find(key)

    cdef uint64_t _agent(self, object creditor_agent) except? 0:
        """Number of an agent; 0 for "" and for one that no row names."""
        cdef PyObject* number = PyDict_GetItemWithError(self._agents, creditor_agent)
        return <uint64_t><object>number if number is not NULL else 0

    # --- Python's side -------------------------------------------------------------------------------------------
    def match(
        self,
        uint64_t debtor_place,
        uint64_t creditor_place,
        uint64_t debit_asset,
        uint64_t credit_asset,
        uint64_t scheme,
        str creditor_agent not None,
    ):
        """The row for these, a named creditor agent before any; None when there is none. No rule is asked."""
        cdef uint64_t key = _pack(debtor_place, creditor_place, debit_asset, credit_asset, scheme)
        cdef int32_t row = self._match(key, self._agent(creditor_agent))
        return self._routes[row] if row >= 0 else None

    def route(self, instruction, int64_t now_ms):
        """The route of an instruction, when no rule refuses it at `now_ms` (Unix ms).

        Raises:
            Refused: NO_ROUTE, PAPERS_REQUIRED, PAPERS_NOT_ACCEPTED, PURPOSE_REQUIRED, PURPOSE_NOT_ALLOWED,
                OUT_OF_HOURS, TXN_LIMIT: the first of them in this order, with its field and figures.
        """
        cdef tuple asked = _fields(instruction, INSTRUCTION_FIELDS)
        cdef tuple debit = _fields(asked[DEBIT], MONEY_FIELDS), credit = _fields(asked[CREDIT], MONEY_FIELDS)
        cdef tuple debtor = _fields(asked[DEBTOR], PARTY_FIELDS), creditor = _fields(asked[CREDITOR], PARTY_FIELDS)
        cdef tuple account = _fields(creditor[ACCOUNT], ACCOUNT_FIELDS)
        cdef uint64_t key = _pack(debtor[PLACE], creditor[PLACE], debit[ASSET], credit[ASSET], account[SCHEME])
        cdef int32_t number = self._match(key, self._agent(asked[CREDITOR_AGENT]))
        if number < 0:
            raise Refused("NO_ROUTE")
        cdef Row* row = &self._rows[number]
        cdef object route = self._routes[number]
        if row.papers:
            self._check_papers(number, asked[PARTICIPANT], debtor[DOCUMENT], now_ms)
        if row.asks_purpose and asked[PURPOSE] not in <frozenset>self._purposes[number]:
            raise refusal("PURPOSE_NOT_ALLOWED" if asked[PURPOSE] else "PURPOSE_REQUIRED", route.corridor, now_ms)
        cdef int64_t minute = (now_ms + HONG_KONG_MS) // MINUTE_MS % MINUTES_OF_DAY
        if minute < row.open_minute or minute >= row.close_minute:
            raise refusal("OUT_OF_HOURS", route.corridor, now_ms)
        if row.txn_count:
            self._check_txn(number, debit[AMOUNT_MINOR], credit[AMOUNT_MINOR], account[LEVEL], now_ms)
        return route

    cdef int _check_papers(self, int32_t number, object participant, object document, int64_t now_ms) except -1:
        cdef uint32_t kind
        if document is None:
            if participant in <frozenset>self._papers_from[number]:
                return 0
            raise refusal("PAPERS_REQUIRED", self._routes[number].corridor, now_ms)
        kind = _fields(document, DOCUMENT_FIELDS)[TYPE]
        if kind > 31 or not self._rows[number].papers >> kind & 1:
            raise refusal("PAPERS_NOT_ACCEPTED", self._routes[number].corridor, now_ms)
        return 0

    cdef int _check_txn(self, int32_t number, int64_t debit, int64_t credit, int32_t level, int64_t now_ms) except -1:
        cdef Txn* txn = &self._txns[self._rows[number].txn_first]
        cdef int32_t left
        for left in range(self._rows[number].txn_count):
            if (not txn.wallet_level or txn.wallet_level == level) and (
                credit if txn.of_credit else debit
            ) > txn.amount_minor_max:
                corridor = self._routes[number].corridor
                raise refusal("TXN_LIMIT", corridor, now_ms, corridor.limits[txn.limit])
            txn += 1
        return 0


def _amount_max(limit):
    """Most of the measured side: ceil(amount * n / d) <= max is amount <= max * d // n, for whole numbers exactly."""
    if limit.reference is None:
        return limit.max_minor
    return min(limit.max_minor * limit.reference.denominator // limit.reference.numerator, AMOUNT_MINOR_MAX)
