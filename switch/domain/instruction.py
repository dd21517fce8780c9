"""What a participant asked for."""

from typing import NamedTuple

from switch.domain.money import Money
from switch.domain.party import Party

__all__ = ["Instruction", "differing_field"]


class Instruction(NamedTuple):
    """One instruction, checked and canonical. `participant` owes `debit`; the creditor gets `credit` in full."""

    participant: str  # the debtor agent: who calls, named by its certificate, never by the request
    request_id: str  # idempotency key of one call, unique per participant
    uetr: str  # UUIDv4, unique for ever
    end_to_end_id: str  # the initiator's reference, <= 35
    debit: Money
    credit: Money  # equal to debit when the assets are the same
    debtor: Party
    creditor: Party
    creditor_agent: str  # institution code on the creditor's rail; "" when a proxy finds it
    purpose: str  # a row of rules/purposes.toml, e.g. FAMILY_SUPPORT; "" when none is stated
    remark: str
    quote_id: str  # "" when both assets are the same


def differing_field(first: Instruction, second: Instruction) -> str:
    """Path of the first field in which two instructions differ, "" when equal. Never the values."""
    for name in Instruction._fields:
        one, other = getattr(first, name), getattr(second, name)
        if one == other:
            continue
        if name in ("debit", "credit", "debtor", "creditor"):
            for inner in one._fields:
                if getattr(one, inner) != getattr(other, inner):
                    return f"{name}.{inner}"
        return name
    return ""
