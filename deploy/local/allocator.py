"""The allocator that makes the store cheaper, installed: before anything is measured or loaded.

python -m deploy.local.allocator
"""

import os
import shutil
import sys
from ctypes.util import find_library

from deploy.local import apt

__all__ = ["PACKAGE", "ensure", "installed", "main"]

PACKAGE = "libjemalloc2"


def installed() -> bool:
    """Whether a store that starts now has it."""
    return find_library("jemalloc") is not None


def ensure() -> str:
    """What is missing, as a sentence for people, or "" when the embedded store will have it. Safe to repeat."""
    if installed():
        return ""
    without = "the store works without jemalloc, and costs a quarter more"
    if os.geteuid() or shutil.which("apt-get") is None:
        return f"{without}; root can `apt-get install {PACKAGE}` on Debian"
    try:
        apt.install(PACKAGE)
    except apt.AptFailed as error:
        return f"{without}: {error}"
    return ""


def main() -> None:
    """Never fails: a machine without it measures what it has."""
    if missing := ensure():
        print(missing, file=sys.stderr)


if __name__ == "__main__":
    main()
