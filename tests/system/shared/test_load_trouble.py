"""Too much, too big, the same a hundred times, and a stop in the middle of it all."""

import asyncio
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest
from bayswitch.v1 import payment_pb2, payment_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.local.standstill import pause
from loadtest.provider import STEPS, Load
from switch.cli.demo import request_of
from switch.cli.processes import start_part
from switch.cli.sandbox import Sandbox
from switch.errors import REASONS
from switch.limits import BATCH_ITEMS_MAX, CALLS_IN_FLIGHT_MAX, MESSAGE_BYTES_MAX, RAIL_PREPARE_MS_MAX
from tests.system.support import STATE, Provider, Trouble, audited, step
from tests.waiting import eventually

Providers = Callable[[str], Provider]
AS_HKWALLET = (("x-bayswitch-participant", "HKWALLET"),)
AS_MOWALLET = (("x-bayswitch-participant", "MOWALLET"),)  # the many: others read their own changes from the beginning
LOAD = "creditor.account=+852-70000050 creditor.name=LOAD_000050 debit=HKD_1.00"
TOO_MANY = CALLS_IN_FLIGHT_MAX + 100
CALL_SECONDS_MAX = 60
# A bank that works for so long: a stop begins and is told of meanwhile. Less than a rail is waited for.
SLOW_MS = 5_000
assert SLOW_MS < RAIL_PREPARE_MS_MAX - 2_000


def test_a_message_that_is_too_big(provider: Providers) -> None:
    """Refused by the transport before anything is read; the connection and everything on it goes on."""
    payer = provider("HKWALLET")
    request = payer.request(step("unknown", LOAD))
    request.remark = "x" * MESSAGE_BYTES_MAX
    refused = payer.trouble(payer.payments.SubmitPayment, request)
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "")  # no details: it never reached us
    request.remark = ""
    assert STATE[payer.submit(request).state] == "COMMITTED"


def test_a_batch_that_is_too_long(provider: Providers) -> None:
    payer = provider("HKWALLET")
    request = payer.request(step("unknown", LOAD))
    batch = payment_pb2.SubmitPaymentsRequest(items=[request] * (BATCH_ITEMS_MAX + 1))
    with pytest.raises(grpc.RpcError) as caught:
        list(payer.payments.SubmitPayments(iter([batch]), timeout=CALL_SECONDS_MAX, metadata=payer.metadata))
    refused = Trouble.of(caught.value)
    assert (refused.code, refused.field) == ("INVALID_ARGUMENT", "items")
    asked = payment_pb2.GetPaymentRequest(uetr=request.uetr)
    assert payer.trouble(payer.payments.GetPayment, asked).reason == "PAYMENT_UNKNOWN"


async def test_too_many_at_once(running: Sandbox) -> None:
    """New work is shed with RetryInfo and no trace; what was begun is completed, and may be looked at meanwhile.

    The rail stands still until as many were shed as there is no room for, however long a busy machine takes for that.
    """
    requests, rail = [_request() for _ in range(TOO_MANY)], running.rails["hkfps"].pid
    async with grpc.aio.insecure_channel(running.address) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        pause(rail)
        try:
            calls = [asyncio.ensure_future(_submit(stub, request, AS_MOWALLET)) for request in requests]
            shed = await _shed(calls, TOO_MANY - CALLS_IN_FLIGHT_MAX)
            looked = payment_pb2.ListPaymentsRequest(page_size=1)
            assert (await stub.ListPayments(looked, timeout=CALL_SECONDS_MAX, metadata=AS_MOWALLET)).payments
        finally:
            os.kill(rail, signal.SIGCONT)
        assert (shed[0].code, shed[0].retry_ms) == ("RESOURCE_EXHAUSTED", REASONS["OVERLOADED"].retry_after_ms)
        told = dict(zip((request.uetr for request in requests), await asyncio.gather(*calls), strict=True))
        refused = [request for request in requests if isinstance(told[request.uetr], Trouble)]
        asked = payment_pb2.GetPaymentRequest(request_id=refused[0].request_id)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetPayment(asked, timeout=CALL_SECONDS_MAX, metadata=AS_MOWALLET)
        assert Trouble.of(caught.value).reason == "PAYMENT_UNKNOWN", "a request that was shed left a trace"
        # The same request_id, as RetryInfo advises; and of what the rail was waited for too long, its end.
        for request in (refused[0], *(request for request in requests if told[request.uetr] == "IN_DOUBT")):
            assert await _ended(stub, request) == "COMMITTED"
    counts = Counter(answer.reason if isinstance(answer, Trouble) else answer for answer in told.values())
    assert set(counts) - {"IN_DOUBT"} == {"COMMITTED", "OVERLOADED"}, counts


async def _shed(calls: list[Any], count: int) -> list[Trouble]:
    """The first refusals, as soon as there are so many."""
    found: list[Trouble] = []
    for call in asyncio.as_completed(calls):
        if isinstance(answer := await call, Trouble):
            found.append(answer)
            if len(found) == count:
                return found
    raise AssertionError(f"only {len(found)} were shed")


async def _ended(stub: Any, request: Any) -> str | Trouble:
    """The answer to the same request, once it is another than IN_DOUBT."""
    answers: list[str | Trouble] = []

    async def known() -> bool:
        answers.append(await _submit(stub, request, AS_MOWALLET))
        return answers[-1] != "IN_DOUBT"

    await eventually(known, f"{request.uetr} ends")
    return answers[-1]


def _request() -> Any:
    return request_of(step("unknown", f"{LOAD} as=MOWALLET debtor.place=MO"))


async def _submit(stub: Any, request: Any, caller: Any = AS_HKWALLET) -> str | Trouble:
    """The state, or how it was refused."""
    try:
        return STATE[(await stub.SubmitPayment(request, timeout=CALL_SECONDS_MAX, metadata=caller)).payment.state]
    except grpc.aio.AioRpcError as error:
        return Trouble.of(error)


def test_a_hundred_copies_over_two_switches(running: Sandbox, provider: Providers) -> None:
    """One execution, a hundred answers in the same bytes, one booking; whichever process and channel they came by."""
    environment = {
        **running.environment,
        "BAYSWITCH_LISTEN_PORT": "0",
        "BAYSWITCH_RAILS": json.dumps({name: part.ready["address"] for name, part in running.rails.items()}),
    }
    second = start_part("switch-2", "serve", environment=environment, directory=running.directory)
    channels = [grpc.insecure_channel(where) for where in 3 * [running.address, str(second.ready["address"])]]
    try:
        payers = [Provider(channel, "HKWALLET") for channel in channels]
        request = provider("HKWALLET").request(step("hk-cn", "debtor.document=HKID:C123456(9) debit=HKD_10.00"))
        together = threading.Barrier(100)

        def copy(number: int) -> Any:
            together.wait(CALL_SECONDS_MAX)
            while STATE[(answer := payers[number % len(payers)].submit(request)).state] == "PREPARED":
                pass  # the one that pays is late, and a copy does not wait for ever
            return answer

        with ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(copy, range(100)))
    finally:
        for channel in channels:
            channel.close()
        assert second.stop() == 0
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert STATE[answers[0].state] == "COMMITTED"
    assert len(running.control("alipay", "paid", uetr=request.uetr)["paid"]) == 1


async def test_sigterm_under_load(embedded: Sandbox) -> None:
    """NOT_SERVING first, running calls get their answers, exit 0; and after a restart nothing is amiss."""
    load = Load(embedded.address, STEPS, 8, random.SystemRandom().randrange(1 << 32))
    async with grpc.aio.insecure_channel(embedded.address, (("grpc.use_local_subchannel_pool", 1),)) as channel:
        watched = health_pb2.HealthCheckRequest(service="bayswitch.v1.PaymentService")
        health = health_pb2_grpc.HealthStub(channel).Watch(watched)
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        # Set while nobody else pays, so that it is the one that is slow.
        await asyncio.to_thread(embedded.control, "hkfps", "fault", fault=f"slow:{SLOW_MS}", count=1)
        request = request_of(step("unknown", LOAD))
        slow = asyncio.ensure_future(_submit(payment_pb2_grpc.PaymentServiceStub(channel), request))
        await eventually(lambda: _works_on(embedded, request.uetr), "the rail has the slow payment")
        await load.start()
        await eventually(lambda: bool(load.answers), "payments run")
        assert embedded.switch is not None
        stopping = asyncio.ensure_future(asyncio.to_thread(embedded.switch.stop))
        assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not stopping.done()
        assert await slow == "COMMITTED"  # it was running when the signal came
        assert await stopping == 0
    await asyncio.to_thread(embedded.start_switch)
    await load.stop()
    assert load.repeats, "the stop was not felt by any client"
    assert set(load.refusals) <= {"QUOTE_EXPIRED"}, load.refusals  # a restart may outlast a quote
    await asyncio.to_thread(audited, embedded, load.answers)


async def _works_on(sandbox: Sandbox, uetr: str) -> bool:
    """Whether the rail has this payment, and has not answered it."""
    page = await asyncio.to_thread(sandbox.control, "hkfps", "payments", count=10_000)
    return any(one == uetr and status == "working" for one, status, *_ in page["payments"])
