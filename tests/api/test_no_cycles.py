"""A call leaves nothing for the cycle collector: thousands a second would make everybody wait for it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from bayswitch.v1 import payment_pb2

from tests.api.support import Api, Stubs, serving, submit_request
from tests.cycles import left_in_cycles
from tests.waiting import eventually

CALLS = 200
SOME = CALLS // 2  # objects: grpc.aio's own loop takes one call in 33, and leaves six for each


async def _pay(caller: Stubs) -> None:
    await caller.call(caller.payments.SubmitPayment, submit_request())


async def _pay_in_a_batch(caller: Stubs) -> None:
    stream = caller.payments.SubmitPayments(timeout=60, metadata=caller.metadata)
    await stream.write(payment_pb2.SubmitPaymentsRequest(items=[submit_request(), submit_request(uetr="wrong")]))
    await stream.done_writing()
    answer = await stream.read()
    assert [item.HasField("payment") for item in answer.results] == [True, False]
    assert await stream.code() is grpc.StatusCode.OK


async def _look(caller: Stubs) -> None:
    await caller.call(caller.payments.GetPayment, payment_pb2.GetPaymentRequest(request_id="r-1"))


async def _refused(call: Any, code: grpc.StatusCode) -> None:
    assert await call.code() is code


async def _look_in_vain(caller: Stubs) -> None:
    request = payment_pb2.GetPaymentRequest(request_id="r-nobody")
    call = caller.payments.GetPayment(request, timeout=60, metadata=caller.metadata)
    await _refused(call, grpc.StatusCode.NOT_FOUND)


async def _pay_wrongly(caller: Stubs) -> None:
    call = caller.payments.SubmitPayment(submit_request(uetr="wrong"), timeout=60, metadata=caller.metadata)
    await _refused(call, grpc.StatusCode.INVALID_ARGUMENT)


async def _pay_when_full(caller: Stubs) -> None:
    call = caller.payments.SubmitPayments(timeout=60, metadata=caller.metadata)
    await _refused(call, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def _hang_up(caller: Stubs) -> None:
    call = caller.payments.SubmitPayment(submit_request(), timeout=60, metadata=caller.metadata)
    await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call


async def _hang_up_with_a_batch_out(caller: Stubs) -> None:
    stream = caller.payments.SubmitPayments(timeout=60, metadata=caller.metadata)
    await stream.write(payment_pb2.SubmitPaymentsRequest(items=[submit_request()]))
    stream.cancel()
    await _refused(stream, grpc.StatusCode.CANCELLED)


WAYS: dict[str, Callable[[Stubs], Awaitable[None]]] = {
    "pay": _pay,
    "pay in a batch": _pay_in_a_batch,
    "look": _look,
    "look in vain": _look_in_vain,
    "pay wrongly": _pay_wrongly,
    "pay when full": _pay_when_full,
    "hang up": _hang_up,
    "hang up with a batch out": _hang_up_with_a_batch_out,
}


async def _all_ended(api: Api) -> None:
    """Calls whose caller has gone end by themselves: none is running, and none has just begun."""
    caller = api.caller()
    await caller.call(caller.payments.ListPayments, payment_pb2.ListPaymentsRequest())
    await eventually(lambda: not api.server.running, "every call has ended")


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_is_left_in_a_cycle(way: str) -> None:
    async with serving(calls_max=0 if way == "pay when full" else 10) as api:
        if way == "look":
            await api.submit(request_id="r-1")
        caller = api.caller()
        await WAYS[way](caller)
        with left_in_cycles() as left:
            for _ in range(CALLS):
                await WAYS[way](caller)
            await _all_ended(api)
        assert len(left) < SOME, sorted({type(each).__name__ for each in left})
