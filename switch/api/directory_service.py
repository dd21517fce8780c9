"""bayswitch.v1.DirectoryService."""

import grpc
from bayswitch.v1 import common_pb2
from bayswitch.v1 import directory_pb2 as pb

from switch.api import fields
from switch.api.call import CALL
from switch.api.parts import ApiParts
from switch.domain.corridor import LimitRow
from switch.engine import RouteOption
from switch.engine.directory import Left, RouteQuestion

__all__ = ["DirectoryService"]


class DirectoryService:
    """What can be paid to whom."""

    def __init__(self, parts: ApiParts) -> None:
        self._directory = parts.directory

    async def CheckRoute(
        self, request: pb.CheckRouteRequest, _context: grpc.aio.ServicerContext
    ) -> pb.CheckRouteResponse:
        """Every way to pay, from the rules and this payer's use of its limits; no side effects."""
        options = await self._directory.check_route(_question_of(CALL.get().participant, request))
        return pb.CheckRouteResponse(options=[_option_of(option) for option in options])


def _question_of(participant: str, request: pb.CheckRouteRequest) -> RouteQuestion:
    paper = request.debtor_document
    return RouteQuestion(
        participant=participant,
        debtor_place=fields.place(request.debtor_place, "debtor_place"),
        creditor_place=fields.place(request.creditor_place, "creditor_place"),
        debit_asset=fields.asset(request.debit_asset, "debit_asset"),
        credit_asset=fields.asset(request.credit_asset, "credit_asset") if request.credit_asset else None,
        scheme=fields.scheme(request.creditor_scheme, "creditor_scheme"),
        creditor_agent=fields.creditor_agent(request.creditor_agent),
        debit_amount_minor=fields.amount(request.debit_amount_minor, "debit_amount_minor", zero=True),
        # A till need not send the number: what counts then is which papers the payer has.
        papers=fields.document_type(paper.type, "debtor_document.type")
        if request.HasField("debtor_document")
        else None,
        document=fields.document(paper, "debtor_document") if paper.number else None,
        purpose=fields.purpose(request.purpose),
    )


def _option_of(option: RouteOption) -> pb.RouteOption:
    corridor = option.corridor
    return pb.RouteOption(
        corridor=corridor.id,
        rail=corridor.rail,
        credit_asset=corridor.credit_asset.name,
        allowed=not option.reason,
        reason=option.reason,
        open_time=fields.timestamp(option.open_time_ms),
        txn_max_minor=option.txn_max_minor,
        quote_required=option.quote_required,
        papers=[common_pb2.DocumentType.Name(paper) for paper in corridor.papers],
        purposes=corridor.purposes,
        limits=[_limit_of(row, option.left.get(row.id)) for row in corridor.limits],
    )


def _limit_of(row: LimitRow, left: Left | None) -> pb.LimitInfo:
    limit = pb.LimitInfo(
        id=row.id, period=row.period.name, currency=row.currency, max_minor=row.max_minor, source=row.source
    )
    if left is not None:
        limit.left_minor = left.left_minor
        limit.reset_time.CopyFrom(fields.timestamp(left.reset_time_ms))
    return limit
