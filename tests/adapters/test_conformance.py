"""The conformance suite itself: a rail that breaks a promise is caught, and the promise is named."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from adapters.conformance import CHECKS, Broken, RailCase, run_check
from adapters.kit.promises import Untimely
from adapters.kit.pulse import in_good_time
from switch.domain.payment import Hold
from switch.errors import RailRejected, RailSilent, RailUnavailable
from switch.ports import Enquiry, InboundHandler, RailAck
from tests.adapters.hkfps.cases import make_case


class _Wrapped:
    """A rail with one promise broken; everything else is the honest rail's."""

    def __init__(self, rail: Any) -> None:
        self.rail = rail
        self.name = rail.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rail, name)


class _SilenceIsRefusal(_Wrapped):
    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        try:
            return await self.rail.prepare(hold, budget_ms)  # type: ignore[no-any-return]
        except RailSilent as silent:
            raise RailRejected("RAIL_REFUSED", "TIMEOUT") from silent


class _PaysAgain(_Wrapped):
    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        await self.rail.prepare(hold, budget_ms)
        again = hold._replace(instruction=hold.instruction._replace(uetr=str(uuid.uuid4())))
        return await self.rail.prepare(again, budget_ms)  # type: ignore[no-any-return]


class _OneReason(_Wrapped):
    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        try:
            return await self.rail.prepare(hold, budget_ms)  # type: ignore[no-any-return]
        except RailRejected as refused:
            raise RailRejected("RAIL_REFUSED", refused.rail_code) from refused


class _AbortIsEnquire(_Wrapped):
    async def abort(self, hold: Hold, budget_ms: int) -> Enquiry:
        return await self.rail.enquire(hold, budget_ms)  # type: ignore[no-any-return]


class _SwallowsCancel(_Wrapped):
    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        try:
            return await self.rail.prepare(hold, budget_ms)  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            return RailAck("FPS0", "ACSC")


class _CutIsUnavailable(_Wrapped):
    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        try:
            return await self.rail.prepare(hold, budget_ms)  # type: ignore[no-any-return]
        except RailSilent as silent:
            raise RailUnavailable("cut") from silent


class _Dawdles(_Wrapped):
    async def prepare(self, hold: Hold, budget_ms: int) -> RailAck:
        return await self.rail.prepare(hold, budget_ms + 2_000)  # type: ignore[no-any-return]


BREAKS = [
    (_SilenceIsRefusal, "silence"),
    (_SilenceIsRefusal, "malformed_answer"),
    (_Dawdles, "silence"),
    (_PaysAgain, "repeat_is_safe"),
    (_PaysAgain, "accepts"),
    (_OneReason, "refuses_by_its_rules"),
    (_OneReason, "maps_every_code"),
    (_AbortIsEnquire, "abort"),
    (_SwallowsCancel, "cancel_is_clean"),
    (_CutIsUnavailable, "cut_in_the_answer"),
    (_CutIsUnavailable, "close_is_silence"),
]


@pytest.mark.parametrize(("wrapper", "check"), BREAKS)
async def test_a_broken_promise_is_named(wrapper: type[_Wrapped], check: str) -> None:
    @asynccontextmanager
    async def broken_case(handler: InboundHandler) -> AsyncIterator[RailCase]:
        async with make_case(handler) as case:
            yield replace(case, client=wrapper(case.client))

    with pytest.raises(Broken, match=f"^{check}: "):
        await run_check(check, broken_case)


# What a check does each time it is tried, on a machine that stands still.
TRIES: dict[str, tuple[list[Broken | None], type[Broken] | None]] = {
    "late once": ([Untimely("late"), None], None),
    "late for ever": ([Untimely("late")] * 5, Untimely),
    "wrong": ([Broken("paid twice")], Broken),
    "late, then wrong": ([Untimely("late"), Broken("paid twice")], Broken),
}


@pytest.mark.parametrize("name", TRIES)
async def test_only_what_came_late_is_tried_again_on_a_machine_that_stood_still(name: str) -> None:
    ends, raised = TRIES[name]
    left = iter(ends)

    async def check() -> None:
        time.sleep(0.1)  # noqa: ASYNC251  the loop stands still
        if end := next(left):
            raise end

    with contextlib.nullcontext() if raised is None else pytest.raises(raised):
        await in_good_time(check)
    assert list(left) == []


def test_every_check_says_what_it_promises() -> None:
    assert len(CHECKS) >= 26
