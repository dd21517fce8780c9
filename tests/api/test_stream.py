"""SubmitPayments: order, independence of items, bounds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from bayswitch.v1 import payment_pb2

from switch.errors import RailRejected
from switch.limits import BATCH_ITEMS_MAX, BATCHES_IN_FLIGHT_PER_STREAM, PACE_AHEAD_MS
from tests.api.support import Api, before_its_deadline, read_status, refusal, serving, submit_request
from tests.fakes import until

COMMITTED = payment_pb2.PAYMENT_STATE_COMMITTED


def batch(*items: payment_pb2.SubmitPaymentRequest) -> payment_pb2.SubmitPaymentsRequest:
    return payment_pb2.SubmitPaymentsRequest(items=items)


def open_stream(api: Api, timeout: float | None = 120) -> Any:
    alfa = api.caller()
    return alfa.payments.SubmitPayments(metadata=alfa.metadata, timeout=timeout)


async def test_a_batch_of_500_is_one_answer_in_order() -> None:
    async with serving() as api:
        stream = open_stream(api)
        items = [submit_request() for _ in range(BATCH_ITEMS_MAX)]
        await stream.write(batch(*items))
        answer = await stream.read()
        assert [result.payment.uetr for result in answer.results] == [item.uetr for item in items]
        assert {result.payment.state for result in answer.results} == {COMMITTED}
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK


async def test_items_are_answered_for_themselves() -> None:
    async with serving() as api:
        first, again = submit_request(), submit_request()
        await api.submit(again)
        other = payment_pb2.SubmitPaymentRequest()
        other.CopyFrom(again)
        other.remark = "other"
        wrong = submit_request()
        wrong.creditor.account.value = "61234567"
        api.world.near.will("prepare", RailRejected("PROXY_UNKNOWN", "BE23"))
        stream = open_stream(api)
        await stream.write(batch(wrong, first, again, other, again))
        results = (await stream.read()).results
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    refused = [read_status(result.error) for result in results if result.HasField("error")]
    assert [result.WhichOneof("result") for result in results] == ["error", "payment", "payment", "error", "payment"]
    assert [(each.code, each.reason, each.field) for each in refused] == [
        ("INVALID_ARGUMENT", "FIELD_INVALID", "items[0].creditor.account.value"),
        ("ALREADY_EXISTS", "REQUEST_MISMATCH", "items[3].remark"),
    ]
    assert results[1].payment.reason == "PROXY_UNKNOWN"
    assert [result.replay for result in results] == [False, False, True, False, True]
    assert results[2].payment.SerializeToString() == results[4].payment.SerializeToString()


async def test_answers_come_in_the_order_of_the_batches() -> None:
    async with serving() as api:
        batches = [batch(submit_request(), submit_request()) for _ in range(20)]

        async def send() -> AsyncIterator[payment_pb2.SubmitPaymentsRequest]:
            for each in batches:
                yield each

        alfa = api.caller()
        got = [answer async for answer in alfa.payments.SubmitPayments(send(), metadata=alfa.metadata, timeout=120)]
    assert [[result.payment.uetr for result in answer.results] for answer in got] == [
        [item.uetr for item in each.items] for each in batches
    ]


async def test_no_more_is_read_than_may_be_worked_on() -> None:
    """A rail that answers nothing: of many batches sent, only the first few are begun."""
    async with serving() as api:
        api.world.near.hold()
        stream = open_stream(api)
        for _ in range(3 * BATCHES_IN_FLIGHT_PER_STREAM):
            await stream.write(batch(submit_request()))
        await until(lambda: len(api.world.near.asked["prepare"]) == BATCHES_IN_FLIGHT_PER_STREAM)
        assert api.world.payments.running == BATCHES_IN_FLIGHT_PER_STREAM
        api.world.near.release()
        await stream.done_writing()
        answers = [answer async for answer in stream]
        assert len(answers) == 3 * BATCHES_IN_FLIGHT_PER_STREAM


async def test_a_reader_that_takes_no_answers_is_not_worked_for() -> None:
    """Answers fill the connection's window; then places stay taken and the stream is read no further."""
    small_window = (("grpc.http2.lookahead_bytes", 64 * 1024), ("grpc.http2.bdp_probe", 0))
    batches, size = 24, 300  # an answer of some 100 KB each
    async with serving() as api, grpc.aio.insecure_channel(f"127.0.0.1:{api.server.port}", small_window) as channel:
        stream = open_stream(api._replace(channel=channel))
        items = [submit_request() for _ in range(size)]

        async def write() -> None:
            for _ in range(batches):
                await stream.write(batch(*items))
            await stream.done_writing()

        writer = asyncio.get_running_loop().create_task(write())
        begun = before = -1
        while begun != before or begun < size:  # until it stands still; the test's own time limit bounds it
            await asyncio.wait((writer,), timeout=0.2)
            before, begun = begun, api.world.store.calls["prepare"]
        assert begun <= (BATCHES_IN_FLIGHT_PER_STREAM + 3) * size  # what is worked on, and what the window took
        assert len([answer async for answer in stream]) == batches
        await writer


@pytest.mark.parametrize(("count", "reason"), [(0, "FIELD_MISSING"), (BATCH_ITEMS_MAX + 1, "FIELD_INVALID")])
async def test_a_batch_of_the_wrong_size_ends_the_stream_after_those_before_it(count: int, reason: str) -> None:
    async with serving() as api:
        stream = open_stream(api)
        await stream.write(batch(submit_request()))
        await stream.write(batch(*[submit_request()] * count))
        assert (await stream.read()).results[0].payment.state == COMMITTED
        refused = await refusal(stream.read())
        assert (refused.code, refused.reason, refused.field) == ("INVALID_ARGUMENT", reason, "items")


async def test_a_full_engine_refuses_the_items_of_streams_that_run_and_calls_that_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("switch.engine.admission.ADMISSION_PLACES_FIRST", 2)
    async with serving() as api:
        running, stream = open_stream(api), open_stream(api)
        for each in (running, stream):
            await each.write(batch(submit_request()))
            assert (await each.read()).results[0].payment.state == COMMITTED
        api.world.near.hold()
        await running.write(batch(submit_request(), submit_request()))
        await until(lambda: len(api.world.near.asked["prepare"]) == 4)
        await stream.write(batch(*(submit_request() for _ in range(3))))
        results = (await stream.read()).results
        came = await refusal(open_stream(api).read())  # before it has said anything
        api.world.near.release()
        assert [each.payment.state for each in (await running.read()).results] == [COMMITTED] * 2
        await stream.write(batch(submit_request()))
        assert (await stream.read()).results[0].payment.state == COMMITTED
        for each in (running, stream):
            await each.done_writing()
    refused = [read_status(result.error) for result in results if result.HasField("error")]
    assert [(each.code, each.reason, each.retry_after_ms) for each in (*refused, came)] == [
        ("RESOURCE_EXHAUSTED", "OVERLOADED", 200)
    ] * 4


async def test_who_is_faster_than_agreed_hears_for_how_long_and_its_neighbour_nothing() -> None:
    async with serving() as api:
        api.world.paces.change({"ALFA": 10})
        stream = open_stream(api)
        await stream.write(batch(*(submit_request() for _ in range(20))))
        assert {result.payment.state for result in (await stream.read()).results} == {COMMITTED}
        await stream.write(batch(submit_request(), submit_request()))
        told = [read_status(result.error) for result in (await stream.read()).results]
        told += [await refusal(open_stream(api).read()), await refusal(api.submit(submit_request()))]
        await stream.done_writing()
        assert [(each.code, each.reason) for each in told] == [("RESOURCE_EXHAUSTED", "PACE_EXCEEDED")] * 4
        assert {each.retry_after_ms for each in told} == {2_000 - PACE_AHEAD_MS}  # the world's clock stands still
        assert len(api.world.store.payments) == 20
        assert (await api.submit(caller="BRAVO")).state == COMMITTED


async def test_a_drain_answers_what_was_read_then_says_where_to_go() -> None:
    async with serving() as api:
        api.world.near.hold()
        stream = open_stream(api)
        await stream.write(batch(submit_request()))
        await api.world.near.arrived()
        stopping = asyncio.get_running_loop().create_task(api.server.stop(60_000))
        await until(lambda: api.server.draining)
        await stream.write(batch(submit_request()))
        api.world.near.release()
        assert (await stream.read()).results[0].payment.state == COMMITTED
        refused = await refusal(stream.read())
        assert (refused.code, refused.reason, refused.retry_after_ms) == ("UNAVAILABLE", "SHUTTING_DOWN", 200)
        await stopping
        assert len(api.world.store.payments) == 1


async def test_a_caller_that_hangs_up_loses_no_payment() -> None:
    async with serving() as api:
        api.world.near.hold()
        stream = open_stream(api)
        await stream.write(batch(*(submit_request() for _ in range(10))))
        await until(lambda: len(api.world.near.asked["prepare"]) == 10)
        stream.cancel()
        await until(lambda: not api.server.running)
        assert api.world.payments.running == 10
        api.world.near.release()
        await until(lambda: not api.world.payments.running)
        assert (await api.world.store.holds())[0] == 0


async def test_when_the_deadline_comes_first_items_say_where_they_stand() -> None:
    async with serving() as api:
        api.world.near.hold()
        items = batch(submit_request(), submit_request())

        async def answered() -> Any:
            stream = open_stream(api, timeout=0.5)
            await stream.write(items)
            answer = await stream.read()
            stream.cancel()
            return answer

        states = [result.payment.state for result in (await before_its_deadline(answered)).results]
        assert states == [payment_pb2.PAYMENT_STATE_PREPARED] * 2
