"""The router in use, and how another takes its place while payments run."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from switch.domain.corridor import Corridor, Route
from switch.domain.document import DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Place, Scheme
from switch.errors import ConfigError
from switch.routing import Router
from switch.routing._verdict import Verdict, explain

__all__ = ["RouterHolder"]


class _Table(NamedTuple):
    router: Router
    order: Mapping[str, int]  # corridor id -> its place in the file


def _table(corridors: Iterable[Corridor]) -> _Table:
    rows = tuple(corridors)
    order = {corridor.id: place for place, corridor in enumerate(rows)}
    if len(order) != len(rows):
        raise ConfigError("two corridors have one id")
    return _Table(Router(rows), order)


class RouterHolder:
    """Answers from one table at a time. A reload is one assignment: a call sees the old table or the new, whole."""

    def __init__(self, corridors: Iterable[Corridor]) -> None:
        """Raises ConfigError: the rows contradict each other."""
        self._table = _table(corridors)

    def reload(self, corridors: Iterable[Corridor]) -> None:
        """Use these rows from now on. Raises ConfigError, and then the old table stays."""
        self._table = _table(corridors)

    def route(self, instruction: Instruction, now_ms: int) -> Route:
        """See Router.route."""
        return self._table.router.route(instruction, now_ms)

    def options(
        self, debtor_place: Place, creditor_place: Place, debit_asset: Asset, scheme: Scheme, creditor_agent: str
    ) -> list[Corridor]:
        """One corridor for each asset the creditor may get, in the order of the table; [] when there is none."""
        router, order = self._table
        routes = [
            router.match(debtor_place, creditor_place, debit_asset, credit_asset, scheme, creditor_agent)
            for credit_asset in Asset
        ]
        return sorted((route.corridor for route in routes if route), key=lambda corridor: order[corridor.id])

    def explain(
        self, corridor: Corridor, document: DocumentType | None, purpose: str, debit: Money, now_ms: int
    ) -> Verdict:
        """What the corridor's rules say now; None, "" and an amount of 0 mean not asked. No side effects."""
        return explain(corridor, document, purpose, debit, now_ms)
