"""Quotes: the provider's headroom is held from the offer until the payment's end, and a quote pays once."""

import asyncio

import pytest

from switch.domain.money import Asset, Money
from switch.domain.quote import Quote, QuoteState
from switch.errors import Refused
from switch.limits import AMOUNT_MINOR_MAX, QUOTE_LOOK_AGAIN_MS
from switch.store import Store
from tests.store.builders import ACK, NOW_MS, charge, hold, join, quote, until
from tests.store.conftest import OpenStore

FOREVER_MS = 4_102_444_800_000


async def reserved(store: Store, provider: str = "FX1") -> tuple[int, int]:
    """Held and used of the provider's CNY."""
    row = next(row for row in await store.payments.positions(provider) if row.asset is Asset.CNY)
    return row.reserved_minor, row.used_minor


async def offer(store: Store) -> Quote:
    """A quote of FX1 for ALFA, kept for ever."""
    await join(store)
    await join(store, "FX1", 2_000, Asset.CNY)
    priced = quote()
    await store.quotes.create_quote(priced)
    return priced


async def offer_that_expires(store: Store) -> Quote:
    """As `offer`, until soon: it lives as long as this machine needs to make one, which may stand still meanwhile."""
    await join(store)
    await join(store, "FX1", 2_000, Asset.CNY)
    lives_ms = 30
    while True:
        priced = quote()._replace(expiry_time_ms=await server_ms(store) + lives_ms)
        try:
            await store.quotes.create_quote(priced)
        except Refused as refused:
            if "expired while it was made" not in str(refused):
                raise
            assert await store.quotes.release_quotes(priced.expiry_time_ms, 10) == 1
            lives_ms *= 4
            continue
        return priced


async def server_ms(store: Store) -> int:
    seconds, micros = await store.payments._server.read("TIME")
    return int(seconds) * 1_000 + int(micros) // 1_000


async def expired(store: Store, priced: Quote) -> None:
    async def past() -> bool:
        return await server_ms(store) >= priced.expiry_time_ms

    await until(past)


async def test_a_quote_holds_the_providers_headroom_and_pays_once(store: Store) -> None:
    priced = await offer(store)
    assert await store.quotes.get_quote("ALFA", priced.id) == (priced, QuoteState.OPEN, "")
    assert await store.quotes.get_quote("BRAVO", priced.id) is None
    assert await reserved(store) == (900, 900)
    await store.quotes.create_quote(priced)  # a repeat reserves nothing more
    assert await reserved(store) == (900, 900)

    first, second = hold(quote=priced), hold(quote=priced)
    assert (await store.payments.prepare(first, priced.id)).fresh
    assert not (await store.payments.prepare(first, priced.id)).fresh
    assert await store.quotes.get_quote("ALFA", priced.id) == (priced, QuoteState.USED, first.uetr)
    refused = await store.payments.prepare(second, priced.id)
    assert refused.payment.history[-1].reason == "QUOTE_USED"


async def test_copies_of_two_payments_at_once_use_a_quote_once(store: Store, open_again: OpenStore) -> None:
    priced = await offer(store)
    other = await open_again()
    held = [hold(quote=priced) for _ in range(20)]
    stores = [store, other]
    answers = await asyncio.gather(*(stores[n % 2].payments.prepare(one, priced.id) for n, one in enumerate(held)))
    assert sorted(answer.payment.history[-1].reason for answer in answers) == ["", *["QUOTE_USED"] * 19]


async def test_no_headroom_no_quote(store: Store) -> None:
    await offer(store)
    with pytest.raises(Refused, match="NO_RATE"):
        await store.quotes.create_quote(quote(credit_minor=1_101))
    await store.quotes.create_quote(quote(credit_minor=1_100))
    await store.participants.set_cap("FX1", Asset.CNY, 9_000, "operator", "more", NOW_MS)
    await store.participants.set_suspended("FX1", True, "operator", "audit", NOW_MS)
    for provider in ("FX1", "NOBODY"):
        with pytest.raises(Refused, match="NO_RATE"):
            await store.quotes.create_quote(quote(provider=provider))


async def test_other_terms_than_quoted_are_refused_without_a_trace(store: Store) -> None:
    priced = await offer(store)
    with pytest.raises(Refused, match="QUOTE_MISMATCH"):
        await store.payments.prepare(hold(quote=priced._replace(credit=Money(Asset.CNY, 901))), priced.id)
    assert (await store.payments.prepare(hold(quote=priced), priced.id)).fresh


async def test_an_expired_quote_pays_nothing_and_gives_its_hold_back(store: Store) -> None:
    priced = await offer_that_expires(store)
    assert await store.quotes.release_quotes(priced.expiry_time_ms - 1, 10) == 0
    await expired(store, priced)
    refused = await store.payments.prepare(hold(quote=priced), priced.id)
    assert refused.payment.history[-1].reason == "QUOTE_EXPIRED"
    found = await store.quotes.get_quote("ALFA", priced.id)
    assert found is not None
    assert found[1] is QuoteState.EXPIRED
    assert await reserved(store) == (900, 900)
    assert await store.quotes.release_quotes(priced.expiry_time_ms, 10) == 1
    assert await store.quotes.release_quotes(priced.expiry_time_ms, 10) == 0
    assert await reserved(store) == (0, 0)


async def test_a_clock_ahead_of_the_servers_releases_nothing_that_may_still_be_used(store: Store) -> None:
    priced = await offer(store)
    assert await store.quotes.release_quotes(FOREVER_MS + 1, 10) == 0
    assert await reserved(store) == (900, 900)
    assert (await store.payments.prepare(hold(quote=priced), priced.id)).fresh


@pytest.mark.parametrize(("end", "used"), [("commit", 900), ("abort", 0)])
async def test_a_used_quotes_hold_follows_its_payment(store: Store, end: str, used: int) -> None:
    priced = await offer(store)
    paying = hold(quote=priced)
    await store.payments.prepare(paying, priced.id)
    assert await store.quotes.release_quotes(FOREVER_MS, 10) == 0  # still running
    if end == "commit":
        await store.payments.commit(paying, ACK, NOW_MS)
    else:
        await store.payments.abort(paying, "RAIL_REFUSED", "MS03", NOW_MS)
    assert await store.quotes.release_quotes(FOREVER_MS, 10) == 0  # it said: look again later
    assert await store.quotes.release_quotes(FOREVER_MS + QUOTE_LOOK_AGAIN_MS, 10) == 1
    assert await store.quotes.release_quotes(FOREVER_MS + QUOTE_LOOK_AGAIN_MS, 10) == 0
    assert await reserved(store) == (0, used)


async def test_a_paid_quote_can_be_ended_before_it_expires_an_open_one_cannot(store: Store) -> None:
    priced = await offer(store)
    await store.quotes.end_quotes([priced])
    assert await reserved(store) == (900, 900)
    paid = hold(quote=priced)
    await store.payments.prepare(paid, priced.id)
    await store.quotes.end_quotes([priced])
    assert await reserved(store) == (900, 900)
    await store.payments.commit(paid, ACK, NOW_MS)
    for _ in range(2):  # a repeat changes nothing
        await store.quotes.end_quotes([priced])
        assert await reserved(store) == (0, 900)


async def test_many_end_at_once_each_as_its_payment_did(store: Store) -> None:
    """Paid, refused, running, open and not there at all, one of them twice; then the same again."""
    await join(store, cap_minor=10_000)
    await join(store, "FX1", 9_000, Asset.CNY)
    await join(store, "FX2", 9_000, Asset.CNY)
    given = [quote(provider=provider) for provider in ("FX1", "FX1", "FX2", "FX2", "FX1")]
    for each in given:
        await store.quotes.create_quote(each)
    paid, refused, paid_elsewhere, running, still_open = given
    for each in (paid, refused, paid_elsewhere, running):
        paying = hold(quote=each)
        assert (await store.payments.prepare(paying, each.id)).fresh
        if each is refused:
            await store.payments.abort(paying, "RAIL_REFUSED", "MS03", NOW_MS)
        elif each is not running:
            await store.payments.commit(paying, ACK, NOW_MS)
    nobodys = quote(provider="FX2")._replace(expiry_time_ms=1)
    for _ in range(2):
        await store.quotes.end_quotes([*given, paid, nobodys])
        assert await reserved(store, "FX1") == (900, 900 + 900), "the open one; and the paid one"
        assert await reserved(store, "FX2") == (900, 900 + 900), "the running one; and the paid one"
    assert (await store.payments.prepare(hold(quote=still_open), still_open.id)).fresh


async def test_sums_of_a_group_lose_no_unit(store: Store) -> None:
    """Thirty of the largest amounts are more than a number of Lua holds exactly."""
    await join(store)
    given = [quote(provider=f"FX{number % 2}", credit_minor=AMOUNT_MINOR_MAX - number) for number in range(60)]
    server, keys = store.payments._server, store.quotes._keys
    for provider in ("FX0", "FX1"):
        await join(store, provider, AMOUNT_MINOR_MAX, Asset.CNY)
        await server.write("HSET", keys.agent(provider), "held:CNY", 1 + sum(
            each.credit.amount_minor for each in given if each.provider == provider
        ))  # fmt: skip
    for each in given:
        await server.write("HSET", keys.quoteheld(keys.shard_of(each.provider)), f"ALFA/{each.id}", b"held")
    await store.quotes.end_quotes([each._replace(expiry_time_ms=1) for each in given])
    for provider in ("FX0", "FX1"):
        assert await server.read("HGET", keys.agent(provider), "held:CNY") == b"1"


async def test_a_refusal_by_cap_or_limit_leaves_the_quote_open(store: Store) -> None:
    priced = await offer(store)
    over = hold(quote=priced, charges=(charge(2, 1),))
    assert (await store.payments.prepare(over, priced.id)).payment.history[-1].reason == "DAY_LIMIT"
    assert await store.quotes.get_quote("ALFA", priced.id) == (priced, QuoteState.OPEN, "")
    assert (await store.payments.prepare(hold(quote=priced), priced.id)).fresh
