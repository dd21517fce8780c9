"""Events through relay and settler: how fast, how much memory, and whether every position is exact.

python -m loadtest.settle_bench [--events 1000000]

A real Valkey with an outbox full of payments, a real broker, a relay and a settler as processes of their own. The relay
alone first, then the settler alone over the same log, each measured from its start to its last event.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final

from deploy.local import kafka
from deploy.local.valkey import Valkey, run_valkey
from loadtest.bench_rows import Figure, Scale, named, rows_of
from loadtest.bench_table import heading, line
from loadtest.measure import cpu_ms
from loadtest.store_bench import ACK, hold_of
from switch.app import connect_store
from switch.cli.processes import Part, start_part
from switch.domain.money import Asset
from switch.events.log import KafkaLog
from switch.events.topics import ensure, topics_of
from switch.ports import Participant
from switch.settings import load_settings
from switch.store import Store

__all__ = ["figures", "main", "measure"]

AT_ONCE: Final = 2_000
AGENTS: Final = [f"WALLET{number:02}" for number in range(16)]
DEFAULT_EVENTS: Final = 50_000
LOOK_SECONDS: Final = 0.2


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "settle"."""
    yield from named("settle", measure(scale.events))


def measure(events: int = DEFAULT_EVENTS, *, bootstrap: str = "") -> dict[str, Figure]:
    """Figures by the name of their row. `bootstrap`: of a broker that is there, its topics empty; without it one is started."""
    with tempfile.TemporaryDirectory(prefix="bayswitch-settle-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        (folder / "data").mkdir()
        if not bootstrap:
            bootstrap = stack.enter_context(kafka.cluster(1, folder=folder / "kafka", quick=False)).bootstrap
        valkey = stack.enter_context(run_valkey(folder / "valkey"))
        return asyncio.run(_Bench(folder, bootstrap, valkey, events).measured())


class _Bench:
    """One run."""

    def __init__(self, folder: Path, bootstrap: str, valkey: Valkey, events: int) -> None:
        self._folder = folder
        self._valkey = valkey
        self._events = events
        self._bootstrap = bootstrap
        self._environment = {
            "BAYSWITCH_DATA_DIR": str(folder / "data"),
            "BAYSWITCH_REDIS_URL": valkey.url,
            "BAYSWITCH_KAFKA_BOOTSTRAP": bootstrap,
            "BAYSWITCH_DEMO_IDENTITY": "true",
        }
        self._settings, _ = load_settings(self._environment)
        self._found: dict[str, Figure] = {}
        self._expected: Counter[str] = Counter()  # positions, as the payments come to

    async def measured(self) -> dict[str, Figure]:
        async with AsyncExitStack() as opened:
            store = await connect_store(self._settings)
            opened.push_async_callback(store.close)
            await ensure(self._bootstrap, topics_of(self._settings))
            self._add("payments committed, to fill the outbox", await self._fill(store))
            await self._through("relay", self._outbox_is_empty)
            await self._through("settler", self._settled)
            await self._check(store)
        return self._found

    def _add(self, measure: str, figure: float, note: str = "") -> None:
        self._found[measure] = Figure((figure,), (), note)

    async def _fill(self, store: Store) -> float:
        for name in AGENTS:
            wallet = Participant(name, name, "HK", ("instructing",), False, ((Asset.HKD, 10**15),), 1)
            await store.participants.create_participant(wallet, "bench", "joins")
        begun = time.perf_counter()
        for first in range(0, self._events, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, self._events))
            holds = [hold_of(number, AGENTS[number % len(AGENTS)]) for number in numbers]
            for hold in holds:
                for entry in hold.entries:
                    self._expected[entry.participant] += entry.amount_minor
            await asyncio.gather(*(store.payments.prepare(hold, "") for hold in holds))
            await asyncio.gather(*(store.payments.commit(hold, ACK, hold.prepared_time_ms + 40) for hold in holds))
        return self._events / (time.perf_counter() - begun)

    async def _through(self, name: str, done: Callable[[], Any]) -> None:
        """One process from its start to its last event: rate, CPU, and how its memory grew over the second half."""
        part = await asyncio.to_thread(self._start, name)
        begun = time.perf_counter()
        try:
            half_kib = 0
            while (share := await done()) < 1:
                if share >= 0.5 and not half_kib:
                    half_kib = _rss_kib(part.pid)
                await asyncio.sleep(LOOK_SECONDS)
            seconds, end_kib = time.perf_counter() - begun, _rss_kib(part.pid)
            cpu = cpu_ms([part.pid])
        finally:
            await asyncio.to_thread(part.stop)
        self._add(f"{name}, one process", self._events / seconds)
        self._add(f"{name}, its CPU", 1000 * cpu / self._events)
        self._add(f"{name}, its memory at the end", end_kib / 1024)
        self._add(f"{name}, grown since the middle", (end_kib - half_kib) / 1024 if half_kib else 0)

    def _start(self, name: str) -> Part:
        return start_part(name, name, environment=self._environment, directory=self._folder)

    async def _outbox_is_empty(self) -> float:
        left: Any = self._valkey.command("XLEN", "outbox:{s0}")
        return 1 - int(left) / self._events

    async def _settled(self) -> float:
        ends = await KafkaLog(self._bootstrap).ends()
        applied: Any = self._valkey.command("HVALS", "settle:{settle}:offsets")
        return sum(map(int, applied)) / sum(ends.values())

    async def _check(self, store: Store) -> None:
        """Every position is what the payments come to, to the cent; every event is archived."""
        totals = {whose: total for (whose, _), total in (await store.settlements.totals()).items()}
        used = {row.participant: row.used_minor for row in await store.payments.positions()}
        wrong = [name for name, total in self._expected.items() if totals.get(name) != total]
        wrong += [name for name in AGENTS if used[name] != self._expected[name]]
        self._add("positions that differ from the payments", len(wrong), f"of {len(self._expected)} positions")


def _rss_kib(pid: int) -> int:
    for row in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if row.startswith("VmRSS:"):
            return int(row.split()[1])
    return 0


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.settle_bench", description=__doc__)
    parser.add_argument("--events", type=int, default=DEFAULT_EVENTS)
    found = dict(named("settle", measure(parser.parse_args().events)))
    print(heading(), *(line(row, found[row.key]) for row in rows_of("settle")), sep="\n")


if __name__ == "__main__":
    main()
