"""Every promise of ports.Rail as a named check. Any rail, ours or a partner's, runs them over a mock of itself.

    @pytest.mark.parametrize("name", CHECKS)
    async def test_conformance(name):
        await run_check(name, make_case)

`make_case(handler)` is an async context manager: it starts a fresh simulator and a client that listens with `handler`,
and yields a RailCase. Nothing is shared between checks, so each one fails for its own reason.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from adapters.kit import statement_promises, together_promises
from adapters.kit.faults import FaultKind
from adapters.kit.promises import (
    AMPLE_MS,
    SCANT_MS,
    Broken,
    CaseFactory,
    Inbox,
    RailCase,
    ended,
    enquired,
    hold_of,
    reached,
    rejected,
    require,
    require_in_time,
    set_fault,
    silent,
    times_paid,
    until,
)
from adapters.kit.pulse import in_good_time
from switch.domain.instruction import Instruction
from switch.domain.payment import Payment
from switch.errors import RailSilent, RailUnavailable, StoreUnavailable
from switch.limits import CLOCK_SKEW_MS_MAX
from switch.ports import Enquiry, Outcome, RailAck

__all__ = ["CHECKS", "Broken", "RailCase", "check_rail", "ended", "hold_of", "run_check"]

PIPELINED: Final = 200
_LATE_MS: Final = SCANT_MS * 6  # a busy machine may serve a timer and an answer in one turn when they are close
Check = Callable[[RailCase], Awaitable[None]]


async def _unused(instruction: Instruction) -> Payment:
    raise StoreUnavailable("this check takes no inbound payment")


# --- the checks ------------------------------------------------------------------------------------------------------
async def accepts(case: RailCase) -> None:
    """A good payment is paid once; the ack carries the rail's reference; an enquiry then says DONE with the same."""
    hold = case.good()
    ack = await case.client.prepare(hold, AMPLE_MS)
    require(0 < len(ack.rail_reference) <= 64, "an ack carries the rail's reference, <= 64")
    require(bool(ack.rail_code), "an ack carries the rail's word for done")
    require(await times_paid(case, hold) == 1, "an accepted payment is in the books")
    require(await enquired(case, hold) == Enquiry(Outcome.DONE, ack=ack), "asked about it: DONE, with the same ack")


async def repeat_is_safe(case: RailCase) -> None:
    """A repeat answers the first outcome and pays nothing."""
    hold = case.good()
    first = await case.client.prepare(hold, AMPLE_MS)
    require(await case.client.prepare(hold, AMPLE_MS) == first, "a repeat answers the first ack")
    require(await times_paid(case, hold) == 1, "a repeat pays nothing")


async def repeats_at_once(case: RailCase) -> None:
    """Copies under way at the same time are one payment."""
    hold = case.good()
    acks = await asyncio.gather(*(case.client.prepare(hold, AMPLE_MS) for _ in range(10)))
    require(len(set(acks)) == 1, "copies at once get one ack")
    require(await times_paid(case, hold) == 1, "copies at once pay once")


async def other_body_is_refused(case: RailCase) -> None:
    """One UETR with two bodies is a duplicate, and the first stands."""
    hold = case.good()
    first = await case.client.prepare(hold, AMPLE_MS)
    refusal = await rejected(case, case.altered(hold))
    require(refusal.reason.name == "RAIL_DUPLICATE", "another body under one UETR is RAIL_DUPLICATE")
    require(await enquired(case, hold) == Enquiry(Outcome.DONE, ack=first), "the first payment stands")
    require(await times_paid(case, hold) == 1, "the second body pays nothing")


async def refuses_by_its_rules(case: RailCase) -> None:
    """Each refusal of the mock's own rules is RailRejected with our reason, stays so, and pays nothing."""
    for reason, make in case.refusals.items():
        hold = make()
        first = await rejected(case, hold)
        require(first.reason.name == reason, f"{reason} is not told as {first.reason.name} ({first.rail_code})")
        require(bool(first.rail_code), "a refusal carries the rail's code")
        again = await rejected(case, hold)
        require((again.reason, again.rail_code) == (first.reason, first.rail_code), "a refusal stays")
        wanted = Enquiry(Outcome.REFUSED, reason=reason, rail_code=first.rail_code)
        require(await enquired(case, hold) == wanted, f"an enquiry about {reason} answers REFUSED with the same words")
        require(await times_paid(case, hold) == 0, "a refused payment is not in the books")


async def maps_every_code(case: RailCase) -> None:
    """Every refusal code of the rail has a row of our catalogue, and with it an ISO reason."""
    for code, reason in case.codes.items():
        await set_fault(case, f"refuse:{code}", count=1)
        hold = case.good()
        refusal = await rejected(case, hold)
        require((refusal.reason.name, refusal.rail_code) == (reason, code), f"{code} is {reason}")
        require(len(refusal.reason.iso) == 4, f"{code} carries an ISO reason")
        require(await times_paid(case, hold) == 0, "a refused payment is not in the books")


async def never_seen(case: RailCase) -> None:
    """An enquiry about what was never sent says so, and changes nothing: the payment may still be made."""
    hold = case.good()
    require((await enquired(case, hold)).outcome is Outcome.NEVER_SEEN, "what was never sent is NEVER_SEEN")
    await case.client.prepare(hold, AMPLE_MS)
    require(await times_paid(case, hold) == 1, "an enquiry changes nothing")


async def silence(case: RailCase) -> None:
    """A rail that took nothing and says nothing: RailSilent in time, then NEVER_SEEN; a repeat pays once."""
    await set_fault(case, "silent", count=1)
    hold = case.good()
    await silent(case, hold)
    require(case.in_flight() == 0, "an ended request frees its slot")
    require((await enquired(case, hold)).outcome is Outcome.NEVER_SEEN, "nothing was booked: NEVER_SEEN")
    await case.client.prepare(hold, AMPLE_MS)
    require(await times_paid(case, hold) == 1, "a repeat after silence pays once")


async def _booked_in_silence(case: RailCase, fault: str, budget_ms: int = SCANT_MS) -> None:
    await set_fault(case, fault, count=1)
    hold = case.good()
    await silent(case, hold, budget_ms)
    enquiry = await enquired(case, hold)
    require(enquiry.outcome is Outcome.DONE, f"{fault}: booked, so the enquiry answers DONE")
    repeat = await reached(lambda: case.client.prepare(hold, AMPLE_MS))
    require(repeat == enquiry.ack, f"{fault}: a repeat answers the first outcome")
    require(await times_paid(case, hold) == 1, f"{fault}: paid once")


async def silence_after_booking(case: RailCase) -> None:
    """A rail that paid and says nothing is silent, not refusing; the enquiry says DONE."""
    await _booked_in_silence(case, "silent_booked")


async def late_answer(case: RailCase) -> None:
    """An answer after the budget belongs to nobody: it disturbs no later request."""
    await _booked_in_silence(case, f"silent_then_late:{_LATE_MS}")
    for _ in range(5):
        await asyncio.sleep(_LATE_MS / 5_000)  # it comes between them
        hold = case.good()
        ack = await case.client.prepare(hold, AMPLE_MS)
        require(await enquired(case, hold) == Enquiry(Outcome.DONE, ack=ack), "a late answer disturbs nobody")


async def answer_twice(case: RailCase) -> None:
    """The second copy of an answer belongs to nobody."""
    await set_fault(case, "twice")
    holds = [case.good() for _ in range(5)]
    acks = [await case.client.prepare(hold, AMPLE_MS) for hold in holds]
    require(len({ack.rail_reference for ack in acks}) == len(acks), "each payment gets its own answer")
    for hold in holds:
        require(await times_paid(case, hold) == 1, "answered twice is paid once")


async def malformed_answer(case: RailCase) -> None:
    """An answer that cannot be read is silence."""
    await _booked_in_silence(case, "malformed")


async def badly_signed_answer(case: RailCase) -> None:
    """An answer that cannot be trusted is silence."""
    await _booked_in_silence(case, "bad_signature")


async def cut_in_the_answer(case: RailCase) -> None:
    """A connection cut in the middle of an answer is silence at once, and the link comes back."""
    await _booked_in_silence(case, "cut", AMPLE_MS)


async def cut_before_the_answer(case: RailCase) -> None:
    """As `cut_in_the_answer`, with no byte of it."""
    await _booked_in_silence(case, "cut_before", AMPLE_MS)


async def still_working(case: RailCase) -> None:
    """While the rail works an enquiry says WORKING; then it says what became of it."""
    await set_fault(case, f"slow:{SCANT_MS * 2}", count=1)
    hold = case.good()
    running = asyncio.create_task(case.client.prepare(hold, AMPLE_MS))
    first = await case.client.enquire(hold, AMPLE_MS)
    while first.outcome is Outcome.NEVER_SEEN:  # the enquiry overtook the payment on another connection
        first = await case.client.enquire(hold, AMPLE_MS)
    require_in_time(first.outcome is Outcome.WORKING, "while the rail works an enquiry answers WORKING")
    ack = await running
    require(await enquired(case, hold) == Enquiry(Outcome.DONE, ack=ack), "when it has worked, DONE")
    require(await times_paid(case, hold) == 1, "paid once")


async def offline(case: RailCase) -> None:
    """A rail that takes no connection is RailUnavailable: nothing was sent; it is found again by itself."""
    await set_fault(case, "offline")
    deadline = time.monotonic() + AMPLE_MS / 1000
    while True:
        require(time.monotonic() < deadline, "offline is RailUnavailable")
        hold = case.good()
        try:
            await case.client.prepare(hold, SCANT_MS)
        except RailUnavailable:
            break
        except RailSilent:
            continue  # the hang-up had not arrived yet
        raise Broken("offline accepts nothing")
    await case.control("clear")
    require((await enquired(case, hold)).outcome is Outcome.NEVER_SEEN, "RailUnavailable: nothing was sent")
    fresh = case.good()
    await reached(lambda: case.client.prepare(fresh, AMPLE_MS))


async def maintenance(case: RailCase) -> None:
    """Maintenance is a refusal with the rail's word, and ends."""
    await set_fault(case, "maintenance")
    refusal = await rejected(case, case.good())
    require(refusal.reason.name == case.maintenance, f"maintenance is {case.maintenance}")
    await case.control("clear")
    await case.client.prepare(case.good(), AMPLE_MS)


async def cancel_is_clean(case: RailCase) -> None:
    """A cancelled prepare frees its slot and leaves the link usable; the outcome is asked."""
    await set_fault(case, "silent_booked", count=1)
    hold = case.good()
    running = asyncio.create_task(case.client.prepare(hold, AMPLE_MS))
    await until(lambda: case.in_flight() == 1, "a request under way is counted")
    while (await enquired(case, hold)).outcome is Outcome.NEVER_SEEN:
        continue  # until the message has arrived
    running.cancel()
    ended_as = (await asyncio.gather(running, return_exceptions=True))[0]
    require(isinstance(ended_as, asyncio.CancelledError), "a cancel is not swallowed")
    require(case.in_flight() == 0, "a cancelled request frees its slot")
    await case.client.prepare(case.good(), AMPLE_MS)
    repeat = await case.client.prepare(hold, AMPLE_MS)
    require(isinstance(repeat, RailAck) and await times_paid(case, hold) == 1, "a repeat after a cancel pays once")


async def expired(case: RailCase) -> None:
    """A message older than the rail takes is refused on arrival: that is what makes NEVER_SEEN final."""
    hold = case.aged(case.valid_ms + 1_000)
    refusal = await rejected(case, hold)
    require(refusal.reason.name == "RAIL_EXPIRED", "a message that is too old is RAIL_EXPIRED")
    require(await times_paid(case, hold) == 0, "a message that is too old pays nothing")


async def abort(case: RailCase) -> None:
    """After `abort` said "never", it is never; a paid payment says DONE; one that may still arrive is not "never"."""
    paid = case.good()
    ack = await case.client.prepare(paid, AMPLE_MS)
    require(await case.client.abort(paid, AMPLE_MS) == Enquiry(Outcome.DONE, ack=ack), "a paid payment is DONE")
    for hold in (case.good(), case.aged(case.valid_ms + CLOCK_SKEW_MS_MAX + 1_000)):
        answer = await case.client.abort(hold, AMPLE_MS)
        if answer.outcome is Outcome.WORKING:
            require(hold.prepared_time_ms > paid.prepared_time_ms - case.valid_ms, "an old unseen payment can be ended")
            continue
        require(answer.outcome in (Outcome.NEVER_SEEN, Outcome.REFUSED), "an unseen payment is not DONE")
        await rejected(case, hold)
        require(await times_paid(case, hold) == 0, "after an abort that said never, it is never paid")
        require((await case.client.abort(hold, AMPLE_MS)).outcome is not Outcome.DONE, "an abort is safe to repeat")


async def pipelined(case: RailCase) -> None:
    """Two hundred payments at once are each answered, rightly."""
    holds = [case.good() for _ in range(PIPELINED)]
    acks = await asyncio.gather(*(case.client.prepare(hold, AMPLE_MS) for hold in holds))
    require(len({ack.rail_reference for ack in acks}) == PIPELINED, "each payment gets its own answer")
    enquiries = await asyncio.gather(*(case.client.enquire(hold, AMPLE_MS) for hold in holds))
    require([enquiry.ack for enquiry in enquiries] == acks, "each answer is the right one")
    require(case.in_flight() == 0, "every slot is free again")


async def close_is_silence(case: RailCase) -> None:
    """Who waits when the rail is closed gets RailSilent; who asks later gets RailUnavailable."""
    await set_fault(case, "silent_booked")
    hold = case.good()
    running = asyncio.create_task(case.client.prepare(hold, AMPLE_MS))
    await until(lambda: case.in_flight() == 1, "a request under way is counted")
    await case.client.close()
    ended_as = (await asyncio.gather(running, return_exceptions=True))[0]
    require(isinstance(ended_as, RailSilent), "close ends what waits with RailSilent")
    try:
        await case.client.prepare(case.good(), SCANT_MS)
    except RailUnavailable:
        return
    raise Broken("a closed rail is RailUnavailable")


async def _inbound(factory: CaseFactory, *answers: str | Exception) -> tuple[dict[str, Any], Inbox, int] | None:
    """Run one payment from the rail; None: this rail has no such thing."""
    inbox = Inbox(*answers)
    async with factory(inbox) as case:
        if case.inbound is None:
            return None
        outcome = await case.control("inbound", **case.inbound)
        paid = (await case.control("paid", uetr=outcome["uetr"]))["paid"]
        return outcome, inbox, len(paid)


async def inbound_paid(factory: CaseFactory) -> None:
    """A payment from the rail reaches the handler and its commit reaches the rail."""
    result = await _inbound(factory, "")
    if result is None:
        return
    outcome, inbox, paid = result
    require((outcome["outcome"], paid) == ("done", 1), "a committed payment is done at the rail, once")
    require({instruction.uetr for instruction in inbox.taken} == {outcome["uetr"]}, "the handler gets its UETR")


async def inbound_refused(factory: CaseFactory) -> None:
    """An aborted payment is refused at the rail, with a code, and moves no money."""
    result = await _inbound(factory, "CREDITOR_ACCOUNT_CLOSED")
    if result is None:
        return
    outcome, _, paid = result
    require((outcome["outcome"], paid) == ("refused", 0), "an aborted payment is refused at the rail")
    require(bool(outcome["code"]), "with the rail's code")


async def inbound_repeated(factory: CaseFactory) -> None:
    """While we cannot answer, the rail asks again with the same payment, and it is paid once."""
    result = await _inbound(factory, StoreUnavailable("for a moment"), "")
    if result is None:
        return
    outcome, inbox, paid = result
    require((outcome["outcome"], paid) == ("done", 1), "an unanswered payment is asked again and paid once")
    require(len(inbox.taken) >= 2 and len(set(inbox.taken)) == 1, "a repeat is the same instruction")


async def inbound_in_the_statement(factory: CaseFactory) -> None:
    """See statement_promises.statement_lists_what_came_in."""
    async with factory(Inbox("")) as case:
        await statement_promises.statement_lists_what_came_in(case)


_PLAIN: Final[tuple[Check, ...]] = (
    accepts, repeat_is_safe, repeats_at_once, other_body_is_refused, refuses_by_its_rules, maps_every_code, never_seen,
    silence, silence_after_booking, late_answer, answer_twice, malformed_answer, badly_signed_answer, cut_in_the_answer,
    cut_before_the_answer, still_working, offline, maintenance, cancel_is_clean, expired, abort, pipelined, close_is_silence,
    *together_promises.CHECKS, *statement_promises.CHECKS,
)  # fmt: skip
_NEEDS: Final[Mapping[str, FaultKind]] = {
    "badly_signed_answer": FaultKind.BAD_SIGNATURE,
    "malformed_answer": FaultKind.MALFORMED,
    "cut_in_the_answer": FaultKind.CUT,
    "cut_before_the_answer": FaultKind.CUT_BEFORE,
    "answer_twice": FaultKind.TWICE,
    "still_working": FaultKind.SLOW,
    "maintenance": FaultKind.MAINTENANCE,
}


def _name(check: Callable[..., Any]) -> str:
    return str(getattr(check, "__name__", check))


def _over_a_case(check: Check) -> Callable[[CaseFactory], Awaitable[None]]:
    async def run(factory: CaseFactory) -> None:
        async with factory(_unused) as case:
            need = _NEEDS.get(_name(check))
            if need is None or need in case.faults:  # a fault this rail cannot have, needs no promise
                await check(case)

    return run


CHECKS: Final[Mapping[str, Callable[[CaseFactory], Awaitable[None]]]] = {
    **{_name(check): _over_a_case(check) for check in _PLAIN},
    **{_name(check): check for check in (inbound_paid, inbound_refused, inbound_repeated, inbound_in_the_statement)},
}


async def run_check(name: str, factory: CaseFactory) -> None:
    """One check by its name. Raises Broken, with the check and the promise."""
    try:
        await in_good_time(partial(CHECKS[name], factory))
    except Broken as broken:
        raise Broken(f"{name}: {broken}") from broken.__cause__


async def check_rail(factory: CaseFactory) -> list[str]:
    """Every check, each over a fresh case; the names of what was checked. Raises Broken at the first broken promise."""
    for name in CHECKS:
        await run_check(name, factory)
    return list(CHECKS)
