"""Repeats and gaps by a few numbers, beside a table of everything that came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.settlement import SettlementFact
from switch.errors import SettlementHalted
from switch.events.sequences import IDS_KEPT, RANGES_MAX, TEXT_BYTES_MAX, GapFound, Sequences
from tests.events.support import fact


def _accept(sequences: Sequences, *numbers: int, agent: str = "ALFA") -> None:
    for number in numbers:
        sequences.accept(fact(agent, number))


def _gap(sequences: Sequences, number: int) -> tuple[int, int] | None:
    found = sequences.gap(fact("ALFA", number))
    return (found.first, found.last) if found else None


def test_the_first_event_that_is_seen_begins() -> None:
    sequences = Sequences()
    assert not sequences.repeated(fact("ALFA", 41))
    assert _gap(sequences, 41) is None, "what was before is another consumer's"
    _accept(sequences, 41)
    assert sequences.repeated(fact("ALFA", 41))
    assert not sequences.repeated(fact("BRAVO", 41))
    assert not sequences.repeated(fact("ALFA", 40)), "never seen: better twice than never"
    assert _gap(sequences, 42) is None


def test_a_gap_is_found_once_and_what_comes_after_all_is_no_repeat() -> None:
    sequences = Sequences()
    _accept(sequences, 1, 2)
    assert _gap(sequences, 6) == (3, 5)
    _accept(sequences, 6)
    assert _gap(sequences, 7) is None, "it is known"
    assert not any(sequences.repeated(fact("ALFA", number)) for number in (3, 4, 5))
    _accept(sequences, 4)
    assert [sequences.repeated(fact("ALFA", number)) for number in (3, 4, 5, 6)] == [False, True, False, True]
    _accept(sequences, 3, 5)
    assert all(sequences.repeated(fact("ALFA", number)) for number in range(1, 7))


def test_the_words_of_a_gap() -> None:
    assert str(GapFound("ALFA", 3, 3)).startswith("ALFA: sequence 3 did not come")
    assert str(GapFound("ALFA", 3, 5)).startswith("ALFA: sequence 3 to 5 did not come")


def test_two_events_that_claim_one_number_stop_everything() -> None:
    sequences = Sequences()
    _accept(sequences, 1)
    with pytest.raises(SettlementHalted, match="both claim sequence 1"):
        sequences.repeated(fact("ALFA", 1)._replace(event_id="another"))


def test_more_gaps_than_can_be_kept_in_sight_stop_everything() -> None:
    sequences = Sequences()
    _accept(sequences, *range(1, 2 * RANGES_MAX + 2, 2))
    with pytest.raises(SettlementHalted, match="ranges are missing"):
        _accept(sequences, 2 * RANGES_MAX + 3)


def test_memory_is_bounded_and_old_repeats_are_known_by_their_numbers() -> None:
    sequences = Sequences()
    one = fact("ALFA", 1)
    for number in range(1, IDS_KEPT + 100):
        sequences.accept(one._replace(sequence=number))
    assert len(sequences._ids) == IDS_KEPT
    assert sequences.repeated(one)


def test_what_is_known_travels_as_text() -> None:
    sequences, other = Sequences(), Sequences()
    _accept(sequences, 5, 6, 10)
    _accept(sequences, 1, agent="BRAVO")
    text = sequences.text(["BRAVO", "ALFA", "NEVER"])
    assert text == '{"BRAVO":[1,1],"ALFA":[5,10,[7,9]]}'
    assert other.learn(text) == ["BRAVO", "ALFA"]
    assert [other.repeated(fact("ALFA", number)) for number in (4, 5, 6, 7, 9, 10)] == [
        False, True, True, False, False, True,
    ]  # fmt: skip
    assert other.text(["BRAVO", "ALFA"]) == text
    assert other.learn("") == []


def test_an_older_text_is_not_taken_over() -> None:
    sequences = Sequences()
    _accept(sequences, 1)
    before = sequences.text(["ALFA"])
    _accept(sequences, 2, 3)
    sequences.learn(before)
    assert sequences.repeated(fact("ALFA", 3))


@pytest.mark.parametrize("text", ["x", "[1]", '{"ALFA":1}', '{"ALFA":[1]}', '{"ALFA":[1,2,3]}'])
def test_a_text_of_another_program_stops_everything(text: str) -> None:
    with pytest.raises(SettlementHalted, match="another program commits"):
        Sequences().learn(text)


def test_a_text_has_room_for_the_important_ones() -> None:
    sequences = Sequences()
    agents = [f"AGENT{number:05}" for number in range(1_000)]
    for agent in agents:
        sequences.accept(fact(agent, 10**9))
    text = sequences.text(agents)
    assert TEXT_BYTES_MAX - 50 < len(text.encode()) <= TEXT_BYTES_MAX
    learned = Sequences().learn(text)
    assert learned == agents[: len(learned)]


@given(st.lists(st.integers(1, 30), max_size=60), st.integers(0, 60))
def test_numbers_tell_what_a_table_would(numbers: list[int], handed_over: int) -> None:
    """In any order, with repeats, and handed over to another consumer on the way."""
    sequences, table = Sequences(), set[int]()
    for step, number in enumerate(numbers):
        if step == handed_over:
            text, sequences = sequences.text(["ALFA"]), Sequences()
            sequences.learn(text)
        one: SettlementFact = fact("ALFA", number)
        inside = bool(table) and number >= numbers[0]
        if inside:
            assert sequences.repeated(one) == (number in table)
        if not sequences.repeated(one):
            sequences.accept(one)
        table.add(number)
    if table:
        last = max(table)
        assert (_gap(sequences, last + 1), _gap(sequences, last + 3)) == (None, (last + 1, last + 2))
