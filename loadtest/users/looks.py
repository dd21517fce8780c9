"""Users that ask: a price, a route, what became of a payment, and what happens from now on."""

import gevent
from bayswitch.v1 import directory_pb2, payment_pb2

from loadtest.users.open_loop import OpenLoopUser, Turn, WrongAnswer, run
from loadtest.users.payments import pay, priced

__all__ = ["Quotes", "RouteChecks", "StatusCalls", "Watchers"]

WATCH_SECONDS_MAX = 10  # a change of a final payment is seen by then, or it is missed
_FINAL = {"COMMITTED": payment_pb2.PAYMENT_STATE_COMMITTED, "ABORTED": payment_pb2.PAYMENT_STATE_ABORTED}


class Quotes(OpenLoopUser):
    """A price that nobody uses: somebody looked, and went away."""

    kind = "quote"

    def once(self, turn: Turn) -> None:
        priced(turn, run().profile.mix.draw_priced(self.dice))


class RouteChecks(OpenLoopUser):
    """May this payer pay this payee? At a till, before anything else."""

    kind = "check"

    def once(self, turn: Turn) -> None:
        drawn = run().profile.mix.draw(self.dice)
        stubs, asked = run().stubs(drawn.participant), drawn.request
        request = directory_pb2.CheckRouteRequest(
            debtor_place=asked.debtor.place,
            creditor_place=asked.creditor.place,
            debit_asset=asked.debit.asset,
            creditor_scheme=asked.creditor.account.scheme,
            creditor_agent=asked.creditor_agent,
            debit_amount_minor=asked.debit.amount_minor,
            debtor_document=asked.debtor.document if asked.debtor.HasField("document") else None,
            purpose=asked.purpose,
        )
        with turn.timed("CheckRoute", drawn.corridor):
            options = stubs.directory.CheckRoute(request, **stubs.options).options
            if not any(one.corridor == drawn.corridor and one.allowed for one in options):
                raise WrongAnswer(f"ROUTE REFUSED {next((one.reason for one in options), 'NO OPTION')}")


class StatusCalls(OpenLoopUser):
    """What became of one of the last payments; before there is one, it pays."""

    kind = "status"

    def once(self, turn: Turn) -> None:
        recent = run().recent
        if not recent:
            drawn = run().profile.mix.draw(self.dice)
            if priced(turn, drawn):
                pay(turn, drawn)
            return
        participant, uetr, told = self.dice.choice(recent)
        stubs = run().stubs(participant)
        with turn.timed("GetPayment", ""):
            payment = stubs.payments.GetPayment(payment_pb2.GetPaymentRequest(uetr=uetr), **stubs.options).payment
            if told in _FINAL and payment.state != _FINAL[told]:
                raise WrongAnswer(f"TOLD {told} THEN {payment_pb2.PaymentState.Name(payment.state)}")


class Watchers(OpenLoopUser):
    """Watches, pays, and waits until the watch shows the payment's end."""

    kind = "watch"

    def once(self, turn: Turn) -> None:
        drawn = run().profile.mix.draw(self.dice)
        if not priced(turn, drawn):
            return
        stubs = run().stubs(drawn.participant)
        options = {**stubs.options, "timeout": WATCH_SECONDS_MAX}
        watch = stubs.payments.WatchPayments(payment_pb2.WatchPaymentsRequest(), **options)
        with turn.timed("WatchPayments listens", "") as listens:
            watch.initial_metadata()  # from here on nothing is missed
        if listens.failure:
            return
        paying = gevent.spawn(pay, turn, drawn)
        with turn.timed("WatchPayments shows the end", ""):
            if not any(change.uetr == drawn.request.uetr and change.state in _FINAL.values() for change in watch):
                raise WrongAnswer("WATCH ENDED EARLY")
        watch.cancel()
        paying.get()
