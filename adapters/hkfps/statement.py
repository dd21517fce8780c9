"""The end-of-day statement of FPS: camt.053.001.02, the one version of camt.053 that rails.md names (C1; FPS asks for
its reports by camt.060, A2).

What FPS itself sends is not public. The payment is named as in every message of this rail: the UETR without hyphens in
TxId, the hub's own reference in ClrSysRef. BizSvc is ADMISV, the administrative service; BtchInf, which files carry, is
not written, for each currency is a message of its own. What else is ours: kit.iso_statement.
"""

from typing import Final

from adapters.hkfps.codec import header_time, tx_id_of, uetr_of
from adapters.hkfps.rules import ASSETS
from adapters.hkfps.spec import ENVELOPE, HUB, PAYMENT_SERVICE
from adapters.kit.iso_statement import CAMT_02, IsoStatement, StatementRail
from adapters.kit.statement import StatementFormat
from adapters.wire import Field, Kind

__all__ = ["STATEMENT"]

_STATEMENT: Final = IsoStatement(
    StatementRail(
        envelope=ENVELOPE,
        version=CAMT_02,
        hub=HUB,
        header_service="ADMISV",
        payment_service=PAYMENT_SERVICE,
        payment=Field("", "TxId", Kind.ASCII, min_chars=32, max_chars=32),
        id_of=tx_id_of,
        uetr_of=uetr_of,
        header_time=header_time,
        assets=ASSETS,
    )
)
STATEMENT: Final = StatementFormat(_STATEMENT.write, _STATEMENT.read)
