"""What a rail folder exports, and what its client and simulator are given."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from adapters.kit.statement import StatementFormat
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme
from switch.limits import CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_VALID_MS
from switch.ports import Rail

__all__ = ["RailModule", "RailOptions", "Simulator", "SimulatorOptions"]


class RailOptions(NamedTuple):
    """How the switch reaches one rail."""

    host: str
    port: int
    institution: str  # our own code on that rail (clearing code, institution id, app_id)
    keys_dir: Path  # where this rail's key pairs are; made on first use, shared with the simulator in a sandbox
    connections: int = 2
    signing: bool = True  # False only for load tests; `bayswitch config show` says so
    message_valid_ms: int = RAIL_MESSAGE_VALID_MS
    clock_skew_ms: int = CLOCK_SKEW_MS_MAX  # how far the rail's clock may be behind ours


class SimulatorOptions(NamedTuple):
    """How one simulator runs. Port 0 takes a free one."""

    host: str
    port: int
    control_port: int  # faults, inbound payments, books: see adapters/kit/control.py
    institution: str  # the switch's code on this rail
    keys_dir: Path
    seed: Path | None = None  # None: the rail's own seed.toml
    signing: bool = True
    message_valid_ms: int = RAIL_MESSAGE_VALID_MS


class Simulator(Protocol):
    """A mock rail: real accounts, proxies, balances and limits behind the rail's own bytes."""

    @property
    def port(self) -> int:
        """The bound port; valid after start."""
        ...

    @property
    def control_port(self) -> int: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class RailModule(NamedTuple):
    """The one thing a rail folder exports, as RAIL."""

    name: str  # the folder
    title: str  # for people
    place: Place
    assets: tuple[Asset, ...]  # what a creditor on this rail can get
    schemes: tuple[Scheme, ...]  # how a creditor on this rail can be addressed
    institution: str  # our default code on this rail
    make_client: Callable[[RailOptions], Rail]
    make_simulator: Callable[[SimulatorOptions], Simulator]
    statement: StatementFormat  # the form of its end-of-day statement
