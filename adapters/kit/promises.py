"""What the conformance checks are made of: a case of one rail under test, and the words its promises are told in."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from adapters.kit.clock import wall_ms
from adapters.kit.faults import FaultKind
from adapters.kit.statement import StatementFormat
from switch.domain.instruction import Instruction
from switch.domain.payment import Hold, Payment, State, Transition
from switch.errors import RailRejected, RailSilent, RailUnavailable
from switch.limits import RAIL_MESSAGE_VALID_MS
from switch.ports import Enquiry, InboundHandler, Rail

__all__ = [
    "AMPLE_MS",
    "GRACE_MS",
    "SCANT_MS",
    "Broken",
    "CaseFactory",
    "Inbox",
    "RailCase",
    "Untimely",
    "ended",
    "enquired",
    "hold_of",
    "reached",
    "rejected",
    "require",
    "require_in_time",
    "set_fault",
    "silent",
    "times_paid",
    "until",
]  # fmt: skip

T = TypeVar("T")
AMPLE_MS: Final = 30_000  # a budget no honest answer on loopback needs, though the machine stand still for seconds
SCANT_MS: Final = 250  # a budget that is waited out
GRACE_MS: Final = 750  # how late a timer may be on a busy machine


class Broken(AssertionError):
    """A rail breaks a promise; the text names the check and the promise."""


class Untimely(Broken):
    """A promise about time is broken: by the rail, or by a machine that stood still, where it has to be tried again."""


@dataclass(frozen=True)
class RailCase:
    """One rail under test, with holds for each situation its mock can show."""

    client: Rail  # started, listening with the handler the factory was given
    control: Callable[..., Awaitable[dict[str, Any]]]  # control(call, **parameters) of its mock
    good: Callable[[], Hold]  # a payment the mock accepts; a new UETR each time
    aged: Callable[[int], Hold]  # as `good`, prepared this many ms ago
    altered: Callable[[Hold], Hold]  # the same UETR with another amount
    refusals: Mapping[str, Callable[[], Hold]]  # our reason -> a payment the mock's own rules refuse with it
    codes: Mapping[str, str]  # every refusal code of the rail -> our reason; each is tried by refuse:CODE
    in_flight: Callable[[], int]  # requests under way on the client's links
    statement: StatementFormat  # the form of its end-of-day statement
    institution: str  # our code on the rail, whose statement it is
    inbound: Mapping[str, Any] | None = None  # parameters of the control call "inbound"; None: the rail has none
    faults: frozenset[FaultKind] = field(default_factory=lambda: frozenset(FaultKind))
    valid_ms: int = RAIL_MESSAGE_VALID_MS
    maintenance: str = "CREDITOR_AGENT_OFFLINE"  # our reason for the rail's word of maintenance


CaseFactory = Callable[[InboundHandler], AbstractAsyncContextManager[RailCase]]


# --- what cases are made of ------------------------------------------------------------------------------------------
def hold_of(rail: str, instruction: Instruction, prepared_time_ms: int | None = None) -> Hold:
    """A hold with nothing but what a rail reads."""
    now_ms = wall_ms() if prepared_time_ms is None else prepared_time_ms
    return Hold(instruction, "conformance", rail, (), (), now_ms, now_ms + AMPLE_MS)


def ended(rail: str, instruction: Instruction, reason: str = "") -> Payment:
    """A final payment: committed, or aborted for `reason`."""
    hold = hold_of(rail, instruction)
    state = State.ABORTED if reason else State.COMMITTED
    return Payment(
        hold, (Transition(State.PREPARED, hold.prepared_time_ms), Transition(state, hold.prepared_time_ms, reason))
    )


# --- words -----------------------------------------------------------------------------------------------------------
def require(kept: bool, promise: str) -> None:
    if not kept:
        raise Broken(promise)


def require_in_time(kept: bool, promise: str) -> None:
    """`require` of what a machine that stands still can break, too."""
    if not kept:
        raise Untimely(promise)


async def set_fault(case: RailCase, fault: str, **parameters: Any) -> None:
    await case.control("fault", fault=fault, **parameters)


async def times_paid(case: RailCase, hold: Hold) -> int:
    """How often the books show the payment."""
    return len((await case.control("paid", uetr=hold.uetr))["paid"])


async def silent(case: RailCase, hold: Hold, budget_ms: int = SCANT_MS) -> None:
    """Prepare must end in RailSilent, and in time."""
    began = time.monotonic()
    try:
        await case.client.prepare(hold, budget_ms)
    except RailSilent:
        took_ms = (time.monotonic() - began) * 1000
        require_in_time(took_ms <= budget_ms + GRACE_MS, f"silence ends within the budget (took {took_ms:.0f} ms)")
        return
    except RailRejected as refused:
        raise Broken("silence is RailSilent, never RailRejected") from refused
    except RailUnavailable as unavailable:  # or the budget was over before anything could be sent
        raise Untimely("silence is RailSilent, never RailUnavailable") from unavailable
    raise Untimely("silence is RailSilent, never an acceptance")  # or a late answer and the end of the budget met


async def rejected(case: RailCase, hold: Hold) -> RailRejected:
    try:
        await case.client.prepare(hold, AMPLE_MS)
    except RailRejected as refusal:
        return refusal
    raise Broken("a refusal is RailRejected, never an acceptance")


async def reached(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the link is up again: a cut one reconnects in the background."""
    deadline = time.monotonic() + AMPLE_MS / 1000
    while True:
        try:
            return await ask()
        except (RailUnavailable, RailSilent):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)  # polling, bounded by the deadline


async def enquired(case: RailCase, hold: Hold) -> Enquiry:
    return await reached(lambda: case.client.enquire(hold, AMPLE_MS))


async def until(condition: Callable[[], bool], promise: str) -> None:
    deadline = time.monotonic() + AMPLE_MS / 1000
    while not condition():
        require(time.monotonic() < deadline, promise)
        await asyncio.sleep(0.005)


class Inbox:
    """A handler that ends payments as told, one answer per call, the last one for ever."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.taken: list[Instruction] = []

    async def __call__(self, instruction: Instruction) -> Payment:
        self.taken.append(instruction)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return ended("", instruction, answer)
