"""Repeats of payments that came back from the log: their personal values are masks, and answers are what they were."""

import pytest

from switch.api.convert import payment_of
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Payment, State
from switch.errors import RailRejected, Refused
from tests.fake_archive import FakeArchive
from tests.fakes import World, instruction
from tests.store.load import keep


async def elsewhere(world: World) -> World:
    """Another world that knows nothing but what this one's log has."""
    other = World()
    facts = [entry.fact for entry in await world.store.outbox_read(0, 1_000)]
    assert await other.store.restore(facts) == len(facts)
    return other


def same(one: Payment, other: Payment) -> bool:
    return payment_of(one).SerializeToString(deterministic=True) == payment_of(other).SerializeToString(
        deterministic=True
    )


CHANGES = {
    "": {},
    "remark": {"remark": "for June"},
    "debtor.name": {"debtor": instruction().debtor._replace(name="WONG SIU MING")},
    "creditor.account": {"creditor": instruction().creditor._replace(account=Account(Scheme.MOBILE, "+852-69999999"))},
    "debit.amount_minor": {"debit": Money(Asset.HKD, 1), "credit": Money(Asset.HKD, 1)},
}


@pytest.mark.parametrize("field", CHANGES)
async def test_a_repeat_is_compared_by_masks(field: str) -> None:
    first, asked = World(), instruction(remark="for May")
    paid = (await first.payments.submit(asked, 15_000)).payment
    assert paid.state is State.COMMITTED
    world = await elsewhere(first)
    repeated = asked._replace(**CHANGES[field])  # type: ignore[arg-type]
    if field:
        with pytest.raises(Refused, match="REQUEST_MISMATCH") as refused:
            await world.payments.submit(repeated, 15_000)
        assert refused.value.field == field
    else:
        again = await world.payments.submit(repeated, 15_000)
        assert again.replay
        assert again.payment.hold.masked
        assert same(again.payment, paid)
    assert not world.near.asked["prepare"]


async def test_kept_refusals_and_refusals_by_the_rail_are_as_they_were() -> None:
    first = World()
    first.store.participants["BRAVO"] = first.store.participants["BRAVO"]._replace(caps=())
    over, closed = instruction(participant="BRAVO"), instruction()
    with pytest.raises(Refused) as kept:
        await first.payments.submit(over, 15_000)
    first.near.will("prepare", RailRejected("CREDITOR_ACCOUNT_CLOSED", "AC04"))
    aborted = (await first.payments.submit(closed, 15_000)).payment
    world = await elsewhere(first)
    with pytest.raises(Refused) as again:
        await world.payments.submit(over, 15_000)
    assert (again.value.reason, again.value.figures) == (kept.value.reason, kept.value.figures)
    assert same((await world.payments.submit(closed, 15_000)).payment, aborted)


async def test_what_a_rail_repeats_is_compared_by_masks_too() -> None:
    first, asked = World(), _inbound()
    await first.quote_rates()
    paid = await first.payments.receive(asked)
    assert paid.state is State.COMMITTED
    assert paid.instruction.credit.amount_minor, "the price was ours"
    world = await elsewhere(first)
    assert same(await world.payments.receive(asked), paid)
    other = await world.payments.receive(asked._replace(remark="another"))
    assert (other.state, other.history[-1].reason) == (State.ABORTED, "REQUEST_MISMATCH")


def _inbound() -> Instruction:
    """MOP 103.00 for a Hong Kong mobile."""
    debtor = Party("HO KA", Place.MO, Account(Scheme.ACCOUNT, "99"))
    return instruction(participant="ALFA", debit=Money(Asset.MOP, 10_300), debtor=debtor)


async def test_a_payment_in_the_archive_is_answered_for() -> None:
    world, archive, asked = World(), FakeArchive(), instruction()
    world.store._archive = archive
    paid = (await world.payments.submit(asked, 15_000)).payment
    entries = await world.store.outbox_read(0, 10)
    token = await world.store.outbox_lease(0, "relay", 1_000)
    await keep(archive, [entry.fact for entry in entries])
    assert await world.store.retire([entry.fact for entry in entries]) == 0, "the broker has not said that it has it"
    await world.store.outbox_delete(entries, token)
    assert await world.store.retire([entry.fact for entry in entries]) == 1
    again = await world.payments.submit(asked, 15_000)
    assert again.replay
    assert same(again.payment, paid)
    with pytest.raises(Refused, match="UETR_REUSED"):
        await world.payments.submit(asked._replace(request_id="another"), 15_000)
    listed, token_after = await world.store.list_payments(
        asked.participant, state=None, from_time_ms=0, to_time_ms=1 << 52, token="", count=10
    )
    assert [payment.hold.uetr for payment in listed] == [asked.uetr]
    assert await world.store.list_payments(
        asked.participant, state=None, from_time_ms=0, to_time_ms=1 << 52, token=token_after, count=10
    ) == ([], "")
