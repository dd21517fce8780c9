"""The tables: made once, of one version, in nobody else's database; and no question walks through all of them."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from switch.archive import open_archive
from switch.archive.database import open_database
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.errors import ArchiveUnavailable, ConfigError
from tests.archive.builders import NOW_MS, facts, span
from tests.archive.conftest import OpenArchive
from tests.fixtures_postgres import native


def run_there(url: str, data_dir: Path, *statements: str) -> None:
    """As an administrator would."""
    if url:
        with psycopg.connect(native(url), autocommit=True) as server:
            for statement in statements:
                server.execute(statement.encode())
        return
    file = sqlite3.connect(data_dir / "archive.sqlite3", isolation_level=None)
    for statement in statements:
        file.execute(statement)
    file.close()


async def test_many_start_at_once_on_an_empty_database(open_again: OpenArchive) -> None:
    archives = [open_again() for _ in range(4)]
    await asyncio.gather(*(archive.start() for archive in archives))
    await asyncio.gather(*(archive.start() for archive in archives))
    await archives[0].keep(facts(1))
    assert await archives[3].partitions() == [0]


async def test_tables_of_another_version_are_refused_with_what_to_do(
    open_again: OpenArchive, url: str, tmp_path: Path
) -> None:
    await open_again().start()
    run_there(url, tmp_path, "UPDATE archive_schema SET version = 2")
    archive = open_again()
    with pytest.raises(ConfigError, match=r"version 2, this switch knows version 1: .*BAYSWITCH_ARCHIVE_URL"):
        await archive.start()
    with pytest.raises(ArchiveUnavailable, match="version 2"):
        await archive.get("ALFA", "x")
    run_there(url, tmp_path, "UPDATE archive_schema SET version = 1")
    await archive.start()


async def test_somebody_elses_tables_are_left_alone(open_again: OpenArchive, url: str, tmp_path: Path) -> None:
    run_there(url, tmp_path, "CREATE TABLE payment (id integer)")
    with pytest.raises(ConfigError, match="a table payment that is not the archive's"):
        await open_again().start()


async def test_a_server_that_forgets_is_refused(archive_database: str, tmp_path: Path) -> None:
    archive = open_archive(f"{archive_database}?options=-csynchronous_commit%3Doff", tmp_path)
    with pytest.raises(ConfigError, match="synchronous_commit = off"):
        await archive.start()
    await archive.close()


async def test_two_archives_share_a_database_in_schemas_of_their_own(archive_database: str, tmp_path: Path) -> None:
    run_there(archive_database, tmp_path, "CREATE SCHEMA one", "CREATE SCHEMA two")
    archives = [open_archive(f"{archive_database}?options=-csearch_path%3D{name}", tmp_path) for name in ("one", "two")]
    kept = [facts(3), facts(4)]
    for archive, some in zip(archives, kept, strict=True):
        await archive.keep(some)
    for archive, some in zip(archives, kept, strict=True):
        assert await archive.read(0, 0, 10) == some
        await archive.close()


async def test_a_commit_of_the_file_is_on_disk(tmp_path: Path) -> None:
    """As far as a setting can say: 2 is FULL."""
    database = open_database("", tmp_path, 60_000)
    settings = ("synchronous", "journal_mode", "foreign_keys")
    found = await database.write(
        lambda link: [link.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in settings]
    )
    assert found == [2, "wal", 1]
    await database.close()


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """What is sent to a database in the block."""
    seen: list[tuple[str, Any]] = []

    def note(_link: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        if not many:
            seen.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


async def test_no_question_walks_through_all_payments(tmp_path: Path) -> None:
    archive = open_archive("", tmp_path)
    await archive.start()
    kept = facts(30)
    ranges, hkd, late = [span(0, 3, 20), span(1, 0, 9)], [Asset.HKD, Asset.CNH], NOW_MS * 2
    with statements() as seen:
        await archive.keep(kept)
        await archive.keep(kept)
        await archive.retired([one.fact.uetr for one in kept[:9]])
        await archive.unretired(late, 5)
        await archive.get("ALFA", kept[0].fact.uetr)
        await archive.get_by_request("ALFA", kept[0].fact.request_id)
        await archive.at_sequence("ALFA", 3)
        for state in (None, State.ABORTED):
            for after in ((0, ""), (NOW_MS, "x")):
                await archive.list_payments("ALFA", state=state, from_time_ms=0, to_time_ms=late, after=after, count=3)
        for token in ("", f"f{NOW_MS}.x"):
            await archive.final_between(0, late, token, 3)
        for rails in ((), ("hkfps", "far")):
            await archive.statement(ranges, "ALFA", hkd, rails, "s0.4", 3)
            await archive.nets(ranges, hkd, rails)
        await archive.read(0, 4, 5)
        await archive.partitions()
    await archive.close()
    plans = {statement: plan_of(tmp_path, statement, values) for statement, values in seen if "BEGIN" not in statement}
    assert len(plans) > 20
    walks = {statement: plan for statement, plan in plans.items() if re.search(r"SCAN (payment|entry)\b", plan)}
    assert not walks, walks
    # Rows come out of the index in order: what is sorted is one page, or the ties of one millisecond.
    first = [statement for statement in plans if "LIMIT" in statement]
    sorts = {
        statement: plans[statement] for statement in first if "USE TEMP B-TREE FOR ORDER BY" in inner(plans[statement])
    }
    assert not sorts, sorts


def plan_of(folder: Path, statement: str, values: Any) -> str:
    """With the depth of each line as blanks."""
    file = sqlite3.connect(folder / "archive.sqlite3")
    depth: dict[int, int] = {}
    lines = []
    for place, parent, _, detail in file.execute(f"EXPLAIN QUERY PLAN {statement}", values):
        depth[place] = depth.get(parent, -1) + 1
        lines.append(" " * depth[place] + detail)
    file.close()
    return "\n".join(lines)


def inner(plan: str) -> str:
    """The part of a plan that makes the page."""
    return "\n".join(line for line in plan.splitlines() if line.startswith(" "))
