"""Too much, too big, the same a hundred times, and a stop in the middle of it all."""

import asyncio
import json
import random
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

from loadtest.provider import STEPS, Load
from switch.cli.demo import request_of
from switch.cli.processes import start_part
from switch.cli.sandbox import Sandbox
from switch.errors import REASONS
from switch.limits import BATCH_ITEMS_MAX, CALLS_IN_FLIGHT_MAX, MESSAGE_BYTES_MAX
from tests.system.support import STATE, Provider, Trouble, audited, step

Providers = Callable[[str], Provider]
AS_HKWALLET = (("x-bayswitch-participant", "HKWALLET"),)
AS_MOWALLET = (("x-bayswitch-participant", "MOWALLET"),)  # the many: others read their own changes from the beginning
LOAD = "creditor.account=+852-70000050 creditor.name=LOAD_000050 debit=HKD_1.00"
TOO_MANY = CALLS_IN_FLIGHT_MAX + 100


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
        list(payer.payments.SubmitPayments(iter([batch]), timeout=10, metadata=payer.metadata))
    refused = Trouble.of(caught.value)
    assert (refused.code, refused.field) == ("INVALID_ARGUMENT", "items")
    asked = payment_pb2.GetPaymentRequest(uetr=request.uetr)
    assert payer.trouble(payer.payments.GetPayment, asked).reason == "PAYMENT_UNKNOWN"


async def test_too_many_at_once(running: Sandbox) -> None:
    """New work is shed with RetryInfo and no trace; what was begun is completed, and may be looked at meanwhile."""
    await asyncio.to_thread(running.control, "hkfps", "fault", fault="slow:3000")
    requests = [_request() for _ in range(TOO_MANY)]
    try:
        async with grpc.aio.insecure_channel(running.address) as channel:
            stub = payment_pb2_grpc.PaymentServiceStub(channel)
            calls = [asyncio.ensure_future(_submit(stub, request, AS_MOWALLET)) for request in requests]
            shed = next(iter(await _first(calls, lambda told: isinstance(told, Trouble))))
            looked = payment_pb2.ListPaymentsRequest(page_size=1)
            assert (await stub.ListPayments(looked, timeout=10, metadata=AS_MOWALLET)).payments
            told = await asyncio.gather(*calls)
            _check_shed(shed, told)
            refused = [request for request, answer in zip(requests, told, strict=True) if isinstance(answer, Trouble)]
            asked = payment_pb2.GetPaymentRequest(request_id=refused[0].request_id)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetPayment(asked, timeout=10, metadata=AS_MOWALLET)
            assert Trouble.of(caught.value).reason == "PAYMENT_UNKNOWN", "a request that was shed left a trace"
            await asyncio.to_thread(running.control, "hkfps", "clear")
            assert (
                await _submit(stub, refused[0], AS_MOWALLET) == "COMMITTED"
            )  # the same request_id, as RetryInfo advises
    finally:
        await asyncio.to_thread(running.control, "hkfps", "clear")


def _check_shed(shed: Any, told: list[Any]) -> None:
    counts = Counter(answer.reason if isinstance(answer, Trouble) else answer for answer in told)
    assert set(counts) == {"COMMITTED", "OVERLOADED"}, (counts, next(one for one in told if isinstance(one, Trouble)))
    assert counts["OVERLOADED"] >= TOO_MANY - CALLS_IN_FLIGHT_MAX
    assert (shed.code, shed.retry_ms) == ("RESOURCE_EXHAUSTED", REASONS["OVERLOADED"].retry_after_ms)


async def _first(calls: list[Any], wanted: Callable[[Any], bool]) -> list[Any]:
    """The answers that are wanted, as soon as there is one."""
    pending = set(calls)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if found := [call.result() for call in done if wanted(call.result())]:
            return found
    raise AssertionError("none of them")


def _request() -> Any:
    return request_of(step("unknown", f"{LOAD} as=MOWALLET debtor.place=MO"))


async def _submit(stub: Any, request: Any, caller: Any = AS_HKWALLET) -> str | Trouble:
    """The state, or how it was refused."""
    try:
        return STATE[(await stub.SubmitPayment(request, timeout=30, metadata=caller)).payment.state]
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
            together.wait(10)
            return payers[number % len(payers)].submit(request)

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
        await load.start()
        slow = asyncio.ensure_future(_slow(payment_pb2_grpc.PaymentServiceStub(channel)))
        await _begun(embedded)
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


async def _slow(stub: Any) -> str | Trouble:
    """A payment to the marked account whose bank takes two seconds."""
    of = step("unknown", "creditor.account=+852-59000004 creditor.name=FAULT_SLOW debit=HKD_1.00")
    return await _submit(stub, request_of(of))


async def _begun(sandbox: Sandbox) -> None:
    """Returns when the rail has the slow payment."""
    for _ in range(400):
        page = await asyncio.to_thread(sandbox.control, "hkfps", "payments", count=10_000)
        if any(status == "working" for _, status, *_ in page["payments"]):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the slow payment did not reach the rail")
