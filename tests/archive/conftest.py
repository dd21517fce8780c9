"""The same suite on SQLite, on a real PostgreSQL, and on the fake that everybody else's tests use."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from switch.archive import SqlArchive, open_archive
from switch.ports import Archive
from tests.fake_archive import FakeArchive

OpenArchive = Callable[[], SqlArchive]
PATIENCE_MS = 60_000  # the budget is tested where a test has one of its own


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Of an empty database; "" is the file."""
    found: str = request.getfixturevalue("archive_database") if request.param == "postgres" else ""
    return found


@pytest.fixture
async def open_again(url: str, tmp_path: Path) -> AsyncIterator[OpenArchive]:
    """Another archive on the same database: what another worker, or a restart, sees."""
    opened: list[SqlArchive] = []

    def open_it() -> SqlArchive:
        opened.append(open_archive(url, tmp_path, call_ms=PATIENCE_MS))
        return opened[-1]

    yield open_it
    for archive in opened:
        await archive.close()


@pytest.fixture(params=["fake", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> str | None:
    """As `url`; None is the fake."""
    found: dict[str, str | None] = {"fake": None, "sqlite": ""}
    return found[request.param] if request.param in found else request.getfixturevalue("archive_database")


@pytest.fixture
async def archive(place: str | None, tmp_path: Path) -> AsyncIterator[Archive]:
    """An empty archive."""
    opened: Archive = FakeArchive() if place is None else open_archive(place, tmp_path, call_ms=PATIENCE_MS)
    yield opened
    await opened.close()
