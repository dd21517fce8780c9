"""Health, reflection, bounds, the drain, and what every refusal carries."""

import asyncio
import importlib
from typing import Any

import grpc
import pytest
from bayswitch.v1 import payment_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from switch.api.gate import POLICIES, Kind
from switch.api.server import SERVICES
from switch.api.status import refusal_of, status_of
from switch.errors import REASONS, Refused, Retry, StoreUnavailable
from switch.limits import MESSAGE_BYTES_MAX
from tests.api.support import Api, read_status, refusal, serving, submit_request
from tests.fakes import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


# --- what every refusal carries --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", REASONS)
def test_every_reason_becomes_a_rich_error(name: str) -> None:
    reason = REASONS[name]
    details = read_status(status_of(Refused(name, field="some.field", figures={"left_minor": "7"}), "items[1]."))
    assert (details.code, details.reason, details.field) == (reason.grpc, name, "items[1].some.field")
    assert details.retry_after_ms == reason.retry_after_ms
    assert details.metadata == {"left_minor": "7"}
    assert reason.retry is not Retry.NEVER or not details.retry_after_ms
    bare = read_status(status_of(Refused(name), "items[1]."))
    assert (bare.field, bare.metadata) == ("", {})


def test_errors_that_are_not_refusals() -> None:
    assert refusal_of(StoreUnavailable("127.0.0.1:6379 said no")).reason.name == "STORE_UNAVAILABLE"
    assert refusal_of(KeyError("CHAN TAI MAN")).message == REASONS["INTERNAL_FAULT"].advice


def test_the_same_refusal_is_the_same_bytes() -> None:
    figures = dict.fromkeys("zyxwvutsrqponmlkjihgfedcba", "1")
    first = status_of(Refused("DAY_LIMIT", figures=figures))
    second = status_of(Refused("DAY_LIMIT", figures=dict(reversed(figures.items()))))
    assert first.SerializeToString() == second.SerializeToString()


def test_every_method_of_the_contract_has_a_policy() -> None:
    methods = set()
    for name in ("payment", "quote", "directory", "participant", "settlement"):
        descriptor = importlib.import_module(f"bayswitch.v1.{name}_pb2").DESCRIPTOR
        for service in descriptor.services_by_name.values():
            assert service.full_name in SERVICES
            methods |= {f"/{service.full_name}/{method.name}" for method in service.methods}
    assert methods == set(POLICIES)


# --- health and reflection -------------------------------------------------------------------------------------------
async def test_health_per_service_needs_no_caller() -> None:
    async with serving() as api:
        health = health_pb2_grpc.HealthStub(api.channel)
        for name in ("", *SERVICES):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await health.Check(health_pb2.HealthCheckRequest(service="bayswitch.v1.NoService"))
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_and_describes(version: str) -> None:
    async with serving() as api:
        ask = api.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )()
        await ask.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        names = {service.name for service in (await ask.read()).list_services_response.service}
        assert names >= {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"}
        await ask.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="bayswitch.v1.Payment"))
        assert (await ask.read()).file_descriptor_response.file_descriptor_proto
        await ask.done_writing()
        assert await ask.read() is grpc.aio.EOF
    assert reflection_pb2_grpc.ServerReflectionStub


# --- bounds ----------------------------------------------------------------------------------------------------------
async def test_an_oversize_message_is_refused() -> None:
    async with serving() as api:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await api.submit(submit_request(remark="x" * MESSAGE_BYTES_MAX))
        assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await api.submit()).state == payment_pb2.PAYMENT_STATE_COMMITTED


SMALL: dict[str, Any] = {"calls_max": 2, "looks_max": 2}


async def look(api: Api, uetr: str) -> payment_pb2.Payment:
    alfa = api.caller()
    payment: payment_pb2.Payment = (
        await alfa.call(alfa.payments.GetPayment, payment_pb2.GetPaymentRequest(uetr=uetr))
    ).payment
    return payment


async def test_new_work_is_shed_first_and_looks_and_completions_are_not() -> None:
    async with serving(**SMALL) as api:
        api.world.near.hold()
        requests = [submit_request() for _ in range(2)]
        calls = [asyncio.get_running_loop().create_task(api.submit(request)) for request in requests]
        await until(lambda: len(api.world.near.asked["prepare"]) == 2)
        refused = await refusal(api.submit())
        assert (refused.code, refused.reason, refused.retry_after_ms) == ("RESOURCE_EXHAUSTED", "OVERLOADED", 200)
        assert (await look(api, requests[0].uetr)).state == payment_pb2.PAYMENT_STATE_PREPARED
        api.world.near.release()
        assert {(await call).state for call in calls} == {payment_pb2.PAYMENT_STATE_COMMITTED}
        assert (await api.submit()).state == payment_pb2.PAYMENT_STATE_COMMITTED


async def test_looks_have_a_bound_too_and_leave_room_for_payments() -> None:
    async with serving(**SMALL) as api:
        alfa = api.caller()
        watchers = [
            alfa.call(alfa.payments.WatchPayments, payment_pb2.WatchPaymentsRequest(), timeout=None) for _ in range(2)
        ]
        for watch in watchers:
            await watch.initial_metadata()
        payment = await api.submit()
        assert (await refusal(look(api, payment.uetr))).reason == "OVERLOADED"
        for watch in watchers:
            watch.cancel()
        await until(lambda: not api.server.running)
        assert await look(api, payment.uetr) == payment


def test_what_begins_and_what_looks() -> None:
    looks = {name.rpartition("/")[2] for name, policy in POLICIES.items() if policy.kind is Kind.LOOKS}
    assert {"GetPayment", "ListPayments", "WatchPayments", "GetQuote"} <= looks
    assert not looks & {"SubmitPayment", "SubmitPayments", "CreateQuote"}


# --- the end ---------------------------------------------------------------------------------------------------------
async def test_the_drain() -> None:
    async with serving() as api:
        health = health_pb2_grpc.HealthStub(api.channel)
        seen = health.Watch(health_pb2.HealthCheckRequest(service=SERVICES[0]))
        assert (await seen.read()).status == SERVING
        api.world.near.hold()
        running = asyncio.get_running_loop().create_task(api.submit())
        await api.world.near.arrived()
        stopping = asyncio.get_running_loop().create_task(api.server.stop(60_000))
        assert (await seen.read()).status == NOT_SERVING
        await until(lambda: api.server.draining)
        for call in (api.submit(), look(api, submit_request().uetr)):
            refused = await refusal(call)
            assert (refused.code, refused.reason, refused.retry_after_ms) == ("UNAVAILABLE", "SHUTTING_DOWN", 200)
        assert not stopping.done()
        api.world.near.release()
        assert (await running).state == payment_pb2.PAYMENT_STATE_COMMITTED
        await stopping
        await api.server.stop(20_000)  # safe to repeat


async def test_what_does_not_end_in_time_is_cut_off_and_its_payment_ends_all_the_same() -> None:
    async with serving() as api:
        request = submit_request()
        api.world.near.hold()
        running = asyncio.get_running_loop().create_task(api.submit(request))
        await api.world.near.arrived()
        await api.server.stop(50)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await running
        assert failed.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        api.world.near.release()
        await api.world.payments.drain()
        assert api.world.store.payments[request.uetr].state.final


async def test_a_health_watcher_that_does_not_read_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switch.api.server._HEALTH_MS_MAX", 50)
    async with serving() as api:
        stuck = asyncio.Event()

        async def never() -> Any:
            await stuck.wait()

        monkeypatch.setattr(api.server._health, "enter_graceful_shutdown", never)
        await api.server.stop(1_000)
        assert api.server.draining
