"""The SQLite half: one file, a write-ahead log that is fsynced at every commit, readers beside the writer."""

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from switch.archive.deadline import overdue

__all__ = ["SQLITE_OPTIONS", "sqlite_engine"]

# A writer takes its lock at once: a transaction that reads first and writes then could not wait for another's.
SQLITE_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "read": {"archive_begin": "BEGIN"},
    "write": {"archive_begin": "BEGIN IMMEDIATE"},
}
_PRAGMAS: Final = (
    "synchronous = FULL",  # a commit is on disk before it is answered
    "foreign_keys = ON",
    "cache_size = -65536",  # KiB: the indexes of random ids stay in memory
    "wal_autocheckpoint = 32768",  # pages, 128 MiB: a page that many commits change is copied back once
)
_STEPS: Final = 100_000  # of SQLite's machine, some milliseconds, between looks at the clock
_PAUSE_SECONDS: Final = 0.005


def sqlite_engine(path: Path, call_ms: int, connections: int) -> Engine:
    """An engine that has not opened the file yet."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin when we say so
        connection.execute(f"PRAGMA busy_timeout = {call_ms}")
        _write_ahead(connection)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.set_progress_handler(overdue, _STEPS)  # true ends the statement

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["archive_begin"])

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Two that open a new file at once both turn it over, and the loser is told so at once, whatever busy_timeout says."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or overdue():
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return
