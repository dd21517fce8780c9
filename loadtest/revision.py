"""A switch of another revision, built beside this one: `python -m loadtest.gate --revision v1.2 …`.

Only the switch, the relay and the settler are of that revision. Load, rails and audits are this checkout's: they are the
yardstick.
"""

import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Final

__all__ = ["RevisionFailed", "built", "commit_of"]

ROOT: Final = Path(__file__).parents[1]
_LAST_WORDS_CHARS: Final = 2_000


class RevisionFailed(Exception):
    """There is no such revision, or it cannot be built; carries what git or pip said."""


def commit_of(revision: str) -> str:
    """The whole hash of a tag, a branch or a short hash. Raises RevisionFailed."""
    return (
        _run("git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    )


def built(commit: str, folder: Path) -> dict[str, str]:
    """Build a commit into `folder`, and the environment in which `python -m switch` is that one.

    The checkout is not touched. Takes a minute or two: the compiled parts are compiled. Raises RevisionFailed.
    """
    source, installed = folder / "source", folder / "installed"
    with tarfile.open(fileobj=BytesIO(_run("git", "archive", commit))) as archive:
        archive.extractall(source, filter="data")
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(installed), str(source))
    # Before the checkout, which is installed in this environment; and the working folder is not looked at.
    return {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}


def _run(*words: str) -> bytes:
    done = subprocess.run(words, capture_output=True, check=False, cwd=ROOT)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace")[-_LAST_WORDS_CHARS:].strip()
        raise RevisionFailed(f"{' '.join(words[:4])}: {said or 'no such revision'}")
    return done.stdout
