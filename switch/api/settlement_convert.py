"""Domain -> wire for windows and statements. A caller gets what it may see, and nothing is made up on the way."""

from collections import Counter

from bayswitch.v1 import payment_pb2
from bayswitch.v1 import settlement_pb2 as pb

from switch.contract import timestamp
from switch.domain.settlement import Arrangement, Window
from switch.engine.settlement import Statement, StatementLine

__all__ = ["arrangement_of", "seen_by", "statement_of"]


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
