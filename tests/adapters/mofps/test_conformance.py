"""Easy Transfer keeps every promise of ports.Rail, over a real TCP connection to its mock."""

import pytest

from adapters.conformance import CHECKS, run_check
from tests.adapters.mofps.cases import make_case


@pytest.mark.parametrize("name", CHECKS)
async def test_conformance(name: str) -> None:
    await run_check(name, make_case)
