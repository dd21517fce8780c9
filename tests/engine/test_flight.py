"""Payments that began together: each has its own outcome, and nobody waits for another's trouble."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.payment import Hold, Payment, State
from switch.engine import Running, Submitted
from switch.errors import RailRejected, RailSilent, RailUnavailable, Refused
from switch.ports import Answered, RailAck
from tests.engine.test_payments import BUDGET_MS, northbound
from tests.fakes import ScriptedRail, World, instruction, until

ACK = RailAck("FPS1", "ACSC")


class Waves(ScriptedRail):
    """Answers when it is told to, with what it is told, in the waves it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked_of: list[str] = []
        self.waves: asyncio.Queue[dict[str, RailAck | Exception] | Exception] = asyncio.Queue()

    async def prepare_all(self, holds: Sequence[Hold], budget_ms: int) -> AsyncGenerator[list[Answered], None]:
        self.asked_of += [hold.uetr for hold in holds]
        left = {hold.uetr: place for place, hold in enumerate(holds)}
        while left:
            wave = await self.waves.get()
            if isinstance(wave, Exception):
                raise wave
            yield [(left.pop(uetr), said) for uetr, said in wave.items()]


async def submit(world: World, *asked: Instruction) -> list[Submitted | Exception]:
    """Together, and what each was answered."""
    begun = world.payments.begin(asked)
    await world.payments.wait([each for each in begun if isinstance(each, Running)], BUDGET_MS)
    return [await told(world, each) for each in begun]


async def told(world: World, each: Running | Refused) -> Submitted | Exception:
    try:
        return each if isinstance(each, Refused) else await world.payments.outcome(each)
    except Exception as error:  # noqa: BLE001
        return error


def in_words(outcomes: Sequence[Submitted | Exception]) -> list[str]:
    return [
        f"{each.payment.state.name}{' replay' if each.replay else ''}"
        if isinstance(each, Submitted)
        else each.reason.name
        if isinstance(each, Refused)
        else type(each).__name__
        for each in outcomes
    ]


async def test_each_of_many_has_the_outcome_it_would_have_alone() -> None:
    world = World()
    await world.quote_rates()
    paid = instruction()
    await world.payments.submit(paid, BUDGET_MS)
    world.near.will("prepare", RailRejected("PROXY_UNKNOWN", "BE23"), RailSilent("x"), RailUnavailable("x"), ACK)
    asked = [
        instruction(),  # refused by the rail
        paid,  # a repeat
        paid._replace(remark="other"),  # another body
        instruction(debit=Money(Asset.HKD, 10**12)),  # over the cap
        northbound(),  # needs a quote
        instruction(),  # the rail is silent
        instruction(),  # the rail is not there
        instruction(uetr=paid.uetr),  # a UETR that was used
        instruction(),  # paid
    ]
    outcomes = await submit(world, *asked)
    assert in_words(outcomes) == [
        "ABORTED",
        "COMMITTED replay",
        "REQUEST_MISMATCH",
        "NET_DEBIT_CAP_EXCEEDED",
        "QUOTE_REQUIRED",
        "IN_DOUBT",
        "ABORTED",
        "UETR_REUSED",
        "COMMITTED",
    ]
    assert in_words(await submit(world, *asked)) == [
        "ABORTED replay",
        "COMMITTED replay",
        "REQUEST_MISMATCH",
        "NET_DEBIT_CAP_EXCEEDED",
        "QUOTE_REQUIRED",
        "IN_DOUBT replay",
        "ABORTED replay",
        "UETR_REUSED",
        "COMMITTED replay",
    ]
    assert world.payments.running == 0


async def test_one_request_twice_in_one_batch_is_one_execution() -> None:
    world, asked = World(), instruction()
    outcomes = await submit(world, asked, asked, asked._replace(remark="other"))
    assert in_words(outcomes) == ["COMMITTED", "COMMITTED replay", "REQUEST_MISMATCH"]
    assert world.near.asked["prepare"] == [asked.uetr]


async def test_who_is_answered_is_final_while_another_still_waits() -> None:
    world, rail = World(), Waves("near")
    world.payments._path._rails = {"near": rail, "far": world.far}
    slow, quick, lost = (instruction() for _ in range(3))
    all_told = asyncio.ensure_future(submit(world, slow, quick, lost))
    await until(lambda: len(rail.asked_of) == 3)
    rail.waves.put_nowait({quick.uetr: ACK})
    await until(lambda: world.store.payments[quick.uetr].state is State.COMMITTED)
    assert world.store.payments[slow.uetr].state is State.PREPARED
    assert not all_told.done()
    assert [world.payments.is_running("ALFA", each.request_id) for each in (slow, quick)] == [True, False]
    # A copy of the one that waits joins it, and one of the other is answered at once.
    joined = asyncio.ensure_future(submit(world, slow))
    assert in_words(await submit(world, quick)) == ["COMMITTED replay"]
    rail.waves.put_nowait({lost.uetr: RailSilent("no answer"), slow.uetr: RailRejected("PROXY_UNKNOWN", "BE23")})
    assert in_words(await all_told) == ["ABORTED", "COMMITTED", "IN_DOUBT"]
    assert in_words(await joined) == ["ABORTED replay"]


async def test_a_fault_of_a_rail_ends_with_its_own_payments() -> None:
    world, rail = World(), Waves("near")
    await world.quote_rates()
    world.payments._path._rails = {"near": rail, "far": world.far}
    one, other, third = (instruction() for _ in range(3))
    told_all = asyncio.ensure_future(submit(world, one, other, third))
    await until(lambda: len(rail.asked_of) == 3)
    rail.waves.put_nowait({one.uetr: ACK, other.uetr: ValueError("a fault of the adapter, of one payment")})
    await until(lambda: world.store.payments[one.uetr].state is State.COMMITTED)
    rail.waves.put_nowait(KeyError("a fault of the adapter, of all that are left"))
    assert in_words(await told_all) == ["COMMITTED", "ValueError", "KeyError"]
    # What nobody knows the end of keeps its hold, and recovery asks.
    assert {world.store.payments[each.uetr].state for each in (other, third)} == {State.PREPARED}
    assert not world.payments.is_running("ALFA", other.request_id)


async def test_a_store_that_fails_one_step_fails_those_it_was_asked_for() -> None:
    world = World()
    world.store.fail_next("prepare")
    assert in_words(await submit(world, instruction(), instruction())) == ["StoreUnavailable", "COMMITTED"]
    world.store.fail_next("commit", done=True)
    first, second = instruction(), instruction()
    assert in_words(await submit(world, first, second)) == ["StoreUnavailable", "COMMITTED"]
    assert in_words(await submit(world, first)) == ["COMMITTED replay"]


async def test_a_flight_that_is_cut_off_leaves_no_execution_behind() -> None:
    world = World()
    world.near.hold()
    begun = world.payments.begin([instruction(), instruction()])
    await world.near.arrived()
    (flight,) = world.payments._flights
    flight.cancel()
    await asyncio.wait((flight,))
    assert world.payments.running == 0
    for each in begun:
        assert isinstance(each, Running)
        assert each.execution.over


def paid_of(outcome: Submitted | Exception) -> Payment:
    assert isinstance(outcome, Submitted), outcome
    return outcome.payment


async def test_a_wait_ends_with_its_budget_and_the_flight_goes_on() -> None:
    world, asked = World(), [instruction() for _ in range(3)]
    world.near.hold()
    begun = [each for each in world.payments.begin(asked) if isinstance(each, Running)]
    await world.near.arrived()
    await world.payments.wait(begun, 20)
    assert in_words([await told(world, each) for each in begun]) == ["PREPARED"] * 3
    world.near.release()
    await world.payments.drain()
    assert [paid_of(await told(world, each)).state for each in begun] == [State.COMMITTED] * 3
