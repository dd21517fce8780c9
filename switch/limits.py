"""Every bound of the switch, unit last, each with its reason; the relations between them are asserted below."""

from typing import Final

# --- money -----------------------------------------------------------------------------------------------------------
AMOUNT_MINOR_MAX: Final = 10**15 - 1  # FPS amounts have 15 digits in all, 2 of them decimals (rails.md A2)
SCRIPT_INTEGER_MAX: Final = 2**53 - 1  # Lua numbers are doubles: beyond this the store's scripts lose units
RATE_TERM_MAX: Final = 10**12  # numerator and denominator of a rate; AMOUNT_MINOR_MAX * this is a Python integer, fine

# --- text ------------------------------------------------------------------------------------------------------------
NAME_CHARS_MAX: Final = 140  # ISO 20022 Max140Text; a rail with less (FPS: 40) refuses by its own spec
MAX35_CHARS: Final = 35  # ISO 20022 Max35Text: end_to_end_id, references
ACCOUNT_CHARS_MAX: Final = 64  # longest address a rail here takes (email proxy)
REMARK_CHARS_MAX: Final = 140  # ISO 20022 RmtInf/Ustrd
REQUEST_ID_CHARS_MAX: Final = 64  # AIP-155 suggests a UUID (36); wallets' own ids run to 64 (Alipay out_trade_no)
PARTICIPANT_ID_CHARS_MAX: Final = 16  # A-Z 0-9 _; it is part of every key, so short

# --- one payment, times ----------------------------------------------------------------------------------------------
CALL_DEFAULT_MS: Final = 15_000  # deadline given to a call that came without one; documented in payment.proto
ANSWER_MARGIN_MS_MAX: Final = 100  # kept back from a caller's deadline, so that PREPARED or IN_DOUBT still reaches it
RAIL_PREPARE_MS_MAX: Final = 8_000  # one attempt at the instructed agent (SCT Inst: 7-10 s, reliability.md 1.7)
STORE_CALL_MS_MAX: Final = 1_000  # one script call; a store slower than this is down for a payment
HOLD_MS_MAX: Final = 10_000  # after this, recovery takes the hold over
RAIL_MESSAGE_VALID_MS: Final = 30_000  # a rail refuses our prepare when older: "never seen" after it is final
QUOTE_MS_DEFAULT: Final = 600_000  # Nexus quote life, rails.md D5
QUOTE_MS_MAX: Final = 3_600_000  # a provider will not stand by a rate for longer
CLOCK_SKEW_MS_MAX: Final = 5_000  # a rail's clock may be behind ours by this, and still take what we think too old

# --- recovery --------------------------------------------------------------------------------------------------------
ENQUIRY_FIRST_MS: Final = 1_000  # first enquiry after a hold is overdue
ENQUIRY_BACKOFF_MS_MAX: Final = 60_000  # UPI: repeated enquiries were themselves an outage (reliability.md 1.7)
ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX: Final = 32  # the small budget of one rail
ENQUIRIES_PER_RAIL_WAITING_MAX: Final = 96  # asked about or waiting for that budget; a scan must see past all rails'
RECOVERY_SCAN_COUNT: Final = 500  # overdue holds read at a time
CLIENT_START_ENDS_MS: Final = 5_000  # a client of the broker whose start is cancelled: by then nothing is lost any more
CLIENT_STOP_MS: Final = 5_000  # one that is just joining its group would wait for members that may have died
BACKGROUND_END_MS: Final = 12_000  # background work that has not ended after a cancel is cancelled again
BACKGROUND_RESTART_MS: Final = 1_000  # pause before recovery or the relay runs again after a fault of ours in it

# --- grouping and queues ---------------------------------------------------------------------------------------------
BATCH_ITEMS_MAX: Final = 500  # SubmitPaymentsRequest; keeps one batch under MESSAGE_BYTES_MAX
BATCHES_IN_FLIGHT_PER_STREAM: Final = 4  # then the stream is not read: a slow reader cannot grow our memory
GROUP_ITEMS_MAX: Final = 256  # store calls shared by one script call: keeps one script under about 10 ms
GROUP_BYTES_MAX: Final = 1 << 20  # the same by size
GROUP_ITEMS_BESIDE_ANOTHER: Final = 128  # fewer wait for the group that is out: each script call has its price
GROUPS_IN_FLIGHT_PER_SHARD: Final = 4  # script calls sent and not answered; the next group grows meanwhile
STORE_QUEUE_ITEMS_MAX: Final = 20_000  # waiting store calls; beyond it new payments are refused, completions are not
INBOUND_REFUSALS_KEPT: Final = 10_000  # refusals told to rails and not recorded; a repeat crosses within seconds
PAYMENTS_IN_FLIGHT_MAX: Final = 10_000  # running submits of one worker; beyond it OVERLOADED
ADMISSION_PLACES_FIRST: Final = 2_048  # of those, until it is known how quickly they end: eight files of 256
ADMISSION_PLACES_MIN: Final = 256  # one group: a store that is slow by itself, or a machine that is, still gets it
ADMISSION_WAIT_MS_MAX: Final = 40  # in front of the rail, for who waits least: two fsyncs of 1 to 20; else a queue
ADMISSION_LOOK_MS: Final = 200  # how often the number of places may change: a burst is over by then
ADMISSION_ACTIVE_MS: Final = 1_000  # who began nothing in that time, and has nothing under way, has no share
PACE_MAX: Final = 1_000_000  # payments a second agreed with one institution; no worker does a tenth of it
PACE_AHEAD_MS: Final = 500  # how far one may run ahead of its pace: people come unevenly, and a batch comes in one go
CALLS_IN_FLIGHT_MAX: Final = 2_000  # concurrent RPCs of one worker that begin something, streams included
LOOKS_IN_FLIGHT_MAX: Final = 2_000  # the same for RPCs that only look: counted apart, new work never sheds them
ACCEPTS_PER_METHOD: Final = 32  # calls of one busy method taken in one turn of the event loop
CALLS_AT_THE_GATE_MAX: Final = 20_000  # calls come and not yet looked at; beyond it the transport cancels, unsaid
WATCHERS_MAX: Final = 200  # WatchPayments streams of one worker
PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 500
CHANGES_READ_COUNT: Final = 200  # changes read at a time by a watcher

# --- workers of one port ---------------------------------------------------------------------------------------------
WORKER_LOOK_MS: Final = 1_000  # how often the supervisor asks each of them whether its event loop turns
WORKER_LOOKS_MISSED_MAX: Final = 15  # answers missed in a row, then it is replaced; rules of 10^5 corridors take it 2 s

# --- the store's server ----------------------------------------------------------------------------------------------
STORE_CONNECTIONS_MAX: Final = 32  # of one worker to one server: groups, and reads that are not grouped
STORE_READ_ROUNDS_MAX: Final = 20  # pages of a participant's changes walked for one answer of ListPayments
QUOTE_KEPT_MS: Final = 7 * 86_400_000  # an ended quote can be read this long; the payment keeps its figures for ever
QUOTE_LOOK_AGAIN_MS: Final = 5_000  # a used quote whose payment still runs is looked at again after this
EMBEDDED_START_MS_MAX: Final = 60_000  # without a word of its server; one that says it reads its data has longer
EMBEDDED_STOP_MS_MAX: Final = 10_000  # then it is killed; what was acknowledged is in its file already

# --- messages --------------------------------------------------------------------------------------------------------
MESSAGE_BYTES_MAX: Final = 1 << 20  # gRPC receive and send
RAIL_MESSAGE_BYTES_MAX: Final = 64 * 1024  # one rail message; the longest here is under 8 KiB
XML_DEPTH_MAX: Final = 24  # pacs.008 inside an envelope is 12 deep
XML_NODES_MAX: Final = 2_000  # elements in one message
RAIL_IN_FLIGHT_MAX: Final = 4_096  # requests on one rail link that wait for an answer
RAIL_INBOUND_IN_FLIGHT_MAX: Final = 1_024  # payments from one rail that run; beyond it the rail has to ask again
RAIL_CONNECT_MS_MAX: Final = 2_000  # one attempt to connect; also how long a rail's start waits for its first link
RAIL_BACKOFF_FIRST_MS: Final = 50  # after a cut: nearly at once, since most cuts are a restart
RAIL_RECONNECT_MS_MAX: Final = 500  # after a cut: requests wait this long for the next connection
RAIL_BACKOFF_MS_MAX: Final = 2_000  # a rail that is down is tried about every other second
RAIL_WRITE_BUFFER_BYTES_MAX: Final = 1 << 20  # unsent bytes of one link; beyond it the peer does not read

# --- corridors -------------------------------------------------------------------------------------------------------
CORRIDORS_MAX: Final = 100_000  # rows of the routing table
ROUTE_LIMITS_MAX: Final = 8  # limit rows of one corridor

# --- events ----------------------------------------------------------------------------------------------------------
RELAY_BATCH_COUNT: Final = 1_000  # outbox entries read and published at a time; more hold the store up for over 1 ms
BROKER_ANSWER_MS_MAX: Final = 4_000  # one request of a client that may ask another broker of the same cluster
PRODUCER_STUCK_MS_MAX: Final = 10_000  # no ack for this long: the producer is rebuilt (aiokafka#1017)
EVENT_BATCH_BYTES_MAX: Final = (
    512 * 1024
)  # one produce batch: half a RELAY_BATCH_COUNT of one debtor agent fits, a broker takes 1 MiB
EVENT_BYTES_MAX: Final = 8 * 1024  # one event; about 300 bytes as written here
RELAY_IDLE_MS_MIN: Final = 5  # pause after the outbox ran empty: lets a batch gather
RELAY_IDLE_MS_MAX: Final = 200  # longest pause between looks at an empty outbox that nobody nudges
RELAY_BACKOFF_MS_FIRST: Final = 100  # pause after the broker or the store failed, doubled each time
RELAY_BACKOFF_MS_MAX: Final = 5_000  # a broker that is back is noticed within this
RELAY_DEPTH_MS: Final = 1_000  # how old the shown depth of the outbox may be
SETTLEMENT_PARTITIONS: Final = 48  # fixed at launch: order is per key, and another count moves the keys
SETTLEMENT_RETENTION_MS: Final = 90 * 86_400_000  # a quarter can be replayed and disputed from the topic alone
RELAY_LEASE_MS: Final = 5_000  # a relay that is gone is replaced after this
RELAY_LEASE_RENEW_MS: Final = 1_000  # how often it says that it is there

# --- settlement ------------------------------------------------------------------------------------------------------
CHUNK_RECORDS_MAX: Final = 1_000  # records of the log settled in one step; bounds its script and its archive insert
GAPS_MAX: Final = 10_000  # missing sequences kept in sight; with more the settler stops, for the log is not ours
ANNOUNCE_COUNT: Final = 200  # moves of windows, or positions, published at a time
WINDOWS_READ_MAX: Final = 500  # one answer of ListWindows
RETENTION_MS_DEFAULT: Final = 7 * 86_400_000  # how long a final payment stays in the store after it is archived
RETENTION_MS_MIN: Final = 1_000  # drills; a watcher resumes only within the retention
RETIRE_COUNT: Final = 500  # payments that leave the store in one step
ARCHIVE_CALL_MS_MAX: Final = 10_000  # one statement of the archive database
CONSUMER_FETCH_MS: Final = 200  # how long one fetch waits for more

# --- metrics ---------------------------------------------------------------------------------------------------------
METRIC_CORRIDORS_MAX: Final = 200  # corridors with figures of their own; the rest is counted as "other"
METRIC_PARTICIPANTS_MAX: Final = 100  # whose use of caps is shown: one read of the store each
METRIC_OPEN_SEEN: Final = 100  # open payments whose age a scrape reads
SCRAPE_MS_MAX: Final = 500  # then an answer is partial; a scraper waits for 10 s by itself
SCRAPE_SLICE_SAMPLES: Final = 100  # written in one turn of the event loop: well under a millisecond
LOOK_FRESH_MS: Final = 1_000  # what was read from the store is not read again sooner, however often we are scraped
LOOP_DELAY_LOOK_MS: Final = 50  # how often the delay of the event loop is measured

assert AMOUNT_MINOR_MAX < SCRIPT_INTEGER_MAX
assert RAIL_PREPARE_MS_MAX + 2 * STORE_CALL_MS_MAX <= HOLD_MS_MAX  # an honest payment ends before recovery looks at it
assert RAIL_PREPARE_MS_MAX + 2 * STORE_CALL_MS_MAX < CALL_DEFAULT_MS
assert RAIL_PREPARE_MS_MAX < RAIL_MESSAGE_VALID_MS
assert ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX <= ENQUIRIES_PER_RAIL_WAITING_MAX <= RECOVERY_SCAN_COUNT // 5
assert CALLS_IN_FLIGHT_MAX + LOOKS_IN_FLIGHT_MAX < CALLS_AT_THE_GATE_MAX  # the gate sheds, not the transport
assert GROUP_ITEMS_BESIDE_ANOTHER <= GROUP_ITEMS_MAX <= STORE_QUEUE_ITEMS_MAX
assert GROUPS_IN_FLIGHT_PER_SHARD < STORE_CONNECTIONS_MAX
assert 0 < ADMISSION_PLACES_MIN <= ADMISSION_PLACES_FIRST <= PAYMENTS_IN_FLIGHT_MAX
assert ADMISSION_WAIT_MS_MAX < ADMISSION_LOOK_MS < STORE_CALL_MS_MAX  # places are gone before the store's time is up
assert QUOTE_KEPT_MS > QUOTE_MS_MAX
assert EVENT_BYTES_MAX < EVENT_BATCH_BYTES_MAX < MESSAGE_BYTES_MAX
assert RELAY_IDLE_MS_MAX < RELAY_BACKOFF_MS_MAX < PRODUCER_STUCK_MS_MAX
assert 2 * BROKER_ANSWER_MS_MAX < PRODUCER_STUCK_MS_MAX  # a silent broker is left for another within the limit
assert RELAY_LEASE_RENEW_MS * 3 < RELAY_LEASE_MS
assert CLIENT_START_ENDS_MS + CLIENT_STOP_MS < BACKGROUND_END_MS  # a cancel in time does not break off a stop
