"""A locked price. It binds both amounts, the corridor, the institutions and the provider, pays once, and expires."""

from enum import Enum
from typing import NamedTuple

from switch.domain.instruction import Instruction
from switch.domain.money import Money, Rate, Rounding

__all__ = ["Quote", "QuoteState", "mismatch"]


class QuoteState(Enum):
    """OPEN -> USED (by one payment) | EXPIRED."""

    OPEN = "OPEN"
    USED = "USED"
    EXPIRED = "EXPIRED"


class Quote(NamedTuple):
    """`debit` = converted + `fee_minor`; `credit` = converted times `rate`, rounded as named."""

    id: str  # UUIDv4
    participant: str  # who may use it: the debtor agent that asked
    corridor_id: str
    creditor_agent: str  # "" = any
    debit: Money  # what the payer pays, fee included
    credit: Money  # what the payee gets
    fee_minor: int  # of the debit asset; credited to FEE_PARTICIPANT
    rate: Rate
    rounding: Rounding
    provider: str  # the FX provider participant
    created_time_ms: int
    expiry_time_ms: int


def mismatch(quote: Quote, instruction: Instruction, corridor_id: str) -> str:
    """Path of the first field in which an instruction is not what was quoted, "" when it is."""
    checks = (
        ("quote_id", quote.participant == instruction.participant),
        ("debit.asset", quote.debit.asset == instruction.debit.asset),
        ("debit.amount_minor", quote.debit.amount_minor == instruction.debit.amount_minor),
        ("credit.asset", quote.credit.asset == instruction.credit.asset),
        ("credit.amount_minor", quote.credit.amount_minor == instruction.credit.amount_minor),
        ("creditor.place", quote.corridor_id == corridor_id),
        ("creditor_agent", quote.creditor_agent in ("", instruction.creditor_agent)),
    )
    return next((path for path, same in checks if not same), "")
