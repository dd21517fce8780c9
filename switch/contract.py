"""Domain -> contract, for what an answer and a record of a topic both say: windows, and moments.

What each reads back, and whether a caller may see it, is its own business.
"""

from typing import Final

from bayswitch.v1 import settlement_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from switch.domain.settlement import NetPosition, Obligation, ObligationState, Window, WindowState

__all__ = ["OBLIGATION_STATES", "WINDOW_STATES", "timestamp", "window_of"]

WINDOW_STATES: Final = {
    WindowState.OPEN: pb.WINDOW_STATE_OPEN,
    WindowState.CUT: pb.WINDOW_STATE_CUT,
    WindowState.CLOSED: pb.WINDOW_STATE_CLOSED,
    WindowState.PARTIALLY_SETTLED: pb.WINDOW_STATE_PARTIALLY_SETTLED,
    WindowState.SETTLED: pb.WINDOW_STATE_SETTLED,
}
OBLIGATION_STATES: Final = {
    ObligationState.OPEN: pb.OBLIGATION_STATE_OPEN,
    ObligationState.CONFIRMED: pb.OBLIGATION_STATE_CONFIRMED,
    ObligationState.DEFAULTED: pb.OBLIGATION_STATE_DEFAULTED,
}


def timestamp(time_ms: int) -> Timestamp:
    seconds, rest_ms = divmod(time_ms, 1000)
    return Timestamp(seconds=seconds, nanos=rest_ms * 1_000_000)


def window_of(window: Window) -> pb.Window:
    """All of it. The same window always gives the same message."""
    return pb.Window(
        window_id=window.id,
        arrangement_id=window.arrangement_id,
        number=window.number,
        state=WINDOW_STATES[window.state],
        open_time=timestamp(window.open_time_ms),
        cut_time=_time(window.cut_time_ms),
        close_time=_time(window.close_time_ms),
        settled_time=_time(window.settled_time_ms),
        cut_by=window.cut_by,
        ranges=[pb.LogRange(**each._asdict()) for each in window.ranges],
        payments=window.payments,
        positions=[_position_of(each) for each in window.positions],
        obligations=[_obligation_of(each) for each in window.obligations],
        seal=window.seal,
        previous_seal=window.previous_seal,
        filled=window.filled,
    )


def _time(time_ms: int) -> Timestamp | None:
    """None: it has not happened, and is not in the message."""
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
        state=OBLIGATION_STATES[obligation.state],
        confirmed_time=_time(obligation.confirmed_time_ms),
        reference=obligation.reference,
    )
