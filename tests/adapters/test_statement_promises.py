"""The promises of a statement themselves: a form that breaks one is caught, and the promise is named."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

import pytest

from adapters import RAILS
from adapters.conformance import Broken, RailCase, run_check
from adapters.kit.statement import Statement, StatementFormat
from adapters.kit.statement_promises import check_damage
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError
from switch.ports import InboundHandler
from tests.adapters.alipay import test_statement as alipay
from tests.adapters.ecny import test_statement as ecny
from tests.adapters.hkfps import test_statement as hkfps
from tests.adapters.hkfps.cases import make_case
from tests.adapters.mofps import test_statement as mofps
from tests.adapters.statement_cases import DAY


def _reads(change: Callable[[Statement], Statement]) -> Callable[[StatementFormat], StatementFormat]:
    """A form that reads something else than was written."""

    def broken(form: StatementFormat) -> StatementFormat:
        def read(files: Mapping[str, bytes], institution: str, day: date) -> Statement:
            return change(form.read(files, institution, day))

        return form._replace(read=read)

    return broken


def _forgets(statement: Statement) -> Statement:
    return statement._replace(lines=statement.lines[:-1])


def _doubles(statement: Statement) -> Statement:
    return statement._replace(lines=statement.lines * 2)


def _turns_signs(statement: Statement) -> Statement:
    return statement._replace(lines=tuple(line._replace(amount_minor=-line.amount_minor) for line in statement.lines))


def _pays_what_was_refused(statement: Statement) -> Statement:
    return statement._replace(lines=tuple(line._replace(status=LineStatus.DONE) for line in statement.lines))


def _loses_references(statement: Statement) -> Statement:
    return statement._replace(lines=tuple(line._replace(reference="") for line in statement.lines))


def _forgives(form: StatementFormat) -> StatementFormat:
    """A form that reads what it can of a file that does not add up."""

    def read(files: Mapping[str, bytes], institution: str, day: date) -> Statement:
        try:
            return form.read(files, institution, day)
        except CodecError:
            return Statement(institution, day, (), {})

    return form._replace(read=read)


def _writes_another_way(form: StatementFormat) -> StatementFormat:
    return form._replace(
        write=lambda statement: {name: data.replace(b"><", b">\n<") for name, data in form.write(statement).items()}
    )


BREAKS: list[tuple[Callable[[StatementFormat], StatementFormat], str]] = [
    (_reads(_forgets), "statement_lists_what_was_paid"),
    (_reads(_doubles), "statement_lists_what_was_paid"),
    (_reads(_turns_signs), "statement_lists_what_was_paid"),
    (_reads(_turns_signs), "inbound_in_the_statement"),
    (_reads(_pays_what_was_refused), "statement_lists_what_was_paid"),
    (_reads(_loses_references), "statement_lists_what_was_paid"),
    (_reads(_forgets), "statement_holds_together"),
    (_forgives, "statement_holds_together"),
    (_writes_another_way, "statement_holds_together"),
]


@pytest.mark.parametrize(("broken", "check"), BREAKS, ids=[str(place) for place in range(len(BREAKS))])
async def test_a_broken_promise_is_named(broken: Callable[[StatementFormat], StatementFormat], check: str) -> None:
    @asynccontextmanager
    async def broken_case(handler: InboundHandler) -> AsyncIterator[RailCase]:
        async with make_case(handler) as case:
            yield replace(case, statement=broken(case.statement))

    with pytest.raises(Broken, match=f"^{check}: "):
        await run_check(check, broken_case)


STATEMENTS = {module.RAIL.name: module.FILES for module in (hkfps, mofps, alipay, ecny)}


@pytest.mark.parametrize("rail", RAILS)
def test_every_digit_of_a_statement(rail: str) -> None:
    """Both ways, a refusal, a reversal, an opening balance: no digit of it can change an amount unnoticed."""
    check_damage(RAILS[rail].statement, STATEMENTS[rail], RAILS[rail].institution, DAY, 1_000_000)
