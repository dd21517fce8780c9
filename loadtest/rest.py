"""After the load: everything comes to rest. Nothing is reserved, nothing waits, every window is cut, closed and paid.

The drill and the gate both end with it; what is compared afterwards does not move any more.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc.aio
from bayswitch.v1 import (
    participant_pb2,
    participant_pb2_grpc,
    payment_pb2,
    payment_pb2_grpc,
    settlement_pb2,
    settlement_pb2_grpc,
)

from deploy.local.valkey import CommandFailed, Valkey
from loadtest.audit import STATES
from switch.errors import BrokerUnavailable
from switch.events.log import KafkaLog

__all__ = ["Rest", "Rounds", "Told", "resolve"]

_PAUSE_SECONDS = 0.3
_CALL_SECONDS = 10
_FINAL = ("COMMITTED", "ABORTED")


@dataclass
class Rounds:
    """How often windows were cut, and how many were paid."""

    cut: int = 0
    settled: int = 0


class Rest:
    """Brings one switch to rest. `store` and `bootstrap`: its Valkey and its Kafka; `rounds` counts what is done."""

    def __init__(
        self, address: str, operator: str, store: Valkey, bootstrap: str, rounds: Rounds | None = None
    ) -> None:
        self._rounds = rounds or Rounds()
        self._address = address
        self._options: dict[str, Any] = {
            "timeout": _CALL_SECONDS,
            "metadata": (("x-bayswitch-participant", operator),),
        }
        self._store = store
        self._bootstrap = bootstrap

    async def reach(self, seconds: float) -> list[str]:
        """All steps in order, within the time; what is not reached, in words, and then nothing after it is tried."""
        deadline = time.monotonic() + seconds
        steps: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
            ("amounts are still reserved", self.reserved),
            ("events are not published and settled", self.waiting),
            ("the last windows cannot be cut", self.last_cut),
            ("windows are not settled", self.unpaid),
        )
        for says, step in steps:
            while left := await self._tried(step):
                if time.monotonic() > deadline:
                    return [f"at rest after {seconds:.0f} s: {says}: {left}"]
                await asyncio.sleep(_PAUSE_SECONDS)
        return []

    @staticmethod
    async def _tried(step: Callable[[], Awaitable[str]]) -> str:
        try:
            return await step()
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {error.details()}"
        except (CommandFailed, BrokerUnavailable) as late:
            return f"{type(late).__name__} {late}"

    async def reserved(self) -> str:
        """Whose positions still reserve something, or ""."""
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = participant_pb2_grpc.ParticipantServiceStub(channel)
            answer = await stub.GetPositions(participant_pb2.GetPositionsRequest(), **self._options)
        return ", ".join(
            f"{each.participant_id} {each.asset} {each.reserved_minor}"
            for each in answer.positions
            if each.reserved_minor
        )

    async def waiting(self) -> str:
        """What is in the outbox, or between the settler and the log's end; "" when nothing."""
        depth = self._store.command("XLEN", "outbox:{s0}")
        if depth:
            return f"{depth} in the outbox"
        ends = await KafkaLog(self._bootstrap).ends()
        applied: Any = self._store.command("HGETALL", "settle:{settle}:offsets")
        offsets = applied if isinstance(applied, dict) else dict(zip(applied[::2], applied[1::2], strict=True))
        behind = sum(end - int(offsets.get(str(partition), 0)) for partition, end in ends.items())
        return f"the settler is {behind} behind" if behind else ""

    async def last_cut(self) -> str:
        await self.settle_windows()
        return ""

    async def unpaid(self) -> str:
        """Windows that are neither open nor settled, or moves the topic has not heard of; "" when none."""
        await self.settle_windows(cut=False)
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = settlement_pb2_grpc.SettlementServiceStub(channel)
            listed = await stub.ListWindows(settlement_pb2.ListWindowsRequest(page_size=500), **self._options)
            done = (settlement_pb2.WINDOW_STATE_OPEN, settlement_pb2.WINDOW_STATE_SETTLED)
            left = [window for window in listed.windows if window.state not in done]
            reasons = [await self._why(stub, window) for window in left]
        if reasons:
            return "; ".join(reasons[:5])
        unheard = self._store.command("XLEN", "settle:{settle}:announce")
        return f"{unheard} moves of windows are not on the topic" if unheard else ""

    async def _why(self, stub: Any, window: Any) -> str:
        """What the switch says when it is asked to close a window that is cut."""
        said = ""
        if window.state == settlement_pb2.WINDOW_STATE_CUT:
            try:
                request = settlement_pb2.CloseWindowRequest(window_id=window.window_id)
                await stub.CloseWindow(request, **self._options)
            except grpc.aio.AioRpcError as error:
                said = str(error.details())
        state = settlement_pb2.WindowState.Name(window.state).removeprefix("WINDOW_STATE_")
        return f"{window.window_id} is {state} {said}".strip()

    async def settle_windows(self, *, cut: bool = True) -> None:
        """One round. Every call is safe to repeat; one that fails is left for the next round."""
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = settlement_pb2_grpc.SettlementServiceStub(channel)
            listed = await stub.ListWindows(settlement_pb2.ListWindowsRequest(page_size=500), **self._options)
            for each in sorted(listed.windows, key=lambda window: window.number):
                if each.state == settlement_pb2.WINDOW_STATE_OPEN and cut:
                    request = settlement_pb2.CutWindowRequest(window_id=each.window_id)
                    await stub.CutWindow(request, **self._options)
                    self._rounds.cut += 1
                elif each.state == settlement_pb2.WINDOW_STATE_CLOSED:
                    await self._pay(stub, each.window_id)

    async def _pay(self, stub: Any, window_id: str) -> None:
        request = settlement_pb2.GetWindowRequest(window_id=window_id)
        window = (await stub.GetWindow(request, **self._options)).window
        for owed in window.obligations:
            await stub.ConfirmObligation(
                settlement_pb2.ConfirmObligationRequest(
                    window_id=window_id,
                    participant=owed.participant,
                    asset=owed.asset,
                    amount_minor=owed.amount_minor,
                    reference=f"LOAD-{window.number}-{owed.participant}"[:35],
                ),
                **self._options,
            )
        self._rounds.settled += 1


class Told:
    """What clients were told in the end, by UETR, and what cannot be."""

    def __init__(self) -> None:
        self.finals: dict[str, str] = {}
        self.problems: list[str] = []
        self.resolved: Counter[str] = Counter()  # of what was open: how it ended
        self.in_doubt_age_ms_max = 0


async def resolve(address: str, answers: Iterable[tuple[str, str, str]], seconds: float) -> Told:
    """Every answer (UETR, participant, what was said) to a final one: who was told something open, asks until it ends.

    A client without an answer (UNKNOWN) may find that there is no payment; one that was told of it must find it.
    """
    told, open_ones = _sorted(answers)
    deadline = time.monotonic() + seconds
    async with grpc.aio.insecure_channel(address) as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        for uetr, (participant, said) in open_ones.items():
            payment = await _ended(stub, uetr, participant, deadline)
            if payment is None:
                told.resolved["never begun"] += 1
                told.problems += [] if said == "UNKNOWN" else [f"{uetr}: a client was told {said}, nobody knows it"]
                continue
            state = STATES[payment.state]
            told.resolved[state] += 1
            if state not in _FINAL:
                told.problems.append(f"{uetr}: still {state} {seconds:.0f} s after the load")
            elif told.finals.setdefault(uetr, state) != state:
                told.problems.append(f"{uetr}: a client was told {told.finals[uetr]}, then {state}")
            if any(STATES[change.state] == "IN_DOUBT" for change in payment.history):
                age = payment.final_time.ToMilliseconds() - payment.prepared_time.ToMilliseconds()
                told.in_doubt_age_ms_max = max(told.in_doubt_age_ms_max, age)
    return told


def _sorted(answers: Iterable[tuple[str, str, str]]) -> tuple[Told, dict[str, tuple[str, str]]]:
    """Final answers, and open ones that no final one follows."""
    told = Told()
    open_ones: dict[str, tuple[str, str]] = {}
    for uetr, participant, said in answers:
        if said in ("PREPARED", "IN_DOUBT") or (said == "UNKNOWN" and uetr not in open_ones):
            open_ones[uetr] = participant, said
        elif said != "UNKNOWN" and told.finals.setdefault(uetr, said) != said:
            told.problems.append(f"{uetr}: one client was told {told.finals[uetr]}, one {said}")
    kept = {uetr: one for uetr, one in open_ones.items() if uetr not in told.finals or one[1] == "IN_DOUBT"}
    return told, kept


async def _ended(stub: Any, uetr: str, participant: str, deadline: float) -> Any:
    """The payment, final unless the time is over; None when there is none."""
    options: dict[str, Any] = {"timeout": _CALL_SECONDS, "metadata": (("x-bayswitch-participant", participant),)}
    while True:
        try:
            payment = (await stub.GetPayment(payment_pb2.GetPaymentRequest(uetr=uetr), **options)).payment
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            if time.monotonic() > deadline:
                raise
        else:
            if STATES[payment.state] in _FINAL or time.monotonic() > deadline:
                return payment
        await asyncio.sleep(_PAUSE_SECONDS)
