"""A mock FPS hub and all the banks behind it."""

from collections.abc import Callable
from pathlib import Path

from adapters.hkfps import hub_codec
from adapters.hkfps.spec import Transfer
from adapters.hkfps.statement import STATEMENT
from adapters.kit.clock import wall_ms
from adapters.kit.module import SimulatorOptions
from adapters.kit.push_simulator import PushSimulator

__all__ = ["FpsSimulator"]

SEED = Path(__file__).with_name("seed.toml")


class FpsSimulator(PushSimulator[Transfer]):
    """adapters.kit.module.Simulator for FPS."""

    def __init__(self, options: SimulatorOptions, now_ms: Callable[[], int] = wall_ms) -> None:
        super().__init__(options, hub_codec, seed=SEED, prefix="FPS", statement=STATEMENT, now_ms=now_ms)
