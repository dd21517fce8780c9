"""Starting a part: what each way of not becoming ready looks like, and that nothing is left running."""

import os
import sys
import time
from pathlib import Path

import pytest

from switch.cli.processes import NotReady, start_part


@pytest.fixture
def acting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What runs instead of Python: a shell script that a test writes. It leaves its process id beside itself."""
    script = tmp_path / "part"
    monkeypatch.setattr(sys, "executable", str(script))
    return script


def write(script: Path, text: str) -> None:
    script.write_text(f"#!/bin/sh\necho $$ > {script}.pid\n{text}\n")
    script.chmod(0o700)


def start(directory: Path, seconds: float = 60) -> object:
    return start_part("part", "serve", environment={}, directory=directory / "logs", seconds=seconds)


def is_gone(script: Path) -> bool:
    try:
        os.kill(int(Path(f"{script}.pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


# what it does | what the error says
FAILURES = """
exit 1                              | no output
echo the reason >&2; exit 3         | the reason
echo 'no JSON'; exec sleep 120       | no output
echo '[1]'; exec sleep 120           | no output
echo null; exec sleep 120            | no output
"""


@pytest.mark.parametrize("row", FAILURES.strip().splitlines())
def test_a_part_that_is_not_ready(row: str, acting: Path, tmp_path: Path) -> None:
    script, _, says = row.partition("|")
    write(acting, script)
    with pytest.raises(NotReady, match=f"part is not ready: .*{says.strip()}"):
        start(tmp_path)
    assert is_gone(acting)


def test_a_silent_part_is_given_up_in_time(acting: Path, tmp_path: Path) -> None:
    write(acting, "exec sleep 120")
    begun = time.monotonic()
    with pytest.raises(NotReady):
        start(tmp_path, seconds=3)  # it has noted its process id by then
    assert time.monotonic() - begun < 60
    assert is_gone(acting)


def test_an_older_log_is_not_taken_for_the_reason(acting: Path, tmp_path: Path) -> None:
    for text, says in (("echo first >&2; exit 1", "first"), ("echo second >&2; exit 1", "second")):
        write(acting, text)
        with pytest.raises(NotReady) as failed:
            start(tmp_path)
        assert str(failed.value).endswith(f": {says}")


def test_a_part_that_is_ready_is_stopped_with_its_status(acting: Path, tmp_path: Path) -> None:
    write(acting, "trap 'exit 7' TERM; echo '{\"address\": \"here\"}'; while :; do sleep 0.02; done")
    part = start_part("part", environment={}, directory=tmp_path)
    assert part.ready == {"address": "here"}
    assert part.stop() == 7
    assert is_gone(acting)


def test_a_part_that_does_not_end_is_killed(acting: Path, tmp_path: Path) -> None:
    write(acting, "trap '' TERM; echo '{}'; while :; do sleep 0.02; done")
    assert start_part("part", environment={}, directory=tmp_path).stop(seconds=1) == -9
    assert is_gone(acting)
