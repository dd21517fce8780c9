"""Recovery: only an answer of the rail ends a payment."""

import asyncio

import pytest

from switch.domain.payment import Payment, State
from switch.engine import RecoveryTimes
from switch.engine.recovery import settle
from switch.errors import RailSilent, RailUnavailable
from switch.limits import (
    ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX,
    ENQUIRY_BACKOFF_MS_MAX,
    ENQUIRY_FIRST_MS,
    RAIL_PREPARE_MS_MAX,
)
from switch.ports import Enquiry, Outcome, RailAck
from tests.fakes import NOON_MS, World, instruction, until

TIMES = RecoveryTimes()
HOLD_MS = 10_000
BUDGET_MS = 60_000
TOO_OLD_MS = TIMES.message_valid_ms + TIMES.clock_skew_ms

ANSWERS = {
    "DONE": Enquiry(Outcome.DONE, RailAck("REF", "ACSC")),
    "REFUSED": Enquiry(Outcome.REFUSED, None, "PROXY_UNKNOWN", "BE23"),
    "NEVER_SEEN": Enquiry(Outcome.NEVER_SEEN),
    "WORKING": Enquiry(Outcome.WORKING),
    "silent": RailSilent("nothing"),
    "unavailable": RailUnavailable("cut"),
    "-": None,
}

# What the rail says to an enquiry about a message this old, and to the abort that follows; what becomes of it.
CASES = """
# age    enquire      abort        state      reason
  young  DONE         -            COMMITTED  -
  old    DONE         -            COMMITTED  -
  young  REFUSED      -            ABORTED    PROXY_UNKNOWN
  old    REFUSED      -            ABORTED    PROXY_UNKNOWN
  young  NEVER_SEEN   -            IN_DOUBT   -
  old    NEVER_SEEN   NEVER_SEEN   ABORTED    RAIL_NEVER_SAW_IT
  old    NEVER_SEEN   DONE         COMMITTED  -
  old    NEVER_SEEN   REFUSED      ABORTED    PROXY_UNKNOWN
  old    NEVER_SEEN   WORKING      IN_DOUBT   -
  old    NEVER_SEEN   silent       IN_DOUBT   -
  old    NEVER_SEEN   unavailable  IN_DOUBT   -
  young  WORKING      -            IN_DOUBT   -
  old    WORKING      -            IN_DOUBT   -
  old    silent       -            IN_DOUBT   -
  old    unavailable  -            IN_DOUBT   -
"""


async def in_doubt(world: World) -> str:
    world.near.will("prepare", RailSilent("nothing"))
    payment = (await world.payments.submit(instruction(), BUDGET_MS)).payment
    assert payment.state is State.IN_DOUBT
    return payment.hold.uetr


async def one_look(world: World) -> int:
    """A look, and the end of every enquiry it began."""
    started = await world.recovery.look()
    await until(lambda: not world.recovery._asking)
    return started


@pytest.mark.parametrize("row", CASES.strip().splitlines()[1:], ids=lambda row: "-".join(row.split()))
async def test_what_an_answer_does(row: str) -> None:
    age, enquired, aborted, state, reason = row.split()
    world = World()
    uetr = await in_doubt(world)
    world.clock.advance(HOLD_MS + 1 if age == "young" else TOO_OLD_MS + 1)
    world.near.will("enquire", ANSWERS[enquired])
    world.near.will("abort", ANSWERS[aborted])
    assert await one_look(world) == 1
    payment = world.store.payments[uetr]
    assert payment.state.name == state
    assert payment.history[-1].reason == ("" if reason == "-" else reason)
    assert len(world.near.asked["abort"]) == (aborted != "-")
    assert len(world.near.asked["prepare"]) == 1, "nothing is sent twice"
    next_look = world.store.next_look_ms(uetr)
    (position,) = [each for each in await world.store.positions("ALFA") if each.asset.name == "HKD"]
    if payment.state.final:
        assert next_look is None
        assert position.reserved_minor == 0
    else:
        assert next_look is not None
        assert next_look > world.clock.now_ms()
        assert position.reserved_minor == 10_000


async def test_never_seen_is_not_believed_while_our_message_may_arrive() -> None:
    """To the millisecond: as long as the rail would still take it, "never seen" ends nothing."""
    world = World()
    uetr = await in_doubt(world)
    world.clock.advance(TOO_OLD_MS)
    assert await one_look(world) == 1
    assert not world.near.asked["abort"]
    world.clock.advance(ENQUIRY_BACKOFF_MS_MAX + 1)
    assert await one_look(world) == 1
    assert world.near.asked["abort"] == [uetr]
    assert world.store.payments[uetr].state is State.ABORTED


async def test_the_pauses_double_up_to_a_bound() -> None:
    world = World()
    uetr = await in_doubt(world)
    pauses = []
    for _ in range(12):
        look_ms = world.store.next_look_ms(uetr)
        assert look_ms is not None
        world.clock.advance(look_ms + 1 - world.clock.now_ms())
        world.near.will("enquire", RailSilent("nothing"))
        assert await one_look(world) == 1
        assert await one_look(world) == 0, "not before its time"
        later_ms = world.store.next_look_ms(uetr)
        assert later_ms is not None
        pauses.append(later_ms - world.clock.now_ms())
    assert pauses[0] == ENQUIRY_FIRST_MS
    assert pauses == sorted(pauses)
    assert pauses[-1] <= ENQUIRY_BACKOFF_MS_MAX
    assert world.store.payments[uetr].state is State.IN_DOUBT


async def test_a_payment_that_runs_here_is_left_alone() -> None:
    world = World()
    world.near.hold()
    world.payments.begin((instruction(),))
    await world.near.arrived()
    world.clock.advance(TOO_OLD_MS)
    assert await one_look(world) == 0
    world.near.release()
    await world.payments.drain()
    assert await one_look(world) == 0


async def test_what_a_dead_process_left_prepared_is_ended() -> None:
    dead, alive = World(), World()
    alive.store.__dict__.update(dead.store.__dict__)
    dead.near.hold()
    asked = instruction()
    dead.payments.begin((asked,))
    await dead.near.arrived()
    assert await one_look(alive) == 0, "its hold is not overdue yet"
    alive.clock.advance(HOLD_MS + 1)
    alive.near.will("enquire", ANSWERS["DONE"])
    assert await one_look(alive) == 1
    assert alive.store.payments[asked.uetr].state is State.COMMITTED
    dead.near.release()
    await dead.payments.drain()
    assert [step.state for step in alive.store.payments[asked.uetr].history] == [State.PREPARED, State.COMMITTED]


async def test_a_store_that_fails_is_asked_again() -> None:
    world = World()
    uetr = await in_doubt(world)
    world.clock.advance(HOLD_MS + 1)
    world.near.will("enquire", ANSWERS["DONE"], ANSWERS["DONE"])
    world.store.fail_next("commit")
    assert await one_look(world) == 1
    assert world.store.payments[uetr].state is State.IN_DOUBT
    assert await one_look(world) == 1
    assert world.store.payments[uetr].state is State.COMMITTED


async def test_one_rail_is_not_asked_too_much_at_once() -> None:
    world = World()
    for _ in range(ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX + 5):
        await in_doubt(world)
    world.clock.advance(HOLD_MS + 1)
    world.near.hold()
    assert await world.recovery.look() == ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX + 5
    await until(lambda: len(world.near.asked["enquire"]) == ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX)
    assert await world.recovery.look() == 0, "nobody is asked about twice at a time"
    world.near.release()
    await until(lambda: not world.recovery._asking)
    assert len(world.near.asked["enquire"]) == ENQUIRIES_PER_RAIL_IN_FLIGHT_MAX + 5


async def test_a_fault_in_one_enquiry_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    uetr = await in_doubt(world)
    world.clock.advance(HOLD_MS + 1)
    world.near.will("enquire", ValueError("CHAN TAI MAN"))
    assert await one_look(world) == 1
    assert "ValueError" in caplog.text
    assert uetr in caplog.text
    assert "CHAN" not in caplog.text
    assert world.store.payments[uetr].state is State.IN_DOUBT


def test_the_clock_of_the_fakes_starts_at_noon_in_hong_kong() -> None:
    assert NOON_MS % 86_400_000 == 4 * 3_600_000


async def test_one_rail_that_is_silent_does_not_stand_before_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a rail's budget is bounded; the rest of it is put off, and a scan reaches the other rails."""
    monkeypatch.setattr("switch.engine.recovery.ENQUIRIES_PER_RAIL_WAITING_MAX", 3)
    monkeypatch.setattr("switch.engine.recovery.RECOVERY_SCAN_COUNT", 5)
    world = World()
    for _ in range(12):
        await in_doubt(world)
    world.clock.advance(HOLD_MS + 1)
    world.near.hold()
    looks = [await world.recovery.look() for _ in range(6)]
    assert sum(looks) == 3
    assert len(await world.store.overdue(world.clock.now_ms(), 500)) == 3, "the others are looked at later"
    world.near.release()
    await until(lambda: not world.recovery._asking)
    world.clock.advance(ENQUIRY_BACKOFF_MS_MAX + 1)
    assert await world.recovery.look() > 0


async def test_no_fault_ends_recovery(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A record that cannot be read, in quotes or in payments, is logged without its text; the next look comes."""
    world = World(first_ms=1)
    uetr = await in_doubt(world)
    world.clock.advance(HOLD_MS + 1)
    world.near.will("enquire", ANSWERS["DONE"])
    troubled, personal = [], "".join(("CHAN", " TAI MAN"))  # a traceback shows lines of source
    honest = world.store.overdue

    async def broken(*_: object) -> int:
        troubled.append("quotes")
        raise KeyError(personal)

    async def broken_at_first(before_time_ms: int, count: int) -> list[Payment]:
        if troubled.count("payments") < 2:
            troubled.append("payments")
            raise AssertionError(personal)
        return await honest(before_time_ms, count)

    monkeypatch.setattr(world.store, "release_quotes", broken)
    monkeypatch.setattr(world.store, "overdue", broken_at_first)
    running = asyncio.get_running_loop().create_task(world.recovery.run())
    await until(lambda: world.store.payments[uetr].state is State.COMMITTED)
    assert not running.done()
    running.cancel()
    assert "KeyError" in caplog.text
    assert "AssertionError" in caplog.text
    assert personal not in caplog.text


async def test_a_fault_that_one_payment_shows_is_not_hit_at_every_look() -> None:
    world = World()
    uetr = await in_doubt(world)
    world.clock.advance(HOLD_MS + 1)
    world.near.will("enquire", ValueError("a fault of the adapter"))
    assert await one_look(world) == 1
    assert await one_look(world) == 0
    next_look = world.store.next_look_ms(uetr)
    assert next_look is not None
    assert next_look > world.clock.now_ms()


@pytest.mark.parametrize(("ended", "said"), [("abort", "DONE"), ("commit", "REFUSED")])
async def test_a_record_that_says_the_opposite_of_the_rail_is_cried_out(
    ended: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    uetr = await in_doubt(world)
    payment = world.store.payments[uetr]
    if ended == "abort":
        await world.store.abort(payment.hold, "RAIL_NEVER_SAW_IT", "", NOON_MS)
    else:
        await world.store.commit(payment.hold, RailAck("REF"), NOON_MS)
    kept = world.store.payments[uetr]
    world.near.will("enquire", ANSWERS[said])
    assert await settle(payment, world.store, {"near": world.near}, world.clock, TIMES)
    assert world.store.payments[uetr] == kept, "final is final"
    (record,) = [each for each in caplog.records if each.levelname == "CRITICAL"]
    assert uetr in record.getMessage()


async def test_what_came_while_we_asked_is_not_too_old_for_the_rail() -> None:
    """The age that counts is the one before the question: after "never seen" was true, our message may have arrived."""
    world = World()
    uetr = await in_doubt(world)
    world.clock.advance(TOO_OLD_MS)
    world.near.hold()
    assert await world.recovery.look() == 1
    await world.near.arrived()
    world.clock.advance(RAIL_PREPARE_MS_MAX)
    world.near.release()
    await until(lambda: not world.recovery._asking)
    assert not world.near.asked["abort"]
    assert world.store.payments[uetr].state is State.IN_DOUBT
