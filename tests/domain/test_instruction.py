"""A request is what all of its fields say: none may differ between two copies without being named."""

from typing import Any

import pytest

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction, differing_field
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme

PAPERS = Document(DocumentType.HKID, "A123456(3)")
FIRST = Instruction(
    participant="ALFA",
    request_id="r-1",
    uetr="7e2d1f9a-1f0e-4f5e-9d3c-0d9b6c1d2e3f",
    end_to_end_id="E2E-1",
    debit=Money(Asset.HKD, 100),
    credit=Money(Asset.CNY, 92),
    debtor=Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "012345678"), PAPERS),
    creditor=Party("LI LEI", Place.CN, Account(Scheme.WALLET_ID, "0012345678901234", 4)),
    creditor_agent="",
    purpose="SALARY",
    remark="",
    quote_id="q",
)


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every field of a value that holds no fields itself."""
    if not hasattr(value, "_fields"):
        return [path]
    return [leaf for name in value._fields for leaf in leaves(getattr(value, name), (*path, name))]


def changed(value: Any, path: tuple[str, ...]) -> Any:
    if path:
        return value._replace(**{path[0]: changed(getattr(value, path[0]), path[1:])})
    if isinstance(value, Asset | Place | Scheme | DocumentType):
        return next(other for other in type(value) if other is not value)
    if value is None:
        return PAPERS
    return value + 1 if isinstance(value, int) else value + "x"


@pytest.mark.parametrize("path", leaves(FIRST), ids=".".join)
def test_every_field_counts(path: tuple[str, ...]) -> None:
    other = changed(FIRST, path)
    assert differing_field(FIRST, other) == ".".join(path[:2])
    assert differing_field(other, FIRST) == ".".join(path[:2])
