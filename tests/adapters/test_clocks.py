""" "Never seen" is final only when the rail's own clock says so too: ours may have been set forward a moment ago."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from adapters.kit.promises import AMPLE_MS, RailCase
from switch.limits import CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_VALID_MS
from switch.ports import InboundHandler, Outcome
from tests.adapters.ecny.test_conformance import factory
from tests.adapters.hkfps.cases import make_case as make_fps
from tests.adapters.mofps.cases import make_case as make_mofps

FORWARD_MS = 3_600_000
OLD_MS = RAIL_MESSAGE_VALID_MS + CLOCK_SKEW_MS_MAX + 2_000

Make = Callable[[InboundHandler], AbstractAsyncContextManager[RailCase]]


@pytest.mark.parametrize("rail", ["hkfps", "mofps", "ecny"])
async def test_a_clock_set_forward_ends_nothing(rail: str, tmp_path: Path) -> None:
    makers: dict[str, Make] = {"hkfps": make_fps, "mofps": make_mofps, "ecny": factory(tmp_path, signing=False)}

    async def nothing_comes(_: object) -> None:
        raise AssertionError("nothing is brought here")

    async with makers[rail](nothing_comes) as case:  # type: ignore[arg-type]
        true_ms = case.client._now_ms  # type: ignore[attr-defined]
        case.client._now_ms = lambda: true_ms() + FORWARD_MS  # type: ignore[attr-defined]
        young = case.good()
        assert (await case.client.abort(young, AMPLE_MS)).outcome is Outcome.WORKING, "it may still be on its way"
        ack = await case.client.prepare(young, AMPLE_MS)
        assert (await case.client.abort(young, AMPLE_MS)).ack == ack
        assert (await case.client.abort(case.aged(OLD_MS), AMPLE_MS)).outcome is Outcome.NEVER_SEEN
