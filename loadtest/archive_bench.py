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

from loadtest.bench_rows import Figure, Scale, named, rows_of
from loadtest.bench_table import heading, line
from loadtest.measure import closed_loop
from switch.archive import SqlArchive, open_archive
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import FEE_PARTICIPANT, Entry
from switch.domain.settlement import LogRange, SettlementFact
from switch.limits import CHUNK_RECORDS_MAX, PAGE_SIZE_MAX, RETIRE_COUNT, SETTLEMENT_PARTITIONS
from switch.ports import ArchivedFact

__all__ = ["figures", "main", "measure"]

AGENTS = 40
NOW_MS = 1_795_400_000_000
LOOK_SECONDS = 1
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
        found = dict(named("archive", asyncio.run(measure(options.url, Path(folder), options.facts))))
    print(heading(), *(line(row, found[row.key]) for row in rows_of("archive") if row.key in found), sep="\n")


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "archive"."""
    with tempfile.TemporaryDirectory(prefix="bayswitch-archive-") as folder:
        yield from named("archive", asyncio.run(measure("", Path(folder), scale.facts)))


async def measure(url: str, folder: Path, count: int) -> dict[str, Figure]:
    """Figures by the name of their row."""
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
    found = {
        "facts kept per second": _figure(_rate(count, spent_ns), f"chunks of {CHUNK_RECORDS_MAX:,}"),
        "the last tenth of them": _figure(_rate(count * len(tail) // len(spent_ns), tail), f"of {count:,} facts"),
        "facts per second of CPU": _figure(_rate(count, worked_ns), "of this process, whatever others take meanwhile"),
        **await _looks(archive, chance, sample, count),
        "facts retired per second": await _retire(archive, [one.fact.uetr for one in sample]),
    }
    await archive.close()
    if not url:
        found["bytes on disk per payment"] = _figure(_size(folder) / count, "with its entries and all indexes")
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def _looks(archive: SqlArchive, chance: random.Random, kept: list[ArchivedFact], count: int) -> dict[str, Figure]:
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
        "nets of all payments": nets,
    }
    found = {}
    for name, look in looks.items():
        rate = await closed_loop([look], LOOK_SECONDS)
        found[name] = _figure(rate.p50_ms, f"p99 {rate.p99_ms:.2f} ms, one call at a time, over {count:,} payments")
    return found


async def _retire(archive: SqlArchive, uetrs: list[str]) -> Figure:
    begun = time.perf_counter_ns()
    for start in range(0, len(uetrs), RETIRE_COUNT):
        await archive.retired(uetrs[start : start + RETIRE_COUNT])
    return _figure(_rate(len(uetrs), [time.perf_counter_ns() - begun]), f"steps of {RETIRE_COUNT}")


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


def _rate(count: int, spent_ns: list[int]) -> float:
    return count * 10**9 / sum(spent_ns)


def _figure(value: float, note: str) -> Figure:
    return Figure((value,), (), note)


if __name__ == "__main__":
    main()
