"""SubmitPayment over a real connection: what is answered, replayed, refused, and when the deadline comes first."""

import asyncio
import logging

import grpc
import pytest
from bayswitch.v1 import payment_pb2

from switch.domain.payment import State
from switch.errors import RailRejected, RailSilent
from tests.api.support import before_its_deadline, refusal, serving, submit_request
from tests.fakes import NOON_MS, until


async def trailing(call: grpc.aio.UnaryUnaryCall) -> dict[str, str]:
    return dict(await call.trailing_metadata() or ())


async def test_a_payment_is_committed_and_its_record_complete() -> None:
    async with serving() as api:
        request = submit_request(remark="lunch")
        payment = await api.submit(request)
    assert payment.state == payment_pb2.PAYMENT_STATE_COMMITTED
    assert (payment.uetr, payment.request_id, payment.participant) == (request.uetr, request.request_id, "ALFA")
    assert (payment.corridor, payment.rail, payment.rail_code) == ("plain", "near", "ACSC")
    assert payment.rail_reference == f"REF{request.uetr[:8]}"
    assert (payment.reason, payment.iso_reason) == ("", "")
    assert [(entry.participant, entry.asset, entry.amount_minor) for entry in payment.entries] == [
        ("ALFA", "HKD", 10_000),
        ("GW_NEAR", "HKD", -10_000),
    ]
    assert [step.state for step in payment.history] == [
        payment_pb2.PAYMENT_STATE_PREPARED,
        payment_pb2.PAYMENT_STATE_COMMITTED,
    ]
    assert payment.prepared_time.ToMilliseconds() == payment.final_time.ToMilliseconds() == NOON_MS
    assert b"CHAN" not in payment.SerializeToString()
    assert b"61234567" not in payment.SerializeToString()


async def test_a_repeat_is_the_same_bytes_and_says_so() -> None:
    async with serving() as api:
        alfa, request = api.caller(), submit_request()
        first = alfa.call(alfa.payments.SubmitPayment, request)
        second = alfa.call(alfa.payments.SubmitPayment, request)
        first_answer = (await first).SerializeToString()
        second_answer = (await second).SerializeToString()
        third = alfa.call(alfa.payments.SubmitPayment, request)
        api.world.clock.advance(86_400_000)
        assert first_answer == second_answer == (await third).SerializeToString()
        marks = [(await trailing(call)).get("x-bayswitch-replay") for call in (first, second, third)]
    assert sorted(marks, key=str) == [None, "true", "true"]
    assert marks[2] == "true"
    assert len(api.world.near.asked["prepare"]) == 1


async def test_one_payment_written_two_ways_is_one_payment() -> None:
    """What is compared is what was meant: canonical values, defaults filled in."""
    async with serving() as api:
        request = submit_request()
        first = await api.submit(request)
        other = payment_pb2.SubmitPaymentRequest()
        other.CopyFrom(request)
        other.debtor.document.number = " a1234563"
        other.debtor.name += " "
        other.credit.CopyFrom(request.debit)
        assert await api.submit(other) == first
        assert len(api.world.near.asked["prepare"]) == 1


async def test_a_hundred_copies_are_one_execution() -> None:
    async with serving() as api:
        alfa, request = api.caller(), submit_request()
        calls = [alfa.call(alfa.payments.SubmitPayment, request) for _ in range(100)]
        answers = {(await call).SerializeToString() for call in calls}
        replays = [(await trailing(call)).get("x-bayswitch-replay") for call in calls]
    assert len(answers) == 1
    assert replays.count("true") == 99
    assert len(api.world.near.asked["prepare"]) == 1


async def test_another_body_is_refused_and_the_field_named() -> None:
    async with serving() as api:
        request = submit_request()
        first = await api.submit(request)
        for path, change in (
            ("debit.amount_minor", {"debit": type(request.debit)(asset="HKD", amount_minor=1)}),
            ("remark", {"remark": "other"}),
            ("end_to_end_id", {"end_to_end_id": "E2E-2"}),
            ("uetr", {"uetr": submit_request().uetr}),
        ):
            other = payment_pb2.SubmitPaymentRequest()
            other.CopyFrom(request)
            other.MergeFrom(payment_pb2.SubmitPaymentRequest(**change))
            refused = await refusal(api.submit(other))
            assert (refused.code, refused.reason, refused.field) == ("ALREADY_EXISTS", "REQUEST_MISMATCH", path)
        assert await api.submit(request) == first


async def test_a_uetr_is_unique_for_ever() -> None:
    async with serving() as api:
        request = submit_request()
        await api.submit(request)
        refused = await refusal(api.submit(caller="BRAVO", uetr=request.uetr))
        assert (refused.code, refused.reason, refused.field) == ("ALREADY_EXISTS", "UETR_REUSED", "uetr")


async def test_a_refusal_by_the_rail_is_an_aborted_payment() -> None:
    async with serving() as api:
        api.world.near.will("prepare", RailRejected("CREDITOR_NAME_MISMATCH", "BE01"))
        payment = await api.submit()
    assert payment.state == payment_pb2.PAYMENT_STATE_ABORTED
    assert (payment.reason, payment.iso_reason, payment.rail_code) == ("CREDITOR_NAME_MISMATCH", "BE01", "BE01")
    assert not payment.entries
    assert payment.HasField("final_time")


async def test_a_silent_rail_is_a_doubt() -> None:
    async with serving() as api:
        api.world.near.will("prepare", RailSilent("no answer"))
        payment = await api.submit()
    assert payment.state == payment_pb2.PAYMENT_STATE_IN_DOUBT
    assert not payment.HasField("final_time")


async def test_a_kept_refusal_stays_and_tells_the_figures() -> None:
    async with serving() as api:
        alfa = api.world.store.participants["ALFA"]
        api.world.store.participants["ALFA"] = alfa._replace(caps=((submit_asset := alfa.caps[0][0], 9_999),))
        request = submit_request()
        first = await refusal(api.submit(request))
        api.world.store.participants["ALFA"] = alfa
        second = await refusal(api.submit(request))
    assert submit_asset.name == "HKD"
    assert first == second
    assert (first.code, first.reason) == ("FAILED_PRECONDITION", "NET_DEBIT_CAP_EXCEEDED")
    assert first.metadata == {"asset": "HKD", "limit_minor": "9999", "left_minor": "9999"}
    assert first.retry_after_ms == 5_000


async def test_who_is_not_in_the_register_pays_nothing() -> None:
    async with serving() as api:
        assert (await refusal(api.submit(caller="NOBODY"))).reason == "PARTICIPANT_UNKNOWN"
        api.world.store.participants["BRAVO"] = api.world.store.participants["BRAVO"]._replace(suspended=True)
        assert (await refusal(api.submit(caller="BRAVO"))).reason == "PARTICIPANT_SUSPENDED"
        assert not api.world.store.payments


@pytest.mark.parametrize("step", ["prepare", "commit"])
@pytest.mark.parametrize("done", [False, True])
async def test_a_store_that_fails_is_unavailable_with_a_time_to_retry(step: str, done: bool) -> None:
    async with serving() as api:
        api.world.store.fail_next(step, done=done)
        request = submit_request()
        refused = await refusal(api.submit(request))
        assert (refused.code, refused.reason, refused.retry_after_ms) == ("UNAVAILABLE", "STORE_UNAVAILABLE", 1_000)


class Broken(Exception):
    """Its text holds what no log may hold."""


async def test_what_nobody_foresaw_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as api:
        api.world.near.will("prepare", Broken("CHAN TAI MAN A123456(3)"))
        with caplog.at_level(logging.DEBUG):
            refused = await refusal(api.submit())
    assert (refused.code, refused.reason) == ("INTERNAL", "INTERNAL_FAULT")
    assert "Broken" in caplog.text
    assert "_ask" in caplog.text  # where it came from
    for text in (caplog.text, refused.text):
        assert "CHAN" not in text
        assert "A123456" not in text


# --- time ------------------------------------------------------------------------------------------------------------
async def test_when_the_deadline_comes_first_the_answer_is_where_it_stands_and_the_payment_ends() -> None:
    async with serving() as api:
        alfa, request = api.caller(), submit_request()
        api.world.near.hold()
        answer = await before_its_deadline(lambda: alfa.call(alfa.payments.SubmitPayment, request, timeout=0.4))
        assert answer.payment.state == payment_pb2.PAYMENT_STATE_PREPARED
        api.world.near.release()
        await until(lambda: not api.world.payments.running)
        assert (await api.submit(request)).state == payment_pb2.PAYMENT_STATE_COMMITTED
    assert len(api.world.near.asked["prepare"]) == 1


async def test_a_caller_that_hangs_up_ends_nothing() -> None:
    async with serving() as api:
        alfa, request = api.caller(), submit_request()
        api.world.near.hold()
        call = alfa.call(alfa.payments.SubmitPayment, request)
        await api.world.near.arrived()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not api.server.running)  # the server has noticed
        api.world.near.release()
        await until(lambda: not api.world.payments.running)
        assert api.world.store.payments[request.uetr].state is State.COMMITTED


async def test_no_time_left_means_nothing_is_begun() -> None:
    async with serving() as api:
        alfa, request = api.caller(), submit_request()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await alfa.call(alfa.payments.SubmitPayment, request, timeout=0)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert request.uetr not in api.world.store.payments


async def test_a_call_without_a_deadline_gets_ours() -> None:
    async with serving() as api:
        alfa = api.caller()
        answer = await alfa.call(alfa.payments.SubmitPayment, submit_request(), timeout=None)
        assert answer.payment.state == payment_pb2.PAYMENT_STATE_COMMITTED


async def test_the_gateways_position_is_credited() -> None:
    async with serving() as api:
        await api.submit()
        net = {(each.participant, each.asset.name): each.net_debit_minor for each in await api.world.store.positions()}
        assert net["ALFA", "HKD"] == -net["GW_NEAR", "HKD"] == 10_000
