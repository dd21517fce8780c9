"""The service over the real store: what is answered again is the same bytes, whoever kept it and however it ended."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bayswitch.v1 import common_pb2, payment_pb2, quote_pb2

from switch.api.tokens import seal
from switch.domain.corridor import Fee
from switch.domain.money import Asset, Rate
from switch.errors import RailRejected, RailSilent
from switch.store import Store, open_store
from tests.api.support import Api, refusal, serving, submit_request
from tests.fake_archive import FakeArchive
from tests.fakes import PARTICIPANTS, Ports, World
from tests.store.builders import NOTE_KEY
from tests.store.load import acknowledge, keep


@pytest.fixture
def archive() -> FakeArchive:
    return FakeArchive()


@pytest.fixture
async def store(valkey_url: str, tmp_path: Path, archive: FakeArchive, patient_store: None) -> AsyncIterator[Store]:
    opened = await open_store(
        valkey_url,
        shards=1,
        durability="fsync",
        data_dir=tmp_path,
        note_key=NOTE_KEY,
        namespace=f"api-{uuid.uuid4().hex[:8]}",
        archive=archive,
    )
    yield opened
    await opened.close()


@pytest.fixture
async def api(store: Store) -> AsyncIterator[Api]:
    """A server over a real store of its own."""
    for participant in PARTICIPANTS:
        await store.participants.create_participant(participant, "OPERATOR", "test")
    now_ms = time.time_ns() // 1_000_000  # the server has a clock of its own
    rate = Rate(100, 103)
    await store.participants.set_rate("FXONE", Asset.MOP, Asset.HKD, rate, "OPERATOR", "test", now_ms)
    ports = Ports(store.payments, store.quotes, store.participants)
    async with serving(World(now_ms=now_ms, ports=ports, fees={"mop": Fee(100, 50)})) as running:
        yield running


async def twice(api: Api, request: payment_pb2.SubmitPaymentRequest) -> payment_pb2.Payment:
    """Submit, submit again, and look: all the same bytes."""
    first = await api.submit(request)
    alfa = api.caller()
    looked = await alfa.call(alfa.payments.GetPayment, payment_pb2.GetPaymentRequest(uetr=first.uetr))
    again = await api.submit(request)
    assert first.SerializeToString() == again.SerializeToString() == looked.payment.SerializeToString()
    return first


async def test_a_committed_payment(api: Api) -> None:
    payment = await twice(api, submit_request(remark="午餐"))
    assert payment.state == payment_pb2.PAYMENT_STATE_COMMITTED


async def test_an_aborted_payment(api: Api) -> None:
    api.world.near.will("prepare", RailRejected("CREDITOR_NAME_MISMATCH", "BE01"))
    payment = await twice(api, submit_request())
    assert (payment.reason, payment.iso_reason, payment.rail_code) == ("CREDITOR_NAME_MISMATCH", "BE01", "BE01")


async def test_a_payment_in_doubt(api: Api) -> None:
    api.world.near.will("prepare", RailSilent("nothing"))
    payment = await twice(api, submit_request())
    assert payment.state == payment_pb2.PAYMENT_STATE_IN_DOUBT


async def test_a_payment_with_a_quote(api: Api) -> None:
    alfa = api.caller()
    wanted = quote_pb2.CreateQuoteRequest(
        debit=common_pb2.Money(asset="MOP", amount_minor=10_000),
        other_asset="HKD",
        debtor_place=common_pb2.PLACE_MO,
        creditor_place=common_pb2.PLACE_HK,
        creditor_scheme=common_pb2.SCHEME_MOBILE,
    )
    quote = (await alfa.call(alfa.quotes.CreateQuote, wanted)).quote
    request = submit_request(debit=quote.debit, credit=quote.credit, quote_id=quote.quote_id)
    request.debtor.place = common_pb2.PLACE_MO
    payment = await twice(api, request)
    assert len(payment.entries) == 5
    used = (await alfa.call(alfa.quotes.GetQuote, quote_pb2.GetQuoteRequest(quote_id=quote.quote_id))).quote
    assert (used.state, used.uetr) == (quote_pb2.QUOTE_STATE_USED, payment.uetr)


async def test_a_kept_refusal(api: Api) -> None:
    request = submit_request(debit=common_pb2.Money(asset="HKD", amount_minor=10**12 + 1))
    first, second = await refusal(api.submit(request)), await refusal(api.submit(request))
    assert first == second
    assert first.reason == "NET_DEBIT_CAP_EXCEEDED"
    assert first.metadata["left_minor"] == str(10**12)


async def test_a_batch_with_copies_in_it(api: Api) -> None:
    alfa, copied = api.caller(), submit_request()
    items = [copied if number % 3 == 0 else submit_request() for number in range(300)]
    stream = alfa.payments.SubmitPayments(metadata=alfa.metadata, timeout=60)
    await stream.write(payment_pb2.SubmitPaymentsRequest(items=items))
    results = (await stream.read()).results
    await stream.done_writing()
    assert {result.payment.state for result in results} == {payment_pb2.PAYMENT_STATE_COMMITTED}
    assert sum(result.replay for result in results) == 99
    assert len(api.world.near.asked["prepare"]) == 201
    assert (await api.world.ports.payments.holds())[0] == 0


async def test_pages_of_payments_that_leave_for_the_archive_meanwhile(
    api: Api, store: Store, archive: FakeArchive
) -> None:
    made = {payment.uetr for payment in await asyncio.gather(*(api.submit() for _ in range(9)))}
    await keep(archive, await acknowledge(store))
    alfa, listed, token = api.caller(), list[payment_pb2.Payment](), ""
    while True:
        query = payment_pb2.ListPaymentsRequest(page_size=2, page_token=token)
        page: Any = await alfa.call(alfa.payments.ListPayments, query)
        listed += page.payments
        if not (token := page.next_page_token):
            break
        await store.payments.retire(await archive.unretired(1 << 52, 3))
    assert archive.let_go == made
    assert {payment.uetr for payment in listed} == made
    assert len(listed) == 9
    orders = [(payment.prepared_time.ToMilliseconds(), payment.uetr) for payment in listed]
    assert orders == sorted(orders)


@pytest.mark.parametrize(
    "place", ["0-0", "1764129600000-1", "1764129600000-1.3", "al1.x", f"r{5:016} {uuid.UUID(int=1)}"]
)
async def test_a_page_token_of_an_earlier_version_is_refused(api: Api, place: str) -> None:
    alfa = api.caller()
    query = payment_pb2.ListPaymentsRequest(page_token=seal("list|ALFA|0|0|", place))
    refused = await refusal(alfa.call(alfa.payments.ListPayments, query))
    assert (refused.code, refused.reason, refused.field) == ("INVALID_ARGUMENT", "FIELD_INVALID", "page_token")
    assert refused.rule == "TOKEN"


async def test_pages_and_a_resumed_watch(api: Api) -> None:
    made = {payment.uetr for payment in await asyncio.gather(*(api.submit() for _ in range(5)))}
    alfa, listed, token = api.caller(), list[str](), ""
    while True:
        query = payment_pb2.ListPaymentsRequest(page_size=2, page_token=token)
        page: Any = await alfa.call(alfa.payments.ListPayments, query)
        listed += (payment.uetr for payment in page.payments)
        if not (token := page.next_page_token):
            break
    assert len(listed) == 5
    assert set(listed) == made

    async def watched(resume: str, count: int) -> list[Any]:
        asked = payment_pb2.WatchPaymentsRequest(resume_token=resume)
        call = alfa.call(alfa.payments.WatchPayments, asked, timeout=None)
        changes = [await call.read() for _ in range(count)]
        call.cancel()
        return changes

    first = await watched("0", 4)
    rest = await watched(first[-1].token, 6)
    assert len({change.token for change in (*first, *rest)}) == 10
    ended = [change.uetr for change in (*first, *rest) if change.state == payment_pb2.PAYMENT_STATE_COMMITTED]
    assert sorted(ended) == sorted(made)
