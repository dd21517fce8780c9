"""The mock FPS hub's own rules; what every push rail's hub does is in tests/adapters/test_push_simulator.py."""

import pytest

from tests.adapters.hkfps.cases import HKFPS, instruction
from tests.adapters.push_cases import rows_of

RULES = """
# agent  scheme    address                  name           asset  amount_minor  answer
  012    ACCOUNT   012-875-0-123456-7       CHAN TAI MAN   HKD    1             ACSC
  012    ACCOUNT   012-875-0-123456-7       chan tai man   CNH    999999999     ACSC
  012    ACCOUNT   012-875-0-123456-7       ＣＨＡＮ TAI MAN  HKD    1            ACSC
  012    ACCOUNT   012-875-0-123456-7       CHAN TAI       HKD    1             BE01
  004    ACCOUNT   012-875-0-123456-7       CHAN TAI MAN   HKD    1             AC01
  777    ACCOUNT   012-875-0-123456-7       CHAN TAI MAN   HKD    1             AGNT
  -      MOBILE    +852-51234567            ANY NAME       HKD    1             ACSC
  004    MOBILE    +852-51234567            ANY NAME       HKD    1             ACSC
  949    MOBILE    +852-51234567            ANY NAME       HKD    1             BE23
  -      MOBILE    +852-51230000            ANY NAME       HKD    1             BE23
  -      EMAIL     taiman.chan@example.hk   ANY NAME       CNH    1             ACSC
  -      EMAIL     nobody@example.hk        ANY NAME       CNH    1             BE23
  -      FPS_ID    1234567                  ANY NAME       HKD    1             ACSC
  -      FPS_ID    7654321                  ANY NAME       HKD    1             BE23
  012    ACCOUNT   012-875-0-000004-4       HO CLOSED      HKD    1             AC04
  012    ACCOUNT   012-875-0-000006-6       LAM BLOCKED    HKD    1             AC06
  -      MOBILE    +852-98887777            ANY NAME       CNH    1             AM03
  -      MOBILE    +852-98887777            ANY NAME       HKD    1000000       ACSC
  -      MOBILE    +852-98887777            ANY NAME       HKD    1000001       AM14
  -      MOBILE    +852-98887777            ANY NAME       HKD    5000001       AM02
  004    ACCOUNT   004-500-112233-838       WONG SIU MING  HKD    100000001     AM02
  061    ACCOUNT   061-001-000001-1         NG OFFLINE     HKD    1             AB08
  -      MOBILE    +852-59000009            ANY NAME       HKD    1             RR04
"""


@pytest.mark.parametrize("row", rows_of(RULES), ids=" ".join)
def test_rules(row: list[str]) -> None:
    HKFPS.assert_rule(row)


def test_names_are_compared_with_runs_of_space_folded() -> None:
    assert HKFPS.pay(HKFPS.hub(), instruction(name="chan  tai  man")) == "ACSC"


def test_a_transfer_under_no_uetr_is_refused_and_nothing_is_kept() -> None:
    hub, made = HKFPS.hub(), instruction(uetr="7f3c2b1a-9d4e-1c6b-8a21-0f5e6d7c8b90")  # version 1
    assert HKFPS.pay(hub, made) == "FF01"
    assert not hub.books.payments
