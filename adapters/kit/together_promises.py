"""What `prepare_all` promises, as checks of the conformance suite (adapters.conformance.CHECKS)."""

import asyncio
from contextlib import aclosing
from typing import Final

from adapters.kit.promises import (
    AMPLE_MS,
    SCANT_MS,
    Broken,
    RailCase,
    rejected,
    require,
    require_in_time,
    set_fault,
    times_paid,
    until,
)
from switch.domain.payment import Hold
from switch.errors import RailRejected, RailSilent
from switch.ports import Answered, RailAck

__all__ = ["CHECKS"]

_MANY: Final = 40
_SILENT_MS: Final = SCANT_MS * 6  # waited out by one; the others are answered in it on a busy machine, too


async def _told(case: RailCase, holds: list[Hold], budget_ms: int = AMPLE_MS) -> list[Answered]:
    """Every answer, in the order in which they came, each about a hold of its own."""
    told = [one async for wave in case.client.prepare_all(holds, budget_ms) for one in wave]
    require(sorted(place for place, _ in told) == list(range(len(holds))), "each of many is answered, and once")
    return told


async def many_together(case: RailCase) -> None:
    """Each of many gets the answer it would get alone, whatever its neighbours get."""
    holds = [case.good() for _ in range(_MANY)]
    refusals = {_MANY + number: make() for number, make in enumerate(case.refusals.values())}
    repeated = holds[0]
    told = dict(await _told(case, [*holds, *refusals.values(), repeated]))
    for place, hold in enumerate(holds):
        require(told[place] == await case.client.prepare(hold, AMPLE_MS), "one of many is acked as alone")
        require(await times_paid(case, hold) == 1, "one of many is paid once")
    require(told[len(told) - 1] == told[0], "a repeat among many gets the first ack")
    for place, hold in refusals.items():
        said, alone = told[place], await rejected(case, hold)
        require(isinstance(said, RailRejected), "one of many is refused as alone")
        assert isinstance(said, RailRejected)
        require((said.reason, said.rail_code) == (alone.reason, alone.rail_code), "in the same words")
        require(await times_paid(case, hold) == 0, "a refused one of many is not in the books")


async def silence_among_many(case: RailCase) -> None:
    """One whose answer does not come is silent alone, and the others are answered without waiting for it."""
    await set_fault(case, "silent", count=1)
    told = await _told(case, [case.good() for _ in range(5)], _SILENT_MS)
    kinds = [type(said).__name__ for _, said in told]
    expected = [RailAck.__name__] * 4 + [RailSilent.__name__]
    require_in_time(
        kinds == expected, f"its neighbours are paid, and silence comes last and alone, not {', '.join(kinds)}"
    )


async def cancel_among_many(case: RailCase) -> None:
    """Who leaves before all have answered leaves nothing behind."""
    await set_fault(case, "silent", count=1)
    async with aclosing(case.client.prepare_all([case.good(), case.good()], AMPLE_MS)) as waves:
        await anext(waves)
    await until(lambda: case.in_flight() == 0, "leaving early frees every request")
    await set_fault(case, "silent", count=2)
    asked = asyncio.ensure_future(_told(case, [case.good(), case.good()]))
    await until(lambda: case.in_flight() == 2, "both are under way")
    asked.cancel()
    try:
        await asked
    except asyncio.CancelledError:
        await until(lambda: case.in_flight() == 0, "a cancel frees every request")
        return
    raise Broken("a cancel ends the wait")


CHECKS: Final = (many_together, silence_among_many, cancel_among_many)
