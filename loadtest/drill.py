"""`make drill`: everything of the switch killed at random under load, then everything compared.

Parts: three brokers, a Valkey, every mock rail, the switch, a relay, a settler; each a process of its own. A careful
provider pays and repeats until it is answered; an operator cuts, closes and settles windows all the time; payments leave
the hot store after seconds. A seeded hand kills, pauses and starts again. Afterwards: answers = store = topic = archive =
rails' books, windows zero-sum, seals proven, headroom exact. Prints the seed and the figures; exit 1 when anything differs.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc.aio

from deploy.local import kafka
from deploy.local.ports import free_ports
from deploy.local.valkey import Valkey
from loadtest.audit import audit
from loadtest.provider import STEPS, Load
from loadtest.rest import Rest, Rounds
from loadtest.settlement_audit import audit_settlement
from switch.archive import open_archive
from switch.cli.processes import NotReady
from switch.cli.sandbox import OPERATOR, Sandbox, load_scenario
from switch.events.topics import ensure, topics_of
from switch.rules import load_rules
from switch.settings import load_settings

__all__ = ["Drill", "main"]

CALLERS: Final = 8
PAUSE_SECONDS: Final = (1.0, 6.0)  # between two blows
DOWN_SECONDS: Final = (0.0, 2.0)  # until what was hit is started again
STOPPED_SECONDS: Final = (0.5, 8.0)  # a process that is there and says nothing
LONG_STOP_SECONDS: Final = 60  # of one broker, once, in the middle of a campaign that is long enough
LONG_STOP_FROM_SECONDS: Final = 300
WINDOW_SECONDS: Final = (5.0, 15.0)  # between two cuts
QUIET_SECONDS_MAX: Final = 120  # after the load, everything must be settled by then
START_ATTEMPTS: Final = 5
FAULTS: Final = ("cut", "cut_before", "silent", "silent_booked")
FAULTS_PER_MILLE: Final = 5
# A kill of the settler must not wait for a group that believes it alive; quotes end soon, so that holds do.
ENVIRONMENT: Final = {
    "BAYSWITCH_QUOTE_MS": "5000",
    "BAYSWITCH_RETENTION_MS": "20000",
    "BAYSWITCH_PRODUCTION": "true",
    "BAYSWITCH_SETTLER_INSTANCE": "drill",
    "BAYSWITCH_KAFKA_PARTITIONS": "6",
    "BAYSWITCH_KAFKA_REPLICATION": "3",
    "BAYSWITCH_KAFKA_MIN_IN_SYNC": "2",
}


@dataclass
class Figures(Rounds):
    """What happened, for the last lines."""

    blows: Counter[str] = field(default_factory=Counter)


class Drill:
    """One campaign over one folder. `run` returns whether everything was as it should be."""

    def __init__(self, folder: Path, seed: int, seconds: float, *, nodes: int = 3, callers: int = CALLERS) -> None:
        self.figures = Figures()
        self._folder = folder
        self._seed = seed
        self._dice = random.Random(seed)
        self._seconds = seconds
        self._callers = callers
        self._kafka = kafka.cluster(nodes, folder=folder / "kafka")
        self._valkey = Valkey(folder / "valkey", free_ports(1)[0])
        self._sandbox: Sandbox | None = None
        self._environment = dict(ENVIRONMENT)
        if nodes == 1:
            self._environment |= {"BAYSWITCH_KAFKA_REPLICATION": "1", "BAYSWITCH_KAFKA_MIN_IN_SYNC": "1"}

    async def run(self) -> bool:
        """Start everything, hit it for the time, let it come to rest, compare."""
        try:
            await self._start()
            load = Load(self.sandbox.address, STEPS, self._callers, self._seed)
            await load.start()
            operator = asyncio.create_task(self._operate())
            await self._hit(time.monotonic() + self._seconds)
            await self._at_rest(load, operator)
            return await self._compared(load)
        finally:
            await asyncio.to_thread(self._stop)

    @property
    def sandbox(self) -> Sandbox:
        assert self._sandbox is not None
        return self._sandbox

    async def _start(self) -> None:
        await asyncio.to_thread(self._kafka.start)
        await asyncio.to_thread(self._valkey.start)
        self._environment["BAYSWITCH_KAFKA_BOOTSTRAP"] = self._kafka.bootstrap
        self._environment["BAYSWITCH_REDIS_URL"] = self._valkey.url
        settings, _ = load_settings(self._environment)
        await ensure(self._kafka.bootstrap, topics_of(settings))
        self._sandbox = Sandbox(self._folder / "sandbox", self._environment, signing=False, apart=True)
        self._sandbox.keep_port(free_ports(1)[0])
        await asyncio.to_thread(self._sandbox.start)
        await asyncio.to_thread(self._sandbox.enrol, load_scenario())
        for rail in self._sandbox.rails:
            for fault in FAULTS:
                await asyncio.to_thread(
                    self._sandbox.control, rail, "fault", fault=fault, per_mille=FAULTS_PER_MILLE, seed=self._seed
                )

    def _stop(self) -> None:
        if self._sandbox is not None:
            self._sandbox.stop()
        self._valkey.stop()
        self._kafka.stop(keep=True)

    # --- blows -------------------------------------------------------------------------------------------------------
    async def _hit(self, until: float) -> None:
        blows: dict[str, Callable[[], Awaitable[None]]] = {
            "switch killed": self._kill_switch,
            "relay killed": lambda: self._kill_beside("relay"),
            "settler killed": lambda: self._kill_beside("settler"),
            "store killed": self._kill_store,
            "broker killed": self._kill_broker,
            "broker stopped": lambda: self._stopped(self._dice.choice(self._kafka.nodes)),
            "every broker stopped": self._stop_brokers,
            "store stopped": lambda: self._stopped(self._valkey),
            "settler and switch killed": self._kill_both,
        }
        middle = until - self._seconds / 2 if self._seconds >= LONG_STOP_FROM_SECONDS else until
        while time.monotonic() < until:
            await asyncio.sleep(self._dice.uniform(*PAUSE_SECONDS))
            if time.monotonic() > middle:
                middle = until
                await self._stopped(self._dice.choice(self._kafka.nodes), LONG_STOP_SECONDS)
                self.figures.blows[f"broker stopped for {LONG_STOP_SECONDS} s"] += 1
            name = self._dice.choice(sorted(blows))
            await blows[name]()
            self.figures.blows[name] += 1

    async def _down(self) -> None:
        await asyncio.sleep(self._dice.uniform(*DOWN_SECONDS))

    async def _kill_switch(self) -> None:
        assert self.sandbox.switch is not None
        await asyncio.to_thread(self.sandbox.switch.kill)
        await self._down()
        await self._again(self.sandbox.start_switch)

    async def _kill_beside(self, name: str) -> None:
        await asyncio.to_thread(self.sandbox.beside[name].kill)
        await self._down()
        await self._again(lambda: self.sandbox.start_beside(name))

    async def _kill_both(self) -> None:
        await asyncio.to_thread(self.sandbox.beside["settler"].kill)
        await self._kill_switch()
        await self._again(lambda: self.sandbox.start_beside("settler"))

    async def _kill_store(self) -> None:
        await asyncio.to_thread(self._valkey.kill)
        await self._down()
        await asyncio.to_thread(self._valkey.start)

    async def _kill_broker(self) -> None:
        node = self._dice.choice(self._kafka.nodes)
        await asyncio.to_thread(node.kill)
        await self._down()
        await asyncio.to_thread(node.start)
        deadline = time.monotonic() + kafka.READY_SECONDS_MAX
        await asyncio.to_thread(node.await_ready, len(self._kafka.nodes), deadline)

    async def _stop_brokers(self) -> None:
        for node in self._kafka.nodes[1:]:
            node.pause()
        await self._stopped(self._kafka.nodes[0])
        for node in self._kafka.nodes[1:]:
            node.resume()

    async def _stopped(self, part: Any, seconds: float = 0) -> None:
        """SIGSTOP for a while: worse than a kill, for its connections stay."""
        part.pause()
        await asyncio.sleep(seconds or self._dice.uniform(*STOPPED_SECONDS))
        part.resume()

    @staticmethod
    async def _again(start: Callable[[], None]) -> None:
        """A part may start while another is being hit: then it does not, and is started once more."""
        for attempt in range(START_ATTEMPTS):
            try:
                await asyncio.to_thread(start)
                return
            except NotReady:
                if attempt + 1 == START_ATTEMPTS:
                    raise

    # --- the operator ------------------------------------------------------------------------------------------------
    async def _operate(self) -> None:
        """Cut, close and settle every arrangement's window, again and again, through whatever happens."""
        while True:
            await asyncio.sleep(self._dice.uniform(*WINDOW_SECONDS))
            with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
                async with asyncio.timeout(30):
                    await self.settle_windows()

    async def settle_windows(self) -> None:
        """One round. Every call is safe to repeat; one that fails is left for the next round."""
        await self._rest.settle_windows()

    @property
    def _rest(self) -> Rest:
        return Rest(self.sandbox.address, OPERATOR, self._valkey, self._kafka.bootstrap, self.figures)

    # --- the end -----------------------------------------------------------------------------------------------------
    async def _at_rest(self, load: Load, operator: asyncio.Task[None]) -> None:
        """No more blows, no new payments; whatever is open ends, everything published is settled, all windows are paid."""
        for rail in self.sandbox.rails:
            await asyncio.to_thread(self.sandbox.control, rail, "clear")
        await load.stop()
        operator.cancel()
        await asyncio.gather(operator, return_exceptions=True)
        if left := await self._rest.reach(QUIET_SECONDS_MAX):
            raise TimeoutError(left[0])

    async def _nothing_waits(self) -> bool:
        """The outbox is empty, and the settler is where the log ends."""
        return not await self._rest.waiting()

    async def _compared(self, load: Load) -> bool:
        # A payment that leaves the store while its page is read may be on none: nothing moves while it is compared.
        await asyncio.to_thread(self.sandbox.beside["settler"].stop)
        participants = [row["id"] for row in load_scenario()["participant"]]
        answers = await audit(self.sandbox.address, OPERATOR, participants, self.sandbox.controls, load.answers)
        rules = load_rules(self._folder / "sandbox" / "rules")
        archive = open_archive("", self.sandbox.data_dir)
        try:
            settlement = await audit_settlement(
                self.sandbox.address,
                OPERATOR,
                participants,
                self._kafka.bootstrap,
                archive,
                rules.arrangements.values(),
            )
        finally:
            await archive.close()
        blows = ", ".join(f"{count} {name}" for name, count in sorted(self.figures.blows.items()))
        print(f"blows: {sum(self.figures.blows.values())} ({blows})")
        print(f"windows: {self.figures.cut} cuts asked for; repeats by callers {load.repeats}")
        print(answers)
        print(settlement)
        unexpected = set(load.refusals) - {"QUOTE_EXPIRED"}  # a restart may outlast a quote
        if unexpected:
            print(f"refusals nobody expects: {dict(load.refusals)}")
        return answers.clean and settlement.clean and not unexpected


def main() -> None:
    """Parse, run in a folder of its own, say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument(
        "--seed", type=int, default=None, help="of the hand and of the load; default: another each time"
    )
    parser.add_argument("--keep", type=Path, default=None, help="keep data and logs here")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}, {given.minutes:g} minutes", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bayswitch-drill-") as scratch:
        clean = asyncio.run(Drill(given.keep or Path(scratch), seed, given.minutes * 60).run())
    print(f"{'clean' if clean else 'NOT CLEAN'} after {time.monotonic() - begun:.0f} s, seed {seed}")
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
