"""How long a call may work."""

from typing import Any

import pytest

from switch.api.call import budget_ms
from switch.errors import Refused

# What is left of the caller's deadline, and the budget of the work: a margin stays for the answer to travel.
CASES = """
# left      budget
  none       15000
  3600       15000
  15.1       15000
  10          9900
  1            900
  0.4          300
  0.1           75
  0.001          1
"""


class Context:
    """All that is asked of a call's context here."""

    def __init__(self, left: float | None) -> None:
        self._left = left

    def time_remaining(self) -> float | None:
        return self._left


@pytest.mark.parametrize("row", CASES.strip().splitlines()[1:])
def test_the_budget(row: str) -> None:
    left, budget = row.split()
    context: Any = Context(None if left == "none" else float(left))
    assert budget_ms(context) == int(budget)


@pytest.mark.parametrize("left", [0, 0.0004])
def test_no_time_left(left: float) -> None:
    context: Any = Context(left)
    with pytest.raises(Refused) as refused:
        budget_ms(context)
    assert refused.value.reason.name == "DEADLINE_PASSED"
