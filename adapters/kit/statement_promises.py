"""What a rail's end-of-day statement promises, as checks of the conformance suite (adapters.conformance.CHECKS)."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import partial
from itertools import islice
from typing import Any, Final

from adapters.kit.clock import wall_ms
from adapters.kit.promises import AMPLE_MS, RailCase, rejected, require
from adapters.kit.statement import Statement, StatementFormat, StatementLine, day_of
from adapters.kit.statement_pages import collect
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError

__all__ = ["CHECKS", "check_damage", "statement_lists_what_came_in"]

CHANGES_MAX: Final = 400  # digits that are changed in the statement of a running mock, spread over its files
_DIGIT: Final = re.compile(rb"[0-9]")


async def _files(case: RailCase, day: date) -> dict[str, bytes]:
    return await collect(partial(case.control, "statement"), day)


async def _lines(case: RailCase, began_ms: int, uetr: str) -> list[StatementLine]:
    """What the statements since `began_ms` say of a payment: of one day, or of two when midnight has passed."""
    first, last = day_of(began_ms), day_of(wall_ms())
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    read = [case.statement.read(await _files(case, day), case.institution, day) for day in days]
    return [line for statement in read for line in statement.lines if line.uetr == uetr]


async def statement_lists_what_was_paid(case: RailCase) -> None:
    """What was paid stands in the statement once, as it was booked; what was refused is never a booking in it."""
    began_ms = wall_ms()
    paid = case.good()
    ack = await case.client.prepare(paid, AMPLE_MS)
    await case.client.prepare(paid, AMPLE_MS)
    refused = [make() for make in case.refusals.values()]
    codes = [(await rejected(case, hold)).rail_code for hold in refused]
    lines = await _lines(case, began_ms, paid.uetr)
    books = (await case.control("paid", uetr=paid.uetr))["paid"]
    booked = [[line.amount_minor, line.asset.name, line.reference] for line in lines]
    require(booked == books, "a payment is in the statement once, as it was booked")
    require(lines[0].reference == ack.rail_reference, "under the reference of its ack")
    money = paid.instruction.credit
    require((lines[0].asset, abs(lines[0].amount_minor)) == (money.asset, money.amount_minor), "with its amount")
    require(lines[0].status is LineStatus.DONE, "as done")
    for hold, code in zip(refused, codes, strict=True):
        listed = [(line.status, line.code) for line in await _lines(case, began_ms, hold.uetr)]
        kept = [(LineStatus.REFUSED, code)] if case.statement.refusals else []
        require(
            listed == kept, "a refused payment is listed as refused with its code, or not at all in a form of bookings"
        )


async def statement_lists_what_came_in(case: RailCase) -> None:
    """A payment that the rail began stands in the statement once, with a minus: it was taken from an account there."""
    if case.inbound is None:
        return
    began_ms = wall_ms()
    outcome = await case.control("inbound", **case.inbound)
    require(outcome["outcome"] == "done", "an inbound payment is done")
    lines = await _lines(case, began_ms, outcome["uetr"])
    money = [(-case.inbound["amount_minor"], case.inbound["asset"], LineStatus.DONE)]
    require([(line.amount_minor, line.asset.name, line.status) for line in lines] == money, "once, with a minus")


async def statement_holds_together(case: RailCase) -> None:
    """Read and written again it is the same; no changed digit changes what was paid unnoticed, and nothing can be missing."""
    for hold in [case.good() for _ in range(3)]:
        await case.client.prepare(hold, AMPLE_MS)
    day = day_of(wall_ms())
    files = await _files(case, day)
    # In a thread: a mock that ran for long has a statement that takes milliseconds to read, hundreds of times.
    await asyncio.to_thread(check_damage, case.statement, files, case.institution, day, CHANGES_MAX)


def check_damage(
    form: StatementFormat, files: Mapping[str, bytes], institution: str, day: date, changes_max: int
) -> None:
    """What `statement_holds_together` says, of these files. Raises Broken."""
    statement = form.read(files, institution, day)
    require(form.write(statement) == files, "what is read and written again is the same bytes")
    digits = sum(len(_DIGIT.findall(data)) for data in files.values())
    for change, changed in _changes(files, -(-digits // changes_max)):
        try:
            read = form.read(changed, institution, day)
        except CodecError:
            continue
        require(_money(read) == _money(statement), f"another amount is refused ({change})")
    for change, less in _losses(files):
        require(_refused(form, less, institution, day), f"a part that is missing is refused ({change})")
    require(_refused(form, files, institution, day + timedelta(days=1)), "the statement of another day is refused")
    require(_refused(form, files, institution[::-1] + "7", day), "the statement of another institution is refused")


def _changes(files: Mapping[str, bytes], step: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """One digit in `step` of every file, changed by one."""
    for name, data in files.items():
        for match in islice(_DIGIT.finditer(data), 0, None, step):
            other = str((int(match[0]) + 1) % 10).encode()
            yield f"{name} at {match.start()}", {**files, name: data[: match.start()] + other + data[match.end() :]}


def _losses(files: Mapping[str, bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Every file cut short, emptied, and left out."""
    for name, data in files.items():
        for end in (0, len(data) // 2, len(data) - 1):
            yield f"{name} cut at {end}", {**files, name: data[:end]}
        yield f"no {name}", {other: content for other, content in files.items() if other != name}


def _money(statement: Statement) -> Counter[Any]:
    return Counter((line.asset, line.amount_minor, line.status) for line in statement.lines)


def _refused(form: StatementFormat, files: Mapping[str, bytes], institution: str, day: date) -> bool:
    try:
        form.read(files, institution, day)
    except CodecError:
        return True
    return False


CHECKS: Final = (statement_lists_what_was_paid, statement_holds_together)
