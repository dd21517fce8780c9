"""What is kept, what a repeat does, and what is refused."""

import asyncio
import uuid
from typing import Any

import pytest

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.errors import ArchiveConflict
from switch.limits import AMOUNT_MINOR_MAX
from switch.ports import Archive, ArchivedFact
from tests.archive.builders import NOW_MS, fact, facts, logged
from tests.archive.conftest import OpenArchive


async def test_a_fact_comes_back_as_it_was_kept(archive: Archive) -> None:
    lines = (
        Entry("ALFA", Asset.HKD, AMOUNT_MINOR_MAX),
        Entry("FX1", Asset.HKD, -AMOUNT_MINOR_MAX),
        Entry("FX1", Asset.CNH, 1),
        Entry("GW", Asset.CNH, -1),
    )
    one = logged(fact(7, entries=lines, note=bytes(range(256)), rail_reference="參考"), 47, 2**40)
    aborted = logged(fact(8, state=State.ABORTED, note=b"", request_id=""), 47, 2**40 + 1)
    await archive.keep([one, aborted])
    assert await archive.read(47, 0, 10) == [one, aborted]
    assert await archive.get("ALFA", one.fact.uetr) == one.fact
    assert await archive.get_by_request("ALFA", one.fact.request_id) == one.fact
    assert await archive.at_sequence("ALFA", 8) == aborted.fact


async def test_a_payment_is_shown_to_its_debtor_agent_alone(archive: Archive) -> None:
    (one,) = facts(1)
    await archive.keep([one])
    assert await archive.get("BRAVO", one.fact.uetr) is None
    assert await archive.get_by_request("BRAVO", one.fact.request_id) is None
    assert await archive.at_sequence("BRAVO", 1) is None
    assert await archive.get("ALFA", str(uuid.uuid4())) is None
    assert await archive.at_sequence("ALFA", 2) is None


async def test_no_request_is_not_a_request(archive: Archive) -> None:
    await archive.keep(facts(2, request_id=""))
    assert await archive.get_by_request("ALFA", "") is None


async def test_of_two_payments_of_one_request_the_first_is_found(archive: Archive) -> None:
    kept = facts(2, request_id="r-1")
    await archive.keep(kept[::-1])
    assert await archive.get_by_request("ALFA", "r-1") == kept[0].fact


async def test_a_repeat_changes_nothing(archive: Archive) -> None:
    kept = facts(20)
    await archive.keep(kept)
    await archive.retired([kept[0].fact.uetr])
    again = [one._replace(offset=one.offset + 100, digest=bytes(32)) for one in kept]  # the log has them twice
    await archive.keep([*again, *facts(5, first=21), *kept])
    assert [one.fact.sequence for one in await archive.read(0, 0, 100)] == list(range(1, 26))
    assert (await archive.read(0, 0, 100))[:20] == kept
    assert kept[0].fact not in await archive.unretired(NOW_MS * 2, 100)


async def test_an_event_twice_in_one_call_is_kept_where_it_came_first(archive: Archive) -> None:
    (one,) = facts(1)
    await archive.keep([one, one._replace(offset=5)])
    assert await archive.read(0, 0, 10) == [one]


async def test_more_than_one_statement_takes(archive: Archive) -> None:
    kept = facts(2_500)
    await archive.keep(kept)
    await archive.keep(kept)
    assert await archive.read(0, 2_000, 1_000) == kept[2_000:]


async def test_nothing_is_kept_of_nothing(archive: Archive) -> None:
    await archive.keep([])
    await archive.retired([])
    assert await archive.partitions() == []


# What another event has of one that is there (ALFA, sequence 1, at 0:0).
CLAIMS: dict[str, dict[str, Any]] = {"sequence": {"sequence": 1}, "place": {"offset": 0}, "uetr": {"uetr": True}}


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("together", [False, True], ids=["later", "in one call"])
async def test_another_event_in_its_place_is_a_conflict_and_nothing_is_kept(
    archive: Archive, claim: str, together: bool
) -> None:
    (one,) = facts(1)
    wanted = {"sequence": 9, "offset": 9} | CLAIMS[claim]
    other = fact(wanted["sequence"], event_id="e-other", **({"uetr": one.fact.uetr} if "uetr" in wanted else {}))
    bad = logged(other, 0, wanted["offset"])
    good = facts(3, first=2)
    await archive.keep([] if together else [one])
    with pytest.raises(ArchiveConflict) as refused:
        await archive.keep([*([one] if together else []), *good, bad, *facts(2, first=20)])
    assert refused.value.event_id == "e-other"
    assert await archive.read(0, 0, 100) == ([] if together else [one])
    await archive.keep([one, *good])  # it goes on
    assert await archive.read(0, 0, 100) == [one, *good]


async def test_the_first_conflict_of_a_call_is_named(archive: Archive) -> None:
    await archive.keep(facts(10))
    intruders = facts(10)
    with pytest.raises(ArchiveConflict) as refused:
        await archive.keep(intruders[4:])
    assert refused.value.event_id == intruders[4].fact.event_id


async def test_sequences_are_of_one_debtor_agent(archive: Archive) -> None:
    await archive.keep([*facts(3), *facts(3, partition=1, debtor_agent="BRAVO")])
    assert await archive.partitions() == [0, 1]


async def test_two_writers_keep_the_same_and_their_own(open_again: OpenArchive) -> None:
    first, second = open_again(), open_again()
    shared = facts(300)
    own = [facts(200, partition=1, debtor_agent="BRAVO"), facts(200, partition=2, debtor_agent="CHARLIE")]
    for turn in range(3):
        some = shared[turn * 100 : turn * 100 + 100]
        await asyncio.gather(first.keep([*own[0], *some]), second.keep([*some[::-1], *own[1]]))
    for archive in (first, second):
        assert await archive.read(0, 0, 1_000) == shared
        assert [await archive.read(place, 0, 1_000) for place in (1, 2)] == own


async def test_of_two_writers_with_one_sequence_one_is_refused(open_again: OpenArchive) -> None:
    first, second = open_again(), open_again()
    runs: list[list[ArchivedFact]] = [facts(100), [one._replace(partition=1) for one in facts(100)]]
    answers = await asyncio.gather(first.keep(runs[0]), second.keep(runs[1]), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [ArchiveConflict]
    winner = answers.index(None)
    assert await first.read(winner, 0, 1_000) == runs[winner]
    assert await first.read(1 - winner, 0, 1_000) == []


async def test_what_is_kept_is_there_after_a_restart(open_again: OpenArchive) -> None:
    before = open_again()
    kept = facts(50)
    await before.keep(kept)
    await before.keep_register(b"rows")
    await before.close()
    after = open_again()
    assert await after.read(0, 0, 100) == kept
    assert await after.register() == b"rows"


async def test_the_latest_register_is_kept(archive: Archive) -> None:
    assert await archive.register() is None
    for rows in (b"first", b"", b"\x00second"):
        await archive.keep_register(rows)
        await archive.keep_register(rows)
        assert await archive.register() == rows
