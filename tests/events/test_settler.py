"""The settler on a real broker and a real store: every event once, whatever is killed, repeated, cut or poisoned."""

import asyncio
import gc
import random
import uuid
import warnings
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from switch.domain.money import Asset
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact, unbalanced_window
from tests.events.settling import Place, load, open_place, settling
from tests.settlement import START_MS, across, paid
from tests.store.builders import join
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("patient_broker", "patient_store")


@pytest.fixture
async def place(kafka_bootstrap: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(kafka_bootstrap, valkey_url, tmp_path) as made:
        yield made


def expected(facts: Sequence[SettlementFact]) -> dict[tuple[str, Asset], int]:
    sums: dict[tuple[str, Asset], int] = {}
    for fact in {fact.event_id: fact for fact in facts}.values():
        for entry in fact.entries:
            whose = entry.participant, entry.asset
            sums[whose] = sums.get(whose, 0) + entry.amount_minor
    return sums


def in_hkd(facts: Sequence[SettlementFact]) -> dict[tuple[str, Asset], int]:
    return {whose: total for whose, total in expected(facts).items() if whose[1] is Asset.HKD}


async def used(place: Place) -> dict[tuple[str, Asset], int]:
    return {(row.participant, row.asset): row.used_minor for row in await place.store.payments.positions()}


async def check(place: Place, facts: Sequence[SettlementFact]) -> None:
    """Positions, headroom, archive and windows all say what the facts say."""
    sums = expected(facts)
    assert {whose: total for whose, total in (await place.store.settlements.totals()).items() if total} == sums
    assert {each.fact for each in place.archive.kept.values()} == set(facts)
    assert await place.store.settlements.gaps() == []
    by_window: dict[tuple[str, Asset], int] = {}
    for window in await place.windows():
        assert not unbalanced_window(window.positions), window.id
        for position in window.positions:
            whose = position.participant, position.asset
            by_window[whose] = by_window.get(whose, 0) + position.net_debit_minor
    assert by_window == sums
    credited = {
        (entry.participant, entry.asset)
        for fact in facts
        for entry in fact.entries
        if entry.amount_minor < 0 and entry.participant == "FXBANK"
    }
    have = await used(place)
    for whose in credited:
        credits = sum(
            entry.amount_minor
            for fact in set(facts)
            for entry in fact.entries
            if (entry.participant, entry.asset) == whose and entry.amount_minor < 0
        )
        assert have[whose] == credits, "headroom is given back once"


def forget_what_was_left_open() -> None:
    """A client that is cancelled while it connects loses the connection (aiokafka), as a killed process does: no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def test_every_event_counts_once(place: Place) -> None:
    await join(place.store, "FXBANK")
    facts = load(50)
    async with settling(place) as settler:
        await place.publish(facts)
        await place.settled()
        assert settler.applied_total == len(facts)
    await check(place, facts)


async def test_repeats_change_nothing(place: Place) -> None:
    await join(place.store, "FXBANK")
    facts = load(10)
    await place.publish([*facts, *facts[20:], *facts[:5]])
    async with settling(place) as settler:
        await place.settled()
        assert settler.repeats_total == len(facts[20:]) + 5
    await check(place, facts)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # see below; the collector may come in the midst of the lives
async def test_killed_at_any_moment_nothing_is_lost_or_counted_twice(
    place: Place, request: pytest.FixtureRequest
) -> None:
    """Thirty lives, each ended at a random await, while events come; the store's steps fail before and after they count."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    await join(place.store, "FXBANK")
    facts = load(60)
    publishing = asyncio.create_task(place.publish(facts))
    for _ in range(30):
        life = asyncio.create_task(place.settler().run())
        for _ in range(chance.randrange(400)):
            await asyncio.sleep(0)
        await asyncio.wait((life,), timeout=chance.random() / 5)
        place.archive.fail_next(chance.choice(["keep", "at_sequence"]), done=chance.random() < 0.5)
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
    forget_what_was_left_open()
    await publishing
    async with settling(place):
        await place.settled()
    await check(place, facts)


async def test_two_settlers_at_once_share_the_log(place: Place) -> None:
    await join(place.store, "FXBANK")
    facts = load(40)
    async with settling(place), settling(place):
        await place.publish(facts)
        await place.settled()
    await check(place, facts)


async def test_a_cut_is_a_set_of_places_and_late_events_are_the_next_windows(place: Place) -> None:
    await join(place.store, "FXBANK")
    facts = load(30)
    async with settling(place):
        await place.publish(facts[:120])
        ends = await place.ends()
        window = await place.store.settlements.cut("hkd", 1, ends, "OPERATOR", START_MS)
        assert window is not None
        late = [fact._replace(final_time_ms=1) for fact in facts[120:]]
        await place.publish(late)
        await place.settled()
    first, second = [await place.store.settlements.window("hkd", number) for number in (1, 2)]
    assert first is not None
    assert second is not None
    assert first.filled
    sums = {}
    for window in (first, second):
        sums[window.number] = {
            (each.participant, each.asset): each.net_debit_minor for each in window.positions if each.net_debit_minor
        }
    reached = {each.partition: each.to_offset for each in first.ranges}
    inside = [each.fact for each in place.archive.kept.values() if each.offset < reached[each.partition]]
    outside = [each.fact for each in place.archive.kept.values() if each.offset >= reached[each.partition]]
    assert sums == {1: in_hkd(inside), 2: in_hkd(outside)}
    assert len(inside) >= 120
    await check(place, [*facts[:120], *late])


async def test_poison_goes_to_the_dead_letters_and_the_rest_goes_on(place: Place) -> None:
    await join(place.store, "FXBANK")
    half = paid("AGENT1", 3, (Entry("AGENT1", Asset.HKD, 5),))
    facts = [fact for fact in load(5) if (fact.debtor_agent, fact.sequence) != ("AGENT1", 3)]
    await place.publish([*facts[:10], half, *facts[10:]])
    await place.producer.send_and_wait(place.topic, b"not an event", b"AGENT2")
    async with settling(place) as settler:
        await place.settled()
        assert settler.poisoned_total == 2
        assert {each.code for each in place.graves.buried} == {"UNBALANCED", "MALFORMED"}
        assert await place.store.settlements.gaps() == [("AGENT1", 3)]
        mended = paid("AGENT1", 3, across("AGENT1", 5))
        await place.publish([mended])
        await place.settled()
    await check(place, [*facts, mended])


async def test_another_event_under_a_number_that_is_taken_is_poison(place: Place) -> None:
    await join(place.store, "FXBANK")
    facts = load(3)
    async with settling(place):
        await place.publish(facts)
        await place.settled()
        forged = facts[0]._replace(event_id=str(uuid.uuid4()), uetr=str(uuid.uuid4()))
        await place.publish([forged])
        await place.settled()
        assert [each.code for each in place.graves.buried] == ["SEQUENCE_CONFLICT"]
    await check(place, facts)


async def test_the_archive_down_stops_settlement_at_its_place(place: Place) -> None:
    await join(place.store, "FXBANK")
    facts = load(10)
    async with settling(place) as settler:
        await place.publish(facts[:40])
        await place.settled()
        place.archive.down = True
        await place.publish(facts[40:])
        await eventually(lambda: settler.trouble.failing, "the trouble is shown")
        assert "ArchiveUnavailable" in settler.trouble.last_error
        assert sum((await place.store.settlements.progress()).offsets.values()) == 40
        place.archive.down = False
        await place.settled()
        await eventually(lambda: not settler.trouble.failing, "it is over")
    await check(place, facts)


async def test_a_topic_made_anew_halts_and_says_what_to_do(place: Place) -> None:
    facts = load(5)
    async with settling(place):
        await place.publish(facts)
        await place.settled()
    await place.make_topics()
    async with settling(place) as settler:
        await eventually(lambda: "SettlementHalted" in settler.trouble.last_error, "it halts")
        assert "bayswitch rebuild" in settler.trouble.last_error
