"""What a push rail's codec gives: the messages of both its sides as values, and the ISO words they share.

A push rail is one whose "accepted" means that the creditor has the money, finally: a payment is one message and one
answer (FPS, Easy Transfer, and most ISO 20022 instant schemes). kit.push_client and kit.push_simulator run one. A module
of functions is a codec; PushCodec is the switch's side of it, HubCodec the hub's.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

from adapters.kit.books import Account, PaymentStatus
from adapters.wire import Finder
from switch.domain.instruction import Instruction
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme
from switch.domain.payment import Hold, Payment
from switch.errors import REASONS, RailRejected, RailSilent
from switch.ports import Enquiry, Outcome, RailAck

__all__ = [
    "ACCEPTED",
    "AGENT_OFFLINE",
    "AGENT_UNKNOWN",
    "CANCELLED",
    "DUPLICATE",
    "EXPIRED",
    "FORMAT",
    "ISO_REASONS",
    "NEVER_SEEN",
    "REFUSED",
    "WORKING",
    "Answer",
    "Debit",
    "HubCodec",
    "Order",
    "PushCodec",
    "Question",
    "StatusAnswer",
    "Told",
    "Transfer",
    "ack_of",
    "answer_of",
    "body_of",
    "code_of",
    "enquiry_of",
    "kind_of",
    "reason_of",
]

# --- the ISO words of a status report (pacs.002) ---------------------------------------------------------------------
ACCEPTED: Final = "ACSC"  # settled, finally
REFUSED: Final = "RJCT"
CANCELLED: Final = "CNCL"
WORKING: Final = frozenset({"RCVD", "ACCP", "ACSP", "PDNG"})  # accepted so far, or settling: not final

AGENT_UNKNOWN: Final = "AGNT"
AGENT_OFFLINE: Final = "AB08"
DUPLICATE: Final = "AM05"
EXPIRED: Final = "AB03"
FORMAT: Final = "FF01"
NEVER_SEEN: Final = "AG09"  # status asked for an unknown payment; only ever in an answer to an enquiry

# ExternalStatusReason1Code -> our catalogue: every refusal such a rail can give. Meanings: rails.md F3.
ISO_REASONS: Final[Mapping[str, str]] = {
    "AGNT": "CREDITOR_AGENT_UNKNOWN",
    "AB08": "CREDITOR_AGENT_OFFLINE",
    "AB05": "CREDITOR_AGENT_OFFLINE",
    "AB06": "CREDITOR_AGENT_OFFLINE",
    "AB09": "CREDITOR_AGENT_OFFLINE",
    "BE23": "PROXY_UNKNOWN",
    "AC01": "CREDITOR_ACCOUNT_UNKNOWN",
    "AC03": "CREDITOR_ACCOUNT_UNKNOWN",
    "AC04": "CREDITOR_ACCOUNT_CLOSED",
    "AC06": "CREDITOR_ACCOUNT_BLOCKED",
    "AG01": "CREDITOR_ACCOUNT_BLOCKED",
    "BE01": "CREDITOR_NAME_MISMATCH",
    "AM03": "CURRENCY_NOT_ACCEPTED",
    "AM02": "RAIL_AMOUNT_LIMIT",
    "AM13": "RAIL_AMOUNT_LIMIT",
    "AM14": "RAIL_AMOUNT_LIMIT",
    "AM12": "RAIL_FORMAT",
    "RR04": "REGULATORY",
    "AM05": "RAIL_DUPLICATE",
    "AB03": "RAIL_EXPIRED",
    "FF01": "RAIL_FORMAT",
    "FF03": "RAIL_FORMAT",
    "FF05": "RAIL_FORMAT",
    "DS0A": "RAIL_SIGNATURE",
    "DS24": "RAIL_SIGNATURE",
    "MS03": "RAIL_REFUSED",
    "MS02": "RAIL_REFUSED",
    "NARR": "RAIL_REFUSED",
}
assert all(reason in REASONS for reason in ISO_REASONS.values())


class StatusAnswer(Protocol):
    """What counts in a status report, whatever its version: `reason` with a refusal, `reference` with ACSC."""

    @property
    def created_ms(self) -> int: ...

    @property
    def status(self) -> str: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def reference(self) -> str | None: ...


def reason_of(code: str) -> str:
    """A refusal code -> our reason. A code we do not know is still a refusal: RJCT is final."""
    return ISO_REASONS.get(code, "RAIL_REFUSED")


def code_of(reason: str) -> str:
    """Our reason -> the code we answer an inbound payment with: the catalogue's ISO code."""
    return REASONS[reason].iso if reason in REASONS else "MS03"


def ack_of(answer: StatusAnswer) -> RailAck:
    """The answer to a payment. Raises RailRejected, or RailSilent for a status that is not final."""
    if answer.status == ACCEPTED and answer.reference:
        return RailAck(answer.reference, answer.status)
    if answer.status == CANCELLED:
        raise RailRejected("RAIL_REFUSED", answer.status)
    if answer.status == REFUSED and answer.reason and answer.reason != NEVER_SEEN:
        raise RailRejected(reason_of(answer.reason), answer.reason)
    raise RailSilent(f"no final status ({answer.status})")


def enquiry_of(answer: StatusAnswer) -> Enquiry:
    """The answer to an enquiry. Raises RailSilent: one that says nothing usable."""
    if answer.status in WORKING:
        return Enquiry(Outcome.WORKING)
    if answer.status == REFUSED and answer.reason == NEVER_SEEN:
        return Enquiry(Outcome.NEVER_SEEN, rail_time_ms=answer.created_ms)
    try:
        return Enquiry(Outcome.DONE, ack=ack_of(answer))
    except RailRejected as refusal:
        return Enquiry(Outcome.REFUSED, reason=refusal.reason.name, rail_code=refusal.rail_code)


# --- the switch's side -----------------------------------------------------------------------------------------------
class Transfer(Protocol):
    """A payment from the rail, as its codec reads it."""

    @property
    def creditor_agent(self) -> str: ...


T = TypeVar("T", bound=Transfer)


class PushCodec(Protocol[T]):
    """The switch's side of a rail's messages. Pure: no I/O, no clock; `institution` is our code on the rail."""

    def correlate(self, payload: bytes, /) -> str | None:
        """As kit.link.Link: the key of an answer (payment_key or enquiry_key), None for a payment from the rail."""
        ...

    def payment_key(self, uetr: str, /) -> str: ...

    def enquiry_key(self, uetr: str, /) -> str: ...

    def encode_transfer(self, hold: Hold, institution: str, /) -> bytes:
        """The same bytes for the same hold. Raises RailRejected: the rail cannot carry it; nothing was sent."""
        ...

    def encode_request(self, uetr: str, institution: str, message_id: str, now_ms: int, /) -> bytes: ...

    def read_ack(self, payload: bytes, uetr: str, /) -> RailAck:
        """The answer to a payment. Raises RailRejected, RailSilent (unreadable, of another question, not final)."""
        ...

    def read_enquiry(self, payload: bytes, uetr: str, /) -> Enquiry:
        """The answer to an enquiry. Raises RailSilent."""
        ...

    def read_transfer(self, payload: bytes, /) -> T:
        """Raises CodecError."""
        ...

    def instruction_of(self, transfer: T, /) -> Instruction:
        """Raises CodecError: it can be read, but is no instruction."""
        ...

    def answer_inbound(self, transfer: T, payment: Payment, institution: str, now_ms: int, /) -> bytes:
        """How a payment from the rail ended; `payment` is final."""
        ...

    def refuse_inbound(self, transfer: T, code: str, institution: str, now_ms: int, /) -> bytes: ...


# --- the hub's side --------------------------------------------------------------------------------------------------
class Order(NamedTuple):
    """Pay an account of this rail."""

    uetr: str
    body: bytes  # what makes two messages under one UETR the same
    asset: Asset
    amount_minor: int
    created_ms: int
    agent: str  # "" when the proxy is to find it
    proxy: str  # kind of a proxy, as in the seed; "" when `address` is an account number
    address: str
    checked_name: str | None  # None: the payee's name is not checked


class Question(NamedTuple):
    """What became of this UETR?"""

    uetr: str


class Answer(NamedTuple):
    """How a payment of the rail's own ended at the switch. WORKING: no end yet."""

    uetr: str
    status: PaymentStatus
    code: str


class Debit(NamedTuple):
    """A payment of the rail's own: out of one of its accounts, to somebody behind the switch."""

    uetr: str
    end_to_end_id: str
    account: Account
    asset: Asset
    amount_minor: int
    scheme: Scheme
    address: str
    name: str
    place: Place
    purpose: str
    remark: str
    created_ms: int


class Told(NamedTuple):
    """What became of a payment, as the hub tells it: a code with a refusal, the hub's own reference with one that is paid."""

    uetr: str
    status: PaymentStatus
    code: str
    reference: str
    now_ms: int


def answer_of(uetr: str, answer: StatusAnswer) -> Answer:
    """The switch's status report about a payment of the rail's own."""
    if answer.status in WORKING:
        return Answer(uetr, PaymentStatus.WORKING, "")
    status = PaymentStatus.DONE if answer.status == ACCEPTED else PaymentStatus.REFUSED
    return Answer(uetr, status, answer.reason or answer.status)


_KIND: Final = Finder("MsgDefIdr")
_BODY: Final = b"<CdtTrfTxInf>"


def kind_of(payload: bytes) -> str:
    """The definition a business header names, e.g. pacs.008.001.08; "" when it names none."""
    return _KIND.find(payload)[0] or ""


def body_of(payload: bytes) -> bytes:
    """What makes two transfers under one UETR the same: everything after the group header."""
    place = payload.find(_BODY)
    return payload[place:] if place >= 0 else payload


M = TypeVar("M")


class HubCodec(Protocol[M]):
    """The hub's side of a rail's messages. Pure: no I/O, no clock; `institution` is the switch's code on the rail."""

    def read_message(self, payload: bytes, /) -> Order | Question | Answer | None:
        """None: no message for a hub. Raises CodecError: one that breaks the format."""
        ...

    def transfer_seen(self, payload: bytes, /) -> tuple[str, bytes] | None:
        """UETR, not checked, and body of a transfer that cannot be read as a whole; None: nothing to answer to."""
        ...

    def tell_payer(self, told: Told, institution: str, /) -> bytes:
        """The answer to a transfer."""
        ...

    def tell_asker(self, told: Told, institution: str, /) -> bytes:
        """The answer to a question."""
        ...

    def transfer_to_switch(self, debit: Debit, institution: str, /) -> M: ...

    def write_transfer(self, transfer: M, /) -> bytes:
        """Raises CodecError."""
        ...
