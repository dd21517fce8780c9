"""What clients were told, brought to its end: open answers are asked about, and no contradiction is overlooked."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from bayswitch.v1 import payment_pb2, payment_pb2_grpc

from loadtest.rest import resolve
from tests.loadtest.support import serving

COMMITTED, ABORTED, PREPARED, IN_DOUBT = (
    payment_pb2.PAYMENT_STATE_COMMITTED,
    payment_pb2.PAYMENT_STATE_ABORTED,
    payment_pb2.PAYMENT_STATE_PREPARED,
    payment_pb2.PAYMENT_STATE_IN_DOUBT,
)


def payment(uetr: str, state: Any, *, age_ms: int = 0) -> Any:
    found = payment_pb2.Payment(uetr=uetr, state=state)
    if age_ms:
        found.history.add(state=IN_DOUBT)
        found.prepared_time.FromMilliseconds(1_000)
        found.final_time.FromMilliseconds(1_000 + age_ms)
    return found


class Switch(payment_pb2_grpc.PaymentServiceServicer):
    """Answers each GetPayment with the next of what it has for the UETR, and the last of them for ever."""

    def __init__(self) -> None:
        self.has: dict[str, list[Any]] = {}
        self.asked: Counter[str] = Counter()

    async def GetPayment(self, request: Any, context: Any) -> Any:
        self.asked[request.uetr] += 1
        found = self.has.get(request.uetr, [])
        if not found:
            await context.abort(grpc.StatusCode.NOT_FOUND, "PAYMENT_UNKNOWN")
        return payment_pb2.GetPaymentResponse(payment=found.pop(0) if len(found) > 1 else found[0])


@pytest.fixture
async def switch() -> AsyncIterator[tuple[Switch, str]]:
    servicer = Switch()
    async with serving(servicer) as address:
        yield servicer, address


async def test_open_answers_are_asked_about_until_they_end(switch: tuple[Switch, str]) -> None:
    servicer, address = switch
    servicer.has = {
        "doubt": [payment("doubt", IN_DOUBT), payment("doubt", COMMITTED, age_ms=700)],
        "hung-up": [payment("hung-up", ABORTED)],
    }
    answers = [
        ("plain", "A", "COMMITTED"),
        ("doubt", "A", "IN_DOUBT"),
        ("hung-up", "A", "UNKNOWN"),
        ("never", "A", "UNKNOWN"),
        ("later", "A", "UNKNOWN"),
        ("later", "A", "COMMITTED"),
    ]
    told = await resolve(address, answers, 30)
    assert told.problems == []
    assert told.finals == {"plain": "COMMITTED", "doubt": "COMMITTED", "hung-up": "ABORTED", "later": "COMMITTED"}
    assert told.resolved == {"COMMITTED": 1, "ABORTED": 1, "never begun": 1}
    assert told.in_doubt_age_ms_max == 700
    assert servicer.asked == {"doubt": 2, "hung-up": 1, "never": 1}, "who has a final answer does not ask"


# what was said, what the switch has | the problem
PROBLEMS: dict[str, tuple[list[tuple[str, str, str]], dict[str, list[Any]], str]] = {
    "lost": ([("u", "A", "PREPARED")], {}, "u: a client was told PREPARED, nobody knows it"),
    "two words": (
        [("u", "A", "COMMITTED"), ("u", "A", "ABORTED")],
        {},
        "u: one client was told COMMITTED, one ABORTED",
    ),
    "changed": (
        [("u", "A", "IN_DOUBT"), ("u", "A", "COMMITTED")],
        {"u": [payment("u", ABORTED)]},
        "u: a client was told COMMITTED, then ABORTED",
    ),
    "never ends": ([("u", "A", "IN_DOUBT")], {"u": [payment("u", IN_DOUBT)]}, "u: still IN_DOUBT 0 s after the load"),
}


@pytest.mark.parametrize("case", PROBLEMS)
async def test_each_contradiction_is_named(switch: tuple[Switch, str], case: str) -> None:
    servicer, address = switch
    answers, servicer.has, problem = PROBLEMS[case]
    told = await resolve(address, answers, 0)
    assert told.problems == [problem]
