"""Load for overload and fairness: payments offered when they are due, whatever became of those before.

Requests are bytes made from one template and go on lean connections, so that offering costs a fraction of what is offered.
Two kinds of calls: single ones, and files of many, each a SubmitPayments call of its own, so that no stream's own pace hides
what was due. Latency counts from the moment a call was due.
"""

import asyncio
import contextlib
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import grpc.aio
from bayswitch.v1 import payment_pb2

from loadtest.arrivals import quantile
from loadtest.lean import Connection, head_of, opened

__all__ = [
    "Answer",
    "Files",
    "Kind",
    "Log",
    "Singles",
    "Template",
    "closed",
    "connections",
    "offer",
    "p99_ms",
]

_PAY, _PAY_FILE = "/bayswitch.v1.PaymentService/SubmitPayment", "/bayswitch.v1.PaymentService/SubmitPayments"
_EXHAUSTED: Final = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
_STATES: Final = {number: name.removeprefix("PAYMENT_STATE_") for name, number in payment_pb2.PaymentState.items()}
_CHANNELS: Final = 4
_TICK_SECONDS: Final = 0.001  # what is due within one leaves together


class Answer(NamedTuple):
    """One call: when it was due and answered (seconds of one clock), for whom, and how many payments ended how."""

    due: float
    end: float
    participant: str
    paid: int
    shed: int
    failed: int


class Log:
    """Every answer of a phase. `told`: (UETR, participant, state a client was told), of all phases that share it."""

    def __init__(self, told: list[tuple[str, str, str]]) -> None:
        self.told = told
        self.answers: list[Answer] = []
        self.failures: Counter[str] = Counter()


class Kind(Protocol):
    """How payments are sent. `size`: payments of one call."""

    size: int

    def send(self, due: float, participant: str, log: Log, then: Callable[[], None]) -> None:
        """Begin a call, without waiting for it; `then` is called when it has ended."""


class Template:
    """A request as bytes, with fresh ids spliced in."""

    def __init__(self, request: Any) -> None:
        marks = [str(uuid.uuid4()), str(uuid.uuid4())]
        copy = payment_pb2.SubmitPaymentRequest()
        copy.CopyFrom(request)
        copy.request_id, copy.uetr = marks
        rest, self._pieces = copy.SerializeToString(deterministic=True), list[bytes]()
        for mark in marks:
            piece, _, rest = rest.partition(mark.encode())
            self._pieces.append(piece)
        self._last = rest

    def fresh(self) -> tuple[str, bytes]:
        """A UETR, which is its request_id as well, and the request."""
        uetr = str(uuid.uuid4())
        text, (first, second) = uetr.encode(), self._pieces
        return uetr, b"".join((first, text, second, text, self._last))


class _Heads(dict[str, bytes]):
    """participant -> the head of its calls."""

    def __init__(self, method: str, timeout_ms: int) -> None:
        super().__init__()
        self._method, self._timeout_ms = method, timeout_ms

    def __missing__(self, participant: str) -> bytes:
        caller = (("x-bayswitch-participant", participant),)
        return self.setdefault(participant, head_of(self._method, caller, self._timeout_ms))


class _File(NamedTuple):
    uetrs: list[str]
    request: bytes


class Singles:
    """SubmitPayment, each call one payment."""

    size = 1

    def __init__(self, template: Template, connections: Sequence[Connection], timeout_ms: int) -> None:
        self._template = template
        self._connections = deque(connections)
        self._heads = _Heads(_PAY, timeout_ms)

    def send(self, due: float, participant: str, log: Log, then: Callable[[], None]) -> None:
        uetr, request = self._template.fresh()

        def done(status: int, message: bytes) -> None:
            state = ""
            if status == 0:
                state = _STATES[payment_pb2.SubmitPaymentResponse.FromString(message).payment.state]
            if status != _EXHAUSTED:
                log.told.append((uetr, participant, state or "UNKNOWN"))
            paid, shed = state == "COMMITTED", status == _EXHAUSTED
            if not paid and not shed:
                log.failures[state or f"status {status}"] += 1
            failed = not paid and not shed
            log.answers.append(Answer(due, time.perf_counter(), participant, int(paid), int(shed), int(failed)))
            then()

        self._connections[0].call(self._heads[participant], request, done)
        self._connections.rotate()


class Files:
    """SubmitPayments, each call one batch of `size`.

    A file that was refused whole is offered again as it is, by the same participant, when its next one is due: nothing of
    it was begun, and making thousands that are refused would cost more than refusing them.
    """

    def __init__(self, template: Template, connections: Sequence[Connection], size: int, timeout_ms: int) -> None:
        self.size = size
        self._template = template
        self._connections = deque(connections)
        self._heads = _Heads(_PAY_FILE, timeout_ms)
        self._refused: defaultdict[str, list[_File]] = defaultdict(list)

    def send(self, due: float, participant: str, log: Log, then: Callable[[], None]) -> None:
        refused = self._refused[participant]
        file = refused.pop() if refused else self._file()

        def done(status: int, message: bytes) -> None:
            paid = shed = 0
            if status == _EXHAUSTED:
                shed = self.size
                refused.append(file)
            elif status == 0:
                paid, shed = self._counted(file.uetrs, participant, message, log)
            else:
                log.failures[f"status {status}"] += self.size
                log.told += [(uetr, participant, "UNKNOWN") for uetr in file.uetrs]
            failed = self.size - paid - shed
            log.answers.append(Answer(due, time.perf_counter(), participant, paid, shed, failed))
            then()

        self._connections[0].call(self._heads[participant], file.request, done)
        self._connections.rotate()

    def _file(self) -> _File:
        uetrs, parts = list[str](), list[bytes]()
        for _ in range(self.size):
            uetr, request = self._template.fresh()
            uetrs.append(uetr)
            parts += (b"\x0a", _varint(len(request)), request)  # field 1, items
        return _File(uetrs, b"".join(parts))

    @staticmethod
    def _counted(uetrs: Sequence[str], participant: str, answer: bytes, log: Log) -> tuple[int, int]:
        paid = shed = 0
        for uetr, result in zip(uetrs, payment_pb2.SubmitPaymentsResponse.FromString(answer).results, strict=True):
            if result.HasField("error"):
                shed += result.error.code == _EXHAUSTED
                if result.error.code != _EXHAUSTED:
                    log.failures[result.error.message] += 1
                    log.told.append((uetr, participant, "UNKNOWN"))
                continue
            state = _STATES[result.payment.state]
            log.told.append((uetr, participant, state))
            paid += state == "COMMITTED"
            if state != "COMMITTED":
                log.failures[state] += 1
        return paid, shed


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


async def closed(kind: Kind, participants: Sequence[str], under_way: int, seconds: float, log: Log) -> None:
    """Closed loop: so many calls at any time, each followed by another, until the time is over and all have ended."""
    end, left = time.perf_counter() + seconds, under_way
    over = asyncio.Event()

    def again(participant: str) -> None:
        nonlocal left
        now = time.perf_counter()
        if now < end:
            kind.send(now, participant, log, lambda: again(participant))
        elif not (left := left - 1):
            over.set()

    for number in range(under_way):
        again(participants[number % len(participants)])
    await over.wait()


async def offer(
    kind: Kind, arrivals: Mapping[str, Iterator[float]], seconds: float, log: Log, patience_s: float
) -> float:
    """Open loop: each participant's calls when they are due, for `seconds`; then wait for the answers, unless the
    patience is 0: then they come to the log while something else is offered.

    Returns the most by which the generator itself was late, in seconds: what it did not offer in time it did not offer.
    """
    begun, left, late, none_left = time.perf_counter(), 0, 0.0, asyncio.Event()
    merged = [(next(offsets), participant) for participant, offsets in arrivals.items()]

    def ended() -> None:
        nonlocal left
        left -= 1
        if not left:
            none_left.set()

    while True:
        now = time.perf_counter() - begun
        for place, (due, participant) in enumerate(merged):
            while due <= now and due < seconds:
                late = max(late, now - due)
                left += 1
                none_left.clear()
                kind.send(begun + due, participant, log, ended)
                due = next(arrivals[participant])
            merged[place] = due, participant
        if now >= seconds:  # and what was due before it is sent, however late it became
            break
        await asyncio.sleep(max(_TICK_SECONDS, min(due for due, _ in merged) - (time.perf_counter() - begun)))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            if left:
                await none_left.wait()
    if left and patience_s:
        log.failures["never answered"] += left
    return late


def p99_ms(answers: Sequence[Answer]) -> float:
    """Of calls of which something was accepted, milliseconds from when they were due."""
    return quantile(sorted(1000 * (each.end - each.due) for each in answers if each.paid), 0.99)


async def connections(address: str, count: int = _CHANNELS) -> list[Connection]:
    """Lean ones, ready."""
    return [await opened(address) for _ in range(count)]
