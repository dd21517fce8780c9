"""Settlement windows at the command line: look, cut, close, confirm. Statements are next door."""

import sys
import time
from typing import Annotated, Any, Final

import typer
from bayswitch.v1 import settlement_pb2 as pb

from switch.cli.client import CallFailed, Client, connect
from switch.cli.options import Json, target
from switch.cli.output import money_text, print_json, print_json_line, say, table
from switch.cli.settling import excuse, gaps, verify
from switch.cli.statements import statement
from switch.cli.window_picture import picture, strokes, window_state
from switch.domain.money import Asset, parse_amount
from switch.errors import InvalidValue
from switch.limits import PAGE_SIZE_DEFAULT, WINDOWS_READ_MAX

__all__ = ["app"]

app = typer.Typer(help="Settlement windows.", no_args_is_help=True)
_OPERATOR: Final = "OPERATOR"
_AGAIN_S: Final = 0.5  # between two tries to close a window that is not filled
Id = Annotated[str, typer.Argument(help="a window, e.g. hkd-rtgs.7")]
Participant = Annotated[str, typer.Argument(help="1 to 16 of A-Z 0-9 _")]


# --- looking ---------------------------------------------------------------------------------------------------------
@app.command()
def arrangements(json: Json = False) -> None:
    """What settles together, over whose books, and when windows are cut (Hong Kong time)."""
    with connect(target(_OPERATOR)) as client:
        found = _arrangements(client)
    if json:
        print_json(found)
        return
    table(
        "arrangements",
        ("arrangement", "assets", "rails", "agent", "cut", "calendars", "title"),
        [
            (
                each.arrangement_id,
                " ".join(each.assets),
                " ".join(each.rails) or "all",
                each.settlement_agent,
                " ".join(each.cut_times) or "by hand",
                " ".join(each.calendars),
                each.title,
            )
            for each in found
        ],
        fold=("title",),
    )


def _arrangements(client: Client) -> Any:
    return client.call(client.settlement.ListArrangements, pb.ListArrangementsRequest()).arrangements


@app.command("list")
def list_windows(
    arrangement: Annotated[str, typer.Option(help="one arrangement; empty = all")] = "",
    count: Annotated[int, typer.Option(min=1, max=WINDOWS_READ_MAX, help="at most so many")] = PAGE_SIZE_DEFAULT,
    json: Json = False,
) -> None:
    """Windows, the newest first."""
    with connect(target(_OPERATOR)) as client:
        request = pb.ListWindowsRequest(arrangement_id=arrangement, page_size=count)
        found = client.call(client.settlement.ListWindows, request).windows
    if json:
        print_json(found)
        return
    table(
        "windows",
        ("window", "state", "payments", "opened", "cut", "cut by", "closed", "settled"),
        [
            (
                each.window_id,
                _state(each),
                each.payments,
                *(_when(each, name) for name in ("open_time", "cut_time")),
                each.cut_by,
                *(_when(each, name) for name in ("close_time", "settled_time")),
            )
            for each in found
        ],
        right=("payments",),
    )


def _state(window: Any) -> str:
    state = window_state(window.state)
    return f"{state}, filling" if window.state == pb.WINDOW_STATE_CUT and not window.filled else state


def _when(window: Any, field: str) -> str:
    return getattr(window, field).ToJsonString() if window.HasField(field) else ""


@app.command()
def get(window_id: Id, json: Json = False) -> None:
    """One window: who sent and received what, and who now pays whom."""
    with connect(target(_OPERATOR)) as client:
        _show(client, _window(client, window_id), json)


def _window(client: Client, window_id: str) -> Any:
    return client.call(client.settlement.GetWindow, pb.GetWindowRequest(window_id=window_id)).window


def _show(client: Client, window: Any, json: bool) -> None:
    if json:
        print_json(window)
        return
    say(f"{window.window_id}  {_state(window)}  {window.payments} payments")
    for name in ("open", "cut", "close", "settled"):
        if told := _when(window, f"{name}_time"):
            say(f"  {name:<8}{told}{f'  by {window.cut_by}' if name == 'cut' else ''}")
    for each in window.ranges:
        end = each.to_offset if window.HasField("cut_time") else "…"
        say(f"  log     partition {each.partition}: {each.from_offset} to {end}  {each.digest.hex()[:16]}".rstrip())
    if window.seal:
        say(f"  seal    {window.seal.hex()}")
        say(f"  after   {window.previous_seal.hex()}")
    if window.positions:
        _show_positions(window)
    agents = {each.arrangement_id: each.settlement_agent for each in _arrangements(client)}
    for line in picture(window, agents.get(window.arrangement_id, "settlement agent"), strokes()):
        say(line)


def _show_positions(window: Any) -> None:
    table(
        "positions (positive owes)",
        ("participant", "debits", "credits", "net", "opening"),
        [
            (
                each.participant,
                *(
                    money_text(each.asset, minor)
                    for minor in (each.debits_minor, each.credits_minor, each.net_debit_minor, each.opening_minor)
                ),
            )
            for each in window.positions
        ],
        right=("debits", "credits", "net", "opening"),
    )


@app.command()
def watch(json: Json = False) -> None:
    """Every move of windows from now on, until Ctrl-C."""
    with connect(target(_OPERATOR)) as client:
        try:
            for answer in client.stream(client.settlement.WatchWindows, pb.WatchWindowsRequest()):
                if json:
                    print_json_line(answer.window)
                    continue
                paid = [each for each in answer.window.obligations if each.state == pb.OBLIGATION_STATE_CONFIRMED]
                owed = f"  {len(paid)} of {len(answer.window.obligations)} paid" if answer.window.obligations else ""
                say(f"{answer.window.window_id}  {_state(answer.window)}  {answer.window.payments} payments{owed}")
                sys.stdout.flush()
        except KeyboardInterrupt:
            return


# --- moving ----------------------------------------------------------------------------------------------------------
@app.command()
def cut(window_id: Id, json: Json = False) -> None:
    """Cut the open window at the present end of the log. A repeat cuts nothing else."""
    with connect(target(_OPERATOR)) as client:
        _show(client, client.call(client.settlement.CutWindow, pb.CutWindowRequest(window_id=window_id)).window, json)


@app.command()
def close(
    window_id: Id,
    wait: Annotated[int, typer.Option(min=0, help="seconds to wait for the settler to read up to the cut")] = 10,
    json: Json = False,
) -> None:
    """Prove that a cut window sums to zero, work out who owes what, seal it. A closed one is shown as it is."""
    deadline = time.monotonic() + wait
    request = pb.CloseWindowRequest(window_id=window_id)
    with connect(target(_OPERATOR)) as client:
        while True:
            try:
                _show(client, client.call(client.settlement.CloseWindow, request).window, json)
                return
            except CallFailed as failure:
                if failure.reason != "WINDOW_NOT_FILLED" or time.monotonic() >= deadline:
                    raise
            time.sleep(_AGAIN_S)


@app.command()
def confirm(
    window_id: Id,
    participant: Annotated[str, typer.Argument(help="who paid, or was paid; not with --all")] = "",
    amount: Annotated[str, typer.Argument(help="as owed, e.g. 'HKD 300.00'; paid out: 'HKD -300.00'")] = "",
    reference: Annotated[str, typer.Option(help="the settlement agent's own reference, at most 35 characters")] = "",
    everything: Annotated[bool, typer.Option("--all", help="every open obligation of the window")] = False,
    json: Json = False,
) -> None:
    """An obligation was paid, or paid out; with --all every open one. Repeats with the same reference change nothing."""
    if everything is bool(participant or amount):
        raise typer.BadParameter("name a participant and an amount, or --all")
    if not reference:
        raise typer.BadParameter("--reference is missing: the settlement agent's own, of the transfer")
    wanted = [] if everything else [(participant, *_signed(amount))]
    with connect(target(_OPERATOR)) as client:
        window = _window(client, window_id)
        if everything:
            wanted = [
                (each.participant, each.asset, each.amount_minor)
                for each in window.obligations
                if each.state == pb.OBLIGATION_STATE_OPEN
            ]
        for who, asset, amount_minor in wanted:
            request = pb.ConfirmObligationRequest(
                window_id=window_id, participant=who, asset=asset, amount_minor=amount_minor, reference=reference
            )
            window = client.call(client.settlement.ConfirmObligation, request).window
        _show(client, window, json)


def _signed(text: str) -> tuple[str, int]:
    """'HKD -300.00' -> ('HKD', -30000). Raises typer.BadParameter with the rule."""
    asset, _, amount = text.strip().partition(" ")
    if asset not in Asset.__members__:
        raise typer.BadParameter(f"an amount is 'ASSET AMOUNT'; assets: {', '.join(Asset.__members__)}")
    sign = -1 if amount.strip().startswith("-") else 1
    try:
        return asset, sign * parse_amount(Asset[asset].iso, amount.strip().removeprefix("-"))
    except InvalidValue as error:
        raise typer.BadParameter(f"{error.rule}: {error}") from None


@app.command()
def default(
    window_id: Id,
    participant: Participant,
    why: Annotated[str, typer.Option("--why", help="reason, for the record")],
    json: Json = False,
) -> None:
    """A participant does not pay: its window stays open to it, and it is suspended until `participants resume`."""
    request = pb.DeclareDefaultRequest(window_id=window_id, participant=participant, reason=why)
    with connect(target(_OPERATOR)) as client:
        _show(client, client.call(client.settlement.DeclareDefault, request).window, json)


for elsewhere in (statement, verify, gaps, excuse):
    app.command()(elsewhere)
