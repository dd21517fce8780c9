"""The archive's bench, small: every row is there and its figures are of this run."""

import re
from pathlib import Path

import pytest

from loadtest import archive_bench
from switch.archive import open_archive

ROWS = """
facts kept per second        +[\\d,]+   chunks of 1,000
the last tenth of them       +[\\d,]+   of 2,500 facts
facts per second of CPU      +[\\d,]+   of this process; .*
get                          +[\\d.]+ ms   p99 [\\d.]+ ms
statement, pages of 500      +[\\d.]+ ms   p99 [\\d.]+ ms
nets of 2,500 payments       +[\\d.]+ ms   p99 [\\d.]+ ms
facts retired per second     +[\\d,]+   steps of 500
bytes on disk per payment    +[\\d,]+   with its entries and all indexes
"""


async def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_bench, "LOOK_SECONDS", 0.01)
    rows = await archive_bench.measure("", tmp_path, 2_500)
    for row, form in zip(rows, ROWS.strip().splitlines(), strict=True):
        assert re.fullmatch(form, row), row
    archive = open_archive("", tmp_path)
    kept = [len(await archive.read(partition, 0, 5_000)) for partition in await archive.partitions()]
    assert sum(kept) == 2_500
    await archive.close()
