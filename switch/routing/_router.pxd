# The routing table in C: layout only; nothing here allocates or touches a Python object.
#
# A key packs, from the low bits up: scheme, credit asset, debit asset, creditor place, debtor place (4 bits each,
# values 1..15), then the number of the creditor agent (44 bits; 0 = any). So no key is 0, and 0 marks a free slot.
# Slots are open addressing with linear probing; their count is a power of two, at least twice the keys.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef struct Slot:
    uint64_t key            # 0 = free
    int32_t row             # place in Router._rows and Router._routes

cdef struct Txn:            # one row that limits a single payment
    int64_t amount_minor_max    # most minor units of the measured side; the reference rate is worked in
    int32_t of_credit       # 0: the debit is measured; 1: the credit
    int32_t wallet_level    # 0 = any; 1..4: only when the account states this tier
    int32_t limit           # place in Corridor.limits

cdef struct Row:            # the rules of one corridor
    uint32_t papers         # bit 1 << DocumentType; 0 = none asked
    int32_t asks_purpose    # 0 = none asked
    int32_t open_minute     # of the Hong Kong day, 0..1439
    int32_t close_minute    # 1..1440, not itself open
    int32_t txn_first       # place in Router._txns
    int32_t txn_count       # 0 = no limit on one payment

cdef class Router:
    cdef Slot* _slots
    cdef uint64_t _mask     # slots - 1
    cdef Row* _rows
    cdef Txn* _txns
    cdef list _routes       # Route of each row, made once: a hit allocates nothing
    cdef list _purposes     # frozenset of each row
    cdef list _papers_from  # frozenset of each row
    cdef dict _agents       # creditor agent -> its number, from 1

    cdef int32_t _find(self, uint64_t key) noexcept nogil
    cdef int32_t _match(self, uint64_t key, uint64_t agent) noexcept nogil
    cdef uint64_t _agent(self, object creditor_agent) except? 0
    cdef int _check_papers(self, int32_t number, object participant, object document, int64_t now_ms) except -1
    cdef int _check_txn(self, int32_t number, int64_t debit, int64_t credit, int32_t level, int64_t now_ms) except -1
