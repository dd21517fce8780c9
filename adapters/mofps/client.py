"""The switch's side of Easy Transfer."""

from collections.abc import Callable

from adapters.kit.clock import wall_ms
from adapters.kit.module import RailOptions
from adapters.kit.push_client import PushRail
from adapters.mofps import codec
from adapters.mofps.spec import Transfer

__all__ = ["EasyTransferRail"]


class EasyTransferRail(PushRail[Transfer]):
    """ports.Rail over one pipelined link to the Easy Transfer hub.

    A bank that credits in batches answers ACSP first: `prepare` ends at once in RailSilent, and an enquiry says WORKING
    until the batch has run.
    """

    def __init__(self, options: RailOptions, now_ms: Callable[[], int] = wall_ms) -> None:
        super().__init__("mofps", codec, options, now_ms)
