"""Submit and receive, without a wire: precedence, copies, time, and what a rail hears."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import State
from switch.domain.position import unbalanced
from switch.engine import Running
from switch.errors import REASONS, RailRejected, RailSilent, RailUnavailable, Refused, StoreUnavailable
from tests.fakes import World, instruction, until

HKID = Document(DocumentType.HKID, "A123456(3)")
PAYEE = Party("李雷", Place.CN, Account(Scheme.ALIPAY_LOGIN, "13800138000"))
BUDGET_MS = 60_000


def northbound(**changes: Any) -> Instruction:
    fields: dict[str, Any] = {
        "debit": Money(Asset.HKD, 10_000),
        "credit": Money(Asset.CNY, 9_259),
        "creditor": PAYEE,
        "purpose": "SALARY",
    }
    return instruction(**(fields | changes))


async def refused_by(world: World, asked: Instruction) -> Refused:
    with pytest.raises(Refused) as refused:
        await world.payments.submit(asked, BUDGET_MS)
    return refused.value


# --- precedence ------------------------------------------------------------------------------------------------------
Trouble = Callable[[World, Instruction], Instruction]


def debtor(asked: Instruction, document: Document | None) -> Instruction:
    return asked._replace(debtor=asked.debtor._replace(document=document))


def suspend(world: World, asked: Instruction) -> Instruction:
    world.store.participants["ALFA"] = world.store.participants["ALFA"]._replace(suspended=True)
    return asked


def night(world: World, asked: Instruction) -> Instruction:
    world.clock.advance(12 * 3_600_000)
    return asked


def no_cap(world: World, asked: Instruction) -> Instruction:
    world.store.participants["ALFA"] = world.store.participants["ALFA"]._replace(caps=())
    return asked


# Each trouble alone gives its reason; together, the first that is still there. Rules of the table come before what
# only the store knows: they cost nothing and leave no trace.
TROUBLES: tuple[tuple[str, Trouble], ...] = (
    ("NO_ROUTE", lambda _, asked: asked._replace(credit=asked.credit._replace(asset=Asset.ECNY))),
    ("PAPERS_REQUIRED", lambda _, asked: debtor(asked, None)),
    ("PURPOSE_REQUIRED", lambda _, asked: asked._replace(purpose="")),
    ("OUT_OF_HOURS", night),
    ("TXN_LIMIT", lambda _, asked: asked._replace(debit=Money(Asset.HKD, 500_001))),
    ("QUOTE_REQUIRED", lambda _, asked: asked._replace(quote_id="")),
    ("PARTICIPANT_SUSPENDED", suspend),
    ("NET_DEBIT_CAP_EXCEEDED", no_cap),
)


async def quoted(world: World) -> Instruction:
    """An instruction that passes, with its quote."""
    await world.quote_rates()
    asked = northbound()
    priced = await world.quotes.price_inbound(asked._replace(credit=asked.debit))
    return asked._replace(credit=priced.credit, quote_id=priced.quote_id)


@pytest.mark.parametrize("place", range(len(TROUBLES)))
async def test_the_first_trouble_is_the_one_that_is_told(place: int) -> None:
    world = World()
    asked = await quoted(world)
    expected = TROUBLES[place][0]
    for reason, make in reversed(TROUBLES[place:]):
        asked = make(world, asked)
        if reason == "TXN_LIMIT":  # the quote is for another amount by now; that comes later in the order
            assert (await refused_by(world, asked)).reason.name == "TXN_LIMIT"
    assert (await refused_by(world, asked)).reason.name == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda asked: debtor(asked, Document(DocumentType.PASSPORT, "K1234567")), "PAPERS_NOT_ACCEPTED"),
        (lambda asked: asked._replace(purpose="TUITION"), "PURPOSE_NOT_ALLOWED"),
        (lambda asked: asked._replace(quote_id="00000000-0000-4000-8000-000000000000"), "QUOTE_UNKNOWN"),
        (lambda asked: asked._replace(debit=Money(Asset.HKD, 10_001)), "QUOTE_MISMATCH"),
        (lambda asked: asked._replace(participant="NOBODY"), "QUOTE_UNKNOWN"),
        (lambda asked: asked._replace(credit=asked.credit._replace(amount_minor=1)), "QUOTE_MISMATCH"),
    ],
)
async def test_other_refusals_leave_no_trace(change: Callable[[Instruction], Instruction], reason: str) -> None:
    world = World()
    asked = await quoted(world)
    assert (await refused_by(world, change(asked))).reason.name == reason
    assert not world.store.payments
    assert (await world.payments.submit(asked, BUDGET_MS)).payment.state is State.COMMITTED


async def test_a_refusal_that_left_no_trace_may_be_tried_again_with_the_same_id() -> None:
    world = World()
    asked = await quoted(world)
    assert (await refused_by(world, debtor(asked, None))).reason.name == "PAPERS_REQUIRED"
    assert (await world.payments.submit(asked, BUDGET_MS)).payment.state is State.COMMITTED


async def test_a_replay_comes_before_a_rule_that_refuses_now() -> None:
    world = World()
    asked = await quoted(world)
    first = await world.payments.submit(asked, BUDGET_MS)
    night(world, asked)
    assert await world.payments.submit(asked, BUDGET_MS) == (first.payment, True)
    refused = await refused_by(world, asked._replace(purpose="FAMILY_SUPPORT"))
    assert (refused.reason.name, refused.field) == ("REQUEST_MISMATCH", "purpose")


async def test_day_and_year_limits_count_what_is_paid_and_give_back_what_is_not() -> None:
    world = World()
    await world.quote_rates()

    async def pay(amount: int) -> str:
        asked = northbound(debit=Money(Asset.HKD, amount))
        priced = await world.quotes.price_inbound(asked)
        try:
            done = await world.payments.submit(
                asked._replace(credit=priced.credit, quote_id=priced.quote_id), BUDGET_MS
            )
        except Refused as refused:
            return refused.reason.name
        return done.payment.state.name

    world.far.will("prepare", RailRejected("PAYER_FUNDS"))
    assert await pay(500_000) == "ABORTED"
    assert [await pay(500_000) for _ in range(3)] == ["COMMITTED", "COMMITTED", "DAY_LIMIT"]
    world.clock.advance(86_400_000)
    assert [await pay(500_000) for _ in range(2)] == ["COMMITTED", "YEAR_LIMIT"]


# --- what the rail says ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        (RailRejected("PROXY_UNKNOWN", "BE23"), State.ABORTED, "PROXY_UNKNOWN"),
        (RailUnavailable(), State.ABORTED, "RAIL_UNAVAILABLE"),
        (RailSilent(), State.IN_DOUBT, ""),
    ],
)
async def test_what_the_rail_says_is_written_down(said: Exception, state: State, reason: str) -> None:
    world = World()
    world.near.will("prepare", said)
    payment = (await world.payments.submit(instruction(), BUDGET_MS)).payment
    assert (payment.state, payment.history[-1].reason) == (state, reason)
    reserved = sum(position.reserved_minor for position in await world.store.positions("ALFA"))
    assert reserved == (10_000 if state is State.IN_DOUBT else 0)
    assert not payment.entries
    assert not unbalanced(payment.hold.entries)


async def test_a_store_that_fails_after_the_rail_paid_leaves_it_to_recovery() -> None:
    world = World()
    asked = instruction()
    world.store.fail_next("commit")
    with pytest.raises(StoreUnavailable):
        await world.payments.submit(asked, BUDGET_MS)
    assert world.store.payments[asked.uetr].state is State.PREPARED
    world.clock.advance(60_000)
    assert await world.recovery.look() == 1
    await until(lambda: world.store.payments[asked.uetr].state is State.COMMITTED)
    assert world.near.asked["prepare"] == [asked.uetr]


# --- copies and time -------------------------------------------------------------------------------------------------
async def test_a_hundred_copies_are_one_execution() -> None:
    world, asked = World(), instruction()
    done = await asyncio.gather(*(world.payments.submit(asked, BUDGET_MS) for _ in range(100)))
    assert len({submitted.payment for submitted in done}) == 1
    assert sum(not submitted.replay for submitted in done) == 1
    assert world.near.asked["prepare"] == [asked.uetr]
    assert world.payments.running == 0


async def test_two_processes_answer_alike() -> None:
    """The second finds the request taken and waits for its outcome."""
    one, two = World(), World()
    two.store.__dict__.update(one.store.__dict__)  # one server behind both
    asked = instruction()
    one.near.hold()
    first = asyncio.get_running_loop().create_task(one.payments.submit(asked, BUDGET_MS))
    await one.near.arrived()
    second = asyncio.get_running_loop().create_task(two.payments.submit(asked, BUDGET_MS))
    await until(lambda: one.store.calls["get"] > 0)
    one.near.release()
    assert (await second) == ((await first).payment, True)
    assert not two.near.asked["prepare"]


async def test_when_time_is_up_the_answer_is_where_it_stands() -> None:
    world, asked = World(), instruction()
    world.near.hold()
    (running,) = world.payments.begin((asked,))
    assert isinstance(running, Running)
    await world.near.arrived()
    await world.payments.wait((running,), 20)
    submitted = await world.payments.outcome(running)
    assert (submitted.payment.state, submitted.replay) == (State.PREPARED, False)
    assert (await world.payments.submit(asked, 20)).replay
    world.near.release()
    await world.payments.drain()
    assert world.store.payments[asked.uetr].state is State.COMMITTED


async def test_when_time_is_up_another_body_is_still_another_body() -> None:
    """Nobody is answered with the record of another instruction, nor a kept refusal as if it had been paid."""
    world, asked = World(), instruction()
    await world.payments.submit(asked, BUDGET_MS)
    with pytest.raises(Refused) as told:
        await world.payments.submit(asked._replace(remark="other"), 0)
    assert (told.value.reason.name, told.value.field) == ("REQUEST_MISMATCH", "remark")
    poor = instruction()
    no_cap(world, poor)
    await refused_by(world, poor)
    with pytest.raises(Refused) as told:
        await world.payments.submit(poor, 0)
    assert told.value.reason.name == "NET_DEBIT_CAP_EXCEEDED"


async def test_when_time_is_up_before_anything_was_kept() -> None:
    world, asked = World(), instruction()
    slow = world.store.hold("prepare")
    with pytest.raises(Refused) as told:
        await world.payments.submit(asked, 10)
    assert told.value.reason.name == "DEADLINE_PASSED"
    slow.set()
    assert (await world.payments.submit(asked, BUDGET_MS)).payment.state is State.COMMITTED
    assert world.store.calls["prepare"] == 1


async def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switch.engine.admission.ADMISSION_PLACES_FIRST", 1)
    world, asked = World(), instruction()
    world.near.hold()
    running = asyncio.get_running_loop().create_task(world.payments.submit(asked, BUDGET_MS))
    await world.near.arrived()
    assert (await refused_by(world, instruction())).reason.name == "OVERLOADED"
    copy = asyncio.get_running_loop().create_task(world.payments.submit(asked, BUDGET_MS))  # a copy is no new work
    world.near.release()
    assert (await running).payment == (await copy).payment


# --- what comes from a rail ------------------------------------------------------------------------------------------
def inbound(**changes: Any) -> Instruction:
    """MOP 103.00 from a gateway for a Hong Kong mobile: what it is worth there, we price."""
    fields: dict[str, Any] = {
        "participant": "ALFA",
        "debit": Money(Asset.MOP, 10_300),
        "debtor": Party("HO KA", Place.MO, Account(Scheme.ACCOUNT, "99")),
    }
    return instruction(**(fields | changes))


async def test_what_a_rail_brings_is_priced_and_paid_once() -> None:
    world, asked = World(), inbound()
    await world.quote_rates()
    first = await world.payments.receive(asked)
    assert (first.state, first.instruction.credit) == (State.COMMITTED, Money(Asset.HKD, 10_000))
    assert not unbalanced(first.entries)
    assert await world.payments.receive(asked) == first
    assert len(world.near.asked["prepare"]) == 1
    assert world.store.calls["create_quote"] == 1


async def test_copies_that_race_are_one_payment_with_one_price() -> None:
    world, asked = World(), inbound()
    await world.quote_rates()
    done = await asyncio.gather(*(world.payments.receive(asked) for _ in range(20)))
    assert len(set(done)) == 1
    assert done[0].state is State.COMMITTED
    assert len(world.near.asked["prepare"]) == 1


async def test_a_copy_that_says_something_else_is_refused_and_the_first_untouched() -> None:
    world, asked = World(), inbound()
    await world.quote_rates()
    first = await world.payments.receive(asked)
    other = await world.payments.receive(asked._replace(debit=Money(Asset.MOP, 1)))
    assert (other.state, other.history[-1].reason) == (State.ABORTED, "REQUEST_MISMATCH")
    assert world.store.payments[asked.uetr] == first


async def test_the_same_asset_needs_no_price() -> None:
    world = World()
    payment = await world.payments.receive(instruction(credit=Money(Asset.HKD, 0)))
    assert (payment.state, payment.instruction.quote_id) == (State.COMMITTED, "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"debit": Money(Asset.EMOP, 1)}, "NO_ROUTE"),
        ({}, "NO_RATE"),
        ({"participant": "NOBODY"}, "PARTICIPANT_UNKNOWN"),
    ],
)
async def test_what_our_rules_refuse_the_rail_hears(change: dict[str, Any], reason: str) -> None:
    world = World()
    payment = await world.payments.receive(inbound(**change))
    assert (payment.state, payment.history[-1].reason) == (State.ABORTED, reason)
    assert not world.store.payments
    assert reason in REASONS


async def test_what_is_not_decided_is_not_refused() -> None:
    """A rail told "refused" gives the money back: it may hear that only when it is final."""
    world, asked = World(hold_ms=10), inbound()
    await world.quote_rates()
    slow = world.store.hold("prepare")
    with pytest.raises(Refused) as told:
        await world.payments.receive(asked)
    assert told.value.reason.name == "DEADLINE_PASSED"
    slow.set()
    await world.payments.drain()
    assert (await world.payments.receive(asked)).state is State.COMMITTED
    world.store.fail_next("get_by_request")
    with pytest.raises(StoreUnavailable):
        await world.payments.receive(inbound())


async def test_what_a_rail_was_refused_stays_refused() -> None:
    """A repeat that crossed our refusal is not paid because the rule would let it pass by now."""
    world, asked = World(), inbound()
    refused = await world.payments.receive(asked)
    assert (refused.state, refused.history[-1].reason) == (State.ABORTED, "NO_RATE")
    await world.quote_rates()
    assert await world.payments.receive(asked) == refused
    other = await world.payments.receive(asked._replace(remark="another"))
    assert other.history[-1].reason == "REQUEST_MISMATCH"
    assert not world.near.asked["prepare"]
    assert not world.store.payments
    again = inbound()
    assert (await world.payments.receive(again)).state is State.COMMITTED, "a new UETR is another try"


async def test_refusals_told_to_rails_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switch.engine.payments.INBOUND_REFUSALS_KEPT", 2)
    world = World()
    for _ in range(4):
        await world.payments.receive(inbound())
    assert len(world.payments._refused_inbound) == 2
