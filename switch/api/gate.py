"""The gate every call of ours passes once: who calls, may it, is there room, is there time; and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

import grpc

from switch.api.call import CALL, Call, budget_ms
from switch.api.identity import Identify
from switch.api.status import abort, refusal_of
from switch.errors import Refused
from switch.ports import UNMETERED, CallMeter, Meter

__all__ = ["POLICIES", "Gate", "Kind", "Policy", "Role"]

Behaviour = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


class Kind(Enum):
    """What a call does to us. The two kinds have bounds of their own: new work never sheds a look."""

    BEGINS = "begins"
    LOOKS = "looks"


class Role(Enum):
    """Who may call. An operator sets caps and rates, so it must not pay; one's own positions anybody may see.

    How much of an answer a caller may see is the service's to say.
    """

    PARTICIPANT = "participant"
    OPERATOR = "operator"
    ANY = "any"


class Policy(NamedTuple):
    """`timed`: the call's budget ends it here. Not for payments, which answer where they stand, nor for streams.

    `raw`: its messages stay bytes, which the behaviour reads and writes itself.
    """

    kind: Kind
    role: Role
    timed: bool = True
    raw: bool = False


_B, _L = Kind.BEGINS, Kind.LOOKS
_PAYMENT, _QUOTE, _DIRECTORY, _PARTICIPANT, _SETTLEMENT = (
    f"/bayswitch.v1.{name}Service/" for name in ("Payment", "Quote", "Directory", "Participant", "Settlement")
)
# Every method of the contract; methods of other services (health, reflection) need no caller and pass.
POLICIES: Final = {
    _PAYMENT + "SubmitPayment": Policy(_B, Role.PARTICIPANT, timed=False, raw=True),
    _PAYMENT + "SubmitPayments": Policy(_B, Role.PARTICIPANT, timed=False, raw=True),
    _PAYMENT + "GetPayment": Policy(_L, Role.PARTICIPANT),
    _PAYMENT + "ListPayments": Policy(_L, Role.ANY),
    _PAYMENT + "WatchPayments": Policy(_L, Role.PARTICIPANT, timed=False),
    _QUOTE + "CreateQuote": Policy(_B, Role.PARTICIPANT),
    _QUOTE + "GetQuote": Policy(_L, Role.PARTICIPANT),
    _DIRECTORY + "CheckRoute": Policy(_B, Role.ANY),
    _PARTICIPANT + "CreateParticipant": Policy(_B, Role.OPERATOR),
    _PARTICIPANT + "GetParticipant": Policy(_L, Role.OPERATOR),
    _PARTICIPANT + "ListParticipants": Policy(_L, Role.OPERATOR),
    _PARTICIPANT + "SuspendParticipant": Policy(_B, Role.OPERATOR),
    _PARTICIPANT + "ResumeParticipant": Policy(_B, Role.OPERATOR),
    _PARTICIPANT + "SetCap": Policy(_B, Role.OPERATOR),
    _PARTICIPANT + "SetRate": Policy(_B, Role.OPERATOR),
    _PARTICIPANT + "GetPositions": Policy(_L, Role.ANY),
    _SETTLEMENT + "ListArrangements": Policy(_L, Role.ANY),
    _SETTLEMENT + "ListWindows": Policy(_L, Role.ANY),
    _SETTLEMENT + "GetWindow": Policy(_L, Role.ANY),
    _SETTLEMENT + "WatchWindows": Policy(_L, Role.ANY, timed=False),
    _SETTLEMENT + "CutWindow": Policy(_B, Role.OPERATOR),
    _SETTLEMENT + "CloseWindow": Policy(_B, Role.OPERATOR),
    _SETTLEMENT + "ConfirmObligation": Policy(_B, Role.OPERATOR),
    _SETTLEMENT + "DeclareDefault": Policy(_B, Role.OPERATOR),
    _SETTLEMENT + "GetStatement": Policy(_L, Role.ANY),
}

# What is counted of a call that did not end with a refusal of ours.
_OK, _CANCELLED = grpc.StatusCode.OK.name, grpc.StatusCode.CANCELLED.name

# Behaviours here are coroutines: a stream is written with context.write, so one wrapper fits all kinds.
_HANDLERS: Final = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class Gate:
    """One per server. It wraps handlers where they are added: an interceptor would be asked for them at every call."""

    def __init__(
        self,
        identify: Identify,
        operators: Sequence[str],
        *,
        calls_max: int,
        looks_max: int,
        meter: Meter = UNMETERED,
    ) -> None:
        self._identify = identify
        self._meter = meter
        self._operators = frozenset(operators)
        self._room = {Kind.BEGINS: calls_max, Kind.LOOKS: looks_max}
        self._running = {Kind.BEGINS: 0, Kind.LOOKS: 0}
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Calls that have not ended."""
        return sum(self._running.values())

    @property
    def running_by_kind(self) -> dict[str, int]:
        """The same, of calls that begin something and of those that look."""
        return {kind.value: running for kind, running in self._running.items()}

    @property
    def closed(self) -> bool:
        """True: calls are refused."""
        return self._closed

    def close(self) -> None:
        """From now on calls are refused with SHUTTING_DOWN; those running go on."""
        self._closed = True

    async def idle(self) -> None:
        """Returns when no call is running."""
        await self._idle.wait()

    def guarded(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        """The handler of a method behind the gate; one of another service stays as it is. Asked for once per method."""
        policy = POLICIES.get(method)
        if policy is None:
            return handler
        return self._wrap(handler, policy, self._meter.calls(method.removeprefix("/")))

    def _wrap(self, handler: grpc.RpcMethodHandler, policy: Policy, calls: CallMeter) -> grpc.RpcMethodHandler:
        name, make = _HANDLERS[handler.request_streaming, handler.response_streaming]
        behaviour: Behaviour = getattr(handler, name)

        async def guarded(request: Any, context: grpc.aio.ServicerContext) -> Any:
            began_ns, status, reason = calls.began(), _CANCELLED, ""
            try:
                answer = await self._run(behaviour, policy, request, context)
                if not isinstance(answer, Refused):
                    status = _OK
                    return answer
                status, reason = answer.reason.grpc, answer.reason.name
                ending, context, request = abort(context, answer), None, None  # see abort
                return await ending
            finally:
                calls.ended(began_ns, status, reason)

        return make(
            guarded,
            request_deserializer=None if policy.raw else handler.request_deserializer,
            response_serializer=None if policy.raw else handler.response_serializer,
        )

    async def _run(self, behaviour: Behaviour, policy: Policy, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """The answer, or the Refused that is one: in the catalogue's order. A cancelled call passes on its cancel."""
        try:
            call = self._admit(policy, context)
            CALL.set(call)
            self._running[policy.kind] += 1
            self._idle.clear()
            try:
                if not policy.timed:
                    return await behaviour(request, context)
                async with asyncio.timeout(call.budget_ms / 1000):
                    return await behaviour(request, context)
            finally:
                self._running[policy.kind] -= 1
                if not self.running:
                    self._idle.set()
        except grpc.aio.InternalError:
            # The transport is gone, and the cancel that says so is on its way: nobody is there to be answered.
            raise asyncio.CancelledError from None
        except TimeoutError:
            return Refused("DEADLINE_PASSED")
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a row of the catalogue
            refused = refusal_of(error)
            # What was unforeseen is logged by now. Where it came from holds the call: nobody must hold that.
            refused.__traceback__ = refused.__context__ = refused.__cause__ = None
            return refused

    def _admit(self, policy: Policy, context: grpc.aio.ServicerContext) -> Call:
        participant = self._identify(context)
        operator = participant in self._operators
        if policy.role is not Role.ANY and operator is not (policy.role is Role.OPERATOR):
            raise Refused("CALLER_NOT_PERMITTED")
        if self._closed:
            raise Refused("SHUTTING_DOWN")
        if self._running[policy.kind] >= self._room[policy.kind]:
            raise Refused("OVERLOADED")
        return Call(participant, operator, budget_ms(context))
