"""CheckRoute: may this payer pay this payee, by which rail, up to how much, from when. No side effects."""

from typing import NamedTuple

from switch.domain.corridor import Corridor, Measure, Period
from switch.domain.document import DocumentType
from switch.domain.money import Asset, Money
from switch.domain.party import Place, Scheme
from switch.ports import Clock
from switch.routing import RouterHolder

__all__ = ["Directory", "RouteOption", "RouteQuestion"]


class RouteQuestion(NamedTuple):
    """What a till knows. None and "" and 0: not asked."""

    debtor_place: Place
    creditor_place: Place
    debit_asset: Asset
    credit_asset: Asset | None
    scheme: Scheme
    creditor_agent: str
    debit_amount_minor: int
    document: DocumentType | None
    purpose: str


class RouteOption(NamedTuple):
    """One way to pay. `reason` is "" when SubmitPayment would not be refused by rule now."""

    corridor: Corridor
    reason: str
    open_time_ms: int
    txn_max_minor: int  # of the debit asset; 0 = no rule of ours
    quote_required: bool


class Directory:
    """Answers from the routing table alone."""

    def __init__(self, router: RouterHolder, clock: Clock) -> None:
        self._router = router
        self._clock = clock

    def check_route(self, question: RouteQuestion) -> list[RouteOption]:
        """Every way to pay, in the order of the table; [] when there is none."""
        corridors = self._router.options(
            question.debtor_place,
            question.creditor_place,
            question.debit_asset,
            question.scheme,
            question.creditor_agent,
        )
        return [
            self._option(corridor, question)
            for corridor in corridors
            if question.credit_asset in (None, corridor.credit_asset)
        ]

    def _option(self, corridor: Corridor, question: RouteQuestion) -> RouteOption:
        now_ms = self._clock.now_ms()
        verdict = self._router.explain(
            corridor,
            question.document,
            question.purpose,
            Money(question.debit_asset, question.debit_amount_minor),
            now_ms,
        )
        return RouteOption(
            corridor,
            verdict.reason,
            verdict.open_time_ms,
            _txn_max(corridor),
            corridor.debit_asset is not corridor.credit_asset,
        )


def _txn_max(corridor: Corridor) -> int:
    """The smallest ceiling that is stated in the debit asset itself and for every payee."""
    maxima = [
        row.max_minor
        for row in corridor.limits
        if row.period is Period.TXN and row.measure is Measure.DEBIT and not row.wallet_level and not row.reference
    ]
    return min(maxima, default=0)
