"""The archive's bench, small: its figures are of this run, and everything is really kept."""

from pathlib import Path

import pytest

from loadtest import archive_bench
from switch.archive import open_archive

COUNT = 2_500


async def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_bench, "LOOK_SECONDS", 0.01)
    found = await archive_bench.measure("", tmp_path, COUNT)
    assert f"over {COUNT:,} payments" in found["get"].note
    assert found["bytes on disk per payment"].runs[0] > 100
    archive = open_archive("", tmp_path)
    kept = [len(await archive.read(partition, 0, 5_000)) for partition in await archive.partitions()]
    assert sum(kept) == COUNT
    await archive.close()
