"""Comparing: every pair of what two sides may say, the days beside, reversals, doubles, sums."""

import re
from typing import NamedTuple

import pytest

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.reconciliation import (
    AssetTotal,
    LineStatus,
    OurPayment,
    Reconciliation,
    Verdict,
    compare,
)

BEGIN, END = 1_000_000, 2_000_000
NOON = 1_500_000


class Line(NamedTuple):
    """A line of a statement, as any rail gives it."""

    uetr: str
    asset: Asset = Asset.HKD
    amount_minor: int = 100
    status: LineStatus = LineStatus.DONE
    code: str = "ACSC"
    reference: str = "FPS1"
    time_ms: int = NOON


def ours(uetr: str = "u", state: State = State.COMMITTED, amount_minor: int = 100, time_ms: int = NOON) -> OurPayment:
    return OurPayment(uetr, state, "a-rail", Asset.HKD, amount_minor, time_ms)


def rows_of(found: Reconciliation) -> list[str]:
    return [f"{row.uetr} {row.verdict.name}" for row in found.rows]


# --- the table -------------------------------------------------------------------------------------------------------
# What a side says: a state of ours or "-"; statuses of their lines, with amounts, or "-".
PAIRS = """
# ours        theirs                  verdict          advice begins
  COMMITTED   done 100                SAME             -
  COMMITTED   done 99                 AMOUNT_DIFFERS   both paid, not the same: pay nothing more
  COMMITTED   done -100               AMOUNT_DIFFERS   both paid, not the same: pay nothing more
  COMMITTED   done 100, done 100      AMOUNT_DIFFERS   both paid, not the same: pay nothing more
  COMMITTED   done 100, reversed -30  AMOUNT_DIFFERS   both paid, not the same: pay nothing more
  COMMITTED   done 100, reversed -100  STATE_DIFFERS   we hold it paid, the rail took its booking back: do not send it
  COMMITTED   refused 100             STATE_DIFFERS    we hold it paid, the rail refused it: do not send it again
  COMMITTED   -                       OURS_ONLY        we hold it paid, the rail has no booking
  ABORTED     done 100                STATE_DIFFERS    we ended it unpaid, the rail paid it: do not pay it again
  ABORTED     refused 100             SAME             -
  ABORTED     done 100, reversed -100  SAME            -
  ABORTED     -                       none             -
  PREPARED    -                       OURS_ONLY        still open with us, not booked there: let recovery ask the rail
  PREPARED    done 100                STATE_DIFFERS    still open with us, paid there: let recovery ask the rail
  IN_DOUBT    done 100                STATE_DIFFERS    still open with us, paid there: let recovery ask the rail
  IN_DOUBT    refused 100             STATE_DIFFERS    still open with us, refused there: let recovery ask the rail
  IN_DOUBT    done 100, reversed -100  STATE_DIFFERS   still open with us, taken back there: let recovery ask
  IN_DOUBT    -                       OURS_ONLY        still open with us, not booked there: let recovery ask the rail
  -           done 100                THEIRS_ONLY      the rail booked what we have no record of: do not pay it again
  -           done 100, reversed -100  THEIRS_ONLY     the rail booked and took back what we have no record of
  -           refused 100             none             -
"""
ROWS = [re.split(r"\s{2,}", line.strip()) for line in PAIRS.splitlines()[2:] if line.strip()]


def lines_of(text: str) -> list[Line]:
    pairs = [] if text == "-" else [each.split() for each in text.split(", ")]
    return [Line("u", amount_minor=int(amount), status=LineStatus(status)) for status, amount in pairs]


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_every_pair(row: list[str]) -> None:
    mine, yours, verdict, advice = row
    found = compare([] if mine == "-" else [ours(state=State[mine])], lines_of(yours), BEGIN, END)
    if verdict == "none":
        assert found == Reconciliation((), ())
        return
    (only,) = found.rows
    assert (only.verdict.name, only.uetr) == (verdict, "u")
    assert only.advice.startswith(advice.strip("-"))
    assert bool(only.advice) == (only.verdict is not Verdict.SAME)
    assert found.differences == (() if verdict == "SAME" else (only,))


def test_the_table_names_every_state_of_ours() -> None:
    """A new state of a payment must be judged here, before it meets a statement."""
    assert {row[0] for row in ROWS} == {state.name for state in State} | {"-"}
    for state in State:
        for status in LineStatus:
            assert compare([ours(state=state)], [Line("u", status=status)], BEGIN, END) is not None


# --- money -----------------------------------------------------------------------------------------------------------
def test_money_in_another_asset_differs() -> None:
    found = compare([ours()], [Line("u", asset=Asset.CNH)], BEGIN, END)
    assert rows_of(found) == ["u AMOUNT_DIFFERS"]
    assert found.totals == (AssetTotal(Asset.CNH, 0, 100), AssetTotal(Asset.HKD, 100, 0))


def test_a_payment_from_the_rail_has_a_minus_on_both_sides() -> None:
    found = compare([ours(amount_minor=-50)], [Line("u", amount_minor=-50)], BEGIN, END)
    assert rows_of(found) == ["u SAME"]
    assert found.totals == (AssetTotal(Asset.HKD, -50, -50),)


def test_totals_differ_by_what_the_rows_explain() -> None:
    found = compare(
        [ours("same"), ours("less"), ours("gone"), ours("aborted", State.ABORTED)],
        [Line("same"), Line("less", amount_minor=90), Line("more", amount_minor=7), Line("aborted", amount_minor=5)],
        BEGIN,
        END,
    )
    (total,) = found.totals
    assert total == AssetTotal(Asset.HKD, 300, 202)
    assert total.difference_minor == -10 - 100 + 7 + 5
    assert found.counts == {
        Verdict.SAME: 1,
        Verdict.OURS_ONLY: 1,
        Verdict.THEIRS_ONLY: 1,
        Verdict.AMOUNT_DIFFERS: 1,
        Verdict.STATE_DIFFERS: 1,
    }


def test_a_refused_amount_is_no_money() -> None:
    found = compare([ours(state=State.ABORTED)], [Line("u", status=LineStatus.REFUSED)], BEGIN, END)
    assert found.totals == ()


# --- days ------------------------------------------------------------------------------------------------------------
NIGHTS = """
# ours at   theirs at  verdict
  1000000   1000000    SAME
  999999    1000000    SAME
  1000000   999999     SAME
  1999999   2000000    SAME
  2000000   1999999    SAME
  999999    999999     none
  2000000   2000000    none
  1999999   -          OURS_ONLY
  -         1999999    THEIRS_ONLY
  999999    -          none
  -         2000000    none
"""


@pytest.mark.parametrize("row", [line.split() for line in NIGHTS.splitlines()[2:] if line.strip()], ids=" ".join)
def test_near_midnight_both_days_are_looked_at(row: list[str]) -> None:
    mine, yours, verdict = row
    records = [] if mine == "-" else [ours(time_ms=int(mine))]
    lines = [] if yours == "-" else [Line("u", time_ms=int(yours))]
    assert rows_of(compare(records, lines, BEGIN, END)) == ([] if verdict == "none" else [f"u {verdict}"])


def test_a_reversal_on_the_next_day_is_seen_with_its_booking() -> None:
    back = Line("u", amount_minor=-100, status=LineStatus.REVERSED, time_ms=END + 5)
    found = compare([ours()], [back, Line("u")], BEGIN, END)
    assert rows_of(found) == ["u STATE_DIFFERS"]
    theirs = found.rows[0].theirs
    assert theirs is not None
    assert (theirs.time_ms, theirs.status, theirs.amounts) == (NOON, LineStatus.REVERSED, ())


def test_rows_are_in_order_of_time() -> None:
    records = [ours("late", time_ms=NOON + 2), ours("b", time_ms=NOON), ours("a", time_ms=NOON)]
    lines = [Line("late", time_ms=NOON - 1), Line("b", time_ms=NOON)]
    assert rows_of(compare(records, lines, BEGIN, END)) == ["late SAME", "a OURS_ONLY", "b SAME"]


def test_the_same_input_in_another_order_is_the_same_answer() -> None:
    records = [ours(f"u{number}", time_ms=NOON + number % 3) for number in range(20)]
    lines = [Line(f"u{number}", time_ms=NOON) for number in range(10, 30)]
    assert compare(records, lines, BEGIN, END) == compare(records[::-1], lines[::-1], BEGIN, END)
