"""What a participant asked for."""

from collections.abc import Callable
from typing import NamedTuple

from switch.domain.money import Money
from switch.domain.party import Party

__all__ = ["Instruction", "differing_field", "masked"]


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


def masked(instruction: Instruction, mask: Callable[[str, str], str]) -> Instruction:
    """The instruction with every personal value replaced by `mask(path, value)`; what is empty stays empty.

    Personal are what name, reach or identify a person, and what people write to each other. References, purpose,
    places, kinds of account and paper stay: they are in the public payment, or common to very many.
    """
    return instruction._replace(
        debtor=_masked_party("debtor", instruction.debtor, mask),
        creditor=_masked_party("creditor", instruction.creditor, mask),
        remark=_masked_text("remark", instruction.remark, mask),
    )


def _masked_party(path: str, party: Party, mask: Callable[[str, str], str]) -> Party:
    account, document = party.account, party.document
    if document is not None:
        document = document._replace(number=_masked_text(f"{path}.document.number", document.number, mask))
    return party._replace(
        name=_masked_text(f"{path}.name", party.name, mask),
        account=account._replace(value=_masked_text(f"{path}.account.value", account.value, mask)),
        document=document,
    )


def _masked_text(path: str, value: str, mask: Callable[[str, str], str]) -> str:
    return mask(path, value) if value else ""
