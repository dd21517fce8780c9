"""The table of planted bugs fits the code: every replacement applies, every test that must fail is there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted.bugs import BUGS, Bug, Rotten, bugs_of
from tests.planted.witness import Ended, ended
from tests.source_tree import ROOT

WANTED = {  # what was asked for: each has a bug, and each bug a test
    "skipped de-duplication",
    "dropped outbox entry",
    "double credit",
    "cut by clock",
    "offset committed before the effect",
    "seal without chain",
}
SHIPPED = ("switch/", "adapters/")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_replacement_applies_once_and_to_shipped_code(bug: Bug) -> None:
    assert bug.file.startswith(SHIPPED)
    assert bug.tests
    assert bug.difference((ROOT / bug.file).read_text("utf-8"))


def test_every_kind_has_a_bug_and_no_name_stands_twice() -> None:
    assert {bug.kind for bug in BUGS} >= WANTED
    assert len({bug.name for bug in BUGS}) == len(BUGS)


def test_every_named_test_is_there() -> None:
    """pytest itself looks for them; nothing is run."""
    tests = sorted({test for bug in BUGS for test in bug.tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *tests]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert set(tests) <= set(told.stdout.splitlines())


ROW = """
[[bug]]
kind = "a kind"
name = "a name"
file = "some/{file}"
text = "x = 1"
becomes = "{becomes}"
tests = ["tests/test_x.py::test_y"]
"""
SOURCES = {
    "the text is gone": ("y = 1\n", "x = 2", "0 times"),
    "it is there twice": ("x = 1\nif y:\n    x = 1\n", "x = 2", "2 times"),
    "what comes is no Python": ("x = 1\n", "x = ", "is no Python: line 1"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_row_that_does_not_fit_is_said(name: str) -> None:
    source, becomes, said = SOURCES[name]
    (bug,) = bugs_of(ROW.format(file="thing.py", becomes=becomes))
    with pytest.raises(Rotten, match=said):
        bug.planted(source)


def test_lines_that_change_are_shown_with_their_place() -> None:
    (bug,) = bugs_of(ROW.format(file="thing.lua", becomes="x = 2"))
    assert bug.difference("a\nx = 1\nb\n") == ["-   2 x = 1", "+     x = 2"]


def test_a_run_on_other_code_than_its_own_is_no_proof(tmp_path: Path) -> None:
    report, tests = tmp_path / "report", {"test_x": Ended("failed", True, "x.py:1", "assert x", "assert 1 == 2")}
    report.write_text(json.dumps({"strange": [], "modules": 1, "tests": tests}))
    assert ended(report) == tests
    for strange, modules, said in ((["switch.errors"], 1, "switch.errors"), ([], 0, "no module of ours")):
        report.write_text(json.dumps({"strange": strange, "modules": modules, "tests": tests}))
        with pytest.raises(RuntimeError, match=said):
            ended(report)
