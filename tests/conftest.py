"""Fixtures for every test: the real servers, started once per process, on free ports, stopped at the end.

`make test` runs three worker processes (they wait for brokers much of the time); each has servers of its own. `pytest tests/some/test_x.py` runs in one process.
"""

import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.fixtures_valkey", "tests.fixtures_kafka", "tests.fixtures_postgres"]

# Folders that one worker runs as a whole, from the beginning: they share a sandbox, and load it. Two of them at once
# would measure each other. Everything else goes to the workers file by file.
TOGETHER = ("tests/system/shared/",)
FIRST = ("tests/system/", "tests/events/")  # what takes longest

# A shell's background job ignores Ctrl-C, and so would all that the tests start and end with it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A time for one example, or for making it up, would measure what else the machine does.
settings.register_profile("bayswitch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bayswitch")


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """A unit of work is a file, or a folder of TOGETHER; units are handed out in the order of collection."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    return _ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker the longest begins first, so that no worker is left alone with it at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(FIRST))
