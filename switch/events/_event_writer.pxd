# A record of the payment topic, as _event_writer.pyx writes it and _event_reader.pyx reads it. The writer asserts the
# numbers when it is imported, and the reader's cimport imports it.

cdef enum:                  # numbers of the fields of a SettlementEvent
    EVENT_ID = 1
    SEQUENCE = 2
    UETR = 3
    DEBTOR_AGENT = 4
    STATE = 5
    REASON = 6
    RAIL = 7
    CORRIDOR = 8
    RAIL_REFERENCE = 9
    ENTRIES = 10
    PREPARED_TIME = 11
    FINAL_TIME = 12
    REQUEST_ID = 13
    NOTE = 14

cdef Py_ssize_t EVENT_BYTES
cdef object COMMITTED, ABORTED
cdef int COMMITTED_NUMBER, ABORTED_NUMBER
cdef list ATTRIBUTES        # of no event: those that all records share are as they always are
