"""The end-of-day statement of Easy Transfer: camt.053.001.08.

Fact (rails.md B1): no form is public; the rail carries MOP and HKD, real-time and in batches. Ours, as is the format of
its messages: camt.053 of the same ISO release as our pacs.008.001.08, which is the first with the UETR as an element of
its own, in the same envelope. What else is ours: kit.iso_statement.
"""

from typing import Final

from adapters.kit.iso_statement import CAMT_08, IsoStatement, StatementRail
from adapters.kit.statement import StatementFormat
from adapters.mofps.rules import ASSETS
from adapters.mofps.spec import ENVELOPE, HUB, PAYMENT_SERVICE
from adapters.wire import Field, Kind

__all__ = ["STATEMENT"]


def _same(value: str) -> str:
    return value


def _whole(time_ms: int) -> int:
    return time_ms


_STATEMENT: Final = IsoStatement(
    StatementRail(
        envelope=ENVELOPE,
        version=CAMT_08,
        hub=HUB,
        header_service="STATEMENT",
        payment_service=PAYMENT_SERVICE,
        payment=Field("", "UETR", Kind.UETR),
        id_of=_same,
        uetr_of=_same,
        header_time=_whole,
        assets=ASSETS,
    )
)
STATEMENT: Final = StatementFormat(_STATEMENT.write, _STATEMENT.read)
