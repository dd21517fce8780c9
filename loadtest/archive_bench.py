"""The archive: how fast it keeps, how much disk a payment takes, how long a look takes.

python -m loadtest.archive_bench [--facts 200000] [--url postgresql+psycopg://…]

Facts of three entries in chunks as the settler writes them, each a transaction that is on disk when it is answered;
without `--url` in a SQLite file that is thrown away. Ids are random, so that every chunk goes all over the indexes.
"""

import argparse
import asyncio
import random
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from loadtest.measure import closed_loop
from switch.archive import SqlArchive, open_archive
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import FEE_PARTICIPANT, Entry
from switch.domain.settlement import LogRange, SettlementFact
from switch.limits import CHUNK_RECORDS_MAX, PAGE_SIZE_MAX, RETIRE_COUNT, SETTLEMENT_PARTITIONS
from switch.ports import ArchivedFact

__all__ = ["main", "measure"]

AGENTS = 40
NOW_MS = 1_795_400_000_000
LOOK_SECONDS = 2
SAMPLED = 10  # one of so many is looked at and retired
SEED = 20_261_123


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.archive_bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--facts", type=int, default=200_000, help="kept, in chunks of the settler's size")
    parser.add_argument("--url", default="", help="of an empty PostgreSQL database; it is left full")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bayswitch-archive-") as folder:
        for row in asyncio.run(measure(options.url, Path(folder), options.facts)):
            print(row)


async def measure(url: str, folder: Path, count: int) -> list[str]:
    """The rows of the table."""
    archive = open_archive(url, folder)
    await archive.start()
    chance = random.Random(SEED)
    sample: list[ArchivedFact] = []  # not all: what the bench holds, the collector of garbage walks through
    spent_ns: list[int] = []
    worked_ns: list[int] = []
    for chunk in _chunks(chance, count):
        begun, worked = time.perf_counter_ns(), time.process_time_ns()
        await archive.keep(chunk)
        spent_ns.append(time.perf_counter_ns() - begun)
        worked_ns.append(time.process_time_ns() - worked)
        sample += chunk[::SAMPLED]
    tail = spent_ns[-max(1, len(spent_ns) // 10) :]
    rows = [
        _row("facts kept per second", _rate(count, spent_ns), f"chunks of {CHUNK_RECORDS_MAX:,}"),
        _row("the last tenth of them", _rate(count * len(tail) // len(spent_ns), tail), f"of {count:,} facts"),
        _row(
            "facts per second of CPU",
            _rate(count, worked_ns),
            "of this process; what others leave of the machine aside",
        ),
        *await _looks(archive, chance, sample, count),
        await _retire(archive, [one.fact.uetr for one in sample]),
    ]
    await archive.close()
    if not url:
        rows.append(
            _row("bytes on disk per payment", f"{_size(folder) // count:,}", "with its entries and all indexes")
        )
    return rows


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def _looks(archive: SqlArchive, chance: random.Random, kept: list[ArchivedFact], count: int) -> list[str]:
    """Latencies, one call at a time."""
    everything = [LogRange(partition, 0, count) for partition in range(SETTLEMENT_PARTITIONS)]

    async def get() -> int:
        fact = chance.choice(kept).fact
        assert await archive.get(fact.debtor_agent, fact.uetr) == fact
        return 1

    async def page() -> int:
        one = chance.choice(kept)
        owner, place = one.fact.debtor_agent, f"s{one.partition}.{one.offset}"
        return len(await archive.statement(everything, owner, [Asset.HKD], (), place, PAGE_SIZE_MAX))

    async def nets() -> int:
        payments, _ = await archive.nets(everything, [Asset.HKD], ())
        assert payments == count
        return 1

    looks: dict[str, Callable[[], Awaitable[int]]] = {
        "get": get,
        f"statement, pages of {PAGE_SIZE_MAX}": page,
        f"nets of {count:,} payments": nets,
    }
    rows = []
    for name, look in looks.items():
        rate = await closed_loop([look], LOOK_SECONDS)
        rows.append(_row(name, f"{rate.p50_ms:.2f} ms", f"p99 {rate.p99_ms:.2f} ms"))
    return rows


async def _retire(archive: SqlArchive, uetrs: list[str]) -> str:
    begun = time.perf_counter_ns()
    for start in range(0, len(uetrs), RETIRE_COUNT):
        await archive.retired(uetrs[start : start + RETIRE_COUNT])
    rate = _rate(len(uetrs), [time.perf_counter_ns() - begun])
    return _row("facts retired per second", rate, f"steps of {RETIRE_COUNT}")


def _chunks(chance: random.Random, count: int) -> Iterator[list[ArchivedFact]]:
    """Each of one partition, as the settler reads the log; an agent's events are all in one partition."""
    offsets = [0] * SETTLEMENT_PARTITIONS
    for start in range(0, count, CHUNK_RECORDS_MAX):
        partition = chance.randrange(SETTLEMENT_PARTITIONS)
        size = min(CHUNK_RECORDS_MAX, count - start)
        yield [_fact(chance, partition, offsets[partition] + place) for place in range(size)]
        offsets[partition] += size


def _fact(chance: random.Random, partition: int, offset: int) -> ArchivedFact:
    uetr, request_id = (str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(2))
    agent, time_ms = f"AGENT{partition:03}", NOW_MS + offset
    entries = (
        Entry(agent, Asset.HKD, 10_000),
        Entry(f"GATEWAY{offset % AGENTS:03}", Asset.HKD, -9_990),
        Entry(FEE_PARTICIPANT, Asset.HKD, -10),
    )
    names = ("hkfps", "hk-hk.hkd", f"FPS{offset:014}")
    fact = SettlementFact(
        uetr, offset + 1, uetr, agent, State.COMMITTED, "", *names, entries, time_ms, time_ms + 300, request_id,
        chance.randbytes(64),
    )  # fmt: skip
    return ArchivedFact(fact, partition, offset, chance.randbytes(32))


def _rate(count: int, spent_ns: list[int]) -> str:
    return f"{count * 10**9 // sum(spent_ns):,}"


def _row(name: str, figure: str, note: str) -> str:
    return f"{name:<28} {figure:>12}   {note}"


if __name__ == "__main__":
    main()
