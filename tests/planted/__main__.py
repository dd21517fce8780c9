"""`make planted`: each known mistake is made on purpose in a copy of the checkout, and its tests must fail there.

    python -m tests.planted [WORD ...]      only the bugs that have a word in their kind or name

Exit code 0: without a bug the tests pass, and with each bug each of its tests fails, at an assertion of its own.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from deploy.local import kafka
from deploy.local.valkey import run_valkey
from tests.planted.bugs import BUGS, Bug, Rotten
from tests.planted.witness import REPORT, Ended, ended
from tests.source_tree import ROOT

__all__ = ["main"]

COPIED: Final = ("switch", "adapters", "proto", "deploy", "loadtest", "tests", "pyproject.toml", "setup.py")
NOT_COPIED: Final = shutil.ignore_patterns("__pycache__", "libs", ".cache", "results", "*.c", "*.html")
WORKERS: Final = 2
RUN_SECONDS_MAX: Final = 170


def copied(folder: Path) -> Path:
    """The working tree, built parts and what is not committed yet included."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=NOT_COPIED)
        elif source.is_file():
            shutil.copy2(source, folder / name)
    return folder


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """A Valkey and a Kafka for all runs, as the variables by which the fixtures find them."""
    if missing := kafka.missing():
        raise SystemExit(f"a real Kafka is needed: {missing}")
    with run_valkey(folder / "valkey") as store, kafka.cluster(folder=folder / "kafka") as broker:
        yield {"BAYSWITCH_REDIS_URL": store.url, "BAYSWITCH_KAFKA_BOOTSTRAP": broker.bootstrap}


def run(copy: Path, tests: Iterable[str], environment: dict[str, str]) -> dict[str, Ended]:
    """How the tests end in the copy. Raises RuntimeError: they did not run, or ran on other code than the copy's."""
    report = copy / "planted.json"
    command = [sys.executable, "-m", "pytest", "-p", "tests.planted.witness", "-q", *tests]
    paths = os.pathsep.join((str(copy), str(copy / "proto")))
    variables = {**os.environ, **environment, "PYTHONPATH": paths, REPORT: str(report)}
    try:
        done = subprocess.run(
            command, cwd=copy, env=variables, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no end after {RUN_SECONDS_MAX} s") from error
    if not report.is_file():
        raise RuntimeError(f"pytest did not run: {(done.stdout + done.stderr)[-2000:]}")
    return ended(report)


def without_bug(copy: Path, bugs: Sequence[Bug], environment: dict[str, str]) -> list[str]:
    """Tests that fail though nothing is wrong."""
    tests = sorted({test for bug in bugs for test in bug.tests})
    found = run(copy, tests, environment)
    told = [(test, found.get(test, Ended("not run"))) for test in tests]
    return [f"{test}: {one.outcome} without a bug: {one.said}" for test, one in told if one.outcome != "passed"]


def with_bug(bug: Bug, base: Path, environment: dict[str, str]) -> tuple[bool, list[str]]:
    """Whether every test caught it, and the lines to show."""
    copy = base.with_name(f"bug-{BUGS.index(bug)}")
    shutil.copytree(base, copy, ignore=shutil.ignore_patterns("__pycache__", "planted.json"))
    place = copy / bug.file
    source = place.read_text("utf-8")
    place.write_text(bug.planted(source), "utf-8")
    shown = [f"{bug.kind}: {bug.name}", f"  {bug.file}", *(f"    {line}" for line in bug.difference(source))]
    caught = True
    try:
        found = run(copy, bug.tests, environment)
    except RuntimeError as error:
        return False, [*shown, f"  NOT CAUGHT: {error}"]
    finally:
        shutil.rmtree(copy)
    for test in bug.tests:
        one = found.get(test, Ended("not run"))
        failed = one.outcome == "failed" and one.asserted
        caught = caught and failed
        shown.append(f"  {test}: {one.outcome}" + (f" at {one.place}" if failed else "  NOT CAUGHT by an assertion"))
        shown += [f"    {mark} {text}" for mark, text in ((">", one.line), ("E", one.said)) if text]
    return caught, shown


def main(words: Sequence[str]) -> int:
    bugs = [bug for bug in BUGS if not words or any(word in f"{bug.kind} {bug.name}" for word in words)]
    for bug in bugs:
        bug.planted((ROOT / bug.file).read_text("utf-8"))  # a row that does not fit is said before anything starts
    begun, missed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="planted-") as folder, servers(Path(folder)) as environment:
        base = copied(Path(folder) / "base")
        faults = without_bug(base, bugs, environment)
        print(*faults or [f"without a bug: {len({test for bug in bugs for test in bug.tests})} tests pass"], sep="\n")
        with ThreadPoolExecutor(WORKERS) as pool:
            for caught, shown in pool.map(lambda bug: with_bug(bug, base, environment), bugs):
                missed += not caught
                print("", *shown, sep="\n", flush=True)
    print(f"\n{len(bugs) - missed} of {len(bugs)} bugs are caught, in {time.monotonic() - begun:.0f} s")
    return 1 if faults or missed or not bugs else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except Rotten as rotten:
        raise SystemExit(str(rotten)) from None
