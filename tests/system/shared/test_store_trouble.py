"""The store stands still, dies, comes back, or promises too little; with one server, with our own, with a cluster."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bayswitch.v1 import participant_pb2, payment_pb2, quote_pb2

from deploy.local.standstill import pause
from deploy.local.valkey import Valkey, run_valkey
from switch.cli.sandbox import OPERATOR, Sandbox
from switch.errors import REASONS
from switch.limits import CALL_DEFAULT_MS, STORE_CALL_MS_MAX
from tests.system.support import STATE, Provider, audited, committed, payments_in, step, until

# Three steps on the store at the most, each waits at most twice its budget (for its turn, and for its answer); and a busy
# machine may be as late again. It is less than the switch gives to a call that comes without a deadline.
ANSWER_SECONDS_MAX = 2 * 3 * 2 * STORE_CALL_MS_MAX / 1000
assert ANSWER_SECONDS_MAX * 1000 < CALL_DEFAULT_MS
LOAD = "creditor.account=+852-70000030 creditor.name=LOAD_000030"


def test_a_store_that_stands_still(embedded: Sandbox) -> None:
    """SIGSTOP: connections stay open and nothing answers."""
    assert embedded.switch is not None
    server = _server_of(embedded.switch.pid)
    _outage(embedded, lambda: pause(server), lambda: os.kill(server, signal.SIGCONT))


def test_a_store_that_dies(running: Sandbox, store_server: Valkey) -> None:
    _outage(running, store_server.kill, store_server.start, "hk-mo", "hk-cn")


def _outage(sandbox: Sandbox, out: Callable[[], None], back: Callable[[], None], *priced: str) -> None:
    """UNAVAILABLE with RetryInfo in time, to whatever was asked; afterwards the same requests end, and nothing is amiss."""
    assert sandbox.switch is not None
    with payments_in(sandbox) as provider:
        payer, operator = provider("HKWALLET"), provider(OPERATOR)
        known = committed(payer, step("unknown", LOAD))
        requests = [
            *(payer.request(step("unknown", LOAD)) for _ in range(20)),
            *(payer.request(step(name)) for name in priced),
        ]
        out()
        try:
            _all_unavailable(payer, operator, known.uetr, requests)
        finally:
            back()
        # Without a restart, as soon as the store is there: what is new is paid, and the same request_ids end.
        requests += _new_ones_until_paid(payer)
        answers = {known.uetr: "COMMITTED", **_repeated(payer, requests)}
    assert sandbox.switch.process.poll() is None
    audited(sandbox, answers)


def _repeated(payer: Provider, requests: list[Any]) -> dict[str, str]:
    """Repeat until each is final. Paid; or, when a store that stood still took it up after all, given up unpaid."""

    def ended(request: Any) -> Any:
        until(lambda: STATE[payer.submit(request).state] in ("COMMITTED", "ABORTED"), "the same request ends")
        return payer.submit(request)

    with ThreadPoolExecutor(len(requests)) as pool:
        payments = list(pool.map(ended, requests))
    for payment in payments:
        assert (STATE[payment.state], payment.reason) in (("COMMITTED", ""), ("ABORTED", "RAIL_NEVER_SAW_IT"))
    return {payment.uetr: STATE[payment.state] for payment in payments}


def _all_unavailable(payer: Provider, operator: Provider, known: str, requests: list[Any]) -> None:
    quote = quote_pb2.CreateQuoteRequest(
        debit=requests[0].debit, other_asset="CNY", debtor_place="PLACE_HK", creditor_place="PLACE_CN",
        creditor_scheme="SCHEME_ALIPAY_LOGIN",
    )  # fmt: skip
    calls = [
        *((payer, payer.payments.SubmitPayment, request) for request in requests),
        (payer, payer.payments.GetPayment, payment_pb2.GetPaymentRequest(uetr=known)),
        (payer, payer.payments.ListPayments, payment_pb2.ListPaymentsRequest()),
        (payer, payer.quotes.CreateQuote, quote),
        (operator, operator.participants.GetPositions, participant_pb2.GetPositionsRequest()),
        (operator, operator.participants.ListParticipants, participant_pb2.ListParticipantsRequest()),
    ]

    def timed(call: tuple[Provider, Any, Any]) -> tuple[Any, float]:
        began = time.monotonic()
        who, method, request = call
        return who.trouble(method, request), time.monotonic() - began

    with ThreadPoolExecutor(len(calls)) as pool:
        for (_, _, request), (refused, seconds) in zip(calls, pool.map(timed, calls), strict=True):
            kind = type(request).__name__
            assert (refused.code, refused.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE"), (kind, refused)
            assert refused.retry_ms == REASONS["STORE_UNAVAILABLE"].retry_after_ms, kind
            assert seconds < ANSWER_SECONDS_MAX, (kind, seconds)


def _new_ones_until_paid(payer: Provider) -> list[Any]:
    """New payments until one is paid. A store that only just comes back may take one up too late for its answer."""
    sent: list[Any] = []

    def paid() -> bool:
        sent.append(payer.request(step("unknown", LOAD)))
        return STATE[payer.submit(sent[-1]).state] == "COMMITTED"

    until(paid, "a new payment is paid")
    return sent


def test_our_own_server_is_started_again(embedded: Sandbox) -> None:
    """The embedded default: its server dies alone, and payments go on by themselves with all that was acknowledged."""
    assert embedded.switch is not None
    with payments_in(embedded) as provider:
        payer, answers = provider("HKWALLET"), dict[str, str]()
        for _ in range(3):
            answers[committed(payer, step("unknown", LOAD)).uetr] = "COMMITTED"
            os.kill(_server_of(embedded.switch.pid), signal.SIGKILL)
            answers |= _repeated(payer, _new_ones_until_paid(payer))
    audited(embedded, answers)
    assert embedded.switch.process.poll() is None


def _server_of(switch: int) -> int:
    """The process id of the server that a switch runs."""
    found = []
    for children in Path(f"/proc/{switch}/task").glob("*/children"):
        found += [int(pid) for pid in children.read_text().split()]
    (server,) = found
    return server


WEAK = """
# setting on the server          what the switch must name
  --appendfsync everysec         appendfsync
  --appendonly no                appendonly
  --maxmemory-policy allkeys-lru maxmemory-policy
"""


@pytest.mark.parametrize("row", [line.split() for line in WEAK.splitlines()[2:]], ids=lambda row: row[2])
def test_a_weaker_store_than_promised(tmp_path: Path, row: list[str]) -> None:
    """The switch does not start, exits with 2, and names the setting to change; unless it promises nothing."""
    option, value, named = row
    with run_valkey(tmp_path / "valkey", option, value) as server:
        environment = {
            **os.environ,
            "BAYSWITCH_REDIS_URL": server.url,
            "BAYSWITCH_DATA_DIR": str(tmp_path / "data"),
            "BAYSWITCH_DEMO_IDENTITY": "true",
            "BAYSWITCH_LISTEN_PORT": "0",
        }
        command = [sys.executable, "-m", "switch", "serve", "--json"]
        refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"`{named} " in refused.stderr
    assert "BAYSWITCH_DURABILITY" in refused.stderr
    assert "Traceback" not in refused.stderr
