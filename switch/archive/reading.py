"""What is asked of the archive, each as a function of a connection within one transaction, which sees one moment."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal,
    select,
    text,
    tuple_,
)

from switch.archive.rows import PAYMENT_FIELDS, facts_of
from switch.archive.schema import ENTRY, PAYMENT, REGISTER, RETIRED, UNRETIRED, WITH_REQUEST
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.settlement import LogRange
from switch.ports import ArchivedFact

__all__ = [
    "Span",
    "final_facts",
    "kept_spans",
    "listed_facts",
    "logged_facts",
    "partitions",
    "payment_where",
    "register",
    "rounds_of",
    "span_sums",
    "touched_facts",
    "unretired_facts",
    "with_request",
]

_P, _E = PAYMENT.c, ENTRY.c
_FIELDS: Final = tuple(_P[name] for name in PAYMENT_FIELDS)
_LOW_BITS: Final = 30  # a sum of 64-bit integers may need more: its high and its low parts are summed apart

Facts = list[ArchivedFact]


class Span(NamedTuple):
    """[start, end) of one partition, not empty."""

    partition: int
    start: int
    end: int


# --- one payment -----------------------------------------------------------------------------------------------------
def payment_where(connection: Connection, **fields: object) -> ArchivedFact | None:
    """The payment with these values, of a unique index."""
    found = _with_entries(connection, _payments(*(_P[name] == value for name, value in fields.items())))
    return found[0] if found else None


def with_request(connection: Connection, participant: str, request_id: str) -> ArchivedFact | None:
    """The first payment that the request began."""
    asked = (_P.debtor_agent == participant, _P.request_id == request_id, WITH_REQUEST)
    found = _with_entries(connection, _payments(*asked).order_by(_P.sequence).limit(1))
    return found[0] if found else None


def _payments(*conditions: Any) -> Select[Any]:
    return select(*_FIELDS).where(*conditions)


def _with_entries(connection: Connection, payments: Select[Any], *order: str) -> Facts:
    """The payments of a bounded query, with their entries, in the order of these fields."""
    return facts_of(connection.execute(_joined(payments, *order)))


def _joined(payments: Select[Any], *order: str) -> Select[Any]:
    page = payments.subquery("page")
    same = and_(_E.log_partition == page.c.log_partition, _E.log_offset == page.c.log_offset)
    return (
        select(page, _E.participant, _E.asset, _E.amount_minor)
        .select_from(page.outerjoin(ENTRY, same))
        .order_by(*(page.c[name] for name in order), page.c.log_partition, page.c.log_offset, _E.line)
    )


# --- lists by time ---------------------------------------------------------------------------------------------------
def listed_facts(
    connection: Connection,
    participant: str,
    state: State | None,
    between: tuple[int, int],
    after: tuple[int, str],
    count: int,
) -> Facts:
    """Retired payments of one debtor agent, prepared in [from, to), by time of preparation and UETR, behind `after`."""
    mine = [_P.debtor_agent == participant, RETIRED, *([_P.state == state.value] if state else [])]
    return _by_time(connection, "prepared_time_ms", mine, between, after, count)


def final_facts(connection: Connection, between: tuple[int, int], after: tuple[int, str], count: int) -> Facts:
    """Payments of all that became final in [from, to), by that time and UETR."""
    return _by_time(connection, "final_time_ms", [], between, after, count)


def unretired_facts(connection: Connection, before_time_ms: int, count: int) -> Facts:
    """What the hot store still has and became final before this, by that time and UETR."""
    return facts_of(connection.execute(_UNRETIRED, {"before_time_ms": before_time_ms, "most": count}))


# Built once, for it is asked every few seconds for ever: each building leaves 37 KiB of dead cycles, and a server looks
# for those rarely (switch/garbage.py).
_UNRETIRED: Final = _joined(
    _payments(UNRETIRED, _P.final_time_ms < bindparam("before_time_ms"))
    .order_by(_P.final_time_ms, _P.uetr)
    .limit(bindparam("most", type_=Integer)),
    "final_time_ms",
    "uetr",
)


def _by_time(
    connection: Connection,
    field: str,
    conditions: list[Any],
    between: tuple[int, int],
    after: tuple[int, str],
    count: int,
) -> Facts:
    time_ms = _P[field]
    page = _payments(*conditions, time_ms >= max(between[0], after[0]), time_ms < between[1])
    page = page.where(tuple_(time_ms, _P.uetr) > after)
    return _with_entries(connection, page.order_by(time_ms, _P.uetr).limit(count), field, "uetr")


# --- ranges of the log -----------------------------------------------------------------------------------------------
def logged_facts(connection: Connection, partition: int, from_offset: int, count: int) -> Facts:
    """Payments of one partition in the order of the log."""
    page = _payments(_P.log_partition == partition, _P.log_offset >= from_offset)
    return _with_entries(connection, page.order_by(_P.log_offset).limit(count))


def partitions(connection: Connection) -> list[int]:
    """One step of the index per partition, not one per payment."""
    found: list[int] = []
    while True:
        after = _P.log_partition > (found[-1] if found else -1)
        partition = connection.execute(select(func.min(_P.log_partition)).where(after)).scalar_one()
        if partition is None:
            return found
        found.append(partition)


def touched_facts(
    connection: Connection,
    ranges: Iterable[LogRange],
    owner: tuple[str, Sequence[Asset]],
    rails: Sequence[str],
    after: tuple[int, int],
    count: int,
) -> Facts:
    """Payments in the ranges, from the place `after` on, with an entry of the owner (participant, assets)."""
    participant, assets = owner
    found: Facts = []
    for span in _spans_of(ranges):
        rest = span._replace(start=max(span.start, after[1])) if span.partition == after[0] else span
        if rest.partition < after[0] or rest.start >= rest.end or len(found) == count:
            continue
        places = select(_E.log_offset).distinct().where(_E.participant == participant, *_in_span(ENTRY, rest))
        places = _on_rails(places.where(_E.asset.in_([asset.name for asset in assets])), rails)
        touched = places.order_by(_E.log_offset).limit(count - len(found)).subquery("touched")
        page = select(*_FIELDS).join(touched, _P.log_offset == touched.c.log_offset)
        found += _with_entries(connection, page.where(_P.log_partition == rest.partition))
    return found


def span_sums(
    connection: Connection, spans: Iterable[Span], assets: Sequence[Asset], rails: Sequence[str]
) -> tuple[int, dict[tuple[Asset, str, bool], int]]:
    """How many payments have an entry of these assets in the spans, and per asset and participant what was sent (False)
    and received (True), both > 0.
    """
    payments, sums = 0, defaultdict[tuple[Asset, str, bool], int](int)
    received = _E.amount_minor < text("0")  # a literal: what is grouped by is what is selected
    high = func.sum(_E.amount_minor.bitwise_rshift(literal(_LOW_BITS, Integer())))
    low = func.sum(_E.amount_minor.bitwise_and((1 << _LOW_BITS) - 1))
    for span in spans:
        within = (*_in_span(ENTRY, span), _E.asset.in_([asset.name for asset in assets]))
        offsets = _on_rails(select(_E.log_offset).distinct().where(*within), rails)  # in the order of the index
        payments += connection.execute(select(func.count()).select_from(offsets.subquery())).scalar_one()
        summed = _on_rails(select(_E.asset, _E.participant, received, high, low).where(*within), rails)
        for asset, participant, side, *parts in connection.execute(summed.group_by(_E.asset, _E.participant, received)):
            sums[Asset[asset], participant, bool(side)] += abs((int(parts[0]) << _LOW_BITS) + int(parts[1]))
    return payments, sums


def _spans_of(ranges: Iterable[LogRange]) -> Iterator[Span]:
    """In the order of the log; empty ones and what is said twice are left out."""
    partition, reached = -1, 0
    for each in sorted((each.partition, each.from_offset, each.to_offset) for each in ranges):
        reached = reached if each[0] == partition else 0
        start, partition = max(each[1], reached), each[0]
        if start < each[2]:
            yield Span(partition, start, each[2])
            reached = each[2]


def kept_spans(connection: Connection, ranges: Iterable[LogRange]) -> list[Span]:
    """In the order of the log, without empty ones, up to what is kept: a range may end far beyond."""
    last = select(func.coalesce(func.max(_P.log_offset), -1))
    ends = (
        (span, connection.execute(last.where(_P.log_partition == span.partition)).scalar_one() + 1)
        for span in _spans_of(ranges)
    )
    return [span._replace(end=min(span.end, end)) for span, end in ends if span.start < end]


def rounds_of(spans: Iterable[Span], offsets: int) -> Iterator[list[Span]]:
    """The spans cut and put together so that every round has `offsets` at most: what is asked of one transaction."""
    taken: list[Span] = []
    left = offsets
    for partition, start, end in spans:
        while start < end:
            cut = min(end, start + left)
            taken.append(Span(partition, start, cut))
            start, left = cut, left - (cut - start)
            if not left:
                yield taken
                taken, left = [], offsets
    if taken:
        yield taken


def _in_span(table: Table, span: Span) -> tuple[ColumnElement[bool], ...]:
    place = table.c.log_offset
    return table.c.log_partition == span.partition, place >= span.start, place < span.end


def _on_rails(entries: Select[Any], rails: Sequence[str]) -> Select[Any]:
    """Entries of payments on these rails; () = all."""
    if not rails:
        return entries
    same = and_(_P.log_partition == _E.log_partition, _P.log_offset == _E.log_offset)
    return entries.join_from(ENTRY, PAYMENT, same).where(_P.rail.in_(rails))


# --- the register ----------------------------------------------------------------------------------------------------
def register(connection: Connection) -> bytes | None:
    rows: bytes | None = connection.execute(select(REGISTER.c.rows)).scalar_one()
    return rows
