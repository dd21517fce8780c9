"""A server over the real engine on loopback, a caller of it, and what the tests say often."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import grpc
import pytest
from bayswitch.v1 import (
    common_pb2,
    directory_pb2_grpc,
    participant_pb2_grpc,
    payment_pb2,
    payment_pb2_grpc,
    quote_pb2_grpc,
    settlement_pb2_grpc,
)
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from switch.api import ApiParts, Server, ServerOptions
from switch.engine import Settlement
from tests.fakes import World

__all__ = [
    "Api",
    "Refusal",
    "Stubs",
    "before_its_deadline",
    "parts_of",
    "read_status",
    "refusal",
    "serving",
    "submit_request",
]

_T = TypeVar("_T")
_TRIES: Final = 5


class Refusal(NamedTuple):
    """What a caller learns of a refusal."""

    code: str
    reason: str
    field: str
    rule: str
    retry_after_ms: int
    metadata: dict[str, str]
    text: str  # everything in it, as text: to look for what must not be there


class Stubs:
    """Every service, as one caller."""

    def __init__(self, channel: grpc.aio.Channel, participant: str = "") -> None:
        self.payments = payment_pb2_grpc.PaymentServiceStub(channel)
        self.quotes = quote_pb2_grpc.QuoteServiceStub(channel)
        self.directory = directory_pb2_grpc.DirectoryServiceStub(channel)
        self.participants = participant_pb2_grpc.ParticipantServiceStub(channel)
        self.settlement = settlement_pb2_grpc.SettlementServiceStub(channel)
        self.metadata: tuple[tuple[str, str], ...] = (("x-bayswitch-participant", participant),) if participant else ()

    def call(self, method: Any, request: Any, timeout: float | None = 60) -> Any:
        return method(request, timeout=timeout, metadata=self.metadata)


class Api(NamedTuple):
    """A running demo server."""

    world: World
    server: Server
    channel: grpc.aio.Channel

    def caller(self, participant: str = "ALFA") -> Stubs:
        return Stubs(self.channel, participant)

    async def submit(self, request: Any = None, *, caller: str = "ALFA", **changes: Any) -> payment_pb2.Payment:
        """SubmitPayment: the payment."""
        stubs = self.caller(caller)
        request = request or submit_request(**changes)
        answer = await stubs.call(stubs.payments.SubmitPayment, request)
        payment: payment_pb2.Payment = answer.payment
        return payment


def parts_of(world: World) -> ApiParts:
    payments, _, participants = world.ports
    return ApiParts(world.payments, world.quotes, world.directory, world.watch, payments, participants, world.clock)


@asynccontextmanager
async def serving(
    world: World | None = None, settlement: Settlement | None = None, **options: Any
) -> AsyncIterator[Api]:
    """A demo server on a free loopback port, and one channel to it; both are gone at the end."""
    world = world or World()
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "demo_identity": True,
        "operators": ("OPERATOR",),
    } | options
    server = Server(parts_of(world)._replace(settlement=settlement), ServerOptions(**given))
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Api(world, server, channel)
    finally:
        world.near.release()
        world.far.release()
        await server.stop(1_000)
        await world.payments.drain()


def submit_request(**changes: Any) -> payment_pb2.SubmitPaymentRequest:
    """HKD 100.00 on the corridor without rules, with fresh ids; `changes` by field name."""
    fields: dict[str, Any] = {
        "request_id": f"r-{uuid.uuid4()}",
        "uetr": str(uuid.uuid4()),
        "end_to_end_id": "E2E-1",
        "debit": common_pb2.Money(asset="HKD", amount_minor=10_000),
        "debtor": common_pb2.Party(
            name="CHAN TAI MAN",
            place=common_pb2.PLACE_HK,
            account=common_pb2.Account(scheme=common_pb2.SCHEME_ACCOUNT, value="012345678"),
            document=common_pb2.Document(type=common_pb2.DOCUMENT_TYPE_HKID, number="A123456(3)"),
        ),
        "creditor": common_pb2.Party(
            name="WONG SIU MING",
            place=common_pb2.PLACE_HK,
            account=common_pb2.Account(scheme=common_pb2.SCHEME_MOBILE, value="+852-61234567"),
        ),
    }
    return payment_pb2.SubmitPaymentRequest(**(fields | changes))


async def refusal(call: Awaitable[Any]) -> Refusal:
    """The call must be refused: with what."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    error = failed.value
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert packed is not None, f"{error.code()}: {error.details()}: no details"
    status = Status.FromString(packed)
    assert (status.code, status.message) == (error.code().value[0], error.details()), "inside as outside"
    return read_status(status)


async def before_its_deadline(ask: Callable[[], Awaitable[_T]]) -> _T:
    """The answer to a call of a short deadline. One that passed while the machine stood still is asked again."""
    for _ in range(_TRIES):
        try:
            return await ask()
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED, error  # noqa: PT017 - any other is a fault
    raise AssertionError(f"no answer before its deadline, {_TRIES} times")


def read_status(status: Status) -> Refusal:
    """The details of a rich error."""
    codes = {code.value[0]: code.name for code in grpc.StatusCode}
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    texts = [status.message]
    for detail in status.details:
        known = next((each for each in (info, bad, retry) if detail.Is(each.DESCRIPTOR)), None)
        assert known is not None, detail.type_url
        assert detail.Unpack(known)
        texts.append(str(known))
    assert info.domain == "bayswitch"
    violations = bad.field_violations
    assert len(violations) <= 1
    return Refusal(
        codes[status.code],
        info.reason,
        violations[0].field if violations else "",
        violations[0].reason if violations else "",
        retry.retry_delay.seconds * 1000 + retry.retry_delay.nanos // 1_000_000,
        dict(info.metadata),
        "\n".join(texts),
    )
