"""Statements at the command line: one participant's account of one window, for people or as a file."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from bayswitch.v1 import settlement_pb2 as pb

from switch.cli.client import Client, connect
from switch.cli.options import Json, target
from switch.cli.output import error_line, money_text, say, table
from switch.domain.money import Asset
from switch.errors import ConfigError
from switch.limits import PAGE_SIZE_MAX
from switch.reports import FORMS, Account, AccountBalance, AccountLine, misfits

__all__ = ["statement"]

_OPERATOR: Final = "OPERATOR"


def statement(
    window_id: Annotated[str, typer.Argument(help="a closed window, e.g. hkd-rtgs.7")],
    of: Annotated[str, typer.Option(help="the participant; empty = who calls")] = "",
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMS)}; empty = for people")] = "",
    out: Annotated[Path | None, typer.Option(help="folder to write a file into; else standard output")] = None,
    json: Json = False,
) -> None:
    """One participant's account of a closed window: opening, every entry, closing.

    Exit code 1: entries and balances do not come to the same, and nothing is written.
    """
    form = form or ("json" if json or out else "")
    if form and form not in FORMS:
        raise typer.BadParameter(f"--format: {form!r} is not one of {', '.join(FORMS)}")
    with connect(target(_OPERATOR)) as client:
        account = _account(client, window_id, of)
    if wrong := misfits(account):
        error_line(f"{account.window_id} of {account.participant}: {'; '.join(wrong)}")
        sys.exit(1)
    if not form:
        _show_account(account)
        return
    written = FORMS[form].write(account)
    if out is None:
        sys.stdout.write(written.decode())
        return
    path = out / f"{account.window_id}.{account.participant}.{FORMS[form].suffix}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written)
    except OSError as error:
        raise ConfigError(f"--out: {path} cannot be written: {error.strerror}") from None
    say(str(path))


def _account(client: Client, window_id: str, of: str) -> Account:
    """All pages of a statement, and the window it is of."""
    lines: list[AccountLine] = []
    request = pb.GetStatementRequest(window_id=window_id, participant=of, page_size=PAGE_SIZE_MAX)
    while True:
        page = client.call(client.settlement.GetStatement, request)
        lines += map(_line, page.entries)
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    window = client.call(client.settlement.GetWindow, pb.GetWindowRequest(window_id=window_id)).window
    known = client.call(client.settlement.ListArrangements, pb.ListArrangementsRequest()).arrangements
    arrangement = next(each for each in known if each.arrangement_id == window.arrangement_id)
    balances = [
        AccountBalance(Asset[each.asset], each.opening_minor, each.debits_minor, each.credits_minor)
        for each in page.balances
    ]
    return Account(
        page.participant,
        window.window_id,
        window.number,
        window.arrangement_id,
        arrangement.settlement_agent,
        window.open_time.ToMilliseconds(),
        window.cut_time.ToMilliseconds(),
        window.close_time.ToMilliseconds(),
        window.seal,
        tuple(balances) or tuple(AccountBalance(Asset[name], 0, 0, 0) for name in arrangement.assets),
        tuple(lines),
    )


def _line(entry: Any) -> AccountLine:
    return AccountLine(
        Asset[entry.entry.asset],
        entry.entry.amount_minor,
        entry.uetr,
        entry.debtor_agent,
        entry.end_to_end_id,
        entry.rail,
        entry.rail_reference,
        entry.final_time.ToMilliseconds(),
    )


def _show_account(account: Account) -> None:
    say(f"{account.window_id}  {account.participant}")
    table(
        "balances (positive owes)",
        ("asset", "opening", "debits", "credits", "closing"),
        [
            (
                each.asset.name,
                *(
                    money_text(each.asset.name, minor)
                    for minor in (each.opening_minor, each.debits_minor, each.credits_minor, each.closing_minor)
                ),
            )
            for each in account.balances
        ],
        right=("opening", "debits", "credits", "closing"),
    )
    table(
        "entries",
        ("uetr", "amount", "by", "rail", "reference", "end to end"),
        [
            (
                line.uetr,
                money_text(line.asset.name, line.amount_minor),
                line.debtor_agent,
                line.rail,
                line.rail_reference,
                line.end_to_end_id,
            )
            for line in account.lines
        ],
        right=("amount",),
    )
