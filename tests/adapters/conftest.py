"""The push rails, for the tests that all of them pass."""

import pytest

from tests.adapters.hkfps.cases import HKFPS
from tests.adapters.mofps.cases import MOFPS
from tests.adapters.push_cases import PushCases


@pytest.fixture(params=[HKFPS, MOFPS], ids=lambda cases: cases.rail.name)
def cases(request: pytest.FixtureRequest) -> PushCases:
    """Each push rail in turn."""
    assert isinstance(request.param, PushCases)
    return request.param
