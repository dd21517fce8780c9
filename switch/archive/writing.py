"""What changes the archive, each as a function of a connection within one transaction."""

import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Table, insert, select, update
from sqlalchemy.engine import Dialect

from switch.archive.rows import ENTRY_FIELDS, PAYMENT_FIELDS, entry_rows, payment_row
from switch.archive.schema import ENTRY, PAYMENT, REGISTER, UNRETIRED
from switch.errors import ArchiveConflict
from switch.ports import ArchivedFact

__all__ = ["find_conflict", "keep_facts", "keep_register", "keep_unknown", "mark_retired"]

_ASKED_AT_ONCE: Final = 1_000  # values of one IN; drivers take 32,000
_CLAIMS: Final[tuple[tuple[Column[Any], ...], ...]] = (
    (PAYMENT.c.uetr,),
    (PAYMENT.c.debtor_agent, PAYMENT.c.sequence),
    (PAYMENT.c.log_partition, PAYMENT.c.log_offset),
)


def keep_facts(connection: Connection, facts: Sequence[ArchivedFact]) -> None:
    """Insert facts and their entries: two statements. IntegrityError when anything of them is there already."""
    # In the order of their ids two writers of the same events wait for each other and do not deadlock.
    rows = sorted(payment_row(one) for one in facts)
    _insert_many(connection, PAYMENT, PAYMENT_FIELDS, rows)
    if entries := [row for one in facts for row in entry_rows(one)]:
        _insert_many(connection, ENTRY, ENTRY_FIELDS, entries)


def keep_unknown(connection: Connection, facts: Sequence[ArchivedFact]) -> None:
    """As `keep_facts`, without the events that are there; each once, where it came first."""
    known, new = _known(connection, facts), dict[str, ArchivedFact]()
    for one in facts:
        if one.fact.event_id not in known:
            new.setdefault(one.fact.event_id, one)
    if new:
        keep_facts(connection, list(new.values()))


def _known(connection: Connection, facts: Sequence[ArchivedFact]) -> set[str]:
    known = set[str]()
    for ids in _slices([one.fact.event_id for one in facts]):
        known.update(connection.scalars(select(PAYMENT.c.event_id).where(PAYMENT.c.event_id.in_(ids))))
    return known


def _insert_many(
    connection: Connection, table: Table, fields: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> None:
    """Straight to the driver: SQLAlchemy's own way of many rows costs as much as the database itself."""
    connection.exec_driver_sql(_insert_text(connection.dialect, table, fields), rows)


@cache
def _insert_text(dialect: Dialect, table: Table, fields: tuple[str, ...]) -> str:
    return str(insert(table).compile(dialect=dialect, column_keys=fields))


def find_conflict(connection: Connection, facts: Sequence[ArchivedFact]) -> None:
    """Raises ArchiveConflict with the first of `facts` that wants what another event has. None: somebody was quicker."""
    owners: dict[tuple[Any, ...], str] = {}
    for place, key in enumerate(_CLAIMS):
        for wanted in _by_index(key, [_claims(one)[place] for one in facts]):
            found = connection.execute(select(PAYMENT.c.event_id, *key).where(*wanted))
            owners |= {tuple(claim): event_id for event_id, *claim in found}
    known = _known(connection, facts)
    for one in facts:
        event_id = one.fact.event_id
        if event_id in known:
            continue
        if any(owners.setdefault(claim, event_id) != event_id for claim in _claims(one)):
            raise ArchiveConflict(event_id)
        known.add(event_id)


def _by_index(key: tuple[Column[Any], ...], claims: Sequence[tuple[Any, ...]]) -> Iterator[list[ColumnElement[bool]]]:
    """Conditions that find the claims by an index: SQLite walks through the table for an IN of pairs."""
    *firsts, last = key
    for first in {claim[:-1] for claim in claims}:
        same = [column == value for column, value in zip(firsts, first, strict=True)]
        for some in _slices([claim[-1] for claim in claims if claim[:-1] == first]):
            yield [*same, last.in_(some)]


def _claims(one: ArchivedFact) -> tuple[tuple[object, ...], ...]:
    """What no other event may have, in the order of _CLAIMS."""
    fact = one.fact
    return (fact.uetr,), (fact.debtor_agent, fact.sequence), (one.partition, one.offset)


def mark_retired(connection: Connection, uetrs: Sequence[str]) -> None:
    for some in _slices(uetrs):
        connection.execute(update(PAYMENT).where(PAYMENT.c.uetr.in_(some), UNRETIRED).values(retired=1))


def keep_register(connection: Connection, rows: bytes) -> None:
    connection.execute(update(REGISTER).values(rows=rows, kept_time_ms=time.time_ns() // 1_000_000))


def _slices(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _ASKED_AT_ONCE):
        yield values[start : start + _ASKED_AT_ONCE]
