"""What metrics cost on the path: a call through the gate, and a payment's stages, metered and not, in the same run.

In CPU time of this process: the cost is well under a microsecond, and neighbours would drown it.
"""

import asyncio
import statistics
import time
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from switch.api.interceptors import Gate
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold, State, Transition
from switch.metrics import PathMeter
from switch.ports import UNMETERED, Meter, Stage

__all__ = ["rows"]

METHOD: Final = "/bayswitch.v1.PaymentService/SubmitPayment"
ROUNDS: Final = 20_000
REPEATS: Final = 7
_PARSE, _ROUTE, _STORE, _COMMIT = Stage.PARSE, Stage.ROUTE, Stage.STORE, Stage.COMMIT


def rows() -> list[dict[str, Any]]:
    """One row per measure, microseconds of CPU."""
    metered, bare = asyncio.run(_gates())
    return [
        _row("metrics: one call", metered, bare, "through the gate"),
        _row("metrics: one payment", _path_us(PathMeter()), _path_us(UNMETERED), "five stages, rail, outcome"),
    ]


def _row(measure: str, metered: float, bare: float, what: str) -> dict[str, Any]:
    return {
        "measure": measure,
        "metered_us": metered,
        "bare_us": bare,
        "cost_us": metered - bare,
        "text": f"{measure:<24} {metered - bare:9.2f} us ({what}: {metered:.2f} metered, {bare:.2f} not)",
    }


async def _gates() -> tuple[float, float]:
    """Microseconds of a call whose service does nothing: medians of runs that take turns."""
    calls = [await _guarded(PathMeter()), await _guarded(UNMETERED)]
    figures: list[list[float]] = [[], []]
    for _ in range(REPEATS):
        for call, found in zip(calls, figures, strict=True):
            begun = time.process_time_ns()
            for _ in range(ROUNDS):
                await call(None, _CONTEXT)
            found.append((time.process_time_ns() - begun) / ROUNDS / 1000)
    return statistics.median(figures[0]), statistics.median(figures[1])


async def _guarded(meter: Meter) -> Callable[[Any, Any], Any]:
    """The handler of METHOD behind a gate of its own."""
    gate = Gate(lambda _: "ALFA", ("OPERATOR",), calls_max=10, looks_max=10, meter=meter)

    async def nothing(_request: Any, _context: Any) -> str:
        return ""

    async def found(_details: Any) -> Any:
        plain = {"request_deserializer": None, "response_serializer": None, "unary_unary": nothing}
        return SimpleNamespace(request_streaming=False, response_streaming=False, **plain)

    handler = await gate.intercept_service(found, SimpleNamespace(method=METHOD))
    guarded: Callable[[Any, Any], Any] = handler.unary_unary
    return guarded


_CONTEXT: Final = SimpleNamespace(time_remaining=lambda: 10)


def _path_us(meter: Meter) -> float:
    """All that one payment tells its meter."""
    hold, step = _hold(), Transition(State.COMMITTED, 0)

    def path() -> None:
        begun_ns = now_ns = meter.now_ns()
        now_ns = meter.stage(_PARSE, now_ns)
        now_ns = meter.stage(_ROUTE, now_ns)
        now_ns = meter.stage(_STORE, now_ns)
        now_ns = meter.rail("hkfps", "prepare", "done", now_ns)
        meter.stage(_COMMIT, now_ns)
        meter.payment(hold, step, begun_ns)

    figures = []
    for _ in range(REPEATS):
        begun = time.process_time_ns()
        for _ in range(ROUNDS):
            path()
        figures.append((time.process_time_ns() - begun) / ROUNDS / 1000)
    return statistics.median(figures)


def _hold() -> Hold:
    party = Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "012345678"))
    money = Money(Asset.HKD, 10_000)
    uetr = str(uuid.uuid4())
    instruction = Instruction("ALFA", uetr, uetr, "BENCH", money, money, party, party, "", "", "", "")
    return Hold(instruction, "hk-hk.hkd", "hkfps", (), (), 0, 10_000)
