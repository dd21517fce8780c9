"""The end of the demo: windows cut, closed, sealed, settled and proven; every rail's statement against our books."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bayswitch.v1 import settlement_pb2 as pb

from switch.cli.client import CallFailed, Client, Target, connect
from switch.cli.output import NotAsItShouldBe, say
from switch.cli.sandbox import OPERATOR, Sandbox
from switch.cli.window_picture import picture, strokes, window_state
from switch.domain.reconciliation import Verdict

__all__ = ["Unsettled", "reconcile_rails", "settle"]

_FILL_SECONDS_MAX: Final = 30
_AGAIN_SECONDS: Final = 0.1
_HONG_KONG: Final = timedelta(hours=8)


class Unsettled(NotAsItShouldBe):
    """A window, a seal or a statement was not as it should be."""


def settle(sandbox: Sandbox) -> None:
    """Every arrangement's open window: cut, closed, drawn, every obligation confirmed; then the proof from the topics."""
    with connect(Target(sandbox.address, OPERATOR)) as client:
        listed = client.call(client.settlement.ListArrangements, pb.ListArrangementsRequest()).arrangements
        agents = {each.arrangement_id: each.settlement_agent for each in listed}
        newest = client.call(client.settlement.ListWindows, pb.ListWindowsRequest(page_size=500)).windows
        for window in newest:
            if window.state == pb.WINDOW_STATE_OPEN:
                _settle_window(client, window.window_id, agents[window.arrangement_id])
    proof = _command(sandbox, "windows", "verify", "--json")
    say(
        f"proven from the topics: {proof['sealed']} seals over {proof['events']} events, {proof['findings'] or 'no'} findings"
    )
    if proof["findings"] or not proof["sealed"]:
        raise Unsettled("the seals are not proven")


def _settle_window(client: Client, window_id: str, agent: str) -> None:
    client.call(client.settlement.CutWindow, pb.CutWindowRequest(window_id=window_id))
    window = _close(client, window_id)
    if not window.payments:
        return
    say(f"\n{window_id}: {window.payments} payments, seal {window.seal.hex()[:16]}…")
    for line in picture(window, agent, strokes()):
        say(line)
    for owed in list(window.obligations):
        request = pb.ConfirmObligationRequest(
            window_id=window_id,
            participant=owed.participant,
            asset=owed.asset,
            amount_minor=owed.amount_minor,
            reference=f"DEMO-{window_id}"[:35],
        )
        window = client.call(client.settlement.ConfirmObligation, request).window
    say(f"every obligation confirmed: {window_state(window.state)}")
    if window.state != pb.WINDOW_STATE_SETTLED:
        raise Unsettled(f"{window_id} is {window_state(window.state)}")


def _close(client: Client, window_id: str) -> Any:
    """Close it as soon as the settler has read up to the cut."""
    deadline = time.monotonic() + _FILL_SECONDS_MAX
    while True:
        try:
            return client.call(client.settlement.CloseWindow, pb.CloseWindowRequest(window_id=window_id)).window
        except CallFailed as failure:
            if failure.reason != "WINDOW_NOT_FILLED" or time.monotonic() > deadline:
                raise
        time.sleep(_AGAIN_SECONDS)


def reconcile_rails(sandbox: Sandbox) -> None:
    """Each rail's own statement of today against our books; one that differs fails the demo."""
    today = (datetime.now(UTC) + _HONG_KONG).date().isoformat()
    controls = sandbox.controls
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(controls, pool.map(lambda rail: _reconciled(sandbox, rail, today), controls), strict=True))
    for rail, answer in found.items():
        counts = ", ".join(f"{count} {kind}" for kind, count in answer.items() if count)
        say(f"  {rail:<8}{counts or 'nothing booked'}")
    wrong = [
        rail for rail, answer in found.items() if any(n for kind, n in answer.items() if kind != Verdict.SAME.value)
    ]
    if wrong:
        raise Unsettled(f"statements that differ from our books: {', '.join(wrong)}")


def _reconciled(sandbox: Sandbox, rail: str, day: str) -> Mapping[str, int]:
    answer = _command(sandbox, "reconcile", rail, "--date", day, "--control", sandbox.controls[rail], "--json")
    return dict(answer["counts"])


def _command(sandbox: Sandbox, *arguments: str) -> dict[str, Any]:
    """A command of ours in a process of its own, as an operator would give it; what it answers as data."""
    line = [sys.executable, "-m", "switch", "--server", sandbox.address, "--as", OPERATOR, *arguments]
    environment = {**os.environ, **sandbox.environment}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=120)
    if done.returncode not in (0, 1):
        raise Unsettled(f"bayswitch {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
