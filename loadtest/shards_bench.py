"""Two shards on two masters of a cluster against one, when the store is the limit; what a payment asks of the store.

Payments are made once through the store's own functions, and the commands they sent are taken down (recording.py). Said
again to fresh servers, with no switch to wait for, they keep a server busy all the time: so many payments a second it
carries, and so much CPU each. With two shards a payment also claims its UETR where that lives, which one shard need not.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from deploy.local.ports import free_ports
from deploy.local.valkey import SLOTS, Valkey, run_valkey
from loadtest.bench_rows import Figure, Scale, median
from loadtest.measure import cpu_ms
from loadtest.recording import Recorder, commands_of, recorder, say_again
from loadtest.store_bench import hold_of, opened, pay

__all__ = ["AGENTS", "figures"]

SHARDS: Final = 2
AGENTS: Final = tuple(f"WALLET{number:02}" for number in range(8))  # half of them on each of two shards
# Files are written and not waited for: two masters have a disk each, and here they would share one.
_LATER: Final = ("--appendfsync", "everysec")
JOIN_SECONDS_MAX: Final = 20
JOIN_SECONDS: Final = 0.02
CORES_WANTED: Final = 4  # one for each master, and somebody has to speak


class _Wire(NamedTuple):
    """What the store said, for each server that is to hear it, and what it came to for one payment."""

    parts: list[list[bytes]]
    calls: float
    bytes_in: float
    bytes_out: float


class _Run(NamedTuple):
    per_second: float
    busiest_us: float  # CPU of the busier server, over all payments


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "shards"."""
    with TemporaryDirectory(prefix="bayswitch-shards-") as scratch:
        folder = Path(scratch)
        one, two = (_taken_down(folder / f"said{shards}", shards, scale.replayed) for shards in (1, SHARDS))
        runs: tuple[list[_Run], list[_Run]] = ([], [])
        for number in range(scale.runs):
            runs[0].append(_said(folder / f"one{number}", one, scale.replayed))
            runs[1].append(_said(folder / f"two{number}", two, scale.replayed))
    single, double = runs
    alone, both = (tuple(each.per_second for each in group) for group in runs)
    rates = f"raw scripts of {scale.replayed:,} payments; {os.cpu_count()} cores"
    if (os.cpu_count() or 1) < CORES_WANTED:
        rates += " for both masters, their files and who speaks: read the CPU below"
    yield "shards.rate", Figure(both, alone, rates)
    attainable = median([a.busiest_us for a in single]) / max(median([b.busiest_us for b in double]), 1e-9)
    note = f"so two masters with a core each carry {attainable:.2f} times what one does"
    yield "shards.cpu", Figure(tuple(b.busiest_us for b in double), tuple(a.busiest_us for a in single), note)
    beside = f"two shards: {two.calls:.3f} calls, {two.bytes_in:,.0f} bytes in, {two.bytes_out:,.0f} out"
    yield "shards.round_trips", Figure((one.calls,), (), f"groups of up to 256, shared by all that wait; {beside}")
    yield "shards.bytes_in", Figure((one.bytes_in,))
    yield "shards.bytes_out", Figure((one.bytes_out,))


def _taken_down(folder: Path, shards: int, count: int) -> _Wire:
    with run_valkey(folder) as server:
        return asyncio.run(_spoken(server, shards, count))


async def _spoken(server: Valkey, shards: int, count: int) -> _Wire:
    async with recorder(server.port) as (url, written), opened(url, shards=shards, agents=AGENTS) as store:
        first, before = len(written.said), _traffic(server)
        await pay(store, [hold_of(number, AGENTS[number % len(AGENTS)]) for number in range(count)])
        after = _traffic(server)
        calls = len(written.said) - first
    assert sum(int(str(server.command("XLEN", f"outbox:{{s{shard}}}"))) for shard in range(shards)) == count
    return _Wire(
        _parts(written, shards), calls / count, *((now - then) / count for now, then in zip(after, before, strict=True))
    )


def _parts(written: Recorder, shards: int) -> list[list[bytes]]:
    return [commands_of(written.said, f"s{shard}".encode()) for shard in range(shards)]


def _traffic(server: Valkey) -> tuple[int, int]:
    """Bytes that came in and went out, so far."""
    found: Any = server.command("INFO", "stats")
    states = found if isinstance(found, dict) else dict(row.split(":", 1) for row in found.splitlines() if ":" in row)
    return int(states["total_net_input_bytes"]), int(states["total_net_output_bytes"])


def _said(folder: Path, wire: _Wire, count: int) -> _Run:
    """One run on fresh servers: a single one, or masters of a cluster that share the slots."""
    with ExitStack() as stack:
        if len(wire.parts) == 1:
            servers = [stack.enter_context(run_valkey(folder, *_LATER))]
        else:
            settings = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", *_LATER)
            servers = [Valkey(folder / str(port), port, *settings) for port in free_ports(len(wire.parts))]
            for each in servers:
                stack.callback(each.stop)
                each.start()
            _share_slots(servers)
        before = [cpu_ms([each.pid]) for each in servers]
        with ThreadPoolExecutor(len(servers)) as pool:
            said = list(pool.map(say_again, [each.port for each in servers], wire.parts))
        spent = [cpu_ms([each.pid]) - then for each, then in zip(servers, before, strict=True)]
        finals = [int(str(each.command("XLEN", f"outbox:{{s{shard}}}"))) for shard, each in enumerate(servers)]
    if sum(finals) != count:
        raise RuntimeError(f"{sum(finals)} of {count} payments were made")
    return _Run(count / max(said), 1000 * max(spent) / count)


def _share_slots(servers: Sequence[Valkey]) -> None:
    """Each shard's slot to a master of its own, the others to the last one; the masters know each other."""
    mine = [int(str(servers[0].command("CLUSTER", "KEYSLOT", f"{{s{shard}}}"))) for shard in range(len(servers))]
    for place, each in enumerate(servers):
        last = place == len(servers) - 1
        slots = [slot for slot in range(SLOTS) if slot == mine[place] or (last and slot not in mine)]
        each.command("CLUSTER", "ADDSLOTS", *slots)
        each.command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
    for each in servers[1:]:
        each.command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
    deadline = time.monotonic() + JOIN_SECONDS_MAX
    while not all("cluster_state:ok" in _info(each) for each in servers):
        if time.monotonic() > deadline:
            raise RuntimeError("the masters did not come together")
        time.sleep(JOIN_SECONDS)


def _info(server: Valkey) -> str:
    """CLUSTER INFO, whatever the client makes of it."""
    found: Any = server.command("CLUSTER", "INFO")
    return "\n".join(f"{name}:{value}" for name, value in found.items()) if isinstance(found, dict) else str(found)
