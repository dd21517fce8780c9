"""CheckRoute: may this payer pay this payee, by which rail, up to how much, from when. No side effects."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from switch.domain.charges import person_counters
from switch.domain.corridor import Corridor, Measure, Period
from switch.domain.document import Document, DocumentType
from switch.domain.money import Asset, Money
from switch.domain.party import Place, Scheme
from switch.ports import Clock, PaymentStore
from switch.routing import RouterHolder

__all__ = ["Directory", "Left", "RouteOption", "RouteQuestion"]


class RouteQuestion(NamedTuple):
    """What a till knows. None and "" and 0: not asked."""

    participant: str  # the payer's institution: limits are counted there
    debtor_place: Place
    creditor_place: Place
    debit_asset: Asset
    credit_asset: Asset | None
    scheme: Scheme
    creditor_agent: str
    debit_amount_minor: int
    papers: DocumentType | None  # which papers the payer has
    document: Document | None  # with the number: what this person has left is told
    purpose: str


class Left(NamedTuple):
    """What a person has left of one limit, in its currency, and when the count begins anew."""

    left_minor: int
    reset_time_ms: int


class RouteOption(NamedTuple):
    """One way to pay. `reason` is "" when SubmitPayment would not be refused by rule or by this payer's limits now."""

    corridor: Corridor
    reason: str
    open_time_ms: int
    txn_max_minor: int  # of the debit asset; 0 = no rule of ours
    quote_required: bool
    left: Mapping[str, Left]  # by limit id; empty when the document's number was not given


class Directory:
    """Answers from the routing table and the counters of person limits. Caps and quotes are other services' business."""

    def __init__(
        self, router: RouterHolder, store: PaymentStore, clock: Clock, identity_hash: Callable[[str], str]
    ) -> None:
        self._router = router
        self._store = store
        self._clock = clock
        self._identity_hash = identity_hash

    async def check_route(self, question: RouteQuestion) -> list[RouteOption]:
        """Every way to pay, in the order of the table; [] when there is none. Raises StoreUnavailable."""
        corridors = self._router.options(
            question.debtor_place,
            question.creditor_place,
            question.debit_asset,
            question.scheme,
            question.creditor_agent,
        )
        return [
            await self._option(corridor, question)
            for corridor in corridors
            if question.credit_asset in (None, corridor.credit_asset)
        ]

    async def _option(self, corridor: Corridor, question: RouteQuestion) -> RouteOption:
        debit = Money(question.debit_asset, question.debit_amount_minor)
        verdict = self._router.explain(corridor, question.papers, question.purpose, debit, self._clock.now_ms())
        left = await self._left(corridor, question)
        return RouteOption(
            corridor,
            verdict.reason or _exceeded(corridor, debit, left),
            verdict.open_time_ms,
            _txn_max(corridor),
            corridor.debit_asset is not corridor.credit_asset,
            left,
        )

    async def _left(self, corridor: Corridor, question: RouteQuestion) -> dict[str, Left]:
        if question.document is None:
            return {}
        counters = person_counters(
            corridor, question.participant, question.document, self._clock.now_ms(), self._identity_hash
        )
        asked = [(counter.period_key, counter.counter) for counter in counters]
        used = await self._store.limit_use(question.participant, asked)
        return {
            counter.row.id: Left(max(0, counter.row.max_minor - minor), counter.reset_time_ms)
            for counter, minor in zip(counters, used, strict=True)
        }


def _exceeded(corridor: Corridor, debit: Money, left: Mapping[str, Left]) -> str:
    """The first person limit this amount breaks, days before years; only rows that measure the debit can be judged."""
    for period, reason in ((Period.DAY, "DAY_LIMIT"), (Period.YEAR, "YEAR_LIMIT")):
        for row in corridor.limits:
            told = left.get(row.id) if row.period is period and row.measure is Measure.DEBIT else None
            if told is not None and row.measured(debit, debit) > told.left_minor:
                return reason
    return ""


def _txn_max(corridor: Corridor) -> int:
    """The smallest ceiling that is stated in the debit asset itself and for every payee."""
    maxima = [
        row.max_minor
        for row in corridor.limits
        if row.period is Period.TXN and row.measure is Measure.DEBIT and not row.wallet_level and not row.reference
    ]
    return min(maxima, default=0)
