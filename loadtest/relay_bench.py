"""The relay: how many events a second one process carries from a real Valkey to a real broker, and where its time goes.

python -m loadtest.relay_bench [--events 50000] [--profile]

First the steps apart, in CPU of this process per event; then `bayswitch relay` as a process of its own, from its ready
line until the outbox is empty. With --profile the relay runs in this process instead, under cProfile.
"""

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Final

from deploy.local import kafka
from deploy.local.valkey import Valkey, run_valkey
from loadtest.bench_rows import Figure, Scale, named, rows_of
from loadtest.bench_table import heading, line
from loadtest.measure import cpu_ms
from loadtest.store_bench import ACK, hold_of
from switch.app import SystemClock, connect_store, run
from switch.cli.processes import start_part
from switch.domain.money import Asset
from switch.events import KafkaSink, Relay, topics_of
from switch.events.event_wire import record_of
from switch.events.producer import Record
from switch.events.topics import ensure
from switch.events.writer import TopicWriter
from switch.limits import RELAY_BATCH_COUNT
from switch.ports import OutboxEntry, Participant
from switch.settings import Settings, load_settings
from switch.store import Store

__all__ = ["figures", "main", "measure"]

AGENTS: Final = [f"WALLET{number:02}" for number in range(16)]
AT_ONCE: Final = 2_000
STEP_RUNS: Final = 9  # of each step
LOOK_SECONDS: Final = 0.05
PROFILE_LINES: Final = 30
DEFAULT_EVENTS: Final = 50_000


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "relay"."""
    yield from named("relay", measure(scale.events))


def measure(events: int = DEFAULT_EVENTS, *, bootstrap: str = "", profile: bool = False) -> dict[str, Figure]:
    """Figures by the name of their row. `bootstrap`: of a broker that is there; without it one is started."""
    with tempfile.TemporaryDirectory(prefix="bayswitch-relay-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        (folder / "data").mkdir()
        if not bootstrap:
            bootstrap = stack.enter_context(kafka.cluster(1, folder=folder / "kafka", quick=False)).bootstrap
        valkey = stack.enter_context(run_valkey(folder / "valkey"))
        bench = _Bench(folder, bootstrap, valkey, events)
        return run(bench.measured(profile), bench.settings)


class _Bench:
    """One run."""

    def __init__(self, folder: Path, bootstrap: str, valkey: Valkey, events: int) -> None:
        self._folder = folder
        self._events = events
        self._environment = {
            "BAYSWITCH_DATA_DIR": str(folder / "data"),
            "BAYSWITCH_REDIS_URL": valkey.url,
            "BAYSWITCH_KAFKA_BOOTSTRAP": bootstrap,
        }
        self.settings: Settings = load_settings(self._environment)[0]
        self._bootstrap = bootstrap
        self._topics = topics_of(self.settings)
        self._found: dict[str, Figure] = {}

    async def measured(self, profile: bool) -> dict[str, Figure]:
        async with AsyncExitStack() as opened:
            store = await connect_store(self.settings)
            opened.push_async_callback(store.close)
            await ensure(self._bootstrap, self._topics)
            await self._fill(store)
            await self._steps(store)
            await (self._profiled(store) if profile else self._process(store))
        return self._found

    def _add(self, measure: str, *runs: float) -> None:
        self._found[measure] = Figure(runs)

    async def _fill(self, store: Store) -> None:
        for name in AGENTS:
            wallet = Participant(name, name, "HK", ("instructing",), False, ((Asset.HKD, 10**15),), 1)
            await store.participants.create_participant(wallet, "bench", "joins")
        for first in range(0, self._events, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, self._events))
            holds = [hold_of(number, AGENTS[number % len(AGENTS)]) for number in numbers]
            await asyncio.gather(*(store.payments.prepare(hold, "") for hold in holds))
            await asyncio.gather(*(store.payments.commit(hold, ACK, hold.prepared_time_ms + 40) for hold in holds))

    async def _steps(self, store: Store) -> None:
        """Each step of a batch apart. What is published here lies in the topic twice, as after a kill."""
        entries = await store.payments.outbox_read(0, RELAY_BATCH_COUNT)
        records = [record_of(one.fact) for one in entries]
        bare: list[Record] = [(name, value, []) for name, value, _ in records]
        writer = TopicWriter(self._bootstrap, self._topics.payment)
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "read from the store, notes sealed": lambda: store.payments.outbox_read(0, RELAY_BATCH_COUNT),
            "encode, with headers": lambda: _encoded(entries),
            "write to the broker": lambda: writer.write(records),
            "write to the broker, without headers": lambda: writer.write(bare),
        }
        await writer.write(records)
        for name, step in steps.items():
            self._add(name, *[await _cpu_us(step) / len(entries) for _ in range(STEP_RUNS)])
        self._add("one record", sum(len(value) for _, value, _ in records) / len(records))
        await writer.close()

    async def _process(self, store: Store) -> None:
        part = await asyncio.to_thread(
            start_part, "relay", "relay", environment=self._environment, directory=self._folder
        )
        begun, used = time.perf_counter(), cpu_ms([part.pid])
        try:
            while (await store.payments.outbox_depth())[0]:  # noqa: ASYNC110 what is awaited is in another process
                await asyncio.sleep(LOOK_SECONDS)
            seconds, used = time.perf_counter() - begun, cpu_ms([part.pid]) - used
        finally:
            await asyncio.to_thread(part.stop)
        self._add("one relay, one shard", self._events / seconds)
        self._add("its CPU", 1000 * used / self._events)

    async def _profiled(self, store: Store) -> None:
        relay = Relay(store.payments, KafkaSink(self._bootstrap, self._topics.payment), SystemClock())
        profile = cProfile.Profile()
        profile.enable()
        running = asyncio.create_task(relay.run())
        while relay.published_total < self._events:  # noqa: ASYNC110 the relay tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        profile.disable()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        pstats.Stats(profile).sort_stats("tottime").print_stats(PROFILE_LINES)


async def _encoded(entries: list[OutboxEntry]) -> None:
    for one in entries:
        record_of(one.fact)


async def _cpu_us(step: Callable[[], Awaitable[object]]) -> float:
    begun = time.process_time_ns()
    await step()
    return (time.process_time_ns() - begun) / 1000


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.relay_bench", description=__doc__)
    parser.add_argument("--events", type=int, default=DEFAULT_EVENTS)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    found = dict(named("relay", measure(given.events, profile=given.profile)))
    print(heading(), *(line(row, found[row.key]) for row in rows_of("relay") if row.key in found), sep="\n")


if __name__ == "__main__":
    main()
