"""What a run is aimed at: a whole switch started here, every part a process of its own, or one that runs already."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bayswitch.v1 import participant_pb2

from deploy.local import kafka
from deploy.local.ports import free_ports
from deploy.local.valkey import Valkey
from loadtest.mixes import scenario_of
from loadtest.profiles import RailFault
from loadtest.sampling import family
from switch.cli.client import Target, connect
from switch.cli.sandbox import OPERATOR, Sandbox, load_scenario
from switch.events.topics import ensure, topics_of
from switch.settings import load_settings

__all__ = ["Settlement", "System", "attached", "started"]

# Quotes that nobody uses end soon, so that what they reserve is free when the run is looked at.
ENVIRONMENT: Final = {
    "BAYSWITCH_QUOTE_MS": "10000",
    "BAYSWITCH_PRODUCTION": "true",
    "BAYSWITCH_SETTLER_INSTANCE": "load",
    "BAYSWITCH_KAFKA_PARTITIONS": "6",
    "BAYSWITCH_ADMIN_PORT": "0",
}


class Settlement(NamedTuple):
    """Where the settlement of a run is looked at."""

    bootstrap: str
    store: Valkey
    data_dir: Path
    rules_dir: Path


class System(NamedTuple):
    """A switch under load. `parts`: name -> pids of what runs here now. `admins`: host:port of each process that has metrics.

    `settlement`: None when only the switch is known.
    """

    address: str
    operator: str
    controls: Mapping[str, str]
    parts: Callable[[], dict[str, list[int]]]
    enrol: Callable[[Mapping[str, int]], None]
    admins: Callable[[], Sequence[str]]
    sandbox: Sandbox | None = None
    settlement: Settlement | None = None

    def participants(self) -> list[str]:
        """Everybody who is entered, so that an audit sees every payment."""
        with connect(Target(self.address, self.operator)) as client:
            found = client.call(client.participants.ListParticipants, participant_pb2.ListParticipantsRequest())
        return [each.participant_id for each in found.participants]

    def spoil(self, faults: tuple[RailFault, ...], seed: int) -> None:
        """Set faults of the mock rails; only of a system started here."""
        for each in faults:
            assert self.sandbox is not None, "faults of rails are set where the rails run"
            self.sandbox.control(each.rail, "fault", fault=each.fault, per_mille=each.per_mille, seed=seed)

    def heal(self) -> None:
        """No fault any more."""
        if self.sandbox is not None:
            for rail in self.sandbox.rails:
                self.sandbox.control(rail, "clear")


@contextlib.contextmanager
def started(folder: Path, given: Mapping[str, str] | None = None, *, quick: bool = False) -> Iterator[System]:
    """Kafka, Valkey, rails, switch, relay and settler; all ended after the block.

    `given`: more environment of switch, relay and settler. `quick`: a broker that starts faster and runs slower.

    Raises KafkaFailed, NotReady: a part did not start; nothing is left running.
    """
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(kafka.cluster(folder=folder / "kafka", quick=quick))
        valkey = Valkey(folder / "valkey", free_ports(1)[0])
        stack.callback(valkey.stop)
        valkey.start()
        environment = {
            **ENVIRONMENT,
            **(given or {}),
            "BAYSWITCH_KAFKA_BOOTSTRAP": broker.bootstrap,
            "BAYSWITCH_REDIS_URL": valkey.url,
        }
        _topics(environment)
        sandbox = Sandbox(folder / "sandbox", environment, signing=False, apart=True)
        stack.callback(sandbox.stop)
        sandbox.start()

        def parts() -> dict[str, list[int]]:
            assert sandbox.switch is not None
            ours = {"switch": sandbox.switch, **sandbox.beside, **sandbox.rails}
            found = {name: family(part.pid) for name, part in ours.items()}
            return {**found, "store": [valkey.pid], "kafka": [node.pid for node in broker.nodes if node.pid]}

        def admins() -> list[str]:
            """A switch of another revision may have none, and an older relay or settler has none."""
            assert sandbox.switch is not None
            told = (part.ready.get("admin", "none") for part in (sandbox.switch, *sandbox.beside.values()))
            return [where for where in told if where != "none"]

        def enrol(institutions: Mapping[str, int]) -> None:
            sandbox.enrol(scenario_of(institutions, load_scenario()))

        settlement = Settlement(broker.bootstrap, valkey, sandbox.data_dir, sandbox.directory / "rules")
        yield System(sandbox.address, OPERATOR, sandbox.controls, parts, enrol, admins, sandbox, settlement)


def _topics(environment: Mapping[str, str]) -> None:
    settings, _ = load_settings(environment)
    asyncio.run(ensure(settings.kafka_bootstrap, topics_of(settings)))


class _Elsewhere(Sandbox):
    """A switch that somebody else started: where it is, which is enough to enrol participants."""

    def __init__(self, address: str) -> None:
        self._elsewhere = address

    @property
    def address(self) -> str:
        return self._elsewhere


def attached(address: str, controls: Mapping[str, str], *, enrol: bool, admins: Sequence[str] = ()) -> System:
    """One that runs already, over demo identity, its operator named OPERATOR. Rails' books are read where `controls` says.

    `admins`: host:port of its processes' admin ports; without one the report has no stages.
    `enrol`: enter the mix's participants; otherwise they are there. What was there before is audited as well.
    """

    def enter(institutions: Mapping[str, int]) -> None:
        if enrol:
            _Elsewhere(address).enrol(scenario_of(institutions, load_scenario()))

    return System(address, OPERATOR, controls, dict, enter, lambda: admins)
