"""What an operator does with the register: create, look, suspend, caps, rates."""

from typing import Annotated, Any

import typer
from bayswitch.v1 import common_pb2, participant_pb2

from switch.cli.client import connect
from switch.cli.options import Json, money, target
from switch.cli.output import console, money_text, print_json, table

__all__ = ["app", "positions"]

app = typer.Typer(help="The register of participants (operator).", no_args_is_help=True)
Why = Annotated[str, typer.Option("--why", help="reason, for the record")]


def _show(participant: Any, json: bool) -> None:
    if json:
        print_json(participant)
        return
    caps = ", ".join(money_text(cap.asset, cap.amount_minor) for cap in participant.net_debit_caps) or "no caps"
    state = "SUSPENDED" if participant.suspended else "active"
    console.print(
        f"{participant.participant_id}  {participant.name}  {state}  {' '.join(participant.roles)}  {caps}",
        markup=False,
    )
    for change in participant.changes:
        console.print(
            f"  {change.change_time.ToJsonString()} {change.actor} {change.action} {change.detail}: {change.reason}",
            markup=False,
        )


@app.command()
def create(
    participant_id: str,
    name: str,
    place: Annotated[str, typer.Option(help="HK, MO or CN")],
    why: Why,
    role: Annotated[
        list[str] | None, typer.Option(help="instructing, gateway, fx_provider; repeat for several")
    ] = None,
    cap: Annotated[list[str] | None, typer.Option(help="'HKD 1000000.00'; repeat for several")] = None,
    json: Json = False,
) -> None:
    """Add a participant. Safe to repeat with the same data."""
    caps = [common_pb2.Money(asset=asset, amount_minor=minor) for asset, minor in map(money, cap or ())]
    record = participant_pb2.Participant(
        participant_id=participant_id,
        name=name,
        place=common_pb2.Place.Value(f"PLACE_{place.upper()}"),
        roles=role or ["instructing"],
        net_debit_caps=caps,
    )
    with connect(target("OPERATOR")) as client:
        request = participant_pb2.CreateParticipantRequest(participant=record, reason=why)
        _show(client.call(client.participants.CreateParticipant, request).participant, json)


@app.command()
def get(
    participant_id: str,
    json: Json = False,
) -> None:
    """One participant and the record of its changes."""
    with connect(target("OPERATOR")) as client:
        request = participant_pb2.GetParticipantRequest(participant_id=participant_id)
        _show(client.call(client.participants.GetParticipant, request).participant, json)


@app.command("list")
def list_all(
    json: Json = False,
) -> None:
    """All participants."""
    with connect(target("OPERATOR")) as client:
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
    participant_id: str,
    why: Why,
    json: Json = False,
) -> None:
    """Let nothing new begin; what runs, ends."""
    with connect(target("OPERATOR")) as client:
        request = participant_pb2.SuspendParticipantRequest(participant_id=participant_id, reason=why)
        _show(client.call(client.participants.SuspendParticipant, request).participant, json)


@app.command()
def resume(
    participant_id: str,
    why: Why,
    json: Json = False,
) -> None:
    """Undo suspend."""
    with connect(target("OPERATOR")) as client:
        request = participant_pb2.ResumeParticipantRequest(participant_id=participant_id, reason=why)
        _show(client.call(client.participants.ResumeParticipant, request).participant, json)


@app.command("set-cap")
def set_cap(
    participant_id: str,
    cap: Annotated[str, typer.Argument(help="'HKD 1000000.00'; 'HKD 0' lets nothing begin")],
    why: Why,
    json: Json = False,
) -> None:
    """Set the net debit cap of one asset."""
    words = cap.split()
    asset, minor = (words[0], 0) if words[1:] == ["0"] else money(cap)
    with connect(target("OPERATOR")) as client:
        request = participant_pb2.SetCapRequest(
            participant_id=participant_id, net_debit_cap=common_pb2.Money(asset=asset, amount_minor=minor), reason=why
        )
        _show(client.call(client.participants.SetCap, request).participant, json)


@app.command("set-rate")
def set_rate(
    provider_id: str,
    debit: str,
    credit: str,
    rate: Annotated[str, typer.Argument(help="credit per debit as a ratio of integers, e.g. 9150/10000")],
    why: Why,
) -> None:
    """Set the rate an FX provider quotes from now on."""
    numerator, slash, denominator = rate.partition("/")
    if not (slash and numerator.isdecimal() and denominator.isdecimal()):
        raise typer.BadParameter("a rate is NUMERATOR/DENOMINATOR")
    with connect(target("OPERATOR")) as client:
        client.call(
            client.participants.SetRate,
            participant_pb2.SetRateRequest(
                provider_id=provider_id,
                debit_asset=debit,
                credit_asset=credit,
                rate=common_pb2.Rate(numerator=int(numerator), denominator=int(denominator)),
                reason=why,
            ),
        )


def positions(
    of: Annotated[str, typer.Option(help="one participant; empty = all (operator)")] = "",
    json: Json = False,
) -> None:
    """Who owes what, per asset, and the headroom that is left."""
    with connect(target("OPERATOR")) as client:
        request = participant_pb2.GetPositionsRequest(participant_id=of)
        found = client.call(client.participants.GetPositions, request).positions
    if json:
        print_json(found)
        return
    show_positions(found)


def show_positions(found: Any) -> None:
    """A row per participant and asset, then the sums, which are zero over all participants."""
    totals: dict[str, int] = {}
    for item in found:
        totals[item.asset] = totals.get(item.asset, 0) + item.net_debit_minor
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
        + [("SUM", money_text(asset, total), "", "", "") for asset, total in sorted(totals.items())],
        right=("net debit", "reserved", "cap", "headroom"),
    )
