"""The compiled writer's bytes are those of the message objects, for every payment there can be and some there cannot."""

import gc
import importlib
import random
import sys
from typing import Any

import pytest
from bayswitch.v1 import payment_pb2

from switch.api import _payment_wire_reference as reference
from switch.api import payment_wire
from switch.api.convert import payment_of
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.payment import TRANSITIONS, Hold, Payment, State, Transition
from switch.domain.position import FEE_PARTICIPANT, Entry
from switch.errors import REASONS
from switch.limits import AMOUNT_MINOR_MAX, BATCH_ITEMS_MAX
from tests.fakes import NOON_MS, instruction

SEED = 20261125
PAYMENTS = 4_000
TEXTS = ("", "A", "HKWALLET_2", "测试甲", "𠮷", "x" * 127, "x" * 128, "薪" * 140, "a\x00b")
AMOUNTS = (1, 127, 128, 10_000, AMOUNT_MINOR_MAX, 0, -1, -AMOUNT_MINOR_MAX, 2**63 - 1, -(2**63))
TIMES = (0, 1, 999, 1_000, 1_001, NOON_MS, NOON_MS + 127, 253_402_300_799_999)

compiled: Any = importlib.import_module("switch.api._payment_writer")


def a_payment(*steps: Transition, entries: tuple[Entry, ...] = (), **changes: Any) -> Payment:
    asked: Instruction = instruction(**changes)
    return Payment(Hold(asked, "hk-hk.hkd", "near", entries, (), NOON_MS, NOON_MS + 10_000), steps)


def agreed(payment: Payment) -> bytes:
    """The bytes of the payment as a result; they must be the message's in all three forms."""
    message = payment_of(payment)
    for replay in (False, True):
        result = payment_pb2.SubmitPaymentResult(payment=message, replay=replay)
        assert compiled.write_result(payment, replay) == result.SerializeToString(deterministic=True)
        assert reference.write_result(payment, replay) == result.SerializeToString(deterministic=True)
    response = payment_pb2.SubmitPaymentResponse(payment=message).SerializeToString(deterministic=True)
    assert compiled.write_response(payment) == reference.write_response(payment) == response
    written: bytes = compiled.write_result(payment, False)
    return written


BALANCED = (Entry("ALFA", Asset.HKD, 10_000), Entry("NEAR_GATE", Asset.HKD, -10_000))
PRICED = (
    Entry("ALFA", Asset.HKD, 10_000),
    Entry("PROVIDER", Asset.HKD, -9_990),
    Entry("PROVIDER", Asset.CNY, 9_115),
    Entry("FAR_GATE", Asset.CNY, -9_115),
    Entry(FEE_PARTICIPANT, Asset.HKD, -10),
)


# --- every payment there can be --------------------------------------------------------------------------------------
@pytest.mark.parametrize("entries", [(), BALANCED, PRICED, PRICED * 8], ids=["none", "two", "five", "forty"])
@pytest.mark.parametrize("last", State)
def test_every_state(last: State, entries: tuple[Entry, ...]) -> None:
    begun = Transition(State.PREPARED, NOON_MS)
    doubted = Transition(State.IN_DOUBT, NOON_MS + 8_000, rail_code="")
    reason = "RAIL_REFUSED" if last is State.ABORTED else ""
    end = Transition(last, NOON_MS + 9_123, reason, "U110", "FPS20261123000001")
    for steps in ((end,), (begun, end), (begun, doubted, end)):
        agreed(a_payment(*steps, entries=entries))


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason(reason: str) -> None:
    figures = (("limit", "5000"), ("left", "1"))
    refused = Transition(State.ABORTED, NOON_MS + 5, reason, "AC04", "", figures)
    written = agreed(a_payment(Transition(State.PREPARED, NOON_MS), refused, entries=BALANCED))
    assert reason.encode() in written
    assert REASONS[reason].iso.encode() in written
    # A reason stands in the payment only when it is what ended it; in the history it always stands.
    agreed(a_payment(refused, Transition(State.IN_DOUBT, NOON_MS + 6, reason)))


def test_every_move_there_is() -> None:
    for first, following in TRANSITIONS.items():
        for last in following:
            steps = (
                Transition(first, NOON_MS),
                Transition(last, NOON_MS + 1, "DAY_LIMIT" if last is State.ABORTED else ""),
            )
            agreed(a_payment(*steps, entries=BALANCED))


@pytest.mark.parametrize("asset", Asset)
def test_every_asset(asset: Asset) -> None:
    money = Money(asset, 5)
    entries = (Entry("A", asset, 5), Entry("B", asset, -5))
    agreed(a_payment(Transition(State.COMMITTED, NOON_MS), entries=entries, debit=money, credit=money))


def test_a_quote_is_named() -> None:
    quote_id = "0f8fad5b-d9cb-469f-a165-70867728950e"
    money = {"debit": Money(Asset.HKD, 10_000), "credit": Money(Asset.CNY, 9_115)}
    priced = a_payment(Transition(State.COMMITTED, NOON_MS), entries=PRICED, **money)
    hold = priced.hold._replace(instruction=priced.instruction._replace(quote_id=quote_id))
    assert quote_id.encode() in agreed(priced._replace(hold=hold))


# --- any payment -----------------------------------------------------------------------------------------------------
def any_payment(dice: random.Random) -> Payment:
    """Any values of the right kinds."""

    def text() -> str:
        return dice.choice(TEXTS)

    def money() -> Money:
        return Money(dice.choice(tuple(Asset)), dice.choice(AMOUNTS))

    def step() -> Transition:
        return Transition(dice.choice(tuple(State)), dice.choice(TIMES), dice.choice(tuple(REASONS)), text(), text())

    asked = instruction()._replace(
        participant=text(), request_id=text(), uetr=text(), end_to_end_id=text(), debit=money(), credit=money(), quote_id=text()
    )  # fmt: skip
    entries = tuple(Entry(text(), *money()) for _ in range(dice.choice((0, 2, 5, 6))))
    hold = Hold(asked, text(), text(), entries, (), dice.choice(TIMES), 0)
    return Payment(hold, tuple(step() for _ in range(dice.randint(1, 4))))


def test_any_payment() -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    sizes = {len(agreed(any_payment(dice))) for _ in range(PAYMENTS)}
    assert min(sizes) < 0x80
    assert max(sizes) > 0x800


@pytest.mark.parametrize("size", [7_000, 8_000, 8_100, 8_192, 8_200, 20_000])
def test_what_has_no_room_is_written_all_the_same(size: int) -> None:
    for code in ("x" * size, "薪" * (size // 3)):
        agreed(a_payment(Transition(State.PREPARED, NOON_MS), Transition(State.COMMITTED, NOON_MS, rail_code=code)))


def test_a_time_before_1970_is_written_all_the_same() -> None:
    agreed(a_payment(Transition(State.PREPARED, -1), Transition(State.COMMITTED, -1_001)))


# --- what is no payment ----------------------------------------------------------------------------------------------
DONE = Transition(State.COMMITTED, NOON_MS)
NO_PAYMENT: dict[str, Payment] = {
    "a lone surrogate": a_payment(DONE._replace(rail_code="\ud800")),
    "an amount too large": a_payment(DONE, debit=Money(Asset.HKD, 2**63)),
    "a reason nobody knows": a_payment(Transition(State.ABORTED, NOON_MS, "NOBODY_KNOWS")),
    "a time that is none": a_payment(DONE._replace(time_ms="now")),  # type: ignore[arg-type]
    "a text that is none": a_payment(DONE._replace(rail_reference=7)),  # type: ignore[arg-type]
    "an asset that is none": a_payment(DONE, debit=Money(4, 1)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("payment", NO_PAYMENT.values(), ids=NO_PAYMENT)
def test_a_value_of_the_wrong_kind_is_refused_as_the_messages_refuse_it(payment: Payment) -> None:
    with pytest.raises(Exception) as plain:  # noqa: PT011
        reference.write_result(payment, False)
    with pytest.raises(type(plain.value)):
        compiled.write_result(payment, False)
    with pytest.raises(type(plain.value)):
        compiled.write_response(payment)


made: Any = a_payment
DAMAGED: list[Any] = [
    None, (), b"", (1, 2), ((), ()), made(), made()._replace(history=None), made(DONE)._replace(hold=()),
    made(DONE)._replace(history=[DONE]), made(())._replace(hold=None), made(()), made(None), made((*DONE, "")),
    made(("C", *DONE[1:])), made(DONE, entries=(None,)), made(DONE, entries=None), made(DONE, debit=None),
    made(DONE)._replace(hold=made().hold[:7]), made(DONE, debit=(Asset.HKD,)),
]  # fmt: skip


@pytest.mark.parametrize("payment", DAMAGED)
def test_what_is_no_payment_is_a_type_error_not_a_crash(payment: Any) -> None:
    with pytest.raises(TypeError):
        compiled.write_result(payment, False)


def test_nothing_is_kept_of_what_was_written() -> None:
    payment = a_payment(Transition(State.PREPARED, NOON_MS), DONE, entries=PRICED)
    watched: tuple[Any, ...] = (
        payment, payment.hold, payment.instruction, payment.instruction.uetr, payment.entries[0], Asset.HKD, State.COMMITTED
    )  # fmt: skip
    gc.collect()  # what other tests left holds some of these, too
    before = [sys.getrefcount(each) for each in watched]
    for _ in range(500):
        compiled.write_result(payment, False)
        compiled.write_response(payment)
    assert [sys.getrefcount(each) for each in watched] == before


# --- a batch ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [0, 1, 2, 256, BATCH_ITEMS_MAX])
def test_results_stand_in_their_order(count: int) -> None:
    dice = random.Random(SEED)
    results = [reference.write_result(any_payment(dice), dice.random() < 0.5) for _ in range(count)]
    written = compiled.write_results(results)
    assert written == reference.write_results(results)
    read = payment_pb2.SubmitPaymentsResponse.FromString(written).results
    assert [each.SerializeToString(deterministic=True) for each in read] == results


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 129, 16_383, 16_384, 2_097_152])
def test_a_result_of_any_size(size: int) -> None:
    code = "x" * size
    result = payment_pb2.SubmitPaymentResult(payment=payment_pb2.Payment(rail_code=code)).SerializeToString()
    assert compiled.write_results([result, b"", result]) == reference.write_results([result, b"", result])


@pytest.mark.parametrize("results", [None, (), b"", [None], ["text"], [b"", 1], [bytearray()]])
def test_what_is_no_result_is_a_type_error_not_a_crash(results: Any) -> None:
    with pytest.raises(TypeError):
        compiled.write_results(results)


def test_the_compiled_one_runs_unless_told_otherwise() -> None:
    assert payment_wire.write_result is compiled.write_result
