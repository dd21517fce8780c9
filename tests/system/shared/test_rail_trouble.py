"""A rail that is silent, cut off, late, offline or frozen: the payment is in doubt until the rail has answered.

The faults are those of marked accounts in the rails' seeds, which anybody in the sandbox can use; all of them are shown
at once, so that the waiting is done once.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from adapters import RAILS
from deploy.local.standstill import pause
from switch.cli.sandbox import Sandbox
from switch.limits import RAIL_PREPARE_MS_MAX
from tests.system.shared.conftest import MESSAGE_VALID_MS
from tests.system.support import RESOLVE_SECONDS_MAX, STATE, Provider, audited, committed, payments_in, step

Providers = Callable[[str], Provider]
CLOCK_SKEW_MS = 500  # of the sandbox
# How each rail's marked accounts are addressed.
STEP_OF = {
    "hkfps": "silent",
    "mofps": "hk-mo",
    "alipay": "hk-cn",
    "ecny": "tier-by-rail",
}
# answer: what the caller hears; ends: what it becomes; booked: what the rail's own books say in the end
FAULTS = """
# rail    fault          account            holder               answer     ends       booked
  hkfps   silent         +852-59000001      FAULT_SILENT         IN_DOUBT   ABORTED    0
  hkfps   silent_booked  +852-59000002      FAULT_SILENT_BOOKED  IN_DOUBT   COMMITTED  1
  hkfps   late           +852-59000003      FAULT_LATE           IN_DOUBT   COMMITTED  1
  hkfps   slow           +852-59000004      FAULT_SLOW           COMMITTED  COMMITTED  1
  hkfps   twice          +852-59000005      FAULT_TWICE          COMMITTED  COMMITTED  1
  hkfps   malformed      +852-59000006      FAULT_MALFORMED      IN_DOUBT   COMMITTED  1
  hkfps   cut            +852-59000007      FAULT_CUT            IN_DOUBT   COMMITTED  1
  hkfps   cut_before     +852-59000008      FAULT_CUT_BEFORE     IN_DOUBT   COMMITTED  1
  mofps   silent         +853-69000001      FAULT_SILENT         IN_DOUBT   ABORTED    0
  mofps   silent_booked  +853-69000002      FAULT_SILENT_BOOKED  IN_DOUBT   COMMITTED  1
  mofps   late           +853-69000003      FAULT_LATE           IN_DOUBT   COMMITTED  1
  mofps   malformed      +853-69000006      FAULT_MALFORMED      IN_DOUBT   COMMITTED  1
  mofps   cut            +853-69000007      FAULT_CUT            IN_DOUBT   COMMITTED  1
  mofps   batched        +853-66110110      LAO_CHI_KEONG        IN_DOUBT   COMMITTED  1
  alipay  silent         13900000002        Fault_02             IN_DOUBT   ABORTED    0
  alipay  silent_booked  13900000003        Fault_03             IN_DOUBT   COMMITTED  1
  alipay  malformed      13900000007        Fault_07             IN_DOUBT   COMMITTED  1
  alipay  bad_signature  13900000008        Fault_08             IN_DOUBT   COMMITTED  1
  alipay  cut            13900000009        Fault_09             IN_DOUBT   COMMITTED  1
  alipay  cut_before     13900000010        Fault_10             IN_DOUBT   COMMITTED  1
  ecny    silent         0029900000000002   故障演示             IN_DOUBT   ABORTED    0
  ecny    silent_booked  0029900000000003   故障演示             IN_DOUBT   COMMITTED  1
  ecny    malformed      0029900000000008   故障演示             IN_DOUBT   COMMITTED  1
  ecny    cut            0029900000000009   故障演示             IN_DOUBT   COMMITTED  1
  ecny    cut_before     0029900000000010   故障演示             IN_DOUBT   COMMITTED  1
"""
ROWS = [line.split() for line in FAULTS.splitlines() if line.strip() and not line.lstrip().startswith("#")]
# A cut takes its connection, and what others have under way there: such a payment runs alone.
CUTS = [row for row in ROWS if row[1].startswith("cut")]
QUIET = [row for row in ROWS if row not in CUTS]


def marked(rail: str, account: str, holder: str) -> dict[str, Any]:
    return step(STEP_OF[rail], f"debit=HKD_10.00 creditor.account={account} creditor.name={holder}")


LATE = step("unknown", "debit=HKD_10.00 creditor.account=+852-70000020 creditor.name=LOAD_000020")


@pytest.fixture(scope="module")
def frozen(embedded: Sandbox) -> Iterator[Future[Any]]:
    """The answer to a payment over a rail that stands still meanwhile; the wait for it is shared with other waits."""

    def pay() -> Any:
        with payments_in(embedded) as provider:
            payer = provider("HKWALLET")
            request = payer.request(LATE)
            pause(embedded.rails["hkfps"].pid)
            try:
                answer = payer.submit(request)
                assert payer.reserved() == {"HKD": 1000}
            finally:
                os.kill(embedded.rails["hkfps"].pid, signal.SIGCONT)
            return answer

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(pay)


def test_every_rail_shows_its_faults() -> None:
    assert {row[0] for row in ROWS} == set(RAILS)


@pytest.mark.usefixtures("frozen")
def test_in_doubt_until_the_rail_has_answered(provider: Providers, running: Sandbox) -> None:
    payer = provider("HKWALLET")
    assert payer.reserved() == {}

    def pay(row: list[str]) -> Any:
        return payer.submit(payer.request(marked(row[0], row[2], row[3])))

    with ThreadPoolExecutor(len(QUIET)) as pool:
        answers = [pay(row) for row in CUTS]
        answers += pool.map(pay, QUIET)
        doubtful = sum(row[5] == "ABORTED" for row in ROWS)
        # The silent ones were never seen, and are too young to be given up: their holds are kept.
        assert payer.reserved()["HKD"] >= doubtful * 1000 > 0
        ended = list(pool.map(payer.ended, (answer.uetr for answer in answers)))
    for row, answer, payment in zip([*CUTS, *QUIET], answers, ended, strict=True):
        _check(running, row, answer, payment)
        watched = payer.changes(payment.uetr)
        wanted = ["PREPARED", *(["IN_DOUBT"] if STATE[answer.state] == "IN_DOUBT" else []), row[5]]
        assert watched == wanted == [STATE[change.state] for change in payment.history], row
    assert payer.reserved() == {}


def _check(sandbox: Sandbox, row: list[str], answer: Any, payment: Any) -> None:
    rail, _, _, _, told, ends, booked = row
    assert (answer.rail, STATE[payment.state]) == (rail, ends), row
    assert STATE[answer.state] == told, row
    assert len(sandbox.control(rail, "paid", uetr=payment.uetr)["paid"]) == int(booked), row
    if ends == "COMMITTED":
        assert payment.rail_reference, row
        assert payment.entries, row
        return
    assert (payment.reason, payment.iso_reason) == ("RAIL_NEVER_SAW_IT", "AB05"), row
    lived_ms = payment.final_time.ToMilliseconds() - payment.prepared_time.ToMilliseconds()
    assert lived_ms > MESSAGE_VALID_MS + CLOCK_SKEW_MS, "given up while our message could still have been taken"


@pytest.mark.parametrize("rail", RAILS)
def test_a_rail_that_is_offline(provider: Providers, running: Sandbox, rail: str) -> None:
    """Nothing could be sent: ABORTED at once, nothing held; when the rail is back, so are payments, by themselves."""
    name, changes = GOOD[rail]
    payer, good = provider("HKWALLET"), step(name, f"debit=HKD_10.00 {changes}")
    running.control(rail, "fault", fault="offline")
    try:
        answer = payer.submit(payer.request(good))
        if STATE[answer.state] == "IN_DOUBT":  # sent before the hang-up had arrived: then it must end by an enquiry
            answer = payer.submit(payer.request(good))
        assert (STATE[answer.state], answer.reason) == ("ABORTED", "RAIL_UNAVAILABLE")
        lived_ms = answer.final_time.ToMilliseconds() - answer.prepared_time.ToMilliseconds()
        assert lived_ms < RAIL_PREPARE_MS_MAX, "nobody waits for a rail that is not there"
    finally:
        running.control(rail, "clear")
    cleared = time.monotonic()
    while STATE[(back := payer.submit(payer.request(good))).state] == "ABORTED":
        assert back.reason == "RAIL_UNAVAILABLE"
        assert time.monotonic() - cleared < RESOLVE_SECONDS_MAX, "the rail is found again by itself"
    assert STATE[back.state] == "COMMITTED"


# A payee without any fault, per rail.
GOOD = {
    "hkfps": ("unknown", "creditor.account=+852-70000021 creditor.name=LOAD_000021"),
    "mofps": ("hk-mo", ""),
    "alipay": ("hk-cn", "debtor.document=HKID:C123456(9)"),
    "ecny": ("tier-by-rail", "creditor.account=0012000000000009 creditor.name=负载测试9"),
}


def test_a_message_that_arrives_late_is_refused(embedded: Sandbox, frozen: Future[Any]) -> None:
    """A rail stood still with our message in its socket, and woke up when the message was too old: it is never paid."""
    answer = frozen.result()
    assert STATE[answer.state] == "IN_DOUBT"
    with payments_in(embedded) as provider:
        payer = provider("HKWALLET")
        ended = payer.ended(answer.uetr)
        assert (STATE[ended.state], ended.reason) in (("ABORTED", "RAIL_EXPIRED"), ("ABORTED", "RAIL_NEVER_SAW_IT"))
        assert payer.reserved() == {}
        assert embedded.control("hkfps", "paid", uetr=answer.uetr)["paid"] == []
        # The rail saw it, read it, and refused it.
        page = embedded.control("hkfps", "payments", count=10_000)["payments"]
        assert [(status, bool(code)) for uetr, status, _, _, code in page if uetr == answer.uetr] == [("refused", True)]
        committed(payer, LATE)
    audited(embedded, {answer.uetr: "ABORTED"})
