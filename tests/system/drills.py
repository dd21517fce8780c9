"""The drill's parts (loadtest/drill.py) for tests: one broker, a store and a sandbox apart, and who kills is the test."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio

from deploy.local.valkey import CommandFailed
from loadtest.drill import FAULTS, Drill
from loadtest.provider import Load
from switch.archive import open_archive
from switch.cli.sandbox import load_scenario
from switch.errors import BrokerUnavailable
from switch.ports import Archive

__all__ = ["PARTICIPANTS", "Rehearsal", "seeded"]

T = TypeVar("T")

PARTICIPANTS = [row["id"] for row in load_scenario()["participant"]]
RETENTION_MS = 2_000  # payments leave the store while the test runs
FAULTS_PER_MILLE = 1  # of each kind
ROUND_SECONDS = (1.5, 3.0)  # between two rounds of the operator
ROUND_SECONDS_MAX = 30
COMMAND_SECONDS_MAX = 120
TRIES = 3  # of what asks much of a busy machine, each question with a bound of its own


def seeded() -> tuple[int, random.Random]:
    """A new seed, printed, and its dice."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return seed, random.Random(seed)


class Rehearsal(Drill):
    """Everything of a drill, started and stopped by `running`; blows and load are the test's own."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed, 0, nodes=1)
        self._environment["BAYSWITCH_RETENTION_MS"] = str(RETENTION_MS)
        # The next life takes the partitions over at once: the broker does not wait for the one that was killed.
        self._environment["BAYSWITCH_SETTLER_INSTANCE"] = "rehearsal"

    @property
    def store(self) -> Any:
        return self._valkey

    @property
    def bootstrap(self) -> str:
        return self._kafka.bootstrap

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All parts run, and participants are entered; all end."""
        try:
            await self._start()
            await self._fewer_faults()
            yield
        finally:
            await asyncio.to_thread(self._stop)

    async def _fewer_faults(self) -> None:
        """A few callers would all wait for silent rails, and nothing would run when something is killed."""
        for rail in self.sandbox.rails:
            await asyncio.to_thread(self.sandbox.control, rail, "clear")
            for kind in FAULTS:
                await asyncio.to_thread(
                    self.sandbox.control, rail, "fault", fault=kind, per_mille=FAULTS_PER_MILLE, seed=self._seed
                )

    @asynccontextmanager
    async def operating(self) -> AsyncIterator[asyncio.Task[None]]:
        """An operator cuts, closes and settles windows all the time."""
        operator = asyncio.create_task(self._operate())
        try:
            yield operator
        finally:
            operator.cancel()
            await asyncio.gather(operator, return_exceptions=True)

    async def _operate(self) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(*ROUND_SECONDS))
            with suppress(grpc.aio.AioRpcError, TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS_MAX):
                    await self.settle_windows()

    async def at_rest(self, load: Load) -> None:
        """The load has ended with an answer to everything; all is published, settled, sealed and paid."""
        nobody = asyncio.create_task(asyncio.sleep(0))
        await _answered(lambda: self._at_rest(load, nobody))

    async def compared(self, load: Load) -> bool:
        """Whether answers, records, topic, archive, windows, positions, headroom and the rails' books agree. Prints."""
        await self.stand_still()
        return await _answered(lambda: self._compared(load))

    async def stand_still(self) -> None:
        """The settler ends: what is compared stands still."""
        assert await asyncio.to_thread(self.sandbox.beside["settler"].stop) == 0

    async def kill(self, name: str) -> None:
        """SIGKILL of the switch, the relay or the settler."""
        part = self.sandbox.switch if name == "switch" else self.sandbox.beside[name]
        assert part is not None
        await asyncio.to_thread(part.kill)

    async def start(self, name: str) -> None:
        await self._again(self.sandbox.start_switch if name == "switch" else lambda: self.sandbox.start_beside(name))

    async def nothing_waits(self) -> bool:
        """Everything final is published, and settled."""
        return await _answered(self._nothing_waits)

    async def retired(self) -> int:
        """How many payments are only in the archive any more, twice each: by request and by UETR."""
        return int(await self._stored("GET", "retired:{s0}") or 0)

    async def announced(self) -> bool:
        """The topic has every move of a window: until then it would be lost with the store, as a payment is."""
        return bool(await self._stored("XLEN", "settle:{settle}:announce") == 0)

    async def _stored(self, *command: str) -> Any:
        async def asked() -> Any:
            return self.store.command(*command)

        return await _answered(asked)

    @property
    def rules_dir(self) -> Path:
        return self._folder / "sandbox" / "rules"

    def archive(self) -> Archive:
        """Its own link; to be closed."""
        return open_archive("", self.sandbox.data_dir)

    async def command(self, *arguments: str) -> Any:
        """`bayswitch <arguments> --json` as a process: what it printed, as data. It must end with 0."""
        ran = await asyncio.to_thread(_ran, arguments, self.sandbox.environment)
        assert ran.returncode == 0, (ran.stdout[-2_000:], ran.stderr[-2_000:])
        return json.loads(ran.stdout)


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    """What it answers. A server that is late with an answer is asked again: no bound of a question is tested here."""
    for tries_left in reversed(range(TRIES)):
        try:
            return await ask()
        except (grpc.aio.AioRpcError, CommandFailed, BrokerUnavailable):
            if not tries_left:
                raise
    raise AssertionError("never asked")


def _ran(arguments: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "switch", *arguments, "--json"]
    whole = {**os.environ, **environment}
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        env=whole,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
        stdin=subprocess.DEVNULL,
    )
