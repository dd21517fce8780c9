"""Paces against a made-up clock: nobody is faster than agreed, and nobody is slowed who is not."""

import random

from switch.engine import Paces
from switch.limits import PACE_AHEAD_MS
from switch.rules import PACE_OF_ALL

NOW_MS = 1_795_000_000_000


def test_who_is_not_bounded_never_waits() -> None:
    for paces in (Paces({}), Paces({"ALFA": 0, PACE_OF_ALL: 1})):
        for _ in range(100):
            paces.began("ALFA", 500, NOW_MS)
            assert paces.wait_ms("ALFA", NOW_MS) == 0


def test_one_payment_after_the_other_at_its_pace_never_waits() -> None:
    paces = Paces({"ALFA": 50})
    for number in range(1_000):
        assert paces.wait_ms("ALFA", NOW_MS + 20 * number) == 0
        paces.began("ALFA", 1, NOW_MS + 20 * number)


def test_a_burst_is_let_in_as_far_as_one_may_run_ahead() -> None:
    paces, begun = Paces({"ALFA": 1_000}), 0
    while not paces.wait_ms("ALFA", NOW_MS):
        paces.began("ALFA", 1, NOW_MS)
        begun += 1
    assert begun == PACE_AHEAD_MS + 1
    assert paces.wait_ms("ALFA", NOW_MS) == 1
    assert paces.wait_ms("ALFA", NOW_MS + 1) == 0


def test_a_batch_is_let_in_whole_and_waited_for() -> None:
    paces = Paces({"ALFA": 100})
    paces.began("ALFA", 500, NOW_MS)
    wait_ms = paces.wait_ms("ALFA", NOW_MS)
    assert wait_ms == 5_000 - PACE_AHEAD_MS
    assert paces.wait_ms("ALFA", NOW_MS + wait_ms - 1) == 1
    assert paces.wait_ms("ALFA", NOW_MS + wait_ms) == 0


def test_an_idle_time_is_not_saved_up() -> None:
    paces = Paces({"ALFA": 10})
    paces.began("ALFA", 1, NOW_MS)
    later_ms = NOW_MS + 3_600_000
    paces.began("ALFA", 10, later_ms)
    assert paces.wait_ms("ALFA", later_ms) == 1_000 - PACE_AHEAD_MS


def test_everybody_without_a_row_has_the_pace_of_all_each_alone() -> None:
    paces = Paces({PACE_OF_ALL: 10, "ALFA": 1_000})
    for name in ("ALFA", "BRAVO", "CHARLIE"):
        paces.began(name, 10, NOW_MS)
    waits = [paces.wait_ms(name, NOW_MS) for name in ("ALFA", "BRAVO", "CHARLIE", "DELTA")]
    assert waits == [0, 1_000 - PACE_AHEAD_MS, 1_000 - PACE_AHEAD_MS, 0]


def test_a_new_pace_is_of_what_begins_from_now_on() -> None:
    paces = Paces({"ALFA": 10})
    paces.began("ALFA", 10, NOW_MS)
    paces.change({"ALFA": 1_000})
    assert paces.wait_ms("ALFA", NOW_MS) == 1_000 - PACE_AHEAD_MS
    paces.change({})
    assert paces.wait_ms("ALFA", NOW_MS) == 0


def test_nobody_is_faster_than_agreed_in_the_long_run() -> None:
    dice = random.Random(4)
    for pace in (1, 7, 333, 20_000):
        paces, now_ms, begun, most = Paces({"ALFA": pace}), NOW_MS, 0, 0
        for _ in range(3_000):
            now_ms += dice.choice((0, 0, 1, 5, 700))
            if not paces.wait_ms("ALFA", now_ms):
                count = dice.choice((1, 1, 2, 256))
                paces.began("ALFA", count, now_ms)
                begun, most = begun + count, max(most, count)
        # Nanoseconds are cut off: a payment may be paid for by a billionth of a second less than it takes.
        assert begun <= (now_ms - NOW_MS + PACE_AHEAD_MS) * pace / 1_000 + most + 1
