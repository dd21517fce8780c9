"""The link to the database: threads, so that the event loop never waits; one budget; one kind of error."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from switch.archive.deadline import overdue, within
from switch.archive.schema import make_schema
from switch.archive.sqlite import SQLITE_OPTIONS, sqlite_engine
from switch.errors import ArchiveUnavailable, ConfigError

__all__ = ["Clash", "Database", "open_database"]

_T = TypeVar("_T")
_READERS: Final = 4  # threads, each with a connection; the writer has its own
_FILE: Final = "archive.sqlite3"
_MAY_PASS_NEXT_TIME: Final = ("40001", "40P01")  # SQLSTATE: serialization failure, deadlock


class Clash(ArchiveUnavailable):
    """What was written is there already in part: by another writer just now, or because two events claim one place."""


class Database:
    """One engine, one writing thread, some reading ones. Work is a function of a connection, in one transaction."""

    def __init__(self, engine: Engine, call_ms: int, options: dict[str, dict[str, Any]]) -> None:
        self._engine = engine
        self._call_ms = call_ms
        self._failures = (SQLAlchemyError, engine.dialect.loaded_dbapi.Error, OSError)
        self._reading = engine.execution_options(**options["read"])
        self._writing = engine.execution_options(**options["write"])
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="archive-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="archive-write")
        self._made = False  # the tables are there

    async def start(self) -> None:
        """See to the tables. Safe to repeat; every call does it first when it was not done yet.

        Raises:
            ConfigError: the tables are not what this release works with.
            ArchiveUnavailable: not reachable now.
        """
        await self._run(self._writer, self._writing, lambda connection: None)

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Work that changes nothing. Raises ArchiveUnavailable."""
        return await self._call(self._readers, self._reading, work)

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Work that may be repeated; it is once, when its connection broke. Raises ArchiveUnavailable, Clash."""
        return await self._call(self._writer, self._writing, work)

    async def _call(self, threads: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        try:
            return await self._run(threads, engine, work)
        except ConfigError as error:  # found only now, for it was not reachable at start
            raise ArchiveUnavailable(str(error)) from error

    async def _run(self, threads: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        end_ns = time.monotonic_ns() + self._call_ms * 1_000_000
        try:
            job = threads.submit(self._work, engine, work, end_ns)
        except RuntimeError as error:
            raise ArchiveUnavailable("it is closed") from error
        try:
            async with asyncio.timeout(self._call_ms / 1000):
                return await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise ArchiveUnavailable(f"no answer in {self._call_ms} ms") from error

    def _work(self, engine: Engine, work: Callable[[Connection], _T], end_ns: int) -> _T:
        """In a thread: the work, and once more when it failed for a cause that is gone by then."""
        with within(end_ns):
            try:
                try:
                    return self._once(engine, work)
                except DBAPIError as error:
                    if overdue() or not _may_pass_next_time(error):
                        raise
                    return self._once(engine, work)
            except IntegrityError as error:
                raise Clash(_told(error)) from error
            except self._failures as error:
                raise ArchiveUnavailable(_told(error)) from error

    def _once(self, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        if not self._made:
            with self._writing.begin() as connection:
                make_schema(connection)
            self._made = True
        with engine.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        """What runs ends in its budget, what waits is not begun. May be repeated."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for threads in (self._readers, self._writer):
            threads.shutdown(cancel_futures=True)
        self._engine.dispose()


def _may_pass_next_time(error: DBAPIError) -> bool:
    """A connection that broke, perhaps long ago, or a loser among transactions."""
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _MAY_PASS_NEXT_TIME


def _told(error: BaseException) -> str:
    """What is safe to say: the driver's own text may quote values, or the URL."""
    cause = getattr(error, "orig", None) or error
    return f"the database answered with {getattr(cause, 'sqlite_errorname', '') or type(cause).__name__}"


def open_database(url: str, data_dir: Path, call_ms: int) -> Database:
    """Nothing is reached for yet. Raises ConfigError: no such kind of database, no such directory."""
    connections = _READERS + 1
    if not url:
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"data directory {data_dir}: {error.strerror}") from error
        return Database(sqlite_engine(data_dir / _FILE, call_ms, connections), call_ms, SQLITE_OPTIONS)
    wanted = ConfigError(
        "archive_url: postgresql+psycopg://user:password@host:port/database is wanted, or nothing for a file in data_dir"
    )
    try:
        place = make_url(url)
    except (ArgumentError, ValueError):  # its text quotes the URL
        raise wanted from None
    if place.drivername not in ("postgresql", "postgresql+psycopg"):
        raise wanted
    # The driver takes a sixth of a second to load, which every process over a file is spared.
    from switch.archive.postgres import POSTGRES_OPTIONS, postgres_engine

    return Database(postgres_engine(place, call_ms, connections), call_ms, POSTGRES_OPTIONS)
