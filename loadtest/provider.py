"""Load like a careful provider's: every request is repeated with the same request_id until it has an answer."""

import asyncio
import random
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from bayswitch.v1 import payment_pb2, payment_pb2_grpc, quote_pb2, quote_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from switch.cli.demo import request_of

__all__ = ["STEPS", "Load", "reason_of"]

# What it pays: corridors without a quota that a run could use up.
STEPS: Final[list[dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("steps.toml").read_text("utf-8"))["step"]

_STATE = {number: name.removeprefix("PAYMENT_STATE_") for name, number in payment_pb2.PaymentState.items()}
_FINAL = ("COMMITTED", "ABORTED")
THINK_SECONDS = 0.02  # between two payments of one caller: leaves a small machine room to start what was killed
AGAIN_SECONDS = 0.1
# CANCELLED by the other side: a server that ends cancels what has come and was not looked at yet.
_AGAIN = tuple(
    getattr(grpc.StatusCode, name) for name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED")
)


class Load:
    """`callers` tasks pay by turns through `steps`; `answers` is what clients were told in the end, by UETR."""

    def __init__(self, address: str, steps: Sequence[Mapping[str, Any]], callers: int, seed: int) -> None:
        self.answers: dict[str, str] = {}
        self.refusals: Counter[str] = Counter()
        self.repeats = 0
        self._address = address
        self._steps = steps
        self._callers = callers
        self._random = random.Random(seed)
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._caller()) for _ in range(self._callers)]

    async def stop(self) -> None:
        """Begin nothing new, and wait until everything begun has its final answer."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _caller(self) -> None:
        # A channel of its own, that reconnects quickly: the switch is killed under it again and again.
        options = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))
        async with grpc.aio.insecure_channel(
            self._address, options=(*options, ("grpc.use_local_subchannel_pool", 1))
        ) as channel:
            while not self._stopping:
                step = self._random.choice(self._steps)
                request = request_of(step)
                if "credit" in step and not await self._priced(channel, step, request):
                    continue
                await self._pay(channel, step["as"], request)
                await asyncio.sleep(THINK_SECONDS)

    async def _priced(self, channel: grpc.aio.Channel, step: Mapping[str, Any], request: Any) -> bool:
        wanted = quote_pb2.CreateQuoteRequest(
            debit=request.debit,
            other_asset=step["credit"],
            debtor_place=request.debtor.place,
            creditor_place=request.creditor.place,
            creditor_scheme=request.creditor.account.scheme,
        )
        stub = quote_pb2_grpc.QuoteServiceStub(channel)
        try:
            quoted = (await stub.CreateQuote(wanted, timeout=5, metadata=_caller_of(step["as"]))).quote
        except grpc.aio.AioRpcError as error:
            self._must_be_passing(error)
            await asyncio.sleep(AGAIN_SECONDS)
            return False  # an unused quote costs nothing; begin again
        request.quote_id = quoted.quote_id
        request.credit.CopyFrom(quoted.credit)
        return True

    async def _pay(self, channel: grpc.aio.Channel, participant: str, request: Any) -> None:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        while True:
            try:
                answer = await stub.SubmitPayment(request, timeout=5, metadata=_caller_of(participant))
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AGAIN:
                    self.refusals[reason_of(error)] += 1
                    return
                self.repeats += 1
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            state = _STATE[answer.payment.state]
            if state in _FINAL:
                told = self.answers.setdefault(request.uetr, state)
                assert told == state, f"{request.uetr}: told {told}, then {state}"
                return
            await asyncio.sleep(AGAIN_SECONDS)  # PREPARED or IN_DOUBT: ask again with the same request_id

    def _must_be_passing(self, error: grpc.aio.AioRpcError) -> None:
        assert error.code() in _AGAIN, f"{error.code()} {reason_of(error)} {error.details()}"
        self.repeats += 1


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Our reason in a rich error; the status alone where there is none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return str(error.code().name)


def _caller_of(participant: str) -> tuple[tuple[str, str], ...]:
    return (("x-bayswitch-participant", participant),)
