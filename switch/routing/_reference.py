"""The router in plain Python: the specification that the compiled one equals on every input."""

from collections.abc import Iterable
from typing import Final

from switch.domain.charges import is_open
from switch.domain.corridor import Corridor, Route
from switch.domain.instruction import Instruction
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme
from switch.errors import ConfigError, Refused
from switch.limits import CORRIDORS_MAX
from switch.routing._verdict import refusal, txn_fault

__all__ = ["COMPILED", "Router"]

COMPILED: Final = False

_Key = tuple[Place, Place, Asset, Asset, Scheme, str]


class Router:
    """An immutable table of corridors. `route` is pure: no I/O, no clock of its own, safe to repeat."""

    def __init__(self, corridors: Iterable[Corridor]) -> None:
        """Raises ConfigError: two rows answer to one key, or there are too many."""
        self._routes: dict[_Key, Route] = {}
        rows = tuple(corridors)
        if len(rows) > CORRIDORS_MAX:
            raise ConfigError(f"{len(rows)} corridors; at most {CORRIDORS_MAX} are taken")
        for corridor in rows:
            route = Route(corridor, corridor.rail, corridor.gateway)
            for scheme in corridor.schemes:
                key: _Key = (
                    corridor.debtor_place,
                    corridor.creditor_place,
                    corridor.debit_asset,
                    corridor.credit_asset,
                    scheme,
                    corridor.creditor_agent,
                )
                if key in self._routes:
                    raise ConfigError(
                        f"corridors {self._routes[key].corridor.id!r} and {corridor.id!r} both take {scheme.name}"
                    )
                self._routes[key] = route

    def match(
        self,
        debtor_place: Place,
        creditor_place: Place,
        debit_asset: Asset,
        credit_asset: Asset,
        scheme: Scheme,
        creditor_agent: str,
    ) -> Route | None:
        """The row for these, a named creditor agent before any; None when there is none. No rule is asked."""
        key = (debtor_place, creditor_place, debit_asset, credit_asset, scheme)
        return self._routes.get((*key, creditor_agent)) or self._routes.get((*key, ""))

    def route(self, instruction: Instruction, now_ms: int) -> Route:
        """The route of an instruction, when no rule refuses it at `now_ms` (Unix ms).

        Raises:
            Refused: NO_ROUTE, PAPERS_REQUIRED, PAPERS_NOT_ACCEPTED, PURPOSE_REQUIRED, PURPOSE_NOT_ALLOWED,
                OUT_OF_HOURS, TXN_LIMIT: the first of them in this order, with its field and figures.
        """
        debtor, creditor, debit, credit = (
            instruction.debtor,
            instruction.creditor,
            instruction.debit,
            instruction.credit,
        )
        account = creditor.account
        route = self.match(
            debtor.place, creditor.place, debit.asset, credit.asset, account.scheme, instruction.creditor_agent
        )
        if route is None:
            raise Refused("NO_ROUTE")
        corridor = route.corridor
        if corridor.papers:
            if debtor.document is None:
                if instruction.participant not in corridor.papers_from:
                    raise refusal("PAPERS_REQUIRED", corridor, now_ms)
            elif debtor.document.type not in corridor.papers:
                raise refusal("PAPERS_NOT_ACCEPTED", corridor, now_ms)
        if corridor.purposes:
            if not instruction.purpose:
                raise refusal("PURPOSE_REQUIRED", corridor, now_ms)
            if instruction.purpose not in corridor.purposes:
                raise refusal("PURPOSE_NOT_ALLOWED", corridor, now_ms)
        if not is_open(corridor.hours, now_ms):
            raise refusal("OUT_OF_HOURS", corridor, now_ms)
        row = txn_fault(corridor.limits, debit, credit, account.level)
        if row is not None:
            raise refusal("TXN_LIMIT", corridor, now_ms, row)
        return route
