"""What an operator does with the register: create, look, suspend, caps, rates."""

from typing import Annotated, Any

import typer
from bayswitch.v1 import common_pb2, participant_pb2

from switch.cli import values
from switch.cli.client import CallFailed, Client, connect
from switch.cli.options import Json, target
from switch.cli.output import money_text, print_json, say, table

__all__ = ["app", "positions", "show_positions"]

app = typer.Typer(help="The register of participants (operator).", no_args_is_help=True)
_OPERATOR = "OPERATOR"
Id = Annotated[str, typer.Argument(help="1 to 16 of A-Z 0-9 _")]
Why = Annotated[str, typer.Option("--why", help="reason, for the record")]


def _show(participant: Any, json: bool) -> None:
    if json:
        print_json(participant)
        return
    caps = ", ".join(money_text(cap.asset, cap.amount_minor) for cap in participant.net_debit_caps) or "no caps"
    state = "SUSPENDED" if participant.suspended else "active"
    say(f"{participant.participant_id}  {participant.name}  {state}  {' '.join(participant.roles)}  {caps}")
    for change in participant.changes:
        say(f"  {change.change_time.ToJsonString()} {change.actor} {change.action} {change.detail}: {change.reason}")


@app.command()
def create(
    participant_id: Id,
    name: Annotated[str, typer.Argument(help="for people")],
    place: Annotated[str, typer.Option(help="HK, MO or CN")],
    why: Why,
    role: Annotated[
        list[str] | None, typer.Option(help="instructing, gateway, fx_provider; repeat for several")
    ] = None,
    cap: Annotated[list[str] | None, typer.Option(help="'HKD 1000000.00'; repeat for several")] = None,
    json: Json = False,
) -> None:
    """Add a participant. Safe to repeat with the same data."""
    record = participant_pb2.Participant(
        participant_id=participant_id,
        name=name,
        place=values.place(place),
        roles=role or ["instructing"],
        net_debit_caps=[values.money_message(text) for text in cap or ()],
    )
    with connect(target(_OPERATOR)) as client:
        request = participant_pb2.CreateParticipantRequest(participant=record, reason=why)
        _show(client.call(client.participants.CreateParticipant, request).participant, json)


@app.command()
def get(
    participant_id: Id,
    json: Json = False,
) -> None:
    """One participant and the record of its changes."""
    with connect(target(_OPERATOR)) as client:
        request = participant_pb2.GetParticipantRequest(participant_id=participant_id)
        _show(client.call(client.participants.GetParticipant, request).participant, json)


@app.command("list")
def list_all(
    json: Json = False,
) -> None:
    """All participants."""
    with connect(target(_OPERATOR)) as client:
        found = client.call(
            client.participants.ListParticipants, participant_pb2.ListParticipantsRequest()
        ).participants
    if json:
        print_json(found)
        return
    for participant in found:
        _show(participant, False)


@app.command()
def suspend(
    participant_id: Id,
    why: Why,
    json: Json = False,
) -> None:
    """Let nothing new begin; what runs, ends."""
    with connect(target(_OPERATOR)) as client:
        request = participant_pb2.SuspendParticipantRequest(participant_id=participant_id, reason=why)
        _show(client.call(client.participants.SuspendParticipant, request).participant, json)


@app.command()
def resume(
    participant_id: Id,
    why: Why,
    json: Json = False,
) -> None:
    """Undo suspend."""
    with connect(target(_OPERATOR)) as client:
        request = participant_pb2.ResumeParticipantRequest(participant_id=participant_id, reason=why)
        _show(client.call(client.participants.ResumeParticipant, request).participant, json)


@app.command("set-cap")
def set_cap(
    participant_id: Id,
    cap: Annotated[str, typer.Argument(help="'HKD 1000000.00'; 'HKD 0' lets nothing begin")],
    why: Why,
    json: Json = False,
) -> None:
    """Set the net debit cap of one asset."""
    asset, _, amount = cap.partition(" ")
    nothing = amount.strip().replace(".", "", 1).strip("0") == "" and amount.strip()[:1] == "0"
    limit = common_pb2.Money(asset=asset) if nothing else values.money_message(cap)
    with connect(target(_OPERATOR)) as client:
        request = participant_pb2.SetCapRequest(participant_id=participant_id, net_debit_cap=limit, reason=why)
        _show(client.call(client.participants.SetCap, request).participant, json)


@app.command("set-rate")
def set_rate(
    provider_id: Annotated[str, typer.Argument(help="the FX provider")],
    debit: Annotated[str, typer.Argument(help="asset the provider gets")],
    credit: Annotated[str, typer.Argument(help="asset the provider pays")],
    rate: Annotated[str, typer.Argument(help="credit per debit as a ratio of integers, e.g. 9150/10000")],
    why: Why,
) -> None:
    """Set the rate an FX provider quotes from now on; open quotes keep theirs."""
    numerator, denominator = values.rate(rate)
    with connect(target(_OPERATOR)) as client:
        client.call(
            client.participants.SetRate,
            participant_pb2.SetRateRequest(
                provider_id=provider_id,
                debit_asset=debit,
                credit_asset=credit,
                rate=common_pb2.Rate(numerator=numerator, denominator=denominator),
                reason=why,
            ),
        )
    say(f"{provider_id}  {debit} -> {credit}  {numerator}/{denominator}")


def positions(
    of: Annotated[str, typer.Option(help="one participant; empty = all, or for who is no operator his own")] = "",
    json: Json = False,
) -> None:
    """Who owes what, per asset, and the headroom that is left."""
    caller = target(_OPERATOR)
    with connect(caller) as client:
        try:
            found = _positions(client, of)
        except CallFailed as failure:
            if of or failure.reason != "CALLER_NOT_PERMITTED":
                raise
            of = caller.participant  # everybody's is the operator's to see; one's own is anybody's
            found = _positions(client, of)
    if json:
        print_json(found)
        return
    show_positions(found, sums=not of)


def _positions(client: Client, of: str) -> Any:
    request = participant_pb2.GetPositionsRequest(participant_id=of)
    return client.call(client.participants.GetPositions, request).positions


def show_positions(found: Any, sums: bool = True) -> None:
    """A row per participant and asset; with `sums` those per asset, which are zero over all participants."""
    totals: dict[str, int] = {}
    for item in found:
        totals[item.asset] = totals.get(item.asset, 0) + item.net_debit_minor
    total_rows = [("SUM", money_text(asset, total), "", "", "") for asset, total in sorted(totals.items())]
    table(
        "positions (positive owes)",
        ("participant", "net debit", "reserved", "cap", "headroom"),
        [
            (
                item.participant_id,
                *(
                    money_text(item.asset, minor)
                    for minor in (
                        item.net_debit_minor,
                        item.reserved_minor,
                        item.net_debit_cap_minor,
                        item.headroom_minor,
                    )
                ),
            )
            for item in found
        ]
        + (total_rows if sums else []),
        right=("net debit", "reserved", "cap", "headroom"),
    )
