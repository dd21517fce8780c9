"""What is known of a call before its work begins: who calls, in which role, how long it may take."""

from contextvars import ContextVar
from typing import Final, NamedTuple

import grpc

from switch.errors import Refused
from switch.limits import ANSWER_MARGIN_MS_MAX, CALL_DEFAULT_MS

__all__ = ["CALL", "Call", "budget_ms"]


class Call(NamedTuple):
    """Set once per call at the gate, read by the services."""

    participant: str
    operator: bool
    budget_ms: int  # for the work of a unary call; a stream asks again for each batch


# Every RPC runs in a task of its own, and so in a context of its own.
CALL: Final[ContextVar[Call]] = ContextVar("call")


def budget_ms(context: grpc.aio.ServicerContext) -> int:
    """How long work may take now: what the caller gives, less what the answer needs to travel; CALL_DEFAULT_MS when
    it gives no deadline, and never more.

    Raises:
        Refused: DEADLINE_PASSED; nothing is begun.
    """
    remaining_s = context.time_remaining()
    if remaining_s is None:
        return CALL_DEFAULT_MS
    remaining_ms = int(remaining_s * 1000)
    if remaining_ms <= 0:
        raise Refused("DEADLINE_PASSED")
    return min(CALL_DEFAULT_MS, remaining_ms - min(ANSWER_MARGIN_MS_MAX, remaining_ms // 4))
