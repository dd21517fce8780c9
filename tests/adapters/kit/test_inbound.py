"""What a rail brings is in the one form the domain knows: two ways to write a document are not two persons."""

import pytest

from adapters.kit.inbound import canonical
from switch.domain.document import Document, DocumentType
from switch.domain.party import Account, Party, Place, Scheme
from switch.errors import CodecError
from tests.fakes import instruction

PAYEE = Party("LI LEI", Place.CN, Account(Scheme.ALIPAY_LOGIN, "+86-13800138000"))


@pytest.mark.parametrize("written", ["A123456(3)", "a1234563", " A1234563 "])
def test_one_person_however_written(written: str) -> None:
    payer = Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "012345678"), Document(DocumentType.HKID, written))
    brought = canonical(instruction(debtor=payer, creditor=PAYEE))
    assert brought.debtor.document == Document(DocumentType.HKID, "A123456(3)")
    assert brought.creditor.account == Account(Scheme.ALIPAY_LOGIN, "13800138000")
    assert canonical(brought) == brought


@pytest.mark.parametrize(
    ("payer", "path", "rule"),
    [
        (Party("X", Place.HK, Account(Scheme.ACCOUNT, "1"), Document(DocumentType.HKID, "A123456(4)")), "Dbtr/Id", "CHECK_DIGIT"),
        (Party("X", Place.HK, Account(Scheme.MOBILE, "61234567")), "DbtrAcct", "FORMAT"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_named_without_its_value(payer: Party, path: str, rule: str) -> None:
    with pytest.raises(CodecError) as refused:
        canonical(instruction(debtor=payer))
    assert (refused.value.path, refused.value.rule) == (path, rule)
    assert str(refused.value) == f"{path}: {rule}"


def test_no_papers_are_none() -> None:
    asked = instruction()
    bare = asked._replace(debtor=asked.debtor._replace(document=None))
    assert canonical(bare) == bare
