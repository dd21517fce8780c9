"""Where PostgreSQL's programs are, as Debian lays them out, and its package when they are nowhere and we may install it.

The package's own cluster is neither made nor started: the servers of postgres.py are the only ones.
"""

import fcntl
import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.local import apt

__all__ = ["ACCOUNT", "PostgresFailed", "as_account", "missing", "programs"]

ACCOUNT = "postgres"  # of the operating system; the package makes it
NEEDED = ("initdb", "pg_isready", "postgres")
ROOT = Path("/usr/lib/postgresql")
CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")
NO_CLUSTER = "create_main_cluster = false\n"


class PostgresFailed(Exception):
    """The local PostgreSQL could not be installed, made or started; the text ends with what it said itself."""


def missing() -> str:
    """What a start lacks, as a sentence for people, or "" when nothing. An installation that we can make is not lacking."""
    root = os.geteuid() == 0
    if root and shutil.which("setpriv") is None:
        return "no `setpriv` on the path to run PostgreSQL as another account than root with"
    if _installed() is not None:
        return f"no account `{ACCOUNT}`, and PostgreSQL refuses root" if root and not _has_account() else ""
    nowhere = f"no PostgreSQL in {ROOT} and no `postgres` on the path"
    if shutil.which("apt-get") is None:
        return f"{nowhere}, and no `apt-get` to install it with"
    return "" if root else f"{nowhere}; root can `apt-get install postgresql`"


def programs() -> Path:
    """The folder of initdb, postgres and pg_isready, installed when they are nowhere. Safe from several processes at once.

    Raises:
        PostgresFailed: it cannot be installed; says what lacks, or carries the end of what apt-get said.
    """
    if lacking := missing():
        raise PostgresFailed(f"PostgreSQL cannot start: {lacking}")
    found = _installed()
    if found is None:
        CREATE_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(CREATE_CLUSTER.parent, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _installed() is None:  # no other process installed it while we waited
                _install()
        finally:
            os.close(lock)
        found = _installed()
    if found is None:
        raise PostgresFailed(f"apt-get installed `postgresql`, and there are no programs in {ROOT}/*/bin")
    return found


def as_account(command: Sequence[str]) -> list[str]:
    """The command as whom PostgreSQL may run. A change of the account forgets who is to die with whom: it is said again."""
    if os.geteuid():
        return list(command)
    return ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups", "--pdeathsig=KILL", "--", *command]


def _installed() -> Path | None:
    """The newest version's folder, else the one on the path."""
    versions = [path for path in ROOT.glob("*/bin") if path.parent.name.isdigit()]
    on_path = shutil.which("postgres")
    places = [*sorted(versions, key=lambda path: -int(path.parent.name)), *([Path(on_path).parent] if on_path else [])]
    return next((place for place in places if all((place / name).exists() for name in NEEDED)), None)


def _has_account() -> bool:
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        return False
    return True


def _install() -> None:
    with CREATE_CLUSTER.open("a") as settings:  # the last line about a thing is the one that counts
        settings.write(NO_CLUSTER)
    try:
        apt.install("postgresql")
    except apt.AptFailed as error:
        raise PostgresFailed(str(error)) from error
