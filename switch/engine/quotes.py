"""Quotes: make one from the best provider that has headroom, and hold a payment to it."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from switch.domain.corridor import Corridor, Fee, Period, Route
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money, Rate, Rounding, convert
from switch.domain.party import Place, Scheme
from switch.domain.quote import Quote, QuoteState, mismatch
from switch.errors import Refused, StoreUnavailable
from switch.limits import AMOUNT_MINOR_MAX, QUOTE_MS_DEFAULT
from switch.ports import Clock, ParticipantStore, QuoteStore
from switch.routing import RouterHolder

__all__ = ["Fee", "QuoteRequest", "Quotes"]

_ENDED_AT_ONCE = 256  # holds ended by one call of the store
_KEPT_MAX = 10_000  # quotes remembered by this process until they are used or expire: saves the payment one read


class QuoteRequest(NamedTuple):
    """What is asked. `fixed` is the side whose amount is given; `other_asset` the asset of the other side."""

    participant: str
    fixed: Money
    debit_fixed: bool
    other_asset: Asset
    debtor_place: Place
    creditor_place: Place
    creditor_scheme: Scheme
    creditor_agent: str


class Quotes:
    """Makes, keeps and enforces quotes."""

    def __init__(
        self,
        *,
        store: QuoteStore,
        participants: ParticipantStore,
        router: RouterHolder,
        fees: Mapping[str, Fee],
        clock: Clock,
        life_ms: int = QUOTE_MS_DEFAULT,
    ) -> None:
        self._store = store
        self._participants = participants
        self._router = router
        self._fees = fees
        self._clock = clock
        self._life_ms = life_ms
        self._kept: OrderedDict[str, Quote] = OrderedDict()
        self._used: list[Quote] = []
        self._ending: asyncio.Task[None] | None = None

    @property
    def kept(self) -> int:
        """Quotes that a payment may use without a read of the store."""
        return len(self._kept)

    async def create(self, request: QuoteRequest) -> Quote:
        """Lock a price at the best provider that has headroom. Each call makes another quote.

        Raises:
            Refused: PARTICIPANT_UNKNOWN, PARTICIPANT_SUSPENDED, NO_ROUTE, TXN_LIMIT, NO_RATE; FIELD_INVALID when
                both assets are the same or nothing is left after the fee.
        """
        debit_asset = request.fixed.asset if request.debit_fixed else request.other_asset
        credit_asset = request.other_asset if request.debit_fixed else request.fixed.asset
        if debit_asset is credit_asset:
            raise Refused("FIELD_INVALID", "a quote is between two assets", field="other_asset")
        await self._check_participant(request.participant)
        corridor = self._corridor(request, debit_asset, credit_asset)
        for provider, rate in await self._participants.rates(debit_asset, credit_asset):
            quote = self._price(request, corridor, provider, rate)
            try:
                await self._store.create_quote(quote)
            except Refused as refusal:
                if refusal.reason.name != "NO_RATE":
                    raise
                continue  # this provider has no headroom left; the next one may
            self._keep(quote)
            return quote
        raise Refused("NO_RATE")

    async def get(self, participant: str, quote_id: str) -> tuple[Quote, QuoteState, str]:
        """An own quote, its state, and the UETR that used it. Raises Refused QUOTE_UNKNOWN."""
        found = await self._store.get_quote(participant, quote_id)
        if found is None:
            raise Refused("QUOTE_UNKNOWN", field="quote_id")
        return found

    @staticmethod
    def check_unquoted(instruction: Instruction) -> None:
        """Raises Refused: an instruction without a quote between two assets (QUOTE_REQUIRED), or of two amounts."""
        debit, credit = instruction.debit, instruction.credit
        if debit.asset is not credit.asset:
            raise Refused("QUOTE_REQUIRED", field="quote_id")
        if debit.amount_minor != credit.amount_minor:
            raise Refused("FIELD_INVALID", "debit and credit of one asset are equal", field="credit.amount_minor")

    def enforce_kept(self, instruction: Instruction, route: Route) -> Quote | None:
        """As `enforce`, without a read of the store. None: this process does not remember the quote, so `enforce` it."""
        quote = self._kept.get(instruction.quote_id)
        if quote is None or quote.participant != instruction.participant:  # another's is unknown, here as in the store
            return None
        return _compared(quote, instruction, route)

    async def enforce(self, instruction: Instruction, route: Route) -> Quote:
        """The quote an instruction names, read and compared with it. State is the store's to guard.

        Raises:
            Refused: QUOTE_UNKNOWN, QUOTE_MISMATCH (with the field).
        """
        quote = (await self.get(instruction.participant, instruction.quote_id))[0]
        self._keep(quote)
        return _compared(quote, instruction, route)

    async def price_inbound(self, instruction: Instruction) -> Instruction:
        """What a rail sent us, with the credit side filled in: the first corridor's asset, at our own quote."""
        corridors = self._router.options(
            instruction.debtor.place,
            instruction.creditor.place,
            instruction.debit.asset,
            instruction.creditor.account.scheme,
            instruction.creditor_agent,
        )
        if not corridors:
            raise Refused("NO_ROUTE")
        if any(corridor.credit_asset is instruction.debit.asset for corridor in corridors):
            return instruction._replace(credit=instruction.debit)
        quote = await self.create(
            QuoteRequest(
                instruction.participant,
                instruction.debit,
                True,
                corridors[0].credit_asset,
                instruction.debtor.place,
                instruction.creditor.place,
                instruction.creditor.account.scheme,
                instruction.creditor_agent,
            )
        )
        return instruction._replace(credit=quote.credit, quote_id=quote.id)

    def used(self, quote: Quote) -> None:
        """The payment of this quote has ended: the provider's hold need not wait for the expiry. Off the path."""
        self._used.append(quote)
        self._kept.pop(quote.id, None)
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end_used())

    async def _end_used(self) -> None:
        try:
            while self._used:
                batch, self._used = self._used[:_ENDED_AT_ONCE], self._used[_ENDED_AT_ONCE:]
                await self._store.end_quotes(batch)
        except StoreUnavailable:
            self._used.clear()  # their expiry ends them
        finally:
            self._ending = None

    # --- price -------------------------------------------------------------------------------------------------------
    async def _check_participant(self, participant_id: str) -> None:
        """A quote holds a provider's headroom: only who may pay may hold it."""
        participant = await self._participants.get_participant(participant_id)
        if participant is None:
            raise Refused("PARTICIPANT_UNKNOWN")
        if participant.suspended:
            raise Refused("PARTICIPANT_SUSPENDED")

    def _corridor(self, request: QuoteRequest, debit: Asset, credit: Asset) -> Corridor:
        for corridor in self._router.options(
            request.debtor_place, request.creditor_place, debit, request.creditor_scheme, request.creditor_agent
        ):
            if corridor.credit_asset is credit:
                return corridor
        raise Refused("NO_ROUTE")

    def _price(self, request: QuoteRequest, corridor: Corridor, provider: str, rate: Rate) -> Quote:
        fee = self._fees.get(corridor.id, Fee(0, 0))
        if request.debit_fixed:
            debit = request.fixed
            converted = (debit.amount_minor - fee.fixed_minor) * 10_000 // (10_000 + fee.basis_points)
            credit = Money(request.other_asset, convert(max(converted, 0), rate, Rounding.DOWN))
            fee_minor, rounding = debit.amount_minor - converted, Rounding.DOWN
        else:
            credit = request.fixed
            converted = convert(credit.amount_minor, Rate(rate.denominator, rate.numerator), Rounding.UP)
            fee_minor = fee.fixed_minor - (-converted * fee.basis_points // 10_000)
            debit, rounding = Money(request.other_asset, converted + fee_minor), Rounding.UP
        if not (0 < credit.amount_minor <= AMOUNT_MINOR_MAX and 0 < debit.amount_minor <= AMOUNT_MINOR_MAX):
            raise Refused("FIELD_INVALID", "nothing can be paid with this amount", field=_fixed_field(request))
        _check_txn_limits(corridor, debit, credit, _fixed_field(request))
        now_ms = self._clock.now_ms()
        return Quote(
            str(uuid.uuid4()), request.participant, corridor.id, request.creditor_agent, debit, credit, fee_minor,
            rate, rounding, provider, now_ms, now_ms + self._life_ms,
        )  # fmt: skip

    def _keep(self, quote: Quote) -> None:
        """They lie in the order in which they came: the first expires first, or was read again when it had expired."""
        now_ms = self._clock.now_ms()
        while self._kept and next(iter(self._kept.values())).expiry_time_ms <= now_ms:
            self._kept.popitem(last=False)
        self._kept[quote.id] = quote
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)


def _compared(quote: Quote, instruction: Instruction, route: Route) -> Quote:
    if field := mismatch(quote, instruction, route.corridor.id):
        raise Refused("QUOTE_MISMATCH", field=field)
    return quote


def _fixed_field(request: QuoteRequest) -> str:
    return "debit.amount_minor" if request.debit_fixed else "credit.amount_minor"


def _check_txn_limits(corridor: Corridor, debit: Money, credit: Money, field: str) -> None:
    """A price for what may never be paid is no help: the payer hears it now."""
    for row in corridor.limits:
        if row.period is Period.TXN and not row.wallet_level and row.measured(debit, credit) > row.max_minor:
            raise Refused(
                "TXN_LIMIT",
                field=field,
                figures={"limit_minor": str(row.max_minor), "currency": row.currency, "limit_id": row.id},
            )
