"""Calls through the gate are counted once each, with what the caller got."""

import asyncio

import grpc
import pytest
from bayswitch.v1 import payment_pb2

from switch.metrics import PathMeter, call_families
from switch.metrics.scrape import Scrape
from tests.api.support import refusal, submit_request
from tests.fakes import World, until
from tests.metrics.support import Page, page_of, serving_metered

SUBMIT = "bayswitch.v1.PaymentService/SubmitPayment"
BATCH = "bayswitch.v1.PaymentService/SubmitPayments"
GET = "bayswitch.v1.PaymentService/GetPayment"
STARTED, ENDED, REFUSED = (
    "grpc_server_call_started_total",
    "grpc_server_call_duration_seconds_count",
    "bayswitch_calls_refused_total",
)


async def shown(meter: PathMeter) -> Page:
    return page_of((await Scrape({"calls": lambda: call_families(meter)}, {}).text()).decode())


# A caller has its answer a moment before the call has ended here.
def ended(meter: PathMeter, method: str) -> dict[str, int]:
    """How many of its calls ended, by status."""
    return {status: n for status, each in meter.methods[method].statuses.items() if (n := sum(each.counts))}


async def test_what_callers_got_is_counted() -> None:
    async with serving_metered(World()) as (api, meter):
        for _ in range(3):
            await api.submit()
        wrong = await refusal(api.caller().call(api.caller().payments.SubmitPayment, submit_request(uetr="not a UETR")))
        nobody = await refusal(api.caller("").payments.SubmitPayment(submit_request(), timeout=60))
        operator = api.caller("OPERATOR")
        other = await refusal(operator.call(operator.payments.SubmitPayment, submit_request()))
        assert [each.code for each in (wrong, nobody, other)] == [
            "INVALID_ARGUMENT",
            "UNAUTHENTICATED",
            "PERMISSION_DENIED",
        ]
        await until(lambda: sum(ended(meter, SUBMIT).values()) == 6)
        page = await shown(meter)
    assert page.value(STARTED, grpc_method=SUBMIT) == 6
    statuses = {"OK": 3, "INVALID_ARGUMENT": 1, "UNAUTHENTICATED": 1, "PERMISSION_DENIED": 1}
    for status, count in statuses.items():
        assert page.value(ENDED, grpc_method=SUBMIT, grpc_status=status) == count
        last = page.value(f"{ENDED.removesuffix('_count')}_bucket", grpc_method=SUBMIT, grpc_status=status, le="+Inf")
        assert last == count
    for reason in ("FIELD_INVALID", "CALLER_UNKNOWN", "CALLER_NOT_PERMITTED"):
        assert page.value(REFUSED, grpc_method=SUBMIT, reason=reason) == 1
    shown_methods = {dict(labels)["grpc_method"] for name, labels in page.values if name.startswith("grpc_")}
    assert shown_methods == {SUBMIT}, "what nobody called is not shown"


async def test_a_fault_of_ours_and_a_shed_call_have_their_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    async with serving_metered(world, calls_max=0) as (api, meter):
        await refusal(api.submit())
        await until(lambda: ended(meter, SUBMIT) == {"RESOURCE_EXHAUSTED": 1})

        async def broken(*_: object) -> None:
            raise KeyError("CHAN TAI MAN")

        monkeypatch.setattr(world.store, "get", broken)
        stubs = api.caller()
        await refusal(stubs.call(stubs.payments.GetPayment, payment_pb2.GetPaymentRequest(uetr=submit_request().uetr)))
        await until(lambda: ended(meter, GET) == {"INTERNAL": 1})
        assert meter.methods[GET].reasons == {"INTERNAL_FAULT": 1}
        assert "CHAN" not in (await shown(meter)).text


async def test_a_cancelled_call_is_cancelled_and_a_running_one_has_only_begun() -> None:
    world = World()
    world.near.hold()
    async with serving_metered(world) as (api, meter):
        stubs = api.caller()
        call = stubs.call(stubs.payments.SubmitPayment, submit_request())
        await until(lambda: SUBMIT in meter.methods and meter.methods[SUBMIT].started == 1)
        await until(lambda: api.server.running_by_kind["begins"] == 1)
        assert ended(meter, SUBMIT) == {}
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: ended(meter, SUBMIT) == {"CANCELLED": 1})
        assert api.server.running_by_kind == {"begins": 0, "looks": 0}
        world.near.release()


async def test_a_stream_is_one_call() -> None:
    async with serving_metered(World()) as (api, meter):
        stubs = api.caller()
        call = stubs.payments.SubmitPayments(metadata=stubs.metadata)
        for _ in range(2):
            await call.write(payment_pb2.SubmitPaymentsRequest(items=[submit_request(), submit_request()]))
            assert len((await call.read()).results) == 2
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        await until(lambda: ended(meter, BATCH) == {"OK": 1})
        assert meter.methods[BATCH].started == 1
