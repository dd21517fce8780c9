"""Users that pay: one call, a file of payments, the same again, a cancel, wrong input."""

import time
from typing import Any

import gevent
from bayswitch.v1 import payment_pb2, quote_pb2

from loadtest.mixes import Drawn
from loadtest.users.open_loop import CALL_SECONDS, OpenLoopUser, Turn, WrongAnswer, run, unknown
from loadtest.users.wrong import WRONG

__all__ = ["BatchStreams", "CancellingCalls", "ReplayedCalls", "SingleCalls", "WrongCalls", "pay", "priced"]

CANCEL_AFTER_SECONDS_MAX = 0.004  # spread over what a payment takes: before and while it is begun, seldom after
HUNG_UP = "HUNG UP"  # the state a caller knows that did not wait


def priced(turn: Turn, drawn: Drawn) -> bool:
    """Fill in a quote where the corridor needs one; False when none was to be had."""
    if not drawn.credit_asset:
        return True
    request, stubs = drawn.request, run().stubs(drawn.participant)
    with turn.timed("CreateQuote", drawn.corridor) as outcome:
        quoted = stubs.quotes.CreateQuote(quote_of(drawn), **stubs.options).quote
        request.quote_id = quoted.quote_id
        request.credit.CopyFrom(quoted.credit)
    return not outcome.failure


def quote_of(drawn: Drawn) -> Any:
    """The question for the price of an instruction."""
    request = drawn.request
    return quote_pb2.CreateQuoteRequest(
        debit=request.debit,
        other_asset=drawn.credit_asset,
        debtor_place=request.debtor.place,
        creditor_place=request.creditor.place,
        creditor_scheme=request.creditor.account.scheme,
        creditor_agent=request.creditor_agent,
    )


def pay(turn: Turn, drawn: Drawn) -> tuple[Any, bool]:
    """SubmitPayment, kept and timed: the answer, None when there is none; and whether the switch calls it a replay."""
    stubs, answer, replay = run().stubs(drawn.participant), None, False
    with turn.timed("SubmitPayment", drawn.corridor) as outcome:
        answer, call = stubs.payments.SubmitPayment.with_call(drawn.request, **stubs.options)
        replay = any(key == "x-bayswitch-replay" for key, _ in call.trailing_metadata() or ())
        outcome.told(drawn.participant, answer.payment)
    if answer is None and outcome.begun_or_not:
        unknown(drawn.participant, drawn.request.uetr)
    return answer, replay


class SingleCalls(OpenLoopUser):
    """One payment, with a quote before it where the corridor needs one."""

    kind = "single"

    def once(self, turn: Turn) -> None:
        drawn = run().profile.mix.draw(self.dice)
        if priced(turn, drawn):
            pay(turn, drawn)


class BatchStreams(OpenLoopUser):
    """A file of payments of one participant: one stream, one batch, one answer for each item."""

    kind = "batch"

    def once(self, turn: Turn) -> None:
        first, *others = (run().profile.mix.draw_plain(self.dice) for _ in range(max(run().profile.batch_items, 1)))
        mine = [first, *(one for one in others if one.participant == first.participant)]
        stubs = run().stubs(first.participant)
        batch = payment_pb2.SubmitPaymentsRequest(items=[one.request for one in mine])
        with turn.timed("SubmitPayments", "") as outcome:
            answers = stubs.payments.SubmitPayments(iter([batch]), **stubs.options)
            results = [result for answer in answers for result in answer.results]
            failures = [self._result(outcome, first.participant, one) for one in results]
            if len(results) != len(mine):
                raise WrongAnswer(f"{len(results)} RESULTS FOR {len(mine)} ITEMS")
            if worst := max(failures, default=""):
                raise WrongAnswer(worst)
        if not outcome.payments and outcome.begun_or_not:
            for one in mine:
                unknown(first.participant, one.request.uetr)

    @staticmethod
    def _result(outcome: Any, participant: str, result: Any) -> str:
        """Keep what was said of one item; the failure's name, "" when it is as it should be."""
        if result.HasField("error"):
            return f"ITEM {result.error.message.partition(':')[0]}"
        try:
            outcome.told(participant, result.payment)
        except WrongAnswer as error:
            return str(error)
        return ""


class ReplayedCalls(OpenLoopUser):
    """The same request twice at the same time, and once more afterwards: one payment, one answer, byte for byte."""

    kind = "replay"

    def once(self, turn: Turn) -> None:
        drawn = run().profile.mix.draw(self.dice)
        if not priced(turn, drawn):
            return
        both = [gevent.spawn(pay, turn, drawn) for _ in range(2)]
        gevent.joinall(both, raise_error=True)
        answers = [*(one.value for one in both), pay(Turn(self.kind, time.perf_counter(), first=0), drawn)]
        with turn.timed("replays compared", drawn.corridor):
            self._compare([(answer.payment, replay) for answer, replay in answers if answer is not None])

    @staticmethod
    def _compare(answers: list[tuple[Any, bool]]) -> None:
        """Answers before the end of a payment may differ; final ones are equal, and one of them at most is the first."""
        final = [(payment, replay) for payment, replay in answers if payment.HasField("final_time")]
        if len({payment.SerializeToString(deterministic=True) for payment, _ in final}) > 1:
            raise WrongAnswer("REPLAY DIFFERS")
        if sum(1 for _, replay in final if not replay) > 1:
            raise WrongAnswer("REPLAY NOT MARKED")


class CancellingCalls(OpenLoopUser):
    """A caller that hangs up: what became of the payment is asked for when the run is over."""

    kind = "cancel"

    def once(self, turn: Turn) -> None:
        drawn = run().profile.mix.draw(self.dice)
        if not priced(turn, drawn):
            return
        stubs, answer = run().stubs(drawn.participant), None
        call = stubs.payments.SubmitPayment.future(drawn.request, **stubs.options)
        gevent.sleep(self.dice.uniform(0, CANCEL_AFTER_SECONDS_MAX))
        call.cancel()
        with turn.timed("SubmitPayment cancelled", drawn.corridor) as outcome:
            if call.cancelled():
                outcome.state = HUNG_UP
                unknown(drawn.participant, drawn.request.uetr)
                return
            answer = call.result(CALL_SECONDS)
            outcome.told(drawn.participant, answer.payment)
        if answer is None and outcome.begun_or_not:
            unknown(drawn.participant, drawn.request.uetr)


class WrongCalls(OpenLoopUser):
    """Input that must be refused, each with its reason; anything else is the failure."""

    kind = "wrong"

    def once(self, turn: Turn) -> None:
        drawn = run().profile.mix.draw(self.dice)
        fault = self.dice.choice(WRONG)
        stubs = run().stubs(fault.participant or drawn.participant)
        request = drawn.request
        request.ClearField("quote_id")
        fault.spoil(request)
        with turn.timed(f"SubmitPayment {fault.name}", "", expect=fault.expect):
            answer = stubs.payments.SubmitPayment(request, **stubs.options)
            run().recorder.answer(answer.payment.uetr, drawn.participant, "REFUSED")
