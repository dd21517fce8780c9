"""Real PostgreSQL servers for the archive's tests, started when first asked for, stopped at the end.

TEST_ARCHIVE_URL names a server that runs already (`postgresql+psycopg://user:password@host:port/database`); its user must
be allowed to make databases. It is no BAYSWITCH_ variable: those are settings of the switch, which refuses unknown ones.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from deploy.local.postgres import Postgres, missing, run_postgres

if TYPE_CHECKING:
    import psycopg

__all__ = ["Databases", "archive_database", "archive_databases", "archive_pg_url", "native", "own_postgres", "passable"]

OTHERS_END = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


def native(url: str) -> str:
    """The URL as libpq and psycopg know it, without the driver that SQLAlchemy is told."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


class Databases:
    """Empty databases on one server. To make one takes a fifth of a second: what is given back is emptied and used again."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._made: list[str] = []
        self._idle: list[str] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """SQLAlchemy's URL of an empty database, for the time of the block; who is connected at its end is cut off."""
        name = self._idle.pop() if self._idle else self._new()
        url = urlsplit(self._server)._replace(path=f"/{name}").geturl()
        try:
            yield url
        finally:
            with _connected(url) as connection:
                connection.execute(OTHERS_END)
                for (schema,) in connection.execute(SCHEMAS).fetchall():
                    connection.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())
                connection.execute("CREATE SCHEMA public")
                for whose in (f"DATABASE {name}", f"ROLE CURRENT_USER IN DATABASE {name}"):
                    connection.execute(f"ALTER {whose} RESET ALL".encode())
            self._idle.append(name)

    def _new(self) -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        with _connected(self._server) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        self._made.append(name)
        return name

    def drop(self) -> None:
        """All that were made."""
        with _connected(self._server) as connection:
            for name in self._made:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _connected(url: str) -> "psycopg.Connection":
    """Every statement is a transaction of its own."""
    import psycopg  # a third of a second, which a run without a database is spared

    return psycopg.connect(native(url), autocommit=True)


def _must_be_possible() -> None:
    """Never skipped: where no server can be had, a test that needs one fails and says so."""
    if lacking := missing():
        pytest.fail(f"a real PostgreSQL is needed: {lacking}; or name a running server in TEST_ARCHIVE_URL")


@pytest.fixture(scope="session")
def archive_pg_url() -> Iterator[str]:
    """SQLAlchemy's URL of a server: TEST_ARCHIVE_URL when set, else ours. Tests share it: see `archive_database`."""
    if url := os.environ.get("TEST_ARCHIVE_URL"):
        yield url
        return
    _must_be_possible()
    with run_postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def archive_databases(archive_pg_url: str) -> Iterator[Databases]:
    """As many empty databases as are asked for at once."""
    databases = Databases(archive_pg_url)
    try:
        yield databases
    finally:
        databases.drop()


@pytest.fixture
def archive_database(archive_databases: Databases) -> Iterator[str]:
    """SQLAlchemy's URL of an empty database of one test's own."""
    with archive_databases.one() as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server of one test's own, to be paused and killed."""
    _must_be_possible()
    with run_postgres() as server:
        yield server


@pytest.fixture
def passable() -> Iterator[Path]:
    """An empty folder that the database's account can pass through; those of pytest are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
