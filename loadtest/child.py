"""Locust, headless, as a child: this process stays free of what Locust does to the standard library."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from deploy.local.ports import free_ports
from loadtest.figures import GENERATOR
from loadtest.profiles import Profile
from loadtest.sampling import Sample, Sampler, family

__all__ = ["LocustFailed", "run_locust"]

ROOT: Final = Path(__file__).parents[1]
LOCUSTFILE: Final = Path(__file__).with_name("users") / "locustfile.py"
ENDS_SECONDS: Final = 120  # over the shape's own time: start, last answers, reports
_LAST_WORDS_CHARS: Final = 2_000


class LocustFailed(Exception):
    """Locust did not come to its end; carries the end of what it said."""


def run_locust(
    profile: Profile, address: str, folder: Path, seed: int, parts: Callable[[], Mapping[str, list[int]]]
) -> list[Sample]:
    """Run a profile's load at `address`, watch `parts` and the generator meanwhile, and wait for the end.

    What was measured is in `folder`: users/record.py. Raises LocustFailed; Locust does not run any more.
    """
    log_path = folder / "locust.log"
    environment = {
        **os.environ,
        "BAYSWITCH_LOAD_PROFILE": str(profile.path.resolve()),
        "BAYSWITCH_LOAD_FOLDER": str(folder.resolve()),
        "BAYSWITCH_LOAD_SEED": str(seed),
        **profile.changes.environment(),
    }
    # Each process of Locust holds `held`. The first one ends without those that wait for the last answers.
    over, held = os.pipe()
    try:
        child = _begun(_command(profile, address, folder), log_path, environment, held)
    except OSError:
        os.close(over)
        raise
    finally:
        os.close(held)

    def everybody() -> dict[str, list[int]]:
        return {**parts(), **{f"{GENERATOR}-{pid}": [pid] for pid in family(child.pid)}}

    try:
        with Sampler(everybody) as sampler:
            status = child.wait(profile.shape.seconds + ENDS_SECONDS)
            everyone = select.poll()
            everyone.register(over)
            if not everyone.poll(ENDS_SECONDS * 1000):
                raise subprocess.TimeoutExpired(child.args, ENDS_SECONDS)
    except subprocess.TimeoutExpired:
        raise LocustFailed(f"Locust did not end: {_said(log_path)}") from None
    finally:
        os.close(over)
        _end(child)
    if status or not (folder / "begun").exists():
        raise LocustFailed(f"Locust ended with {status}: {_said(log_path)}")
    return sampler.samples


def _begun(words: list[str], log_path: Path, environment: dict[str, str], held: int) -> "subprocess.Popen[bytes]":
    with log_path.open("w") as log:
        return subprocess.Popen(
            words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, cwd=ROOT, pass_fds=(held,)
        )


def _command(profile: Profile, address: str, folder: Path) -> list[str]:
    words = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", address]
    words += ["--csv", str(folder / "locust"), "--html", str(folder / "locust.html"), "--only-summary"]
    words += ["--exit-code-on-error", "0", "--loglevel", "WARNING"]
    if profile.processes > 1:
        port = str(free_ports(1)[0])
        words += ["--processes", str(profile.processes), "--master-bind-port", port, "--master-port", port]
    return words


def _end(child: subprocess.Popen[bytes]) -> None:
    """Also on the way out of a Ctrl-C: Locust and its processes are gone afterwards."""
    if child.poll() is None:
        for pid in reversed(family(child.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10)
        child.kill()
        child.wait()


def _said(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-_LAST_WORDS_CHARS:]
