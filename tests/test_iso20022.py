"""The schema checker itself: what it must refuse, it refuses."""

import pytest
from pyiso20022.head.head_001_001_01 import AppHdr
from pyiso20022.pacs import pacs_008_001_06

from tests.adapters.hkfps.test_codec import GOLDEN
from tests.iso20022 import NotValid, assert_valid, part

MESSAGE = (GOLDEN / "pacs008_account_hkd.xml").read_bytes()

BROKEN = [
    ("<ChrgBr>SLEV</ChrgBr>", "<ChrgBr>XXXX</ChrgBr>"),  # code list
    ("<ChrgBr>SLEV</ChrgBr>", ""),  # required
    ("<ChrgBr>SLEV</ChrgBr>", "<ChrgBr>SLEV</ChrgBr><ChrgBr>SLEV</ChrgBr>"),  # occurrence
    ("<ChrgBr>SLEV</ChrgBr>", "<ChrgBr>SLEV</ChrgBr><Colour>red</Colour>"),  # unknown
    ("<EndToEndId>INV-0001</EndToEndId>", f"<EndToEndId>{'X' * 36}</EndToEndId>"),  # length
    ("<EndToEndId>INV-0001</EndToEndId>", "<EndToEndId></EndToEndId>"),  # length
    ("<CtryOfRes>CN</CtryOfRes>", "<CtryOfRes>cn</CtryOfRes>"),  # pattern
    (">123.45<", ">123.456789<"),  # decimals
    (">123.45<", ">-1.00<"),  # least value
    (">123.45<", ">1e2x<"),  # type
    ('Ccy="HKD"', 'Ccy="hkd"'),  # pattern of an attribute
    (' Ccy="HKD"', ""),  # attribute required
    ("<Nm>ZHANG SAN</Nm>", "<CtryOfRes>CN</CtryOfRes><Nm>ZHANG SAN</Nm>"),  # order
    ("<Prtry>BBAN</Prtry>", "<Cd>BBAN</Cd><Prtry>BBAN</Prtry>"),  # choice
    ("+08:00</CreDtTm>", "+8</CreDtTm>"),  # date and time
    ("pacs.008.001.06", "pacs.008.001.07"),  # namespace
]


@pytest.mark.parametrize(("good", "bad"), BROKEN, ids=[str(place) for place in range(len(BROKEN))])
def test_a_document_that_breaks_its_schema_is_refused(good: str, bad: str) -> None:
    document = part(MESSAGE, "Document").decode()
    assert_valid(document.encode(), pacs_008_001_06.Document)
    assert good in document
    with pytest.raises(NotValid):
        assert_valid(document.replace(good, bad, 1).encode(), pacs_008_001_06.Document)


def test_a_header_whose_time_is_not_utc_is_refused() -> None:
    header = part(MESSAGE, "AppHdr").decode()
    assert_valid(header.encode(), AppHdr)
    with pytest.raises(NotValid):
        assert_valid(header.replace("Z</CreDt>", "</CreDt>").encode(), AppHdr)
