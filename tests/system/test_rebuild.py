"""The store is lost whole under load, and made anew from the log: whatever was published is as it was.

Goal: an unreplicated store that loses its data costs what was answered and not yet published, named one by one, and
nothing else. Method: settler, relay and store die one after the other under load, so that events are waiting at every
place of the way; the store comes back empty, `bayswitch rebuild` runs, and the provider sends every request once more:
those without an answer because it must, those with one to see that it gets the same bytes.
"""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio
import pytest
from bayswitch.v1 import payment_pb2, payment_pb2_grpc

from loadtest.audit import audit, settled_of
from loadtest.provider import STEPS, Load
from loadtest.settlement_audit import audit_settlement
from switch.cli.demo import request_of
from switch.cli.sandbox import OPERATOR
from switch.domain.settlement import SettlementFact
from switch.events import tail
from switch.rules import load_rules
from tests.system.drills import PARTICIPANTS, Rehearsal, seeded
from tests.system.support import STATE, Trouble, committed, payments_in, step
from tests.waiting import eventually, on_one_day

CALLERS = 8
ANSWERS_BEFORE = 150  # before anything is killed
ANSWERS_AFTER = 60
ANSWERS_BETWEEN = CALLERS + 1  # between the deaths of settler, relay and store: one at least began after the last death
APART_SECONDS = (0.0, 0.5)
REPEATS_AT_ONCE = 16
REUSED_COUNT = 12  # payments whose request_id and UETR are tried again, of the hot and of the archived each
AGAIN = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED")
FINAL_SECONDS_MAX = 90  # a restart of everything included, a rail that is silent, and a busy machine
FINAL = ("COMMITTED", "ABORTED")
QUOTE_GONE = ("QUOTE_UNKNOWN", "QUOTE_EXPIRED")
STRANGER = STEPS[0]  # what tries the UETRs of everybody; needs no quote
PERSON = "HKID:G123456(A)"
DAY_SPENT_SECONDS = 300  # the person pays at the beginning, and is still counted near the end
PERSON_PAYS, PERSON_WANTS, PERSON_LEFT_MINOR = "HKD_6000.00", "HKD_5000.00", 400_000


class Asked(NamedTuple):
    """A request as it was sent."""

    participant: str
    request: Any


class Remembering(Load):
    """A provider that keeps every request it sent, and the bytes it was answered with."""

    def __init__(self, address: str, seed: int) -> None:
        super().__init__(address, STEPS, CALLERS, seed)
        self.asked: dict[str, Asked] = {}
        self.told: dict[str, bytes] = {}

    async def _pay(self, channel: grpc.aio.Channel, participant: str, request: Any) -> None:
        self.asked[request.uetr] = Asked(participant, request)
        answer = await final(channel, participant, request)
        if isinstance(answer, Trouble):
            self.refusals[answer.reason] += 1
            return
        self.answers[request.uetr] = STATE[answer.state]
        self.told[request.uetr] = answer.SerializeToString(deterministic=True)

    async def break_off(self) -> None:
        """What is under way stays without an answer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def final(channel: grpc.aio.Channel, participant: str, request: Any) -> Any:
    """The final payment, or the Trouble of a refusal: repeated until there is one of them."""
    stub = payment_pb2_grpc.PaymentServiceStub(channel)
    deadline = time.monotonic() + FINAL_SECONDS_MAX
    while True:
        try:
            payment = (await stub.SubmitPayment(request, timeout=5, metadata=caller(participant))).payment
        except grpc.aio.AioRpcError as error:
            refused = Trouble.of(error)
            if refused.code not in AGAIN:
                return refused
            assert time.monotonic() < deadline, f"{request.uetr}: {refused.text}"
        else:
            if STATE[payment.state] in FINAL:
                return payment
            assert time.monotonic() < deadline, payment
        await asyncio.sleep(0.1)


def caller(participant: str) -> tuple[tuple[str, str], ...]:
    return (("x-bayswitch-participant", participant),)


@pytest.mark.timeout(1_200)
async def test_a_lost_store_is_made_anew_from_the_log(tmp_path: Path) -> None:
    seed, dice = seeded()
    place = Rehearsal(tmp_path, seed)
    async with place.running():
        load = Remembering(place.sandbox.address, seed)
        await asyncio.to_thread(on_one_day, DAY_SPENT_SECONDS)
        await _person_pays(place)
        await load.start()
        async with place.operating():
            await eventually(
                lambda: len(load.told) >= ANSWERS_BEFORE and place.figures.settled >= 2, "load and windows"
            )
            await eventually(lambda: _retired(place), "payments leave the store")
            await eventually(lambda: _confirmed(place), "obligations are paid")
            await eventually(place.announced, "the topic knows of the windows that were settled")
            for name in ("settler", "relay"):
                await place.kill(name)
                wanted = len(load.told) + ANSWERS_BETWEEN
                await eventually(lambda wanted=wanted: len(load.told) >= wanted, "it goes on without")  # type: ignore[misc]
                await asyncio.sleep(dice.uniform(*APART_SECONDS))
            place.store.kill()
        await load.break_off()
        await place.kill("switch")
        published = await _published(place)
        await _made_anew(place, published)
        for name in ("switch", "relay", "settler"):
            await place.start(name)
        lost = await _everything_again(place, load, published)
        await asyncio.to_thread(_reuse_is_refused, place, load, published, dice)
        await asyncio.to_thread(_the_person_is_still_counted, place)
        again = Remembering(place.sandbox.address, seed + 1)
        await again.start()
        async with place.operating():
            cut = place.figures.cut
            await eventually(lambda: len(again.told) >= ANSWERS_AFTER and place.figures.cut > cut, "it goes on")
        await place.at_rest(again)
        await _all_agree(place, load.answers | again.answers, lost)


# --- before and at the loss --------------------------------------------------------------------------------------------
async def _person_pays(place: Rehearsal) -> None:
    """One person uses most of a day's allowance, and the topic has it."""

    def pay() -> None:
        with payments_in(place.sandbox) as provider:
            of = step("hk-cn", f"debtor.document={PERSON} debit={PERSON_PAYS}")
            committed(provider(of["as"]), of)

    await asyncio.to_thread(pay)
    await eventually(place.nothing_waits, "it is published")


async def _retired(place: Rehearsal) -> bool:
    """Some payments are only in the archive any more."""
    return await place.retired() > REUSED_COUNT


async def _confirmed(place: Rehearsal) -> bool:
    """Some obligation is: the windows that nobody paid in are settled without."""
    with suppress(grpc.aio.AioRpcError):
        async with grpc.aio.insecure_channel(place.sandbox.address) as channel:
            return bool(await settled_of(channel, OPERATOR))
    return False


async def _published(place: Rehearsal) -> dict[str, SettlementFact]:
    """First arrivals on the topic, by UETR."""
    found: dict[str, SettlementFact] = {}
    async for record in tail(place.bootstrap, follow=False):
        found.setdefault(record.fact.uetr, record.fact)
    return found


async def _made_anew(place: Rehearsal, published: Mapping[str, SettlementFact]) -> None:
    """An empty server; then the command, twice: the second finds everything there. Nothing else runs."""
    shutil.rmtree(place.store.directory)
    await asyncio.to_thread(place.store.start)
    made = await place.command("rebuild")
    assert made["payments"] == made["events"] == len(published)
    assert (made["participants"], made["windows"] > 2) == (len(PARTICIPANTS), True)
    assert made["transfers"], "confirmed obligations are carried again"
    repeated = await place.command("rebuild")
    assert (repeated["participants"], repeated["payments"], repeated["windows"], repeated["transfers"]) == (0, 0, 0, 0)
    assert (await place.command("windows", "verify"))["findings"] == []


# --- after it ----------------------------------------------------------------------------------------------------------
async def _everything_again(place: Rehearsal, load: Remembering, published: Mapping[str, SettlementFact]) -> set[str]:
    """Every request once more. What is on the topic has its first outcome; the UETRs that are gone for good.

    Gone is what was not published, final or not: a repeat pays as if for the first time, and a rail that has booked its
    UETR says so again. Where the repeat is refused because its quote went with the store, only the rail knows of it.
    """
    results: dict[str, Any] = {}
    gate = asyncio.Semaphore(REPEATS_AT_ONCE)
    async with grpc.aio.insecure_channel(place.sandbox.address) as channel:

        async def repeat(uetr: str, asked: Asked) -> None:
            async with gate:
                results[uetr] = await final(channel, *asked)

        await asyncio.gather(*(repeat(uetr, asked) for uetr, asked in load.asked.items()))
    for uetr in load.asked.keys() & published.keys():
        answer, fact = results[uetr], published[uetr]
        assert not isinstance(answer, Trouble), (uetr, answer)
        assert STATE[answer.state] == fact.state.name
        told = load.told.get(uetr, b"")
        assert not told or told == answer.SerializeToString(deterministic=True), f"{uetr}: another answer than before"
    gone = load.asked.keys() - published.keys()
    ends = {
        uetr: results[uetr].reason if isinstance(results[uetr], Trouble) else STATE[results[uetr].state]
        for uetr in gone
    }
    answered = gone & load.told.keys()
    print(
        f"{len(load.asked)} asked, {len(load.told)} answered, {len(published)} published; of {len(gone)} not published "
        f"{len(answered)} were answered; repeated, they are {dict(Counter(ends.values()))}"
    )
    assert answered, "the relay died before the store: something was answered and not published"
    assert set(ends.values()) <= {*FINAL, *QUOTE_GONE}, ends
    load.answers = {uetr: STATE[answer.state] for uetr, answer in results.items() if not isinstance(answer, Trouble)}
    return {uetr for uetr, end in ends.items() if end in QUOTE_GONE}


def _reuse_is_refused(
    place: Rehearsal, load: Remembering, published: Mapping[str, SettlementFact], dice: random.Random
) -> None:
    """Of the oldest, which are only archived, of the youngest, and of some between."""
    uetrs = sorted(load.asked.keys() & published.keys(), key=lambda uetr: published[uetr].final_time_ms)
    chosen = {*uetrs[:REUSED_COUNT], *uetrs[-REUSED_COUNT:], *dice.sample(uetrs, REUSED_COUNT)}
    with payments_in(place.sandbox) as provider:
        for uetr in sorted(chosen):
            participant, request = load.asked[uetr]
            payer = provider(participant)
            other = payment_pb2.SubmitPaymentRequest()
            other.CopyFrom(request)
            other.remark = "something else"
            refused = payer.trouble(payer.payments.SubmitPayment, other)
            assert (refused.reason, refused.field) == ("REQUEST_MISMATCH", "remark"), uetr
            stranger, fresh = provider(STRANGER["as"]), request_of(STRANGER)
            fresh.uetr = uetr
            taken = stranger.trouble(stranger.payments.SubmitPayment, fresh)
            assert taken.reason == "UETR_REUSED", uetr


def _the_person_is_still_counted(place: Rehearsal) -> None:
    with payments_in(place.sandbox) as provider:
        of = step("hk-cn", f"debtor.document={PERSON} debit={PERSON_WANTS}")
        payer = provider(of["as"])
        refused = payer.trouble(payer.payments.SubmitPayment, payer.request(of))
    assert (refused.reason, refused.figures["left_minor"]) == ("DAY_LIMIT", str(PERSON_LEFT_MINOR))


async def _all_agree(place: Rehearsal, answers: Mapping[str, str], lost: set[str]) -> None:
    """Records, positions, topic, archive, windows and the rails' books; only what is lost is at a rail and not with us."""
    sandbox = place.sandbox
    await place.stand_still()
    found = await audit(sandbox.address, OPERATOR, PARTICIPANTS, sandbox.controls, answers)
    print(found)
    others = [problem for problem in found.problems if not _of_the_lost(problem, lost)]
    assert others == []
    archive = place.archive()
    try:
        rules = load_rules(place.rules_dir)
        settled = await audit_settlement(
            sandbox.address, OPERATOR, PARTICIPANTS, place.bootstrap, archive, rules.arrangements.values()
        )
    finally:
        await archive.close()
    print(settled)
    assert settled.clean, settled
    assert (await place.command("windows", "verify"))["findings"] == []


def _of_the_lost(problem: str, lost: set[str]) -> bool:
    uetr, _, what = problem.partition(": ")
    return uetr in lost and what.endswith("we committed None")
