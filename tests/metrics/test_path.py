"""The path of a payment tells its meter what it did: each stage once, the rail's word, the outcome."""

from collections.abc import Sequence

import pytest
from bayswitch.v1 import payment_pb2

from switch.errors import RailRejected, RailSilent, RailUnavailable
from switch.metrics import PathMeter
from switch.ports import Enquiry, Outcome, RailAck, Stage
from tests.api.support import refusal, submit_request
from tests.fakes import World, until
from tests.metrics.support import serving_metered

ON_THE_PATH = [1, 1, 1, 1]  # PARSE, ROUTE, STORE, COMMIT


def stages(meter: PathMeter) -> list[int]:
    return [sum(meter.stages[stage].counts) for stage in Stage if stage is not Stage.RAIL]


def outcomes(meter: PathMeter) -> Sequence[tuple[str, str]]:
    """State and reason of every move, in order of their names."""
    return sorted(names[2:] for names, count in meter.outcomes() for _ in range(count))


# what the rail does, what the meter hears of it, how the payment stands
RAIL_ANSWERS = [
    (RailAck("FPS1", "ACSC"), "done", ("COMMITTED", "")),
    (RailRejected("CREDITOR_ACCOUNT_CLOSED", "AC04"), "refused", ("ABORTED", "CREDITOR_ACCOUNT_CLOSED")),
    (RailUnavailable("down"), "unavailable", ("ABORTED", "RAIL_UNAVAILABLE")),
    (RailSilent("no answer"), "silent", ("IN_DOUBT", "")),
]


@pytest.mark.parametrize(("answer", "outcome", "stands"), RAIL_ANSWERS)
async def test_what_the_rail_said(answer: object, outcome: str, stands: tuple[str, str]) -> None:
    world = World()
    world.near.will("prepare", answer)
    async with serving_metered(world) as (api, meter):
        await api.submit()
        assert stages(meter) == ON_THE_PATH
        assert {key: sum(each.counts) for key, each in meter.rails.items()} == {("near", "prepare", outcome): 1}
        assert outcomes(meter) == [stands]
        assert sum(sum(each.durations.counts) for each in meter.corridors.values()) == 1


async def test_a_replay_is_no_payment_and_a_refusal_without_trace_is_counted() -> None:
    async with serving_metered(World()) as (api, meter):
        request = submit_request()
        await api.submit(request)
        await api.submit(request)
        assert outcomes(meter) == [("COMMITTED", "")]
        again = await refusal(api.submit(submit_request(uetr=request.uetr)))
        assert (again.reason, meter.refusals) == ("UETR_REUSED", {"UETR_REUSED": 1})


async def test_recovery_ends_what_was_in_doubt() -> None:
    world = World()
    world.near.will("prepare", RailSilent("no answer"))
    async with serving_metered(world) as (api, meter):
        stands = await api.submit()
        assert stands.state == payment_pb2.PAYMENT_STATE_IN_DOUBT
        world.near.will("enquire", Enquiry(Outcome.DONE, RailAck("FPS1", "ACSC")))
        world.clock.advance(60_000)
        assert await world.recovery.look() == 1
        await until(lambda: len(outcomes(meter)) == 2)
    assert outcomes(meter) == [("COMMITTED", ""), ("IN_DOUBT", "")]
    assert sum(meter.rails["near", "enquire", "done"].counts) == 1
