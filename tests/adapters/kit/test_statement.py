"""Books -> the lines of a day, and a statement in pages: whole, at one moment, bounded."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from adapters.kit.books import Account, Books, Institution, PaymentStatus, Record
from adapters.kit.control import ControlServer, control, fetch_statement
from adapters.kit.faults import FaultTable
from adapters.kit.statement import (
    Statement,
    StatementFormat,
    StatementLine,
    day_bounds,
    day_of,
    only_files,
    parse_day,
    statement_of,
)
from adapters.kit.statement_pages import SNAPSHOTS_KEPT, StatementPages, collect
from switch.domain.money import Asset
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError, InvalidValue

DAY = date(2026, 11, 25)
BEGIN_MS, END_MS = day_bounds(DAY)


def books(*, paid: Mapping[str, tuple[int, int]] | None = None) -> Books:
    """One account with enough in it; `paid`: UETR -> amount, time."""
    made = Books()
    made.add_institution(Institution("012", "A bank"))
    made.add_account(Account("012", "1", "CHAN", frozenset(Asset), dict.fromkeys(Asset, 10**9)))
    for uetr, (amount_minor, time_ms) in (paid or {}).items():
        made.book(record(uetr, amount_minor, time_ms))
    return made


def record(uetr: str, amount_minor: int, time_ms: int, status: PaymentStatus = PaymentStatus.DONE) -> Record:
    return Record(uetr, b"", status, "ACSC", f"R-{uetr}", ("012", "1"), Asset.HKD, amount_minor, time_ms)


def lines_of(made: Books, day: date = DAY) -> list[tuple[str, int, str]]:
    return [(line.uetr, line.amount_minor, str(line.status)) for line in statement_of(made, "999", day).lines]


# --- days ------------------------------------------------------------------------------------------------------------
def test_a_day_turns_at_midnight_in_hong_kong() -> None:
    assert BEGIN_MS == 1_795_536_000_000  # 2026-11-24T16:00:00Z
    assert END_MS - BEGIN_MS == 86_400_000
    assert [day_of(moment) for moment in (BEGIN_MS - 1, BEGIN_MS, END_MS - 1, END_MS)] == [
        DAY - timedelta(days=1), DAY, DAY, DAY + timedelta(days=1),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["2026-11-25", "1970-01-01", "9999-12-30", "2028-02-29"])
def test_days(text: str) -> None:
    assert parse_day(text).isoformat() == text


@pytest.mark.parametrize(
    "text", ["", "2026-11-31", "20261125", "2026-W48-3", "25-11-2026", "2026-11-25T00:00", "1969-12-31", "9999-12-31"]
)
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_day(text)
    assert refused.value.rule == "DATE"


# --- books -> lines --------------------------------------------------------------------------------------------------
def test_lines_are_those_of_the_day_in_order_and_the_rest_is_the_opening() -> None:
    made = books(
        paid={"early": (700, BEGIN_MS - 1), "b": (-5, END_MS - 1), "a": (10, BEGIN_MS + 1_999), "late": (9, END_MS)}
    )
    found = statement_of(made, "999", DAY)
    assert lines_of(made) == [("a", 10, "done"), ("b", -5, "done")]
    assert (found.institution, found.day, found.opening_minor) == ("999", DAY, {Asset.HKD: 700})
    assert found.lines[0].time_ms == BEGIN_MS + 1_000, "whole seconds"
    assert found.lines[0].reference == "R-a"


def test_refusals_are_listed_and_what_is_still_worked_on_is_not() -> None:
    made = books()
    made.keep(record("refused", 7, BEGIN_MS, PaymentStatus.REFUSED)._replace(code="AC04", reference=""))
    made.keep(record("another day", 7, END_MS, PaymentStatus.REFUSED))
    made.keep(record("working", 7, BEGIN_MS, PaymentStatus.WORKING))
    assert lines_of(made) == [("refused", 7, "refused")]


def test_a_booking_that_was_taken_back_is_two_lines_and_no_refusal() -> None:
    made = books(paid={"u": (-50, BEGIN_MS)})
    made.unbook("u")
    made.keep(made.payments["u"]._replace(status=PaymentStatus.REFUSED, code="CLOSED"))
    assert lines_of(made) == [("u", -50, "done"), ("u", 50, "reversed")]


def test_a_part_that_is_given_back_is_a_line_of_its_payment() -> None:
    made = books(paid={"u": (-50, BEGIN_MS), "u/part/1": (20, BEGIN_MS + 1_000)})
    assert lines_of(made) == [("u", -50, "done"), ("u", 20, "reversed")]


def test_a_reversal_on_the_next_day_is_still_one() -> None:
    made = books(paid={"u": (-50, BEGIN_MS), "u/all": (50, END_MS)})
    assert lines_of(made, DAY + timedelta(days=1)) == [("u", 50, "reversed")]


def test_a_payment_that_was_booked_twice_shows_twice() -> None:
    made = books(paid={"u": (5, BEGIN_MS)})
    made.lines.append(made.lines[0])
    assert lines_of(made) == [("u", 5, "done")] * 2


def test_only_the_files_of_the_form() -> None:
    only_files({"a": b"", "b": b""}, ["b", "a"])
    for files, refused in (({"a": b""}, "b: MISSING"), ({"a": b"", "b": b"", "c": b""}, "c: UNKNOWN")):
        with pytest.raises(CodecError, match=refused):
            only_files(files, ["a", "b"])


def test_a_statement_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kit.statement.STATEMENT_BYTES_MAX", 9)
    only_files({"a": b"12345", "b": b"1234"}, ["a", "b"])
    with pytest.raises(CodecError, match="SIZE"):
        only_files({"a": b"12345", "b": b"12345"}, ["a", "b"])


# --- pages -----------------------------------------------------------------------------------------------------------
def _write(statement: Statement) -> dict[str, bytes]:
    """Two files, the second with a line for each booking."""
    rows = "".join(f"{line.uetr} {line.amount_minor}\n" for line in statement.lines)
    return {"head": f"{statement.institution} {statement.day}\n".encode(), "rows": rows.encode()}


def _read(files: Mapping[str, bytes], institution: str, day: date) -> Statement:
    rows = [row.split() for row in files["rows"].decode().splitlines()]
    lines = [StatementLine(uetr, Asset.HKD, int(amount), LineStatus.DONE, "", "", 0) for uetr, amount in rows]
    return Statement(institution, day, tuple(lines), {})


PLAIN = StatementFormat(_write, _read)
MANY = {f"u{number:04}": (number + 1, BEGIN_MS + number) for number in range(200)}


@pytest.mark.parametrize("page_bytes_max", [1, 7, 64, 10_000])
async def test_pages_make_the_whole_whatever_their_size(page_bytes_max: int) -> None:
    made = books(paid=dict(list(MANY.items())[:20]))
    pages = StatementPages(made, PLAIN, "999", page_bytes_max)
    assert await collect(pages.page, DAY) == _write(statement_of(made, "999", DAY))


async def test_all_pages_are_of_one_moment() -> None:
    made = books(paid=MANY)
    pages = StatementPages(made, PLAIN, "999", 100)
    before = _write(statement_of(made, "999", DAY))

    async def ask(**parameters: Any) -> dict[str, Any]:
        page = await pages.page(**parameters)
        made.book(record(f"new-{page['after']}", 1, BEGIN_MS))
        return page

    assert await collect(ask, DAY) == before


async def test_readers_at_once_each_get_the_whole() -> None:
    made = books(paid=MANY)
    pages = StatementPages(made, PLAIN, "999", 200)
    found = await asyncio.gather(*(collect(pages.page, DAY) for _ in range(SNAPSHOTS_KEPT)))
    assert found == [_write(statement_of(made, "999", DAY))] * SNAPSHOTS_KEPT


async def test_a_snapshot_that_is_not_kept_is_refused() -> None:
    pages = StatementPages(books(paid=MANY), PLAIN, "999", 100)
    first = await pages.page(date="2026-11-25")
    for _ in range(SNAPSHOTS_KEPT):
        await pages.page(date="2026-11-25")
    for wrong in ({"snapshot": first["snapshot"], "after": 100}, {"snapshot": "no", "after": 0}, {"after": 100}):
        with pytest.raises(InvalidValue) as refused:
            await pages.page(date="2026-11-25", **wrong)
        assert refused.value.rule == "SNAPSHOT"


async def test_a_place_outside_the_snapshot_is_refused() -> None:
    pages = StatementPages(books(paid=MANY), PLAIN, "999", 100)
    first = await pages.page(date="2026-11-25")
    for after in (-1, first["bytes"] + 1):
        with pytest.raises(InvalidValue):
            await pages.page(date="2026-11-25", snapshot=first["snapshot"], after=after)


BAD_PAGES: list[dict[str, Any]] = [
    {},
    {"files": [{"name": "a"}], "snapshot": "", "after": 1, "bytes": 1},
    {"files": [{"name": "a", "base64": "%"}], "snapshot": "", "after": 1, "bytes": 1},
    {"files": None, "snapshot": "", "after": 1, "bytes": 1},
    {"files": [], "snapshot": "", "after": "x", "bytes": 1},
    {"files": [], "snapshot": "", "after": 0, "bytes": 1},  # would never end
    {"files": [], "snapshot": "", "after": 1, "bytes": 1 << 40},
]


@pytest.mark.parametrize("page", BAD_PAGES, ids=[str(place) for place in range(len(BAD_PAGES))])
async def test_a_page_that_is_none_is_refused(page: dict[str, Any]) -> None:
    async def ask(**_: Any) -> dict[str, Any]:
        return page

    with pytest.raises(CodecError, match="page"):
        await collect(ask, DAY)


# --- over the control port -------------------------------------------------------------------------------------------
async def test_twenty_thousand_payments_pass_the_control_port() -> None:
    """Lines of the port are bounded; the statement of a busy day is not one line."""
    made = books(paid={f"{number:036}": (number + 1, BEGIN_MS + number) for number in range(20_000)})
    wide = StatementFormat(lambda statement: {name: data * 8 for name, data in _write(statement).items()}, _read)
    pages = StatementPages(made, wide, "999")
    server = ControlServer("127.0.0.1", 0, FaultTable(supported=()), made, statements=pages)
    await server.start()
    async with aclosing(_Closing(server)):
        files = await fetch_statement("127.0.0.1", server.port, DAY)
        assert len(files["rows"]) > 6 << 20
        assert files == wide.write(statement_of(made, "999", DAY))
        ask = partial(control, "127.0.0.1", server.port, "statement")
        with pytest.raises(InvalidValue):
            await ask(date="yesterday")
        with pytest.raises(InvalidValue):
            await ask()


async def test_a_rail_without_statements_says_so() -> None:
    server = ControlServer("127.0.0.1", 0, FaultTable(supported=()), books())
    await server.start()
    async with aclosing(_Closing(server)):
        with pytest.raises(InvalidValue, match="no statements"):
            await fetch_statement("127.0.0.1", server.port, DAY)


class _Closing:
    """A control server as contextlib.aclosing wants one."""

    def __init__(self, server: ControlServer) -> None:
        self._server = server

    async def aclose(self) -> None:
        await self._server.close()
