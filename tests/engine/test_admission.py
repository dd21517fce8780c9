"""Admission against a made-up clock: how many places there are, and whose they are."""

import random

import pytest

from switch.engine.admission import Admission
from switch.limits import (
    ADMISSION_ACTIVE_MS,
    ADMISSION_LOOK_MS,
    ADMISSION_PLACES_FIRST,
    ADMISSION_PLACES_MIN,
    ADMISSION_WAIT_MS_MAX,
    BATCH_ITEMS_MAX,
    PAYMENTS_IN_FLIGHT_MAX,
)

QUICK, SLOW = ADMISSION_WAIT_MS_MAX, ADMISSION_WAIT_MS_MAX + 1


def enter(admission: Admission, participant: str, count: int = 1) -> bool:
    """Ask, and begin when there is room."""
    room = admission.has_room(participant)
    if room:
        admission.entered(participant, count)
    return room


def filled(admission: Admission, *participants: str) -> dict[str, int]:
    """Let each of them begin payments by turns until all are refused; how many each has got."""
    got = dict.fromkeys(participants, 0)
    while True:
        entered = [name for name in participants if enter(admission, name)]
        for name in entered:
            got[name] += 1
        if not entered:
            return got


def looked(admission: Admission, waited_ms: int, looks: int = 1, now_ms: int = 0) -> int:
    """So many looks, each with all places taken and a payment that waited so long. The time after them."""
    for _ in range(looks):
        now_ms += ADMISSION_LOOK_MS
        filled(admission, "BULK")
        admission.prepared(waited_ms, now_ms)
    return now_ms


def emptied(admission: Admission, participant: str, count: int) -> None:
    for _ in range(count):
        admission.left(participant)


def test_one_alone_has_all_places() -> None:
    admission = Admission()
    assert filled(admission, "BULK") == {"BULK": ADMISSION_PLACES_FIRST}
    assert enter(admission, "SMALL"), "and who comes after that finds one all the same"


def test_those_who_all_want_more_get_the_same() -> None:
    admission, names = Admission(), [f"P{number}" for number in range(10)]
    got = filled(admission, *names)
    assert max(got.values()) - min(got.values()) <= 1
    assert ADMISSION_PLACES_FIRST <= sum(got.values()) <= ADMISSION_PLACES_FIRST + len(names)


def test_who_was_active_of_late_keeps_its_share_and_loses_it_later() -> None:
    admission = Admission()
    admission.prepared(QUICK, ADMISSION_ACTIVE_MS)
    assert enter(admission, "SMALL")
    admission.left("SMALL")
    assert filled(admission, "BULK") == {"BULK": ADMISSION_PLACES_FIRST // 2}
    for while_ in (2, 3, 4):
        admission.prepared(QUICK, while_ * ADMISSION_ACTIVE_MS)
    assert filled(admission, "BULK")["BULK"] >= ADMISSION_PLACES_FIRST // 2


def test_one_that_floods_leaves_room_for_who_is_within_its_share() -> None:
    """Seeded: the flood takes whatever it can get before every arrival of the others, which are never refused."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    dice, admission = random.Random(seed), Admission()
    under_way = {f"P{number}": 0 for number in range(9)}
    share = ADMISSION_PLACES_FIRST // (len(under_way) + 1)
    for step in range(5_000):
        filled(admission, "FLOOD")
        name = dice.choice(list(under_way))
        if under_way[name] >= share or (under_way[name] and dice.random() < 0.5):
            admission.left(name)
            under_way[name] -= 1
        else:
            assert enter(admission, name)
            under_way[name] += 1
        if dice.random() < 0.5:
            admission.left("FLOOD")
        admission.prepared(QUICK, step)


def test_a_flood_within_its_share_makes_no_more_places() -> None:
    """Nine that want little are active: what is refused to the tenth is no reason to let more in."""
    admission, now_ms = Admission(), 0
    for _ in range(100):
        now_ms += ADMISSION_LOOK_MS
        for number in range(9):
            assert enter(admission, f"P{number}")
        filled(admission, "FLOOD")
        admission.prepared(QUICK, now_ms)
        for number in range(9):
            admission.left(f"P{number}")
        assert admission.under_way <= ADMISSION_PLACES_FIRST // 2 or now_ms == ADMISSION_LOOK_MS
    assert admission.places == ADMISSION_PLACES_FIRST


def test_a_batch_enters_whole_and_any_batch_at_rest() -> None:
    admission = Admission()
    looked(admission, SLOW, looks=50)
    emptied(admission, "BULK", admission.under_way)
    assert admission.places == ADMISSION_PLACES_MIN < BATCH_ITEMS_MAX
    for name in ("BULK", "OTHER"):
        assert enter(admission, name, BATCH_ITEMS_MAX)
    assert not enter(admission, "BULK")
    assert not enter(admission, "SMALL"), "they have taken more than twice what there is"
    emptied(admission, "OTHER", BATCH_ITEMS_MAX)
    assert enter(admission, "SMALL")


def test_a_standing_queue_takes_places_away_down_to_a_bound() -> None:
    admission = Admission()
    now_ms = looked(admission, SLOW)
    assert admission.places < ADMISSION_PLACES_FIRST
    looked(admission, SLOW, looks=100, now_ms=now_ms)
    assert admission.places == ADMISSION_PLACES_MIN


def test_places_shrink_from_what_was_taken_not_from_what_was_free() -> None:
    admission = Admission()
    assert enter(admission, "SMALL", 400)
    admission.prepared(SLOW, ADMISSION_LOOK_MS)
    assert admission.places == 300


def test_a_burst_is_no_queue() -> None:
    """One of those who came in the same while was served at once."""
    admission = Admission()
    admission.prepared(QUICK, 1_000)  # looked at alone: it ends a while that began long ago
    for waited_ms in (10 * SLOW, 5 * SLOW, QUICK, 8 * SLOW):
        admission.prepared(waited_ms, 1_001)
    admission.prepared(10 * SLOW, 1_000 + ADMISSION_LOOK_MS)
    assert admission.places == ADMISSION_PLACES_FIRST


def test_places_grow_while_all_are_taken_and_waits_are_short() -> None:
    admission = Admission()
    looked(admission, QUICK, looks=100)
    assert admission.places == PAYMENTS_IN_FLIGHT_MAX


@pytest.mark.parametrize("participants", [2, 10, 100])
def test_places_grow_whoever_takes_them(participants: int) -> None:
    admission, names = Admission(), [f"P{number}" for number in range(participants)]
    for look in range(1, 10):
        filled(admission, *names)
        admission.prepared(QUICK, look * ADMISSION_LOOK_MS)
    assert admission.places > 2 * ADMISSION_PLACES_FIRST


def test_places_stay_while_not_all_are_taken() -> None:
    admission = Admission()
    for look in range(1, 100):
        assert enter(admission, "SMALL")
        admission.prepared(QUICK, look * ADMISSION_LOOK_MS)
        admission.left("SMALL")
    assert admission.places == ADMISSION_PLACES_FIRST


def test_places_come_back_after_a_queue() -> None:
    admission = Admission()
    now_ms = looked(admission, SLOW, looks=50)
    looked(admission, QUICK, looks=20, now_ms=now_ms)
    assert admission.places >= ADMISSION_PLACES_FIRST


def test_nothing_is_decided_between_two_looks() -> None:
    admission = Admission()
    admission.prepared(QUICK, 1_000)
    for now_ms in range(1_000, 1_000 + ADMISSION_LOOK_MS):
        admission.prepared(SLOW, now_ms)
    assert admission.places == ADMISSION_PLACES_FIRST


def test_a_clock_that_jumps_back_stops_nothing() -> None:
    admission = Admission()
    now_ms = looked(admission, QUICK, now_ms=10_000_000)
    before = admission.places
    looked(admission, SLOW, looks=2, now_ms=now_ms - 5_000_000)
    assert admission.places < before


def test_only_who_was_active_of_late_is_kept() -> None:
    admission = Admission()
    for number in range(1_000):
        assert enter(admission, f"P{number}", 2)
        emptied(admission, f"P{number}", 2)
    for while_ in (1, 2, 3):
        admission.prepared(QUICK, while_ * ADMISSION_ACTIVE_MS)
    assert admission.under_way == 0
    assert filled(admission, "BULK") == {"BULK": ADMISSION_PLACES_FIRST}
    with pytest.raises(KeyError):
        admission.left("P1")
