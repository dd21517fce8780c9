"""Offered load: it waits for nobody, and what was answered is counted for what it is."""

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterator

import grpc
from bayswitch.v1 import payment_pb2
from google.rpc.status_pb2 import Status

from loadtest.offers import Answer, Files, Log, Template, closed, offer, p99_ms
from switch.cli.demo import request_of
from switch.domain.identifiers import parse_uetr
from tests.system.support import step


class _Kind:
    """Keeps what is sent; answers when told, or at once."""

    size = 1

    def __init__(self, *, at_once: bool) -> None:
        self.sent: list[tuple[float, str]] = []
        self.under_way_most = 0
        self._under_way = 0
        self._at_once = at_once

    def send(self, due: float, participant: str, log: Log, then: Callable[[], None]) -> None:
        self.sent.append((due, participant))
        self._under_way += 1
        self.under_way_most = max(self.under_way_most, self._under_way)

        def answered() -> None:
            self._under_way -= 1
            log.answers.append(Answer(due, due, participant, 1, 0, 0))
            then()

        if self._at_once:
            asyncio.get_running_loop().call_soon(answered)


def every(seconds: float, begin: float = 0.0) -> Iterator[float]:
    return (begin + number * seconds for number in itertools.count())


async def test_an_open_loop_offers_what_is_due_though_nobody_answers() -> None:
    kind, log = _Kind(at_once=False), Log([])
    await offer(kind, {"ALFA": every(0.01), "BRAVO": every(0.02, 0.005)}, 0.1, log, 0.01)
    first = kind.sent[0][0]
    assert [round(1000 * (due - first)) for due, name in kind.sent if name == "ALFA"] == list(range(0, 100, 10))
    assert [round(1000 * (due - first)) for due, name in kind.sent if name == "BRAVO"] == list(range(5, 100, 20))
    assert log.failures == {"never answered": 15}


async def test_an_open_loop_waits_for_the_last_answers() -> None:
    kind, log = _Kind(at_once=True), Log([])
    await offer(kind, {"ALFA": every(0.01)}, 0.05, log, 60)
    assert len(log.answers) == len(kind.sent) == 5
    assert not log.failures


async def test_a_closed_loop_has_so_many_under_way() -> None:
    kind, log = _Kind(at_once=True), Log([])
    await closed(kind, ("ALFA", "BRAVO"), 4, 0.2, log)
    assert kind.under_way_most == 4
    assert len(log.answers) == len(kind.sent) > 4
    assert {name for _, name in kind.sent} == {"ALFA", "BRAVO"}


def test_a_template_changes_the_ids_and_nothing_else() -> None:
    asked = request_of(step("unknown"))
    template, seen = Template(asked), set()
    for _ in range(100):
        uetr, made = template.fresh()
        found = payment_pb2.SubmitPaymentRequest.FromString(made)
        assert parse_uetr(uetr) == found.uetr == found.request_id == uetr
        seen.add(uetr)
        found.request_id, found.uetr = asked.request_id, asked.uetr
        assert found == asked
    assert len(seen) == 100


def test_what_a_file_was_answered_is_counted_item_by_item() -> None:
    uetrs = [str(uuid.uuid4()) for _ in range(4)]
    full, wrong = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], grpc.StatusCode.UNAVAILABLE.value[0]
    results = [
        payment_pb2.SubmitPaymentResult(payment=payment_pb2.Payment(state=payment_pb2.PAYMENT_STATE_COMMITTED)),
        payment_pb2.SubmitPaymentResult(error=Status(code=full, message="OVERLOADED: back off")),
        payment_pb2.SubmitPaymentResult(error=Status(code=wrong, message="STORE_UNAVAILABLE: repeat")),
        payment_pb2.SubmitPaymentResult(payment=payment_pb2.Payment(state=payment_pb2.PAYMENT_STATE_IN_DOUBT)),
    ]
    log, answer = Log([]), payment_pb2.SubmitPaymentsResponse(results=results).SerializeToString()
    assert Files._counted(uetrs, "ALFA", answer, log) == (1, 1)
    assert log.told == [
        (uetrs[0], "ALFA", "COMMITTED"),
        (uetrs[2], "ALFA", "UNKNOWN"),
        (uetrs[3], "ALFA", "IN_DOUBT"),
    ]
    assert log.failures == {"STORE_UNAVAILABLE: repeat": 1, "IN_DOUBT": 1}


def test_p99_is_of_what_was_accepted_and_from_when_it_was_due() -> None:
    shed = [Answer(0.0, 9.0, "ALFA", 0, 1, 0)] * 50
    paid = [Answer(1.0, 1.0 + number / 1000, "ALFA", 1, 0, 0) for number in range(1, 101)]
    assert round(p99_ms([*shed, *paid])) == 99
