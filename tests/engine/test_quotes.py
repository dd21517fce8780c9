"""Prices: both sides, fees, rounding, against fractions; the best provider with headroom."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.corridor import Fee
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money, Rate, Rounding
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.position import entries_of, unbalanced
from switch.domain.quote import Quote, QuoteState
from switch.engine import QuoteRequest
from switch.errors import Refused
from switch.limits import AMOUNT_MINOR_MAX
from switch.ports import Participant
from tests.engine.test_payments import BUDGET_MS
from tests.fakes import NOON_MS, World, instruction


def asked(amount_minor: int, debit_fixed: bool = True) -> QuoteRequest:
    """MOP -> HKD, a corridor without limits of its own."""
    fixed, other = (Asset.MOP, Asset.HKD) if debit_fixed else (Asset.HKD, Asset.MOP)
    return QuoteRequest("ALFA", Money(fixed, amount_minor), debit_fixed, other, Place.MO, Place.HK, Scheme.MOBILE, "")


async def priced_or_none(request: QuoteRequest, rate: Rate, fee: Fee) -> Quote | None:
    """The quote, or None when nothing can be paid with this amount."""
    world = World(fees={"mop": fee})
    rich = world.store.participants["FXONE"]
    world.store.participants["FXONE"] = rich._replace(caps=((Asset.HKD, AMOUNT_MINOR_MAX),))
    await world.store.set_rate("FXONE", Asset.MOP, Asset.HKD, rate, "OPERATOR", "test", NOON_MS)
    try:
        return await world.quotes.create(request)
    except Refused as refused:
        if refused.reason.name != "FIELD_INVALID":
            raise
    return None


RATES = st.builds(Rate, st.integers(1, 10**9), st.integers(1, 10**9))
FEES = st.builds(Fee, st.integers(0, 10_000), st.integers(0, 1_000))


@given(amount=st.integers(1, 10**9), rate=RATES, fee=FEES)
async def test_with_the_debit_fixed(amount: int, rate: Rate, fee: Fee) -> None:
    quote = await priced_or_none(asked(amount), rate, fee)
    if quote is None:
        converted = floor(Fraction((amount - fee.fixed_minor) * 10_000, 10_000 + fee.basis_points))
        credit = Fraction(converted * rate.numerator, rate.denominator)
        assert credit < 1 or credit > AMOUNT_MINOR_MAX
        return
    assert (quote.debit, quote.rounding) == (Money(Asset.MOP, amount), Rounding.DOWN)
    converted = amount - quote.fee_minor
    assert quote.credit.amount_minor == floor(Fraction(converted * rate.numerator, rate.denominator))
    # The fee is what the price list says, rounded up; a unit that would convert to nothing stays with it.
    listed = fee.fixed_minor + ceil(Fraction(converted * fee.basis_points, 10_000))
    assert listed <= quote.fee_minor <= listed + 1
    check_entries(quote)


@given(amount=st.integers(1, 10**9), rate=RATES, fee=FEES)
async def test_with_the_credit_fixed(amount: int, rate: Rate, fee: Fee) -> None:
    quote = await priced_or_none(asked(amount, debit_fixed=False), rate, fee)
    if quote is None:
        assert Fraction(amount * rate.denominator, rate.numerator) * (10_000 + fee.basis_points) > 10**15
        return
    assert (quote.credit, quote.rounding) == (Money(Asset.HKD, amount), Rounding.UP)
    converted = ceil(Fraction(amount * rate.denominator, rate.numerator))
    assert quote.fee_minor == fee.fixed_minor + ceil(Fraction(converted * fee.basis_points, 10_000))
    assert quote.debit == Money(Asset.MOP, converted + quote.fee_minor)
    # What the payee gets is never more than the rate gives for it.
    assert Fraction(converted * rate.numerator, rate.denominator) >= amount
    check_entries(quote)


def check_entries(quote: Quote) -> None:
    assert not unbalanced(entries_of(using(quote), "GW_NEAR", quote))


def using(quote: Quote) -> Instruction:
    return instruction(
        debit=quote.debit,
        credit=quote.credit,
        quote_id=quote.id,
        debtor=Party("HO KA", Place.MO, Account(Scheme.ACCOUNT, "99")),
    )


async def second_provider(world: World, rate: Rate, cap: int) -> None:
    caps = ((Asset.HKD, cap),)
    world.store.participants["FXTWO"] = Participant("FXTWO", "Two", "HK", ("fx_provider",), False, caps, NOON_MS)
    await world.store.set_rate("FXTWO", Asset.MOP, Asset.HKD, rate, "OPERATOR", "test", NOON_MS)


async def test_the_best_provider_that_has_headroom() -> None:
    world = World()
    await world.quote_rates()
    await second_provider(world, Rate(1, 1), cap=1_500)
    assert [(await world.quotes.create(asked(1_000))).provider for _ in range(2)] == ["FXTWO", "FXONE"]


async def test_a_quote_that_is_not_used_gives_its_headroom_back() -> None:
    world = World()
    await second_provider(world, Rate(1, 1), cap=1_000)
    quote = await world.quotes.create(asked(1_000))
    with pytest.raises(Refused, match="NO_RATE"):
        await world.quotes.create(asked(1))
    assert (await world.quotes.get("ALFA", quote.id))[1] is QuoteState.OPEN
    world.clock.advance(quote.expiry_time_ms - NOON_MS)
    await world.recovery.look()
    assert (await world.quotes.get("ALFA", quote.id))[1] is QuoteState.EXPIRED
    assert (await world.quotes.create(asked(1_000))).provider == "FXTWO"


async def test_a_quote_that_paid_stays_used_at_the_provider() -> None:
    world = World()
    await second_provider(world, Rate(1, 1), cap=1_000)
    quote = await world.quotes.create(asked(1_000))
    payment = (await world.payments.submit(using(quote), BUDGET_MS)).payment
    assert await world.quotes.get("ALFA", quote.id) == (quote, QuoteState.USED, payment.hold.uetr)
    await world.recovery.look()
    (position,) = [each for each in await world.store.positions("FXTWO") if each.asset is Asset.HKD]
    assert (position.net_debit_minor, position.reserved_minor, position.headroom_minor) == (1_000, 0, 0)


async def test_what_was_used_or_has_expired_is_not_kept() -> None:
    world = World()
    await world.quote_rates()
    quotes = [await world.quotes.create(asked(1_000)) for _ in range(3)]
    assert world.quotes.kept == 3
    wanted = using(quotes[1])
    first = (await world.payments.submit(wanted, BUDGET_MS)).payment
    assert world.quotes.kept == 2
    replayed = await world.payments.submit(wanted, BUDGET_MS)
    assert (replayed.replay, replayed.payment) == (True, first)
    world.clock.advance(quotes[0].expiry_time_ms - NOON_MS)
    await world.quotes.create(asked(1_000))
    assert world.quotes.kept == 1, "the new one; not what the replay read again either"


@pytest.mark.parametrize("warm", [True, False])
async def test_anothers_quote_is_unknown_whether_this_process_made_it_or_not(warm: bool) -> None:
    one = World()
    await one.quote_rates()
    quote = await one.quotes.create(asked(1_000))
    world = one if warm else World()
    world.store.__dict__.update(one.store.__dict__)
    with pytest.raises(Refused) as told:
        await world.payments.submit(using(quote)._replace(participant="BRAVO"), BUDGET_MS)
    assert (told.value.reason.name, told.value.field) == ("QUOTE_UNKNOWN", "quote_id")
