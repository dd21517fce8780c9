"""Positions and entries: who owes what, per asset. Positive owes, negative is owed."""

from collections.abc import Iterable
from typing import NamedTuple

from switch.domain.instruction import Instruction
from switch.domain.money import Asset
from switch.domain.quote import Quote

__all__ = ["FEE_PARTICIPANT", "Entry", "Position", "entries_of", "unbalanced"]

FEE_PARTICIPANT = "BAYSWITCH"  # the switch's own position: fees are credited here


class Entry(NamedTuple):
    """One line of a committed payment: `participant` owes `amount_minor` more of `asset` (negative: is owed)."""

    participant: str
    asset: Asset
    amount_minor: int


class Position(NamedTuple):
    """What one participant owes in one asset, over all shards, and how much of its cap is in use."""

    participant: str
    asset: Asset
    net_debit_minor: int  # sum of the entries of committed payments
    reserved_minor: int  # holds of payments and quotes
    used_minor: int  # holds and committed debits, less what a settlement credited: what the cap is compared with
    net_debit_cap_minor: int

    @property
    def headroom_minor(self) -> int:
        """What may still be reserved; never overstated: credits count only when a settlement brought them."""
        return self.net_debit_cap_minor - self.used_minor


def entries_of(instruction: Instruction, gateway: str, quote: Quote | None) -> tuple[Entry, ...]:
    """The entries of a payment; per asset they sum to zero, the FX provider included."""
    debit, credit = instruction.debit, instruction.credit
    if quote is None:
        assert debit == credit
        return (Entry(instruction.participant, *debit), Entry(gateway, debit.asset, -debit.amount_minor))
    converted = debit.amount_minor - quote.fee_minor
    entries = [
        Entry(instruction.participant, *debit),
        Entry(quote.provider, debit.asset, -converted),
        Entry(quote.provider, *credit),
        Entry(gateway, credit.asset, -credit.amount_minor),
    ]
    if quote.fee_minor:
        entries.append(Entry(FEE_PARTICIPANT, debit.asset, -quote.fee_minor))
    return tuple(entries)


def unbalanced(entries: Iterable[Entry]) -> dict[Asset, int]:
    """Assets whose entries do not sum to zero, with the difference. Empty is right."""
    sums: dict[Asset, int] = {}
    for entry in entries:
        sums[entry.asset] = sums.get(entry.asset, 0) + entry.amount_minor
    return {asset: total for asset, total in sums.items() if total}
