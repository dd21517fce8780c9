"""Records -> facts, plainly. The specification of switch/store/_facts.pyx."""

from typing import Final

from switch.domain.payment import Payment
from switch.domain.settlement import SettlementFact
from switch.store.notes import Notes
from switch.store.packing import unpack_payment

__all__ = ["COMPILED", "FactReader"]

COMPILED: Final = False


class FactReader:
    """Reads what the log is told of final payments, each with the note that these notes seal."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def read(self, record: bytes, sequence: int) -> SettlementFact:
        """The fact of a record. The same record always gives the same fact, note included.

        Whatever a record raises that is none, or of a payment that is not final: a fault of ours.
        """
        return _fact_of(unpack_payment(record), sequence, self._notes)


def _fact_of(payment: Payment, sequence: int, notes: Notes) -> SettlementFact:
    hold, last = payment.hold, payment.history[-1]
    assert last.state.final, "only a final payment is a fact"
    return SettlementFact(
        event_id=hold.uetr,
        sequence=sequence,
        uetr=hold.uetr,
        debtor_agent=hold.participant,
        state=last.state,
        reason=last.reason,
        rail=hold.rail,
        corridor_id=hold.corridor_id,
        rail_reference=last.rail_reference,
        entries=payment.entries,
        prepared_time_ms=hold.prepared_time_ms,
        final_time_ms=last.time_ms,
        request_id=hold.instruction.request_id,
        note=notes.seal(payment),
    )
