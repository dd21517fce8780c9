"""A burst larger than the transport's own default of a thousand waiting calls: every call gets an answer of ours."""

import asyncio
from collections import Counter

import grpc.aio
from bayswitch.v1 import payment_pb2

from tests.api.support import Api, serving, submit_request

BURST = 1_500
CALLS_MAX = 50


async def test_no_call_of_a_burst_is_cancelled_by_the_transport() -> None:
    async with serving(calls_max=CALLS_MAX) as api:
        told = Counter(await asyncio.gather(*(_told(api, submit_request()) for _ in range(BURST))))
    assert set(told) <= {"answered", "RESOURCE_EXHAUSTED"}, told
    assert told["answered"] >= CALLS_MAX


async def _told(api: Api, request: payment_pb2.SubmitPaymentRequest) -> str:
    try:
        await api.submit(request)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "answered"
