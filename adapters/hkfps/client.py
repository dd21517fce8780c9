"""The switch's side of FPS."""

from collections.abc import Callable

from adapters.hkfps import codec
from adapters.hkfps.spec import Transfer
from adapters.kit.clock import wall_ms
from adapters.kit.module import RailOptions
from adapters.kit.push_client import PushRail

__all__ = ["FpsRail"]


class FpsRail(PushRail[Transfer]):
    """ports.Rail over one pipelined link to the FPS hub."""

    def __init__(self, options: RailOptions, now_ms: Callable[[], int] = wall_ms) -> None:
        super().__init__("hkfps", codec, options, now_ms)
