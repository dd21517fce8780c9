"""One pair of keys for all tests of this rail: making one takes tenths of a second."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adapters.alipay.cases import Running, running


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alipay_keys")


@pytest.fixture
async def pair(keys_dir: Path) -> AsyncIterator[Running]:
    async with running(keys_dir) as pair:
        yield pair
