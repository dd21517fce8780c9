"""GetPayment, ListPayments, WatchPayments: own payments only, paged and resumed by tokens."""

import asyncio
import base64
from typing import Any

import pytest
from bayswitch.v1 import payment_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from switch.domain.payment import State
from switch.errors import RailRejected, RailSilent
from switch.limits import PAGE_SIZE_DEFAULT, WATCHERS_MAX
from tests.api.support import Api, refusal, serving, submit_request
from tests.fakes import NOON_MS, until


async def get(api: Api, caller: str = "ALFA", **by: str) -> pb.Payment:
    stubs = api.caller(caller)
    answer = await stubs.call(stubs.payments.GetPayment, pb.GetPaymentRequest(**by))
    payment: pb.Payment = answer.payment
    return payment


async def listed(api: Api, caller: str = "ALFA", **query: Any) -> pb.ListPaymentsResponse:
    stubs = api.caller(caller)
    answer: pb.ListPaymentsResponse = await stubs.call(stubs.payments.ListPayments, pb.ListPaymentsRequest(**query))
    return answer


def moment(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


async def test_the_operator_lists_whose_it_names_and_nobody_else_another() -> None:
    async with serving() as api:
        paid = await api.submit(submit_request())
        assert list((await listed(api, "OPERATOR", participant_id="ALFA")).payments) == [paid]
        assert not (await listed(api, "OPERATOR", participant_id="BRAVO")).payments
        assert list((await listed(api, participant_id="ALFA")).payments) == [paid]
        missing = await refusal(listed(api, "OPERATOR"))
        assert (missing.reason, missing.field) == ("FIELD_MISSING", "participant_id")
        foreign = await refusal(listed(api, "BRAVO", participant_id="ALFA"))
        assert (foreign.code, foreign.reason) == ("PERMISSION_DENIED", "CALLER_NOT_PERMITTED")


# --- one -------------------------------------------------------------------------------------------------------------
async def test_get_by_either_id() -> None:
    async with serving() as api:
        request = submit_request()
        paid = await api.submit(request)
        assert await get(api, uetr=request.uetr) == await get(api, request_id=request.request_id) == paid


async def test_another_participants_payment_is_unknown() -> None:
    async with serving() as api:
        request = submit_request()
        await api.submit(request)
        for by in ({"uetr": request.uetr}, {"request_id": request.request_id}):
            refused = await refusal(get(api, "BRAVO", **by))
            assert (refused.code, refused.reason, refused.field) == ("NOT_FOUND", "PAYMENT_UNKNOWN", *by)


async def test_a_kept_refusal_can_be_looked_at() -> None:
    async with serving() as api:
        alfa = api.world.store.participants["ALFA"]
        api.world.store.participants["ALFA"] = alfa._replace(caps=())
        request = submit_request()
        await refusal(api.submit(request))
        payment = await get(api, request_id=request.request_id)
    assert (payment.state, payment.reason, payment.iso_reason) == (
        pb.PAYMENT_STATE_ABORTED,
        "NET_DEBIT_CAP_EXCEEDED",
        "AM04",
    )


@pytest.mark.parametrize(
    ("by", "field", "rule"),
    [({}, "uetr", "MISSING"), ({"uetr": "x"}, "uetr", "FORMAT"), ({"request_id": "a b"}, "request_id", "FORMAT")],
)
async def test_get_needs_an_id(by: dict[str, str], field: str, rule: str) -> None:
    async with serving() as api:
        refused = await refusal(get(api, **by))
        assert (refused.code, refused.field, refused.rule) == ("INVALID_ARGUMENT", field, rule)


# --- many ------------------------------------------------------------------------------------------------------------
async def test_pages_hold_everything_once_in_order() -> None:
    async with serving() as api:
        made = [(await api.submit()).uetr for _ in range(7)]
        await api.submit(caller="BRAVO")
        got, token = list[str](), ""
        while True:
            page = await listed(api, page_size=3, page_token=token)
            assert len(page.payments) <= 3
            got += (payment.uetr for payment in page.payments)
            token = page.next_page_token
            if not token:
                break
        assert got == made
        assert len((await listed(api)).payments) == 7


async def test_the_default_page() -> None:
    async with serving() as api:
        await asyncio.gather(*(api.submit() for _ in range(PAGE_SIZE_DEFAULT + 1)))
        page = await listed(api)
        assert (len(page.payments), bool(page.next_page_token)) == (PAGE_SIZE_DEFAULT, True)


async def test_by_state_and_time() -> None:
    async with serving() as api:
        first = await api.submit()
        api.world.clock.advance(1_000)
        api.world.near.will("prepare", RailRejected("PROXY_UNKNOWN"))
        second = await api.submit()

        async def uetrs(**query: Any) -> list[str]:
            return [payment.uetr for payment in (await listed(api, **query)).payments]

        assert await uetrs(state=pb.PAYMENT_STATE_ABORTED) == [second.uetr]
        assert await uetrs(state=pb.PAYMENT_STATE_IN_DOUBT) == []
        assert await uetrs(from_time=moment(NOON_MS + 1)) == [second.uetr]
        assert await uetrs(to_time=moment(NOON_MS + 1_000)) == [first.uetr]
        assert await uetrs(from_time=moment(NOON_MS), to_time=moment(NOON_MS + 1_001)) == [first.uetr, second.uetr]


async def test_a_token_fits_its_own_question_only() -> None:
    async with serving() as api:
        for _ in range(3):
            await api.submit()
            await api.submit(caller="BRAVO")
        token = (await listed(api, page_size=1)).next_page_token
        await listed(api, page_size=2, page_token=token)  # another size is the same list
        for caller, query in (
            ("BRAVO", {}),
            ("ALFA", {"state": pb.PAYMENT_STATE_COMMITTED}),
            ("ALFA", {"from_time": moment(1)}),
            ("ALFA", {"to_time": moment(NOON_MS)}),
        ):
            refused = await refusal(listed(api, caller, page_size=1, page_token=token, **query))
            assert (refused.field, refused.rule) == ("page_token", "TOKEN")
        cut, padded = token[:-1], token + "=" * (-len(token) % 4) + "AAAA"
        for bad in (cut, padded, "x", "=", "é", "a" * 500, base64.b64encode(b"123456").decode()):
            refused = await refusal(listed(api, page_size=1, page_token=bad))
            assert (refused.field, refused.rule) == ("page_token", "TOKEN"), bad


@pytest.mark.parametrize(
    ("query", "field", "rule"),
    [
        ({"page_size": -1}, "page_size", "RANGE"),
        ({"page_size": 501}, "page_size", "RANGE"),
        ({"state": 9}, "state", "ENUM"),
        ({"from_time": Timestamp(seconds=-1)}, "from_time", "RANGE"),
        ({"to_time": Timestamp(nanos=1_000_000_000)}, "to_time", "RANGE"),
        ({"from_time": moment(2), "to_time": moment(1)}, "to_time", "ORDER"),
    ],
)
async def test_a_wrong_list_is_refused(query: dict[str, Any], field: str, rule: str) -> None:
    async with serving() as api:
        refused = await refusal(listed(api, **query))
        assert (refused.code, refused.field, refused.rule) == ("INVALID_ARGUMENT", field, rule)


# --- as it happens ---------------------------------------------------------------------------------------------------
def watching(api: Api, token: str = "", caller: str = "ALFA") -> Any:
    stubs = api.caller(caller)
    return stubs.call(stubs.payments.WatchPayments, pb.WatchPaymentsRequest(resume_token=token), timeout=None)


async def test_changes_come_as_they_happen_and_only_ones_own() -> None:
    async with serving() as api:
        await api.submit()  # before: not seen
        watch = watching(api)
        await watch.initial_metadata()
        await until(lambda: api.world.store.calls["changes"])
        await api.submit(caller="BRAVO")
        payment = await api.submit()
        got = [await watch.read() for _ in range(2)]
        watch.cancel()
    assert [(change.uetr, change.state) for change in got] == [
        (payment.uetr, pb.PAYMENT_STATE_PREPARED),
        (payment.uetr, pb.PAYMENT_STATE_COMMITTED),
    ]
    assert got[0].change_time.ToMilliseconds() == NOON_MS


async def test_a_doubt_and_its_end_are_seen() -> None:
    async with serving() as api:
        watch = watching(api)
        await watch.initial_metadata()
        await until(lambda: api.world.store.calls["changes"])
        api.world.near.will("prepare", RailSilent(""))
        payment = await api.submit()
        api.world.clock.advance(60_000)
        assert await api.world.recovery.look() == 1
        got = [(await watch.read()).state for _ in range(3)]
        watch.cancel()
    assert got == [pb.PAYMENT_STATE_PREPARED, pb.PAYMENT_STATE_IN_DOUBT, pb.PAYMENT_STATE_ABORTED]
    assert api.world.store.payments[payment.uetr].history[-1].reason == "RAIL_NEVER_SAW_IT"


async def test_a_token_resumes_without_repeat_or_gap() -> None:
    async with serving() as api:
        for _ in range(3):
            await api.submit()
        first = watching(api, "0")
        seen = [await first.read() for _ in range(3)]
        first.cancel()
        rest = watching(api, seen[-1].token)
        seen += [await rest.read() for _ in range(3)]
        rest.cancel()
    assert [change.uetr for change in seen[::2]] == list(api.world.store.payments)
    assert len({change.token for change in seen}) == 6


@pytest.mark.parametrize("token", ["1", "$", "not a token", "AAAAAAAAAAAA"])
async def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    async with serving() as api:
        refused = await refusal(watching(api, token).read())
        assert (refused.code, refused.field, refused.rule) == ("INVALID_ARGUMENT", "resume_token", "TOKEN")


async def test_another_participants_token_is_refused() -> None:
    async with serving() as api:
        await api.submit()
        watch = watching(api, "0")
        token = (await watch.read()).token
        watch.cancel()
        assert (await refusal(watching(api, token, "BRAVO").read())).rule == "TOKEN"


async def test_a_drain_sends_watchers_elsewhere() -> None:
    async with serving() as api:
        watch = watching(api, "0")
        await until(lambda: api.world.store.calls["changes"])
        stopping = asyncio.get_running_loop().create_task(api.server.stop(60_000))
        refused = await refusal(watch.read())
        await stopping
        assert (refused.code, refused.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")


async def test_watchers_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WATCHERS_MAX > 1
    monkeypatch.setattr("switch.engine.watch.WATCHERS_MAX", 1)
    async with serving() as api:
        first = watching(api, "0")
        await until(lambda: api.world.store.calls["changes"])
        assert (await refusal(watching(api, "0").read())).reason == "OVERLOADED"
        first.cancel()
        await until(lambda: not api.server.running)
        await api.submit()
        second = watching(api, "0")
        assert (await second.read()).state == pb.PAYMENT_STATE_PREPARED
        second.cancel()


def test_states_of_the_contract_are_ours() -> None:
    assert {name.removeprefix("PAYMENT_STATE_") for name in pb.PaymentState.keys()} == {  # noqa: SIM118 - not a dict
        "UNSPECIFIED",
        *State.__members__,
    }
