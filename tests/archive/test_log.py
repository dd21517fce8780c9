"""Ranges of the log: statements and the second opinion of a close."""

import random
import re
from collections import defaultdict

import pytest

from switch.archive.reading import Span, rounds_of
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import LogRange, NetPosition
from switch.limits import AMOUNT_MINOR_MAX
from switch.ports import Archive, ArchivedFact
from tests.archive.builders import entries, fact, facts, logged, span
from tests.archive.conftest import OpenArchive
from tests.fake_archive import FakeArchive

HKD = (Asset.HKD,)


async def statement(
    archive: Archive,
    ranges: list[LogRange],
    participant: str = "ALFA",
    assets: tuple[Asset, ...] = HKD,
    rails: tuple[str, ...] = (),
    count: int = 100,
) -> list[ArchivedFact]:
    """All pages; every one but the last is full."""
    found: list[ArchivedFact] = []
    token = ""
    while True:
        rows, token = await archive.statement(ranges, participant, assets, rails, token, count)
        found += rows
        if not token:
            return found
        assert len(rows) == count


async def test_the_log_is_read_in_its_order(archive: Archive) -> None:
    kept = facts(30)
    await archive.keep([*kept[10:], *facts(3, partition=7, debtor_agent="BRAVO"), *kept[:10]])
    assert await archive.read(0, 0, 5) == kept[:5]
    assert await archive.read(0, 5, 100) == kept[5:]
    assert await archive.read(0, 30, 5) == await archive.read(3, 0, 5) == []
    assert await archive.partitions() == [0, 7]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 100])
async def test_a_statement_goes_through_the_ranges_in_the_order_of_the_log(archive: Archive, count: int) -> None:
    kept = [*facts(10), *facts(10, partition=3, debtor_agent="BRAVO", entries=entries(5, "BRAVO", "ALFA"))]
    await archive.keep(kept)
    ranges = [span(3, 8, 20), span(1, 0, 9), span(0, 2, 4), span(3, 0, 3), span(0, 5, 5), span(2, 0, 0)]
    expected = [*kept[2:4], *kept[10:13], *kept[18:20]]
    assert await statement(archive, ranges, count=count) == expected
    assert await statement(archive, ranges, "BRAVO", count=count) == expected[2:]
    assert await statement(archive, [], count=count) == await statement(archive, ranges, "CHARLIE") == []


async def test_ranges_that_overlap_count_once(archive: Archive) -> None:
    kept = facts(10)
    await archive.keep(kept)
    ranges = [span(0, 0, 6), span(0, 2, 4), span(0, 5, 8)]
    assert await statement(archive, ranges, count=3) == kept[:8]
    assert (await archive.nets(ranges, HKD, ()))[0] == 8


async def test_a_statement_has_whole_payments_of_the_assets_and_rails_that_are_asked(archive: Archive) -> None:
    lines = (*entries(100, "ALFA", "FX1"), Entry("FX1", Asset.CNH, 90), Entry("GW", Asset.CNH, -90))
    kept = [
        logged(fact(1, entries=lines, rail="far"), 0, 0),
        logged(fact(2), 0, 1),
        logged(fact(3, state=State.ABORTED), 0, 2),
        logged(fact(4, entries=lines), 0, 3),
    ]
    await archive.keep(kept)
    everything = [span(0, 0, 10)]
    assert await statement(archive, everything) == [kept[0], kept[1], kept[3]]
    assert await statement(archive, everything, "FX1", (Asset.CNH, Asset.HKD), count=1) == [kept[0], kept[3]]
    assert await statement(archive, everything, "GW", (Asset.CNH,), ("far",)) == [kept[0]]
    assert await statement(archive, everything, rails=("hkfps", "none")) == [kept[1], kept[3]]
    assert await statement(archive, everything, "GW") == await statement(archive, everything, assets=()) == []


async def test_nets_are_what_the_entries_come_to(archive: Archive) -> None:
    lines = (*entries(100, "ALFA", "FX1"), Entry("FX1", Asset.CNH, 90), Entry("ALFA", Asset.CNH, -90))
    await archive.keep(
        [
            logged(fact(1, entries=lines, rail="far"), 0, 0),
            logged(fact(2, entries=entries(7)), 0, 1),
            logged(fact(3, state=State.ABORTED), 0, 2),
            logged(fact(1, debtor_agent="BRAVO", entries=entries(5, "BRAVO", "ALFA")), 1, 0),
            logged(fact(4, entries=entries(1_000)), 0, 3),
        ]
    )
    ranges = [span(1, 0, 1), span(0, 0, 3), span(2, 0, 4)]
    payments, positions = await archive.nets(ranges, (Asset.HKD, Asset.CNH), ())
    assert payments == 3, "an aborted one has no entry"
    assert positions == [
        NetPosition("ALFA", Asset.CNH, 0, 90),
        NetPosition("FX1", Asset.CNH, 90, 0),
        NetPosition("ALFA", Asset.HKD, 107, 5),
        NetPosition("BRAVO", Asset.HKD, 5, 0),
        NetPosition("FX1", Asset.HKD, 0, 100),
        NetPosition("HKFPS", Asset.HKD, 0, 7),
    ]
    assert await archive.nets(ranges, HKD, ("far",)) == (
        1,
        [NetPosition("ALFA", Asset.HKD, 100, 0), NetPosition("FX1", Asset.HKD, 0, 100)],
    )
    assert await archive.nets(ranges, (), ()) == (0, [])
    assert (await archive.nets(ranges, (Asset.CNH,), ()))[0] == 1
    assert await archive.nets([], HKD, ()) == (0, [])


async def test_a_range_may_end_far_beyond_what_is_kept(archive: Archive) -> None:
    kept = facts(5)
    await archive.keep(kept)
    far = [span(0, 2, 2**62), span(9, 0, 2**62)]
    assert (await archive.nets(far, HKD, ()))[0] == 3
    assert await statement(archive, far) == kept[2:]


# spans | offsets of one round | rounds
ROUNDS = """
                        |  5 |
0:0-3                   |  5 | 0:0-3
0:0-3 1:7-9 2:0-1       |  5 | 0:0-3 1:7-9 ; 2:0-1
0:0-12                  |  5 | 0:0-5 ; 0:5-10 ; 0:10-12
0:0-3 1:0-8             |  5 | 0:0-3 1:0-2 ; 1:2-7 ; 1:7-8
0:0-3 1:0-2             |  1 | 0:0-1 ; 0:1-2 ; 0:2-3 ; 1:0-1 ; 1:1-2
"""


@pytest.mark.parametrize("row", ROUNDS.strip("\n").splitlines())
def test_a_large_window_is_summed_in_rounds(row: str) -> None:
    spans, offsets, rounds = (cell.strip() for cell in row.split("|"))
    expected = [_spans(each) for each in rounds.split(";")] if rounds else []
    assert list(rounds_of(_spans(spans), int(offsets))) == expected


def _spans(text: str) -> list[Span]:
    return [Span(*map(int, re.split("[:-]", each))) for each in text.split()]


async def test_rounds_sum_to_the_whole(open_again: OpenArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = open_again()
    await archive.keep([*facts(20), *facts(20, partition=1, debtor_agent="BRAVO")])
    whole = await archive.nets([span(0, 1, 19), span(1, 0, 99)], HKD, ())
    monkeypatch.setattr("switch.archive.archive._NETS_OFFSETS", 7)
    assert await archive.nets([span(0, 1, 19), span(1, 0, 99)], HKD, ()) == whole
    assert whole[0] == 38


async def test_a_sum_may_be_more_than_64_bits(archive: Archive) -> None:
    """Of the greatest amount there is, 9,224 make more than 2**63."""
    count = 9_300
    lines = entries(AMOUNT_MINOR_MAX)
    await archive.keep(facts(count, entries=lines))
    total = count * AMOUNT_MINOR_MAX
    assert total > 2**63
    _, positions = await archive.nets([span(0, 0, count)], HKD, ())
    assert positions == [NetPosition("ALFA", Asset.HKD, total, 0), NetPosition("HKFPS", Asset.HKD, 0, total)]


@pytest.mark.parametrize("seed", range(4))
async def test_any_log_any_question_the_same_answer_as_the_fake(open_again: OpenArchive, seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    archive, fake = open_again(), FakeArchive()
    kept = _random_log(chance)
    for start in range(0, len(kept), 50):
        await archive.keep(kept[start : start + 50])
        await fake.keep(kept[start : start + 50])
    for _ in range(40):
        bounds = [(chance.randrange(6), *sorted(chance.choices(range(60), k=2))) for _ in range(chance.randrange(8))]
        ranges = [span(*each) for each in bounds]
        assets = chance.sample(list(Asset), chance.randrange(4))
        rails = chance.sample(["near", "far", "none"], chance.randrange(3))
        who, count = chance.choice(["A", "B", "C", "D"]), chance.randrange(1, 20)
        assert await archive.nets(ranges, assets, rails) == await fake.nets(ranges, assets, rails)
        token = ""
        while True:
            page = await archive.statement(ranges, who, assets, rails, token, count)
            assert page == await fake.statement(ranges, who, assets, rails, token, count)
            token = page[1]
            if not token:
                break


def _random_log(chance: random.Random) -> list[ArchivedFact]:
    places: defaultdict[int, int] = defaultdict(int)
    log = []
    for number in range(1, 251):
        partition, asset = chance.randrange(5), chance.choice(list(Asset)[:4])
        places[partition] += chance.randrange(1, 3)  # some records of the log are no facts
        names = chance.sample(["A", "B", "C", "D"], 2)
        lines = tuple(line._replace(asset=asset) for line in entries(chance.randrange(1, 10**15), *names))
        state = chance.choice([State.COMMITTED, State.COMMITTED, State.ABORTED])
        rail = chance.choice(["near", "far"])
        log.append(logged(fact(number, state=state, rail=rail, entries=lines), partition, places[partition]))
    return log
