"""Instructions, corridors and a clock for the routing tests."""

from datetime import datetime

from switch.domain.charges import HONG_KONG
from switch.domain.corridor import Corridor, Hours, LimitRow, Measure, Period, Subject
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money, Rate
from switch.domain.party import Account, Party, Place, Scheme

__all__ = ["at", "corridor", "instruction", "txn"]

ALWAYS = Hours(0, 1440)


def at(clock: str) -> int:
    """Unix ms of a time of 23 November 2026 in Hong Kong, "HH:MM" or "HH:MM:SS.mmm"."""
    return round(datetime.fromisoformat(f"2026-11-23T{clock}").replace(tzinfo=HONG_KONG).timestamp() * 1000)


def txn(
    max_minor: int, measure: Measure = Measure.DEBIT, level: int = 0, reference: Rate | None = None, id: str = "row.txn"
) -> LimitRow:
    """A limit on one payment."""
    return LimitRow(id, Subject.DEBTOR_PERSON, Period.TXN, measure, "HKD", max_minor, reference, level, "test")


def corridor(
    id: str = "north",
    *,
    agent: str = "",
    schemes: tuple[Scheme, ...] = (Scheme.MOBILE,),
    papers: tuple[DocumentType, ...] = (),
    purposes: tuple[str, ...] = (),
    hours: Hours = ALWAYS,
    limits: tuple[LimitRow, ...] = (),
    papers_from: tuple[str, ...] = (),
    debit: Asset = Asset.HKD,
    credit: Asset = Asset.CNY,
) -> Corridor:
    """A row from Hong Kong to the Mainland."""
    return Corridor(
        id, Place.HK, Place.CN, debit, credit, schemes, agent, "rail", "GATE", papers, purposes, hours, limits, "test",
        papers_from,
    )  # fmt: skip


def instruction(
    *,
    participant: str = "ALFA",
    debit: Money = Money(Asset.HKD, 100),  # noqa: B008 - a NamedTuple is immutable
    credit: Money = Money(Asset.CNY, 90),  # noqa: B008
    document: DocumentType | None = None,
    purpose: str = "",
    scheme: Scheme = Scheme.MOBILE,
    level: int = 0,
    agent: str = "",
    places: tuple[Place, Place] = (Place.HK, Place.CN),
) -> Instruction:
    """One that an unruled corridor from Hong Kong to the Mainland takes."""
    papers = None if document is None else Document(document, "number")
    debtor = Party("debtor", places[0], Account(Scheme.ACCOUNT, "1"), papers)
    creditor = Party("creditor", places[1], Account(scheme, "2", level))
    return Instruction("".join(participant), "r", "u", "e", debit, credit, debtor, creditor, agent, purpose, "", "")
