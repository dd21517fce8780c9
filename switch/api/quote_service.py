"""bayswitch.v1.QuoteService."""

import datetime
from typing import Final

import grpc
from bayswitch.v1 import common_pb2
from bayswitch.v1 import quote_pb2 as pb

from switch.api import fields
from switch.api.call import CALL
from switch.api.parts import ApiParts
from switch.domain.identifiers import parse_uetr
from switch.domain.money import Money, Rate, Rounding, convert, format_amount
from switch.domain.quote import Quote, QuoteState
from switch.engine import QuoteRequest

__all__ = ["QuoteService", "payer_text", "quote_of", "quote_request_of"]

_STATE_TO_WIRE: Final = {
    QuoteState.OPEN: pb.QUOTE_STATE_OPEN,
    QuoteState.USED: pb.QUOTE_STATE_USED,
    QuoteState.EXPIRED: pb.QUOTE_STATE_EXPIRED,
}
_HONG_KONG: Final = datetime.timezone(datetime.timedelta(hours=8))  # and Macao, and the Mainland: no summer time
_RATE_DECIMALS: Final = 6


class QuoteService:
    """Locked prices of the calling participant."""

    def __init__(self, parts: ApiParts) -> None:
        self._quotes = parts.quotes

    async def CreateQuote(
        self, request: pb.CreateQuoteRequest, _context: grpc.aio.ServicerContext
    ) -> pb.CreateQuoteResponse:
        """Lock a price."""
        quote = await self._quotes.create(quote_request_of(CALL.get().participant, request))
        return pb.CreateQuoteResponse(quote=quote_of(quote, QuoteState.OPEN, ""))

    async def GetQuote(self, request: pb.GetQuoteRequest, _context: grpc.aio.ServicerContext) -> pb.GetQuoteResponse:
        """An own quote, its state now, and the payment that used it."""
        quote_id = fields.identifier(request.quote_id, parse_uetr, "quote_id")
        return pb.GetQuoteResponse(quote=quote_of(*await self._quotes.get(CALL.get().participant, quote_id)))


def quote_request_of(participant: str, request: pb.CreateQuoteRequest) -> QuoteRequest:
    """The question, every field checked. Raises Refused FIELD_MISSING, FIELD_INVALID."""
    side = request.WhichOneof("fixed")
    if side is None:
        fields.missing("debit")
    fixed = fields.money(request.debit if side == "debit" else request.credit, side)
    other_asset = fields.asset(request.other_asset, "other_asset")
    debtor_place = fields.place(request.debtor_place, "debtor_place")
    creditor_place = fields.place(request.creditor_place, "creditor_place")
    scheme = fields.scheme(request.creditor_scheme, "creditor_scheme")
    agent = fields.creditor_agent(request.creditor_agent)
    return QuoteRequest(participant, fixed, side == "debit", other_asset, debtor_place, creditor_place, scheme, agent)


def quote_of(quote: Quote, state: QuoteState, uetr: str) -> pb.Quote:
    """The quote as the contract shows it."""
    return pb.Quote(
        quote_id=quote.id,
        state=_STATE_TO_WIRE[state],
        debit=common_pb2.Money(asset=quote.debit.asset.name, amount_minor=quote.debit.amount_minor),
        credit=common_pb2.Money(asset=quote.credit.asset.name, amount_minor=quote.credit.amount_minor),
        fee=common_pb2.Money(asset=quote.debit.asset.name, amount_minor=quote.fee_minor),
        rate=common_pb2.Rate(numerator=quote.rate.numerator, denominator=quote.rate.denominator),
        rounding=quote.rounding.value,
        provider=quote.provider,
        corridor=quote.corridor_id,
        expiry_time=fields.timestamp(quote.expiry_time_ms),
        payer_text=payer_text(quote),
        uetr=uetr,
    )


def payer_text(quote: Quote) -> str:
    """One line for the payer: what is paid, the fee in it, what arrives, at which rate, until when (Hong Kong time)."""
    until = datetime.datetime.fromtimestamp(quote.expiry_time_ms // 1000, _HONG_KONG)
    fee = _shown(Money(quote.debit.asset, quote.fee_minor))
    return (
        f"You pay {_shown(quote.debit)} (fee {fee} included), the payee gets {_shown(quote.credit)}; "
        f"{quote.debit.asset.name} 1 = {quote.credit.asset.name} {_decimal(quote.rate)}; "
        f"good until {until:%Y-%m-%d %H:%M:%S} Hong Kong time"
    )


def _shown(money: Money) -> str:
    return f"{money.asset.name} {format_amount(money.asset.iso, money.amount_minor)}"


def _decimal(rate: Rate) -> str:
    """The ratio with six decimals, for people; what counts is the ratio."""
    digits = str(convert(10**_RATE_DECIMALS, rate, Rounding.HALF_UP)).rjust(_RATE_DECIMALS + 1, "0")
    return f"{digits[:-_RATE_DECIMALS]}.{digits[-_RATE_DECIMALS:]}"
