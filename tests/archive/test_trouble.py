"""A database that is silent, gone, locked, damaged: what the caller hears, and that it goes on by itself."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, text

from deploy.local.postgres import Postgres
from switch.archive import SqlArchive, open_archive
from switch.archive.database import open_database
from switch.errors import ArchiveUnavailable, ConfigError
from switch.ports import Archive, ArchivedFact
from tests.archive.builders import facts
from tests.store.builders import until

CALL_MS = 1_500  # enough for an honest call, its connection included, unless the machine stands still
FEW_BUDGETS_SECONDS = 30  # with time for a machine that does; what is not ended in its budget takes far longer
PATIENCE_MS = 60_000
_T = TypeVar("_T")
RUNAWAY = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
}


@pytest.fixture
async def impatient(own_postgres: Postgres, tmp_path: Path) -> AsyncIterator[SqlArchive]:
    archive = open_archive(own_postgres.url, tmp_path, call_ms=CALL_MS)
    yield archive
    own_postgres.resume()
    await archive.close()


async def all_unavailable(calls: list[Awaitable[object]]) -> None:
    """All of them together within a few budgets, with one safe line each."""
    begun = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ArchiveUnavailable] * len(calls)
    assert all("\n" not in str(answer) and "postgres:" not in str(answer) for answer in answers)
    assert asyncio.get_running_loop().time() - begun < FEW_BUDGETS_SECONDS


def every_call(archive: SqlArchive) -> list[Awaitable[object]]:
    """More than there are threads."""
    return [archive.keep(facts(5, partition=3, debtor_agent="BRAVO")), *(archive.read(0, 0, 10) for _ in range(9))]


async def answered(call: Callable[[], Awaitable[_T]]) -> _T:
    """What an honest call answers: one that a busy machine keeps for longer than its budget is made again."""
    answers: list[_T] = []

    async def made() -> bool:
        with contextlib.suppress(ArchiveUnavailable):
            answers.append(await call())
        return bool(answers)

    await until(made)
    return answers[0]


async def keeps_on(archive: Archive, some: list[ArchivedFact]) -> None:
    """As soon as the database is back, without a new archive; what a call that failed did is unknown."""
    await answered(lambda: archive.keep(some))
    assert await answered(lambda: archive.read(0, some[0].offset, len(some))) == some


async def test_a_silent_server_costs_one_budget_and_no_thread(own_postgres: Postgres, impatient: SqlArchive) -> None:
    await keeps_on(impatient, facts(1))
    for turn in range(2, 4):
        own_postgres.pause()
        for _ in range(2):
            await all_unavailable(every_call(impatient))
        own_postgres.resume()
        await keeps_on(impatient, facts(1, first=turn))


async def test_a_killed_server_is_found_again(own_postgres: Postgres, impatient: SqlArchive) -> None:
    kept = facts(10)
    await keeps_on(impatient, kept)
    own_postgres.kill()
    await all_unavailable(every_call(impatient))
    own_postgres.start()
    await keeps_on(impatient, facts(1, first=11))
    assert await answered(lambda: impatient.read(0, 0, 10)) == kept


async def test_a_connection_that_broke_while_nobody_looked_costs_nothing(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    archive = open_archive(own_postgres.url, tmp_path, call_ms=PATIENCE_MS)
    await asyncio.gather(*(archive.read(0, 0, 1) for _ in range(9)), archive.keep(facts(1)))
    own_postgres.kill()
    own_postgres.start()
    await asyncio.gather(*(archive.read(0, 0, 1) for _ in range(9)), archive.keep(facts(1, first=2)))
    await archive.close()


async def test_a_server_that_is_down_at_start_is_used_when_it_comes(
    own_postgres: Postgres, impatient: SqlArchive
) -> None:
    own_postgres.kill()
    with pytest.raises(ArchiveUnavailable):
        await impatient.start()
    await all_unavailable(every_call(impatient))
    own_postgres.start()
    await keeps_on(impatient, facts(1))
    await answered(impatient.start)


async def test_a_silent_server_does_not_keep_us_from_closing(own_postgres: Postgres, impatient: SqlArchive) -> None:
    await keeps_on(impatient, facts(1))
    own_postgres.pause()
    calls = [asyncio.ensure_future(call) for call in every_call(impatient)]
    await asyncio.sleep(0)
    async with asyncio.timeout(FEW_BUDGETS_SECONDS):
        await impatient.close()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {ArchiveUnavailable, asyncio.CancelledError}
    await impatient.close()
    await all_unavailable(every_call(impatient))


async def test_a_statement_that_takes_too_long_is_ended_and_its_thread_is_free(url: str, tmp_path: Path) -> None:
    database = open_database(url, tmp_path, CALL_MS)
    await answered(database.start)

    def run_away(connection: Connection) -> None:
        connection.execute(text(RUNAWAY[connection.dialect.name]))

    for _ in range(2):
        work = [database.read(run_away) for _ in range(4)], [database.write(run_away)]
        await all_unavailable([*work[0], *work[1]])

    def one(connection: Connection) -> object:
        return connection.execute(text("SELECT 1")).scalar_one()

    assert await answered(lambda: database.read(one)) == 1
    await database.close()


async def test_a_call_that_is_given_up_does_no_harm(archive: Archive) -> None:
    kept = facts(500)
    for _ in range(5):
        call = asyncio.ensure_future(archive.keep(kept))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await archive.keep(kept)
    assert await archive.read(0, 0, 1_000) == kept


async def test_a_file_that_another_process_writes_to_can_be_read_and_is_written_to_later(tmp_path: Path) -> None:
    archive = open_archive("", tmp_path, call_ms=CALL_MS)
    kept = facts(3)
    await keeps_on(archive, kept)
    other = sqlite3.connect(tmp_path / "archive.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    more = facts(2, first=4)
    await all_unavailable([archive.keep(more), archive.retired([kept[0].fact.uetr])])
    assert await answered(lambda: archive.read(0, 0, 10)) == kept
    other.execute("ROLLBACK")
    other.close()
    await keeps_on(archive, more)
    await archive.close()


async def test_a_new_file_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    """Turning a file over to write-ahead logging is refused at once while another does it; busy_timeout says nothing there."""
    other = sqlite3.connect(tmp_path / "archive.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    archive = open_archive("", tmp_path, call_ms=PATIENCE_MS)
    opening = asyncio.create_task(archive.start())
    await asyncio.wait([opening], timeout=0.1)
    assert not opening.done()
    other.execute("ROLLBACK")
    await opening
    await archive.keep(facts(1))
    other.close()
    await archive.close()


async def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "archive.sqlite3").write_bytes(b"not a database" * 1_000)
    archive = open_archive("", tmp_path)
    with pytest.raises(ArchiveUnavailable, match="SQLITE_NOTADB"):
        await archive.start()
    await archive.close()


async def test_no_error_tells_the_password(own_postgres: Postgres, tmp_path: Path) -> None:
    refused = own_postgres.url.replace("postgres:", "postgres:not-the-password", 1)
    nobody = "postgresql+psycopg://someone:hush-hush@127.0.0.1:1/x"  # tcpmux: nobody listens
    for url in (refused, nobody):
        archive = open_archive(url, tmp_path, call_ms=PATIENCE_MS)
        with pytest.raises(ArchiveUnavailable, match=r"^the database answered with OperationalError$"):
            await archive.start()
        await archive.close()


URLS = (
    "mysql://u:hush@h/d",
    "postgresql+asyncpg://u:hush@h/d",
    "hush",
    "postgresql://u:hush@h:port/d",
    "sqlite:///hush",
)


@pytest.mark.parametrize("wrong", URLS)
def test_a_url_of_another_kind_is_refused_without_telling_it(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="archive_url") as refused:
        open_archive(wrong, tmp_path)
    assert "hush" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="data directory"):
        open_archive("", tmp_path / "file" / "data")
