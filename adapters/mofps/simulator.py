"""A mock Easy Transfer hub and the banks behind it."""

from collections.abc import Callable
from pathlib import Path

from adapters.kit.clock import wall_ms
from adapters.kit.module import SimulatorOptions
from adapters.kit.push_simulator import PushSimulator
from adapters.mofps import hub_codec
from adapters.mofps.spec import Transfer
from adapters.mofps.statement import STATEMENT

__all__ = ["EasyTransferSimulator"]

SEED = Path(__file__).with_name("seed.toml")


class EasyTransferSimulator(PushSimulator[Transfer]):
    """adapters.kit.module.Simulator for Easy Transfer, with real-time and with batched banks."""

    def __init__(self, options: SimulatorOptions, now_ms: Callable[[], int] = wall_ms) -> None:
        super().__init__(options, hub_codec, seed=SEED, prefix="MOET", statement=STATEMENT, now_ms=now_ms)
