"""What a run of the log comes to: sequences, gaps, repeats, windows by place and never by time, digests, poison."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.money import Asset
from switch.domain.position import Entry
from switch.domain.settlement import FIRST_DIGEST, LogRange, SettlementFact, Window, WindowState, chained
from switch.errors import SettlementHalted
from switch.events.fold import Fold, LogRecord, read_records
from switch.events.schema import encode, headers, key
from switch.limits import GAPS_MAX
from switch.ports import ArchivedFact, Net, Progress
from tests.settlement import ARRANGEMENTS, START_MS, across, paid, placed

HKD1, HKD2, CNY1 = ("hkd", 1), ("hkd", 2), ("cny", 1)


def open_window(arrangement: str, number: int) -> Window:
    return Window(arrangement, number, WindowState.OPEN, START_MS)


def cut_window(arrangement: str, number: int, cut: int) -> Window:
    return open_window(arrangement, number)._replace(
        state=WindowState.CUT, cut_time_ms=START_MS, ranges=(LogRange(0, 0, cut),)
    )


def fold_of(*windows: Window) -> Fold:
    progress = Progress(0, {}, {}, {}, frozenset(), windows or (open_window("hkd", 1), open_window("cny", 1)))
    return Fold(progress, ARRANGEMENTS)


def log(*facts: SettlementFact) -> list[ArchivedFact]:
    return [placed(fact, offset) for offset, fact in enumerate(facts)]


def test_entries_go_to_the_window_of_their_arrangement_and_credits_give_headroom() -> None:
    folded = fold_of().fold(0, log(paid("ALFA", 1, across("ALFA", 100))), 1)
    assert folded.chunk.nets == {
        HKD1: {("ALFA", Asset.HKD): Net(100, 0), ("FXBANK", Asset.HKD): Net(0, 100)},
        CNY1: {("FXBANK", Asset.CNY): Net(90, 0), ("GATEWAY", Asset.CNY): Net(0, 90)},
    }
    assert folded.chunk.payments == {HKD1: 1, CNY1: 1}
    assert [each[1:] for each in folded.credits] == [("FXBANK", Asset.HKD, 100), ("GATEWAY", Asset.CNY, 90)]


def test_an_aborted_payment_takes_its_number_and_nothing_else() -> None:
    chunk = fold_of().fold(0, log(*(paid("ALFA", number) for number in range(1, 8))), 7).chunk
    assert chunk.sequences == {"ALFA": 7}
    assert chunk.payments == {HKD1: 6, CNY1: 6}


def test_a_repeat_counts_once_whatever_comes_between() -> None:
    first, second = paid("ALFA", 1), paid("ALFA", 2)
    folded = fold_of().fold(0, log(first, second, first, second, first), 5)
    assert [each.offset for each in folded.accepted] == [0, 1]
    assert [each.offset for each in folded.repeats] == [2, 3, 4]
    clean = fold_of().fold(0, log(first, second), 2)
    assert (folded.chunk.nets, folded.chunk.digest) == (clean.chunk.nets, clean.chunk.digest)
    assert folded.credits == clean.credits


def test_a_skipped_number_is_a_gap_until_it_comes() -> None:
    fold = fold_of()
    gap = fold.fold(0, log(paid("ALFA", 1), paid("ALFA", 4)), 2).chunk
    assert gap.missing == {("ALFA", 2), ("ALFA", 3)}
    fold.advance(gap)
    late = fold.fold(0, [placed(paid("ALFA", 3), 2), placed(paid("ALFA", 3), 3)], 4)
    assert late.chunk.found == {("ALFA", 3)}
    assert (len(late.accepted), len(late.repeats)) == (1, 1)
    fold.advance(late.chunk)
    assert fold.missing == {("ALFA", 2)}
    assert fold.sequences == {"ALFA": 4}


def test_a_log_that_is_not_ours_halts() -> None:
    with pytest.raises(SettlementHalted, match="bayswitch rebuild"):
        fold_of().fold(0, log(paid("ALFA", GAPS_MAX + 2)), 1)


def test_the_place_decides_the_window_and_no_clock() -> None:
    """The event behind the cut was final long before the one in front of it."""
    fold = fold_of(cut_window("hkd", 1, 2), open_window("hkd", 2), open_window("cny", 1))
    early, late = paid("ALFA", 3)._replace(final_time_ms=1), paid("ALFA", 1)._replace(final_time_ms=START_MS * 2)
    assert fold.cut_after(0, 0) == 2
    before = fold.fold(0, [placed(late, 0), placed(paid("ALFA", 2), 1)], 2).chunk
    assert before.reached == (HKD1,)
    assert {*before.nets} == {HKD1, CNY1}
    fold.advance(before)
    behind = fold.fold(0, [placed(early, 2)], 3).chunk
    assert {*behind.nets} == {HKD2, CNY1}
    assert behind.reached == ()
    assert fold.cut_after(0, 2) is None


def test_two_cuts_may_be_on_their_way() -> None:
    fold = fold_of(cut_window("hkd", 1, 1), cut_window("hkd", 2, 3), open_window("hkd", 3), open_window("cny", 1))
    seen = []
    for begin, end in ((0, 1), (1, 3), (3, 4)):
        chunk = fold.fold(0, [placed(paid("ALFA", at + 1), at) for at in range(begin, end)], end).chunk
        seen.append((sorted(key for key in chunk.nets if key[0] == "hkd"), chunk.reached))
        fold.advance(chunk)
    assert seen == [([HKD1], (HKD1,)), ([HKD2], (HKD2,)), ([("hkd", 3)], ())]


def test_the_digest_is_chained_over_what_is_accepted() -> None:
    facts = log(paid("ALFA", 1), paid("BRAVO", 1))
    expected = chained(chained(FIRST_DIGEST, facts[0].digest), facts[1].digest)
    assert fold_of().fold(0, facts, 2).chunk.digest == expected


@given(
    arrivals=st.lists(st.tuples(st.sampled_from(["ALFA", "BRAVO"]), st.integers(1, 6)), max_size=30),
    splits=st.sets(st.integers(1, 29)),
)
def test_any_parting_of_the_log_comes_to_the_same(arrivals: list[tuple[str, int]], splits: set[int]) -> None:
    records = log(*(paid(*arrival) for arrival in arrivals))
    whole = fold_of().fold(0, records, len(records))
    parted, accepted, sums = fold_of(), [], {}  # type: Fold, list[ArchivedFact], dict[object, int]
    bounds = [0, *sorted(split for split in splits if split < len(records)), len(records)]
    for begin, end in itertools.pairwise(bounds):
        folded = parted.fold(0, records[begin:end], end)
        accepted += folded.accepted
        for window, nets in folded.chunk.nets.items():
            for whose, net in nets.items():
                sums[window, whose] = sums.get((window, whose), 0) + net.debits_minor - net.credits_minor
        parted.advance(folded.chunk)
    assert accepted == whole.accepted
    assert parted.digests.get(0, FIRST_DIGEST) == whole.chunk.digest
    assert parted.missing == whole.chunk.missing
    assert sums == {
        (window, whose): net.debits_minor - net.credits_minor
        for window, nets in whole.chunk.nets.items()
        for whose, net in nets.items()
    }
    assert len({(each.fact.debtor_agent, each.fact.sequence) for each in accepted}) == len(accepted)


# --- poison ----------------------------------------------------------------------------------------------------------
HALF = (Entry("ALFA", Asset.HKD, 100),)
CASES: dict[str, tuple[str, SettlementFact]] = {
    "one-sided": ("UNBALANCED", paid("ALFA", 1, HALF)),
    "a commit without entries": ("UNBALANCED", paid("ALFA", 1, across("ALFA", 1))._replace(entries=())),
    "an abort with entries": ("UNBALANCED", paid("ALFA", 7)._replace(entries=across("ALFA", 10))),
    "nothing moved": ("AMOUNT", paid("ALFA", 1, (Entry("ALFA", Asset.HKD, 0), Entry("BRAVO", Asset.HKD, 0)))),
    "too much moved": ("AMOUNT", paid("ALFA", 1, (Entry("A", Asset.HKD, 2**60), Entry("B", Asset.HKD, -(2**60))))),
    "a text no database keeps": ("TEXT", paid("ALFA", 1)._replace(rail_reference="FPS\0001")),
    "an asset nobody settles": (
        "NO_ARRANGEMENT",
        paid("ALFA", 1, (Entry("A", Asset.MOP, 1), Entry("B", Asset.MOP, -1))),
    ),
}


def record_of(fact: SettlementFact, **changed: object) -> LogRecord:
    return LogRecord(0, 9, key(fact), encode(fact), headers(fact))._replace(**changed)  # type: ignore[arg-type]


def codes(records: Sequence[LogRecord]) -> list[str]:
    good, poisoned = read_records(records, lambda _: 0, fold_of().arrangement_of)
    assert len(good) + len(poisoned) == len(records)
    return [each.code for each in poisoned]


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_settled_is_poison(name: str) -> None:
    code, fact = CASES[name]
    assert codes([record_of(fact)]) == [code]


@pytest.mark.parametrize(
    "changed",
    [{"value": b"\xff\xff"}, {"value": None}, {"headers": []}],
    ids=["not protobuf", "a tombstone", "no CloudEvent"],
)
def test_a_foreign_record_is_poison(changed: dict[str, object]) -> None:
    assert codes([record_of(paid("ALFA", 1), **changed), record_of(paid("ALFA", 2))]) == ["MALFORMED"]


@pytest.mark.parametrize("changed", [{"key": b"BRAVO"}, {"key": None}, {"partition": 3}])
def test_a_record_out_of_its_place_is_poison(changed: dict[str, object]) -> None:
    assert codes([record_of(paid("ALFA", 1), **changed)]) == ["WRONG_KEY"]
