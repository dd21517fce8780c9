"""A caller who repeats while recovery works: neither keeps the other from ending the payment."""

import asyncio

from switch.domain.payment import Hold, State
from switch.domain.position import entries_of
from switch.ports import Enquiry, Outcome, RailAck
from tests.fakes import World, instruction, until

HOLD_MS = 10_000


async def test_a_repeat_that_waits_does_not_keep_recovery_away() -> None:
    world = World()
    asked = instruction()
    # Prepared by a process that ended before it asked its rail, or by a script the store ran after our patience ended.
    now_ms = world.clock.now_ms()
    orphan = Hold(asked, "plain", "near", entries_of(asked, "GATEWAY", None), (), now_ms, now_ms + HOLD_MS)
    await world.ports.payments.prepare(orphan, "")
    world.clock.advance(HOLD_MS + 1)
    world.near.will("enquire", Enquiry(Outcome.DONE, RailAck("REF", "ACSC")))
    repeat = asyncio.create_task(world.payments.submit(asked, 15_000))
    await until(lambda: world.payments.running)
    assert not world.payments.is_running(asked.participant, asked.request_id)
    assert await world.recovery.look() == 1
    submitted = await repeat
    assert (submitted.payment.state, submitted.replay) == (State.COMMITTED, True)


async def test_a_payment_whose_rail_is_asked_is_left_alone() -> None:
    world = World()
    asked = instruction()
    world.near.hold()
    running = asyncio.create_task(world.payments.submit(asked, 15_000))
    await world.near.arrived()
    world.clock.advance(HOLD_MS + 1)
    assert world.payments.is_running(asked.participant, asked.request_id)
    assert await world.recovery.look() == 0
    world.near.release()
    assert (await running).payment.state is State.COMMITTED
    assert not world.payments.is_running(asked.participant, asked.request_id)
