"""The bench's command line, and that a stopped bench leaves nothing running."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loadtest import bench
from loadtest.bench_table import heading
from loadtest.measure import closed_loop, cpu_ms

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "loadtest.bench")

# arguments | what the error says
WRONG = """
--only nope          | no part 'nope'; there are unary, batch, rails, codec, growth, workers, shards, metrics, store
--only codec,        | no part ''
--runs 0             | a positive whole number
--seconds soon       | a positive number of seconds
--seconds 0          | a positive number of seconds
"""


@pytest.mark.parametrize("row", WRONG.strip().splitlines())
def test_wrong_usage(row: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, _, says = row.partition("|")
    monkeypatch.setattr(sys, "argv", ["bench", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 2
    assert says.strip() in capsys.readouterr().err


def test_a_stopped_bench_leaves_nothing_running() -> None:
    """Killed while its sandbox starts: every part is a child of the bench's process group, and none outlives it."""
    arguments = ("--only", "unary", "--seconds", "60", "--runs", "1")
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, process_group=0
    ) as running:
        while not parts_of(running.pid):
            assert running.poll() is None
        os.kill(running.pid, signal.SIGTERM)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, f"{heading()}\n")
    assert err == "stopped; nothing was kept\n"
    assert parts_of(running.pid) == []


def parts_of(group: int) -> list[int]:
    """Processes of the group, but its leader, that run one of our parts."""
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == group:
            continue
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            command = (place / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] != "Z" and re.search(r"switch\0(rail|serve)", command):
            found.append(int(place.name))
    return found


async def test_closed_loop_counts_what_calls_made() -> None:
    made = []

    async def call() -> int:
        made.append(2)
        return 2

    rate = await closed_loop([call, call], seconds=0.01)
    assert rate.done == sum(made)
    assert 0 <= rate.p50_ms <= rate.p99_ms


def test_cpu_counts_every_thread_of_a_process_and_none_of_a_dead_one() -> None:
    begun = cpu_ms([os.getpid()])
    worker = threading.Thread(target=lambda: sum(range(200_000)))
    worker.start()
    worker.join()
    used = cpu_ms([os.getpid()]) - begun
    assert used > 0
    assert cpu_ms([os.getpid(), os.getpid()]) > cpu_ms([os.getpid()])
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_ms([gone.pid])
