"""A user that never waits: its calls begin when they are due, each in a greenlet of its own, and are timed from then."""

import itertools
import os
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import gevent
import grpc
from bayswitch.v1 import directory_pb2_grpc, payment_pb2, payment_pb2_grpc, quote_pb2_grpc
from gevent.pool import Pool
from locust import User, task

from loadtest.arrivals import drive, poisson
from loadtest.profiles import Profile
from loadtest.users.record import UNKNOWN, Call, Recorder
from switch.cli.client import CallFailed

__all__ = [
    "CALL_SECONDS",
    "IN_FLIGHT_MAX",
    "OpenLoopUser",
    "Outcome",
    "Run",
    "Turn",
    "WrongAnswer",
    "begin",
    "profile_path",
    "run",
    "unknown",
]

CALL_SECONDS: Final = 20
IN_FLIGHT_MAX: Final = 5_000  # arrivals of one process that are not over; beyond it arrivals wait, and are late
LAST_ANSWERS_SECONDS: Final = 30
RECENT_COUNT: Final = 1_000
_STATES = {number: name.removeprefix("PAYMENT_STATE_") for name, number in payment_pb2.PaymentState.items()}
# The status says nothing about whether the payment was begun.
_OPEN_ENDED = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN")


class WrongAnswer(Exception):
    """An answer came that must not come; the text is the failure's name."""


class Stubs:
    """One participant's channel, as an institution has one."""

    def __init__(self, address: str, participant: str) -> None:
        channel = grpc.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
        self.payments = payment_pb2_grpc.PaymentServiceStub(channel)
        self.quotes = quote_pb2_grpc.QuoteServiceStub(channel)
        self.directory = directory_pb2_grpc.DirectoryServiceStub(channel)
        self.options: dict[str, Any] = {
            "timeout": CALL_SECONDS,
            "metadata": (("x-bayswitch-participant", participant),),
        }


class Run:
    """What the users of one process share: the profile, channels, arrivals in flight, the files."""

    def __init__(self, environment: Any, profile: Profile, folder: Path, seed: int) -> None:
        self.profile = profile
        self.in_flight = Pool(IN_FLIGHT_MAX)
        self.recent: deque[tuple[str, str, str]] = deque(maxlen=RECENT_COUNT)  # participant, UETR, told
        self.recorder = Recorder(folder)
        self.events = environment.events
        self._environment = environment
        self._stubs: dict[str, Stubs] = {}
        self._seeds = (f"{seed}-{environment.runner.worker_index}-{number}" for number in itertools.count())

    def dice(self) -> random.Random:
        """New dice for one user: the same in the same order for the same seed."""
        return random.Random(next(self._seeds))

    def stubs(self, participant: str) -> Stubs:
        if participant not in self._stubs:
            self._stubs[participant] = Stubs(self._environment.host, participant)
        return self._stubs[participant]

    def rest(self) -> None:
        """Wait for the answers that are still to come; what was measured is on the disk afterwards. Safe to repeat."""
        self.in_flight.join(LAST_ANSWERS_SECONDS)
        self.recorder.flush()


_runs: list[Run] = []


def run() -> Run:
    """This process's run."""
    return _runs[-1]


def profile_path() -> Path:
    """The profile that the gate, or whoever starts Locust by hand, names."""
    return Path(os.environ["BAYSWITCH_LOAD_PROFILE"])


def begin(environment: Any, profile: Profile) -> Run:
    """This process's run; the folder for what it measures, and the seed, come from the environment."""
    folder = Path(os.environ["BAYSWITCH_LOAD_FOLDER"])
    folder.mkdir(parents=True, exist_ok=True)
    _runs.append(Run(environment, profile, folder, int(os.environ.get("BAYSWITCH_LOAD_SEED") or profile.seed)))
    return run()


class Turn:
    """One arrival. Everything it calls counts from when the arrival was due. `first` 0: a later part of one."""

    def __init__(self, kind: str, due: float, first: int = 1) -> None:
        self._kind = kind
        self._due = due
        self._late = max(time.perf_counter() - due, 0.0)
        self._first = first

    @contextmanager
    def timed(self, call: str, corridor: str, expect: str = "") -> Iterator["Outcome"]:
        """Time one call and keep how it went; no failure leaves the block. `expect`: the failure that is right."""
        outcome, begun = Outcome(), time.perf_counter()
        try:
            yield outcome
        except grpc.RpcError as error:
            failure = CallFailed(error)
            outcome.failure = f"{failure.code.name} {failure.reason}".strip()
        except WrongAnswer as error:
            outcome.failure = str(error)
        service = time.perf_counter() - begun
        if expect:
            wrong = "" if outcome.failure == expect else f"EXPECTED {expect} GOT {outcome.failure or 'OK'}"
            outcome.failure = wrong
        self._keep(call, corridor, service, outcome)

    def _keep(self, call: str, corridor: str, service: float, outcome: "Outcome") -> None:
        shared = run()
        due_ms = round(self._due * 1000)
        late_us, service_us = round(self._late * 1e6), round(service * 1e6)
        first, self._first = self._first, 0
        times = due_ms, late_us, service_us
        shared.recorder.call(
            Call(self._kind, call, corridor, *times, outcome.failure, outcome.state, outcome.payments, first)
        )
        shared.events.request.fire(
            request_type=self._kind,
            name=f"{call} {corridor}".strip(),
            response_time=(self._late + service) * 1000,
            response_length=0,
            exception=WrongAnswer(outcome.failure) if outcome.failure else None,
            context={"service_time": service * 1000},
        )


class Outcome:
    """How one call went: the failure's name or "", the payment's state, how many payments it made."""

    def __init__(self) -> None:
        self.failure = ""
        self.state = ""
        self.payments = 0

    @property
    def begun_or_not(self) -> bool:
        """The failure leaves open whether a payment was begun."""
        return self.failure.partition(" ")[0] in _OPEN_ENDED

    def told(self, participant: str, payment: Any) -> None:
        """A payment came as an answer: keep what was said. Raises WrongAnswer for one that should have been paid."""
        self.state = _STATES[payment.state]
        self.payments += 1
        run().recorder.answer(payment.uetr, participant, self.state)
        run().recent.append((participant, payment.uetr, self.state))
        if self.state == "ABORTED":
            raise WrongAnswer(f"ABORTED {payment.reason}")


def unknown(participant: str, uetr: str) -> None:
    """No answer came: to be asked about when the run is over."""
    run().recorder.answer(uetr, participant, UNKNOWN)


class OpenLoopUser(User):
    """`per_user` arrivals a second, each independent of the others and of every answer."""

    abstract = True
    kind = ""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.dice = run().dice()

    @task
    def run_schedule(self) -> None:
        """Runs until the user is stopped. The one task there is: Locust would choose between two by lot."""
        self.arrive()

    def arrive(self) -> None:
        """Begin what is due, for ever."""
        offsets = poisson(run().profile.per_user, self.dice)
        drive(offsets, time.perf_counter(), time.perf_counter, gevent.sleep, self.begin)

    def begin(self, due: float) -> None:
        """Begin one arrival, in a greenlet that outlives this user."""
        run().in_flight.spawn(self._turn, due)

    def _turn(self, due: float) -> None:
        turn = Turn(self.kind, due)
        try:
            self.once(turn)
        except Exception as error:  # it fails the run: it must not vanish with its greenlet
            with turn.timed("fault of the load itself", ""):
                raise WrongAnswer(f"FAULT {type(error).__name__}: {error}") from error

    def once(self, turn: Turn) -> None:
        """What one arrival does."""
        raise NotImplementedError
