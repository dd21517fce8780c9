"""CheckRoute: what a person at a till has left, told without a trace."""

from switch.domain.document import Document, DocumentType
from switch.domain.money import Asset
from switch.domain.party import Place, Scheme
from switch.engine.directory import RouteOption, RouteQuestion
from tests.engine.test_payments import BUDGET_MS, quoted
from tests.fakes import World


async def asked(
    world: World, document: Document | None, amount_minor: int = 0, participant: str = "ALFA"
) -> RouteOption:
    question = RouteQuestion(
        participant, Place.HK, Place.CN, Asset.HKD, Asset.CNY, Scheme.ALIPAY_LOGIN, "", amount_minor,
        DocumentType.HKID, document, "SALARY",
    )  # fmt: skip
    (option,) = await world.directory.check_route(question)
    return option


async def test_what_is_left_shrinks_with_each_payment_at_this_institution_alone() -> None:
    world = World()
    paying = await quoted(world)
    document = paying.debtor.document
    assert document is not None
    before = (await asked(world, document)).left
    await world.payments.submit(paying, BUDGET_MS)
    after = (await asked(world, document)).left
    assert set(before) == set(after) == {"strict.day", "strict.year"}
    for limit, left in before.items():
        assert after[limit].left_minor == left.left_minor - paying.debit.amount_minor
        assert after[limit].reset_time_ms > world.clock.now_ms()
    assert (await asked(world, document, participant="BRAVO")).left == before
    assert (await asked(world, Document(DocumentType.HKID, "C1234569"))).left == before
    assert (await asked(world, None)).left == {}


async def test_an_amount_over_what_is_left_is_told_before_it_is_tried() -> None:
    world = World()
    paying = await quoted(world)
    document = paying.debtor.document
    assert document is not None
    await world.payments.submit(paying, BUDGET_MS)
    counter = next(key for key in world.store._counters if "strict.day" in key[1])
    world.store._counters[counter] = 600_000
    left = (await asked(world, document)).left["strict.day"].left_minor
    assert 0 < left < 500_000
    assert (await asked(world, document, left)).reason == ""
    assert (await asked(world, document, left + 1)).reason == "DAY_LIMIT"
