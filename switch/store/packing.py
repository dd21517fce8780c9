"""Domain values as bytes and back. Tuples become msgpack arrays in the order of their fields.

A record of a payment is append-only: msgpack objects, one behind the other: version, hold, and one transition per
step. A transition ends with its state, a text of one letter, so the last byte of a record says where the payment is,
and a script reads it without reading the rest. A field that joins a tuple later goes to its end (of a transition:
before the state) with a default, so that old records still read. What Lua unpacks has no `bin` type (its library refuses it).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final

import msgpack

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money, Rate, Rounding
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold, LimitCharge, Payment, State, Transition
from switch.domain.position import Entry
from switch.domain.quote import Quote

__all__ = [
    "ASSET_NAMES",
    "charges_of",
    "pack_hold",
    "pack_limit",
    "pack_payment",
    "pack_prepared",
    "pack_quote",
    "pack_reserved",
    "pack_transition",
    "period_end",
    "quote_terms",
    "state_of",
    "unpack_payment",
    "unpack_quote",
    "unpack_reserved",
]

RECORD_VERSION: Final = 1
_RECORD_BYTES_MAX: Final = 1 << 20  # far over any record; bounds what a damaged one may make us allocate
_HONG_KONG: Final = timezone(timedelta(hours=8))  # no summer time; limits turn at its midnight

pack = msgpack.Packer(use_bin_type=False, autoreset=True).pack  # one loop per process: never used by two at once


_VERSION: Final = pack(RECORD_VERSION)
ASSET_NAMES: Final = ["", *(asset.name for asset in Asset)]  # by number; an enum's own `name` is five times as slow
assert all(ASSET_NAMES[asset] == asset.name for asset in Asset)


def pack_hold(hold: Hold) -> bytes:
    """All of a record but its transitions."""
    return _VERSION + pack(hold)  # type: ignore[no-any-return]


def pack_transition(step: Transition) -> bytes:
    state, time_ms, reason, rail_code, rail_reference, figures = step
    return pack((time_ms, reason, rail_code, rail_reference, figures, state.value))  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def pack_prepared(time_ms: int) -> bytes:
    """The step that a record begins with."""
    return pack_transition(Transition(State.PREPARED, time_ms))


def pack_payment(payment: Payment) -> bytes:
    """A whole record. Equal payments give equal bytes."""
    return pack_hold(payment.hold) + b"".join(map(pack_transition, payment.history))


def unpack_payment(record: bytes) -> Payment:
    """A whole record -> the payment."""
    unpacker = msgpack.Unpacker(max_buffer_size=_RECORD_BYTES_MAX)
    unpacker.feed(record)
    version, hold, *steps = unpacker
    assert version == RECORD_VERSION, version
    return Payment(_hold(hold), tuple(map(_transition, steps)))


def state_of(record: bytes) -> State:
    """Of a record, or of its last byte."""
    return State(chr(record[-1]))


def _hold(fields: list[Any]) -> Hold:
    instruction, corridor_id, rail, entries, charges, *rest = fields
    return Hold(
        _instruction(instruction),
        corridor_id,
        rail,
        _entries(entries),
        tuple(LimitCharge(*charge) for charge in charges),
        *rest,
    )


def _instruction(fields: list[Any]) -> Instruction:
    participant, request_id, uetr, end_to_end_id, debit, credit, debtor, creditor, *rest = fields
    return Instruction(
        *(
            participant,
            request_id,
            uetr,
            end_to_end_id,
            _money(debit),
            _money(credit),
            _party(debtor),
            _party(creditor),
        ),
        *rest,
    )


def _money(fields: list[Any]) -> Money:
    return Money(Asset(fields[0]), fields[1])


def _party(fields: list[Any]) -> Party:
    name, place, (scheme, *address), document, *rest = fields
    paper = Document(DocumentType(document[0]), *document[1:]) if document is not None else None
    return Party(name, Place(place), Account(Scheme(scheme), *address), paper, *rest)


def _entries(rows: list[Any]) -> tuple[Entry, ...]:
    return tuple(Entry(participant, Asset(asset), amount_minor) for participant, asset, amount_minor in rows)


def _transition(fields: list[Any]) -> Transition:
    time_ms, reason, rail_code, rail_reference, figures, state = fields
    shown = tuple((name, value) for name, value in figures)
    return Transition(State(state), time_ms, reason, rail_code, rail_reference, shown)


def charges_of(hold: Hold) -> Sequence[LimitCharge]:
    """Days before years: a refusal names the first that has not enough left, in the order of errors.REASONS."""
    charges = hold.charges
    return sorted(charges, key=lambda charge: charge.period_key[0]) if len(charges) > 1 else charges


def pack_reserved(hold: Hold, charges: Sequence[LimitCharge]) -> bytes:
    """What a hold reserved, for Lua: asset, amount, [[counter, amount], ...], and the time of preparation.

    `charges` are those of charges_of.
    """
    asset, amount_minor = hold.instruction.debit
    counted = [(charge.counter, charge.amount_minor) for charge in charges] if charges else ()
    return pack((ASSET_NAMES[asset], amount_minor, counted, hold.prepared_time_ms))  # type: ignore[no-any-return]


@lru_cache(maxsize=1_024)
def pack_limit(limit_id: str, period_key: str, expiry_time_ms: int, max_minor: int) -> bytes:
    """What a charge says but for counter and amount, for prepare.lua: the same for many."""
    return pack((limit_id, period_key, expiry_time_ms, max_minor, period_end(period_key)))  # type: ignore[no-any-return]


def unpack_reserved(reserved: bytes) -> tuple[str, int, list[Any], int]:
    asset, amount_minor, charges, prepared_time_ms = msgpack.unpackb(reserved)
    return asset, amount_minor, charges, prepared_time_ms


def pack_quote(quote: Quote) -> bytes:
    return pack(quote._replace(rounding=quote.rounding.value))  # type: ignore[arg-type, no-any-return]


def unpack_quote(body: bytes) -> Quote:
    quote = Quote(*msgpack.unpackb(body))
    return quote._replace(
        debit=_money(quote.debit),  # type: ignore[arg-type]
        credit=_money(quote.credit),  # type: ignore[arg-type]
        rate=Rate(*quote.rate),
        rounding=Rounding(quote.rounding),
    )


def quote_terms(debit: Money, credit: Money, corridor_id: str) -> str:
    """What a quote binds, as text: the script compares a payment's with its quote's, as the engine did before it."""
    return f"{debit.asset.name} {debit.amount_minor} {credit.asset.name} {credit.amount_minor} {corridor_id}"


@lru_cache(maxsize=64)
def period_end(period_key: str) -> str:
    """When a limit resets: "d20261123" -> "2026-11-24T00:00:00+08:00", "y2026" -> "2027-01-01T00:00:00+08:00"."""
    if period_key[0] == "y":
        return datetime(int(period_key[1:]) + 1, 1, 1, tzinfo=_HONG_KONG).isoformat()
    day = datetime.strptime(period_key[1:], "%Y%m%d").replace(tzinfo=_HONG_KONG)
    return (day + timedelta(days=1)).isoformat()
