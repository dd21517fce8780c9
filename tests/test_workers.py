"""How `make test` shares the tests out: file by file, but what shares a sandbox stays with one worker."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import TOGETHER, pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.source_tree import ROOT


def test_folders_that_stay_together_are_there() -> None:
    assert all(folder.endswith("/") and list((ROOT / folder).glob("test_*.py")) for folder in TOGETHER)


# test | its unit of work
UNITS = """
tests/test_times.py::test_a                      tests/test_times.py
tests/api/test_call.py::test_b[a::b/c.py]        tests/api/test_call.py
tests/system/test_kill.py::test_c                tests/system/test_kill.py
tests/system/shared/test_trouble.py::test_d[x]   tests/system/shared/
"""


class _Config:
    """What a scheduler asks of pytest."""

    def __init__(self) -> None:
        self.option = SimpleNamespace(loadscopereorder=True)

    def getvalue(self, _name: str) -> list[str]:
        return ["popen", "popen"]


def test_units_of_work() -> None:
    config: Any = _Config()
    scheduler = pytest_xdist_make_scheduler(config, SimpleNamespace(loadscopesched=None))
    assert not config.option.loadscopereorder
    for row in UNITS.strip().splitlines():
        test, unit = row.split()
        assert scheduler._split_scope(test) == unit


@pytest.mark.parametrize(("config", "order"), [(SimpleNamespace(), "abcd"), (SimpleNamespace(workerinput={}), "cdab")])
def test_the_longest_begins_first_in_a_worker_only(config: Any, order: str) -> None:
    items: Any = [SimpleNamespace(nodeid=row.split()[0]) for row in UNITS.strip().splitlines()]
    pytest_collection_modifyitems(config, items)
    assert "".join(item.nodeid.partition("::test_")[2][0] for item in items) == order
