"""What can go wrong, and what the caller may do about it.

    BayswitchError
    ├── InvalidValue        a value breaks the rule of its kind (a UETR, an amount, an FPS id); names the rule
    ├── Refused             an instruction or call is refused; carries a Reason, the field and the figures
    ├── CodecError          a rail's message is malformed; carries the path of the field, never its value
    ├── RailError
    │   ├── RailRejected    final: the rail refused; carries our Reason and the rail's own code
    │   ├── RailUnavailable nothing was sent; the payment may be ended at once
    │   └── RailSilent      something may have been sent and no answer came: the outcome is unknown
    ├── StoreUnavailable    the store did not answer in its budget; what it did is unknown, the script de-duplicates
    ├── BrokerUnavailable   the broker did not acknowledge; the events wait in the outbox, a repeat is safe
    ├── LeaseLost           another process relays this shard now; nothing was removed
    ├── ArchiveUnavailable  the archive did not answer; what it did is unknown, a repeat is safe
    ├── ArchiveConflict     two events claim one place in a debtor agent's sequence; nothing was kept
    ├── SettlementHalted    the log is not what was settled from it before; somebody has to look
    └── ConfigError         a setting is wrong; names the setting and the change to make

Refusals come in a fixed order of precedence: the order of the rows in REASONS, which is the order in which the path of
a payment meets them. tests/test_errors.py and tests/engine walk it.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = [
    "REASONS",
    "ArchiveConflict",
    "ArchiveUnavailable",
    "BayswitchError",
    "BrokerUnavailable",
    "CodecError",
    "ConfigError",
    "InvalidValue",
    "LeaseLost",
    "RailError",
    "RailRejected",
    "RailSilent",
    "RailUnavailable",
    "Reason",
    "Refused",
    "Retry",
    "SettlementHalted",
    "StoreUnavailable",
    "anatomy",
]


class Retry(Enum):
    """May the caller try again?"""

    NEVER = "no"  # the same instruction will not pass
    SAME_REQUEST = "yes, same request_id"  # safe and useful to repeat as it is
    NEW_REQUEST = "yes, as a new payment"  # this request_id is over; after the cause is gone, a new one may pass


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the catalogue: `name`, gRPC status, ISO 20022 external status reason, retry advice."""

    name: str
    grpc: str  # name of a grpc.StatusCode; what a call refused for this reason gets
    iso: str  # ExternalStatusReason1Code, what a rail message would carry
    retry: Retry
    ask_status: bool  # True: the outcome may exist; call GetPayment before anything else
    retry_after_ms: int  # 0: no RetryInfo
    advice: str


def _catalogue(*rows: Reason) -> Mapping[str, Reason]:
    catalogue: dict[str, Reason] = {}
    for row in rows:
        assert row.name not in catalogue, f"duplicate reason {row.name}"
        catalogue[row.name] = row
    return catalogue


_NO, _SAME, _NEW = Retry.NEVER, Retry.SAME_REQUEST, Retry.NEW_REQUEST
R = Reason

# fmt: off
REASONS: Final[Mapping[str, Reason]] = _catalogue(
    # --- the call ----------------------------------------------------------------------------------------------------
    R("CALLER_UNKNOWN",          "UNAUTHENTICATED",     "DS0A", _NO,   False, 0,     "present a certificate whose SAN names a participant"),
    R("CALLER_NOT_PERMITTED",    "PERMISSION_DENIED",   "AG01", _NO,   False, 0,     "this method belongs to another role"),
    R("OVERLOADED",              "RESOURCE_EXHAUSTED",  "AB08", _SAME, False, 200,   "back off; nothing was begun"),
    R("PACE_EXCEEDED",           "RESOURCE_EXHAUSTED",  "AB08", _SAME, False, 200,   "send no more payments a second than agreed; nothing was begun"),
    R("DEADLINE_PASSED",         "DEADLINE_EXCEEDED",   "AB03", _SAME, True,  0,     "repeat, or ask with GetPayment"),
    # --- the shape ---------------------------------------------------------------------------------------------------
    R("FIELD_MISSING",           "INVALID_ARGUMENT",    "FF01", _NO,   False, 0,     "fill the named field; no trace was left"),
    R("FIELD_INVALID",           "INVALID_ARGUMENT",    "FF01", _NO,   False, 0,     "mend the named field; no trace was left"),
    # --- seen before -------------------------------------------------------------------------------------------------
    R("REQUEST_MISMATCH",        "ALREADY_EXISTS",      "AM05", _NO,   True,  0,     "this request_id belongs to another instruction; the first is untouched"),
    R("PAYMENT_UNKNOWN",         "NOT_FOUND",           "AG09", _NO,   False, 0,     "no payment of yours has this id"),
    # --- where: the rules of the corridor; nothing is kept ---------------------------------------------------------------
    R("NO_ROUTE",                "FAILED_PRECONDITION", "AG01", _NO,   False, 0,     "no corridor carries this pair of places and assets; see CheckRoute"),
    R("PAPERS_REQUIRED",         "FAILED_PRECONDITION", "RR04", _SAME, False, 0,     "name one of the documents the corridor takes"),
    R("PAPERS_NOT_ACCEPTED",     "FAILED_PRECONDITION", "RR04", _NO,   False, 0,     "the corridor takes other documents"),
    R("PURPOSE_REQUIRED",        "FAILED_PRECONDITION", "RR04", _SAME, False, 0,     "state a purpose the corridor takes"),
    R("PURPOSE_NOT_ALLOWED",     "FAILED_PRECONDITION", "RR04", _NO,   False, 0,     "the corridor takes other purposes"),
    R("OUT_OF_HOURS",            "FAILED_PRECONDITION", "AB08", _SAME, False, 0,     "repeat when the corridor opens"),
    R("TXN_LIMIT",               "FAILED_PRECONDITION", "AM02", _NEW,  False, 0,     "pay at most the limit"),
    # --- the quote ---------------------------------------------------------------------------------------------------
    R("QUOTE_REQUIRED",          "FAILED_PRECONDITION", "AB04", _SAME, False, 0,     "two assets need a quote: call CreateQuote"),
    R("NO_RATE",                 "FAILED_PRECONDITION", "AB04", _SAME, False, 5_000, "no provider quotes this pair for this amount now"),
    R("QUOTE_UNKNOWN",           "NOT_FOUND",           "AB04", _NEW,  False, 0,     "make a new quote"),
    R("QUOTE_MISMATCH",          "FAILED_PRECONDITION", "AB04", _NEW,  False, 0,     "pay exactly what was quoted"),
    # --- who: decided in the store; nothing is kept ----------------------------------------------------------------------
    R("UETR_REUSED",             "ALREADY_EXISTS",      "AM05", _NEW,  True,  0,     "a UETR is unique for ever; make a new one"),
    R("PARTICIPANT_UNKNOWN",     "FAILED_PRECONDITION", "AGNT", _SAME, False, 0,     "the operator must create the participant"),
    R("PARTICIPANT_SUSPENDED",   "FAILED_PRECONDITION", "AG01", _SAME, False, 0,     "the operator must resume the participant"),
    R("PARTICIPANT_EXISTS",      "ALREADY_EXISTS",      "AM05", _NO,   False, 0,     "a participant with this id exists with other data"),
    # --- money, decided in the store; kept: the same request_id stays refused ----------------------------------------
    R("QUOTE_EXPIRED",           "FAILED_PRECONDITION", "AB04", _NEW,  False, 0,     "make a new quote"),
    R("QUOTE_USED",              "FAILED_PRECONDITION", "AB04", _NEW,  True,  0,     "a quote pays once; make a new one"),
    R("DAY_LIMIT",               "FAILED_PRECONDITION", "AM14", _NEW,  False, 0,     "pay less, or after the day has turned in Hong Kong"),
    R("YEAR_LIMIT",              "FAILED_PRECONDITION", "AM14", _NEW,  False, 0,     "pay less, or after the year has turned in Hong Kong"),
    R("NET_DEBIT_CAP_EXCEEDED",  "FAILED_PRECONDITION", "AM04", _NEW,  False, 5_000, "pay after headroom returns"),
    # --- the rail's word; the payment is ABORTED ---------------------------------------------------------------------
    R("CREDITOR_AGENT_UNKNOWN",  "ABORTED",             "AGNT", _NEW,  False, 0,     "the rail does not know this institution"),
    R("CREDITOR_AGENT_OFFLINE",  "ABORTED",             "AB08", _NEW,  False, 0,     "the institution is offline or in maintenance"),
    R("PROXY_UNKNOWN",           "ABORTED",             "BE23", _NEW,  False, 0,     "nobody registered this mobile, email or id"),
    R("CREDITOR_ACCOUNT_UNKNOWN","ABORTED",             "AC01", _NEW,  False, 0,     "the account number is wrong"),
    R("CREDITOR_ACCOUNT_CLOSED", "ABORTED",             "AC04", _NEW,  False, 0,     "the account is closed"),
    R("CREDITOR_ACCOUNT_BLOCKED","ABORTED",             "AC06", _NEW,  False, 0,     "the account is blocked"),
    R("CREDITOR_NAME_MISMATCH",  "ABORTED",             "BE01", _NEW,  False, 0,     "the name is not the account holder's"),
    R("CURRENCY_NOT_ACCEPTED",   "ABORTED",             "AM03", _NEW,  False, 0,     "the account does not take this currency"),
    R("RAIL_AMOUNT_LIMIT",       "ABORTED",             "AM02", _NEW,  False, 0,     "the rail or the institution takes less"),
    R("WALLET_TIER_LIMIT",       "ABORTED",             "AM14", _NEW,  False, 0,     "the wallet's tier takes less per payment, day or year"),
    R("WALLET_BALANCE_LIMIT",    "ABORTED",             "AM14", _NEW,  False, 0,     "the wallet's tier holds less"),
    R("PAYER_CODE_INVALID",      "ABORTED",             "AC01", _NEW,  False, 0,     "scan a fresh payment code"),
    R("PAYER_FUNDS",             "ABORTED",             "AM04", _NEW,  False, 0,     "the shown code's wallet has not enough"),
    R("REGULATORY",              "ABORTED",             "RR04", _NEW,  False, 0,     "the rail refused for a regulatory reason"),
    R("RAIL_DUPLICATE",          "ABORTED",             "AM05", _NEW,  True,  0,     "the rail has this id with another body"),
    R("RAIL_EXPIRED",            "ABORTED",             "AB03", _NEW,  False, 0,     "our message reached the rail too late"),
    R("RAIL_FORMAT",             "ABORTED",             "FF01", _NEW,  False, 0,     "the rail could not read our message"),
    R("RAIL_SIGNATURE",          "ABORTED",             "DS0A", _NEW,  False, 0,     "the rail refused our signature"),
    R("RAIL_REFUSED",            "ABORTED",             "MS03", _NEW,  False, 0,     "the rail gave no reason of ours"),
    R("RAIL_UNAVAILABLE",        "ABORTED",             "AB09", _NEW,  False, 0,     "the rail could not be reached; nothing was sent"),
    R("RAIL_NEVER_SAW_IT",       "ABORTED",             "AB05", _NEW,  False, 0,     "asked later, the rail had never seen it; this payment is over"),
    # --- settlement --------------------------------------------------------------------------------------------------
    R("ARRANGEMENT_UNKNOWN",     "NOT_FOUND",           "AG09", _NO,   False, 0,     "see ListArrangements"),
    R("WINDOW_UNKNOWN",          "NOT_FOUND",           "AG09", _NO,   False, 0,     "see ListWindows"),
    R("WINDOW_NOT_CUT",          "FAILED_PRECONDITION", "AB08", _SAME, False, 0,     "cut the window first"),
    R("WINDOW_OUT_OF_TURN",      "FAILED_PRECONDITION", "AB08", _SAME, False, 0,     "close the windows before this one first"),
    R("WINDOW_NOT_FILLED",       "FAILED_PRECONDITION", "AB08", _SAME, False, 500,   "the settler is still reading up to the cut; repeat"),
    R("SEQUENCE_GAP",            "FAILED_PRECONDITION", "AM04", _SAME, False, 0,     "an event is missing: replay it from the dead letters, or excuse the gap"),
    R("WINDOW_UNBALANCED",       "FAILED_PRECONDITION", "AM04", _NO,   False, 0,     "the books are wrong: nothing was sealed; compare with the archive"),
    R("WINDOW_NOT_CLOSED",       "FAILED_PRECONDITION", "AB08", _SAME, False, 0,     "close the window first"),
    R("OBLIGATION_UNKNOWN",      "FAILED_PRECONDITION", "AG09", _NO,   False, 0,     "the window has no such obligation"),
    R("OBLIGATION_MISMATCH",     "FAILED_PRECONDITION", "AM04", _NO,   False, 0,     "confirm exactly what is owed"),
    # --- ourselves ---------------------------------------------------------------------------------------------------
    R("STORE_UNAVAILABLE",       "UNAVAILABLE",         "AB09", _SAME, True,  1_000, "repeat with the same request_id; nothing is paid twice"),
    R("BROKER_UNAVAILABLE",      "UNAVAILABLE",         "AB09", _SAME, False, 1_000, "the log cannot be read now; repeat"),
    R("ARCHIVE_UNAVAILABLE",     "UNAVAILABLE",         "AB09", _SAME, False, 1_000, "the archive cannot be read now; repeat"),
    R("SHUTTING_DOWN",           "UNAVAILABLE",         "AB09", _SAME, False, 200,   "repeat; another worker answers"),
    R("INTERNAL_FAULT",          "INTERNAL",            "AB09", _SAME, True,  1_000, "ask with GetPayment, then repeat with the same request_id"),
)
# fmt: on
del R


class BayswitchError(Exception):
    """Root of everything the switch raises on purpose."""


class InvalidValue(BayswitchError):
    """A value breaks the rule of its kind. The text names the rule, never the value: values may be personal."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule  # e.g. "LENGTH", "CHECK_DIGIT"; the verdict names of the vectors


class Refused(BayswitchError):
    """A call is refused for a catalogued reason.

    `field` is the path of the field in the request ("" when none); `figures` are the limit, what is left, when it
    resets, as text for ErrorInfo.metadata. Neither may hold a personal value.
    """

    def __init__(
        self, reason: str, message: str = "", *, field: str = "", figures: Mapping[str, str] | None = None
    ) -> None:
        self.reason = REASONS[reason]
        self.message = message or self.reason.advice
        self.field = field
        self.figures = dict(figures or {})
        super().__init__(f"{reason}: {self.message}")


class CodecError(BayswitchError):
    """A rail's message is malformed. `path` names the field, `rule` what it breaks; the value is not kept."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}")
        self.path = path
        self.rule = rule


class RailError(BayswitchError):
    """Something between us and a rail."""


class RailRejected(RailError):
    """The rail refused, finally. `reason` is our row, `rail_code` the rail's own word for it."""

    def __init__(self, reason: str, rail_code: str = "") -> None:
        super().__init__(f"{reason} ({rail_code})" if rail_code else reason)
        self.reason = REASONS[reason]
        self.rail_code = rail_code


class RailUnavailable(RailError):
    """The rail cannot be reached and nothing was sent: the hold may be aborted at once."""


class RailSilent(RailError):
    """A message may have reached the rail and no usable answer came: only an enquiry can tell."""


class StoreUnavailable(BayswitchError):
    """The store did not answer in its budget. The script de-duplicates, so a repeat is safe."""


class BrokerUnavailable(BayswitchError):
    """The broker did not acknowledge in its budget. Events may have arrived or not; they are sent again with the same ids."""


class LeaseLost(BayswitchError):
    """Another process holds the lease of a shard's outbox. Stop relaying it; take the lease again when it is free."""


class ArchiveUnavailable(BayswitchError):
    """The archive database did not answer. Keeping is idempotent, so a repeat is safe."""


class ArchiveConflict(BayswitchError):
    """Another event has the debtor agent and sequence of one that was to be kept. `event_id` names the new one."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id}: its debtor agent and sequence belong to another event")
        self.event_id = event_id


class SettlementHalted(BayswitchError):
    """The log lacks what was settled from it, or what is to be: a topic made anew, records lost. Says what to do."""


class ConfigError(BayswitchError):
    """A setting is wrong; the text names it and the change to make."""


def anatomy(error: BaseException) -> str:
    """Types and frames of an exception and of what caused it, for a log: its text may quote a personal value."""
    chain: list[str] = []
    part: BaseException | None = error
    while part is not None and len(chain) < 8:  # a chain may be a ring
        chain.append(type(part).__name__ + "\n" + "".join(traceback.format_tb(part.__traceback__)))
        part = part.__cause__ or part.__context__
    return "caused by ".join(chain)
