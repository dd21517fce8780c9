"""What an abort may promise: "never seen" counts only when our message is too old by the rail's own clock."""

import pytest

from adapters.kit.clock import certain
from adapters.kit.promises import hold_of
from switch.ports import Enquiry, Outcome
from tests.adapters.hkfps.cases import instruction

PREPARED_MS = 1_000_000
VALID_MS = 4_000
CASES = """
# skew  asked after  outcome      answer
  500   4500         NEVER_SEEN   WORKING
  500   4501         NEVER_SEEN   NEVER_SEEN
  5000  4501         NEVER_SEEN   WORKING
  5000  9001         NEVER_SEEN   NEVER_SEEN
  500   0            DONE         DONE
  500   0            REFUSED      REFUSED
"""


@pytest.mark.parametrize("row", [line.split() for line in CASES.splitlines()[2:]], ids=" ".join)
def test_never_seen_counts_after_validity_and_skew(row: list[str]) -> None:
    skew, after, outcome, answer = row
    hold = hold_of("hkfps", instruction(), PREPARED_MS)
    asked = PREPARED_MS + int(after)
    assert certain(Enquiry(Outcome[outcome]), hold, asked, VALID_MS, int(skew)).outcome is Outcome[answer]
