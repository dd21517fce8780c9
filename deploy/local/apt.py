"""A Debian package, installed."""

import os
import subprocess

__all__ = ["AptFailed", "install"]

INSTALL_SECONDS_MAX = 600  # the lists and some tens of megabytes, once
OUTPUT_TAIL_CHARS = 2_000
_KEPT = ("-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold")
_UNASKED = {"DEBIAN_FRONTEND": "noninteractive", "UCF_FORCE_CONFFOLD": "1", "LC_ALL": "C"}


class AptFailed(Exception):
    """It cannot be installed; the text ends with what apt-get said."""


def install(package: str) -> None:
    """From the machine's own sources, their lists read anew. Needs root and apt-get. Raises AptFailed; safe to repeat."""
    for command in (("update",), ("install", *_KEPT, package)):
        try:
            done = subprocess.run(
                ["apt-get", "-q", *command],
                env={**os.environ, **_UNASKED},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_SECONDS_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AptFailed(f"apt-get could not install `{package}`: {error}") from error
        if done.returncode:
            said = done.stdout.decode(errors="replace")[-OUTPUT_TAIL_CHARS:]
            raise AptFailed(f"apt-get {command[0]} failed; install the package `{package}` yourself:\n{said}")
