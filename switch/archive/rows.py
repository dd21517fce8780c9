"""Facts as rows and back. Rows for the database are plain tuples: a chunk has thousands."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

from switch.archive.schema import ENTRY, PAYMENT
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.ports import ArchivedFact

__all__ = ["ENTRY_FIELDS", "PAYMENT_FIELDS", "entry_rows", "facts_of", "payment_row"]

PAYMENT_FIELDS: Final = tuple(column.name for column in PAYMENT.columns if column.name != "retired")
ENTRY_FIELDS: Final = tuple(column.name for column in ENTRY.columns)
_NAMES: Final = {asset: asset.name for asset in Asset}  # an enum's own lookups are slower by far
_ASSETS: Final = {asset.name: asset for asset in Asset}
_LETTERS: Final = {state: state.value for state in State}


def payment_row(one: ArchivedFact) -> tuple[object, ...]:
    """In the order of PAYMENT_FIELDS."""
    fact = one.fact
    return (
        fact.event_id,
        fact.uetr,
        fact.debtor_agent,
        fact.sequence,
        fact.request_id,
        _LETTERS[fact.state],
        fact.reason,
        fact.rail,
        fact.corridor_id,
        fact.rail_reference,
        fact.prepared_time_ms,
        fact.final_time_ms,
        one.partition,
        one.offset,
        one.digest,
        fact.note,
    )


def entry_rows(one: ArchivedFact) -> Iterator[tuple[object, ...]]:
    """In the order of ENTRY_FIELDS."""
    for line, (participant, asset, amount_minor) in enumerate(one.fact.entries):
        yield one.partition, one.offset, line, participant, _NAMES[asset], amount_minor


def facts_of(rows: Iterable[Any]) -> list[ArchivedFact]:
    """Rows of PAYMENT_FIELDS, participant, asset, amount_minor: one per entry, or one with None where there is none."""
    width = len(PAYMENT_FIELDS)
    return [_fact(payment, entries) for payment, entries in groupby(rows, key=lambda row: tuple(row[:width]))]


def _fact(payment: tuple[Any, ...], rows: Iterable[Any]) -> ArchivedFact:
    event_id, uetr, debtor_agent, sequence, request_id, state, *texts = payment[:10]
    prepared_time_ms, final_time_ms, partition, offset, digest, note = payment[10:]
    entries = tuple(
        Entry(participant, _ASSETS[asset], amount_minor)
        for *_, participant, asset, amount_minor in rows
        if participant is not None
    )
    reason, rail, corridor_id, rail_reference = texts
    fact = SettlementFact(
        event_id=event_id,
        sequence=sequence,
        uetr=uetr,
        debtor_agent=debtor_agent,
        state=State(state),
        reason=reason,
        rail=rail,
        corridor_id=corridor_id,
        rail_reference=rail_reference,
        entries=entries,
        prepared_time_ms=prepared_time_ms,
        final_time_ms=final_time_ms,
        request_id=request_id,
        note=note,
    )
    return ArchivedFact(fact, partition, offset, digest)
