"""One pair of sandbox keys for all signed tests of this rail."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sm2")
