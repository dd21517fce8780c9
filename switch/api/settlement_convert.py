"""Domain -> wire for windows and statements. A caller gets what it may see, and nothing is made up on the way."""

from collections import Counter
from typing import Final

from bayswitch.v1 import payment_pb2
from bayswitch.v1 import settlement_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from switch.api.fields import timestamp
from switch.domain.settlement import Arrangement, NetPosition, Obligation, ObligationState, Window, WindowState
from switch.engine.settlement import Statement, StatementLine

__all__ = ["arrangement_of", "seen_by", "statement_of", "window_of"]

_WINDOW_STATES: Final = {
    WindowState.OPEN: pb.WINDOW_STATE_OPEN,
    WindowState.CUT: pb.WINDOW_STATE_CUT,
    WindowState.CLOSED: pb.WINDOW_STATE_CLOSED,
    WindowState.PARTIALLY_SETTLED: pb.WINDOW_STATE_PARTIALLY_SETTLED,
    WindowState.SETTLED: pb.WINDOW_STATE_SETTLED,
}
_OBLIGATION_STATES: Final = {
    ObligationState.OPEN: pb.OBLIGATION_STATE_OPEN,
    ObligationState.CONFIRMED: pb.OBLIGATION_STATE_CONFIRMED,
    ObligationState.DEFAULTED: pb.OBLIGATION_STATE_DEFAULTED,
}


def seen_by(participant: str, window: Window) -> Window:
    """The window with the positions and obligations of one participant: what others owe is not its business."""
    return window._replace(
        positions=tuple(each for each in window.positions if each.participant == participant),
        obligations=tuple(each for each in window.obligations if each.participant == participant),
    )


def arrangement_of(arrangement: Arrangement) -> pb.Arrangement:
    return pb.Arrangement(
        arrangement_id=arrangement.id,
        title=arrangement.title,
        assets=[asset.name for asset in arrangement.assets],
        rails=arrangement.rails,
        settlement_agent=arrangement.settlement_agent,
        cut_times=[f"{minute // 60:02}:{minute % 60:02}" for minute in arrangement.cut_minutes],
        calendars=arrangement.calendars,
    )


def window_of(window: Window) -> pb.Window:
    return pb.Window(
        window_id=window.id,
        arrangement_id=window.arrangement_id,
        number=window.number,
        state=_WINDOW_STATES[window.state],
        open_time=timestamp(window.open_time_ms),
        cut_time=_time(window.cut_time_ms),
        close_time=_time(window.close_time_ms),
        settled_time=_time(window.settled_time_ms),
        cut_by=window.cut_by,
        ranges=[
            pb.LogRange(
                partition=each.partition, from_offset=each.from_offset, to_offset=each.to_offset, digest=each.digest
            )
            for each in window.ranges
        ],
        payments=window.payments,
        positions=[_position_of(each) for each in window.positions],
        obligations=[_obligation_of(each) for each in window.obligations],
        seal=window.seal,
        previous_seal=window.previous_seal,
        filled=window.filled,
    )


def _time(time_ms: int) -> Timestamp | None:
    """None: it has not happened."""
    return timestamp(time_ms) if time_ms else None


def _position_of(position: NetPosition) -> pb.NetPosition:
    return pb.NetPosition(
        participant=position.participant,
        asset=position.asset.name,
        debits_minor=position.debits_minor,
        credits_minor=position.credits_minor,
        net_debit_minor=position.net_debit_minor,
        opening_minor=position.opening_minor,
    )


def _obligation_of(obligation: Obligation) -> pb.Obligation:
    return pb.Obligation(
        participant=obligation.participant,
        asset=obligation.asset.name,
        amount_minor=obligation.amount_minor,
        state=_OBLIGATION_STATES[obligation.state],
        confirmed_time=_time(obligation.confirmed_time_ms),
        reference=obligation.reference,
    )


def statement_of(statement: Statement, next_page_token: str) -> pb.GetStatementResponse:
    counts = Counter(line.entry.asset for line in statement.lines)
    return pb.GetStatementResponse(
        window_id=statement.window.id,
        participant=statement.participant,
        balances=[
            pb.StatementBalance(
                asset=each.asset.name,
                opening_minor=each.opening_minor,
                debits_minor=each.debits_minor,
                credits_minor=each.credits_minor,
                closing_minor=each.closing_minor,
                entries=counts[each.asset],
            )
            for each in statement.balances
        ],
        entries=[_line_of(line) for line in statement.lines],
        next_page_token=next_page_token,
    )


def _line_of(line: StatementLine) -> pb.StatementEntry:
    fact, entry = line.fact, line.entry
    return pb.StatementEntry(
        uetr=fact.uetr,
        debtor_agent=fact.debtor_agent,
        end_to_end_id=line.end_to_end_id,
        rail=fact.rail,
        rail_reference=fact.rail_reference,
        entry=payment_pb2.Entry(participant=entry.participant, asset=entry.asset.name, amount_minor=entry.amount_minor),
        final_time=timestamp(fact.final_time_ms),
    )
