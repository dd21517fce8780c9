"""`bayswitch reconcile RAIL`: our records of a day against the rail's own statement of it."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import date as Date
from datetime import timedelta
from typing import Annotated, Any

import typer
from bayswitch.v1 import participant_pb2, payment_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from adapters import RAILS
from adapters.kit.control import fetch_statement
from adapters.kit.module import RailModule
from adapters.kit.statement import StatementLine, day_bounds, parse_day
from switch.cli import values
from switch.cli.client import connect
from switch.cli.options import ConfigFile, Json, settings_of, target
from switch.cli.output import error_line, money_text, print_json, say, table
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.reconciliation import OurPayment, Reconciliation, Row, TheirPayment, Verdict, compare
from switch.errors import CodecError
from switch.limits import PAGE_SIZE_MAX
from switch.rules import load_rules

__all__ = ["command"]

_OPERATOR = "OPERATOR"
_DIFFERENT = 1
_DAY = timedelta(days=1)


def command(
    rail: Annotated[str, typer.Argument(help="see `bayswitch rail list`")],
    date: Annotated[str, typer.Option("--date", help="a Hong Kong day, YYYY-MM-DD")],
    where: Annotated[str, typer.Option("--control", help="host:port of the rail's control socket")],
    institution: Annotated[str, typer.Option(help="our code on the rail; default: the rail's own")] = "",
    every: Annotated[bool, typer.Option("--all", help="list what is the same, too")] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Compare a rail's end-of-day statement with our books: the same, ours only, theirs only, different.

    Every difference names its payment (UETR) and what to do about it; nothing is changed. For the operator, who alone
    sees the payments of every participant. Safe to repeat. Exit code: 0 all is the same, 1 something differs or the
    statement cannot be used, 4 unavailable.
    """
    if rail not in RAILS:
        raise typer.BadParameter(f"no rail {rail!r}; there are {', '.join(RAILS)}")
    module, day, (host, port) = RAILS[rail], parse_day(date), _address(where)
    gateway = load_rules(settings_of(config).rules_dir).gateways.get(rail)
    ours = list(_ours(rail, gateway.participant if gateway else "", day))
    try:
        theirs = asyncio.run(_theirs(module, institution or module.institution, day, host, port))
    except CodecError as error:
        error_line(f"{rail}: the statement cannot be used: {error}; ask the rail to send it again")
        sys.exit(_DIFFERENT)
    found = compare(ours, theirs, *day_bounds(day))
    if json:
        print_json(_plain(rail, day, found))
    else:
        _show(rail, day, found, every)
    sys.exit(_DIFFERENT if found.differences else 0)


def _address(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter("--control is host:port")
    return host, int(port)


# --- theirs ----------------------------------------------------------------------------------------------------------
async def _theirs(module: RailModule, institution: str, day: Date, host: str, port: int) -> list[StatementLine]:
    """The lines of the day and of the days beside it, each statement checked as a whole."""
    lines: list[StatementLine] = []
    for asked in (day - _DAY, day, day + _DAY):
        files = await fetch_statement(host, port, asked)
        lines += module.statement.read(files, institution, asked).lines
    return lines


# --- ours ------------------------------------------------------------------------------------------------------------
def _ours(rail: str, gateway: str, day: Date) -> Iterator[OurPayment]:
    """What went out over the rail, and what its gateway brought in, prepared on the day or beside it."""
    begin_ms, end_ms = day_bounds(day - _DAY)[0], day_bounds(day + _DAY)[1]
    with connect(target(_OPERATOR)) as client:
        listed = client.call(client.participants.ListParticipants, participant_pb2.ListParticipantsRequest())
        for participant in listed.participants:
            for payment in _listed(client, participant.participant_id, begin_ms, end_ms):
                if payment.rail == rail:
                    yield _record(payment, payment.credit, 1)
                elif payment.participant == gateway:
                    yield _record(payment, payment.debit, -1)


def _listed(client: Any, participant_id: str, begin_ms: int, end_ms: int) -> Iterator[Any]:
    """One participant's payments that were prepared in this time, page by page. Raises CallFailed."""
    request = payment_pb2.ListPaymentsRequest(
        participant_id=participant_id,
        from_time=_timestamp(begin_ms),
        to_time=_timestamp(end_ms),
        page_size=PAGE_SIZE_MAX,
    )
    while True:
        page = client.call(client.payments.ListPayments, request)
        yield from page.payments
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _timestamp(time_ms: int) -> Timestamp:
    moment = Timestamp()
    moment.FromMilliseconds(max(time_ms, 0))
    return moment


def _record(payment: Any, money: Any, sign: int) -> OurPayment:
    ended = payment.final_time if payment.HasField("final_time") else payment.prepared_time
    return OurPayment(
        payment.uetr,
        State[values.state_name(payment.state)],
        payment.rail,
        Asset[money.asset],
        sign * money.amount_minor,
        ended.ToMilliseconds(),
    )


# --- what people see -------------------------------------------------------------------------------------------------
def _show(rail: str, day: Date, found: Reconciliation, every: bool) -> None:
    counts = ", ".join(f"{count} {verdict.value}" for verdict, count in found.counts.items())
    say(f"{rail} {day}: {counts}")
    rows = found.rows if every else found.differences
    if rows:
        columns = ("what", "uetr", "ours", "theirs", "their reference", "what to do")
        table("payments", columns, map(_cells, rows), fold=("what to do",))
    if found.totals:
        table(
            "totals",
            ("asset", "ours", "theirs", "difference"),
            (
                (total.asset.name, *(_amount(total.asset, minor) for minor in (*total[1:], total.difference_minor)))
                for total in found.totals
            ),
            right=("ours", "theirs", "difference"),
        )


def _cells(row: Row) -> tuple[str, ...]:
    reference = row.theirs.reference if row.theirs else ""
    return (
        row.verdict.value,
        row.uetr,
        _our_text(row.ours),
        _their_text(row.theirs),
        reference or "-",
        row.advice or "-",
    )


def _our_text(ours: OurPayment | None) -> str:
    return f"{ours.state.name} {money_text(ours.asset.name, ours.amount_minor)}" if ours else "-"


def _their_text(theirs: TheirPayment | None) -> str:
    if theirs is None:
        return "-"
    amounts = " ".join(money_text(money.asset.name, money.amount_minor) for money in theirs.amounts)
    return f"{theirs.status} {amounts or theirs.code}"


def _amount(asset: Asset, amount_minor: int) -> str:
    return money_text(asset.name, amount_minor).partition(" ")[2]


def _plain(rail: str, day: Date, found: Reconciliation) -> dict[str, Any]:
    return {
        "rail": rail,
        "date": day.isoformat(),
        "counts": {verdict.value: count for verdict, count in found.counts.items()},
        "totals": [
            {
                "asset": total.asset.name,
                "ours_minor": total.ours_minor,
                "theirs_minor": total.theirs_minor,
                "difference_minor": total.difference_minor,
            }
            for total in found.totals
        ],
        "differences": [_plain_row(row) for row in found.differences],
        "same": [row.uetr for row in found.rows if row.verdict is Verdict.SAME],
    }


def _plain_row(row: Row) -> dict[str, Any]:
    ours, theirs = row.ours, row.theirs
    return {
        "verdict": row.verdict.value,
        "uetr": row.uetr,
        "ours": ours and {**ours._asdict(), "state": ours.state.name, "asset": ours.asset.name},
        "theirs": theirs
        and {
            **theirs._asdict(),
            "status": str(theirs.status),
            "amounts": [{"asset": money.asset.name, "amount_minor": money.amount_minor} for money in theirs.amounts],
        },
        "advice": row.advice,
    }
