"""Payments between bytes and domain in plain Python: the specification of the compiled pair beside it."""

from collections.abc import Sequence
from typing import Final

from bayswitch.v1 import payment_pb2
from google.protobuf.message import DecodeError

from switch.api.convert import instruction_of, payment_of
from switch.domain.instruction import Instruction
from switch.domain.payment import Payment
from switch.errors import Refused

__all__ = ["COMPILED", "count_items", "read_batch", "read_submit", "write_response", "write_result", "write_results"]

COMPILED: Final = False


def read_submit(participant: str, data: bytes) -> Instruction | None:
    """The instruction of a SubmitPaymentRequest, None when it has to be read by `instruction_of`, which finds the words.

    What is returned equals what `instruction_of` returns; the compiled one leaves more to it.
    """
    try:
        return instruction_of(participant, payment_pb2.SubmitPaymentRequest.FromString(data))
    except (Refused, DecodeError):
        return None


def read_batch(participant: str, data: bytes) -> list[Instruction | bytes] | None:
    """Each item of a SubmitPaymentsRequest: its instruction, or its bytes when it has to be read by `instruction_of`.

    None: the message around the items is not plain; read all of it as a message. Bytes of an item may be malformed.
    """
    try:
        items = payment_pb2.SubmitPaymentsRequest.FromString(data).items
    except DecodeError:
        return None
    each = [item.SerializeToString() for item in items]
    return [read_submit(participant, item) or item for item in each]


def count_items(data: bytes) -> int | None:
    """How many items a SubmitPaymentsRequest has. None: the message around them is not plain, as `read_batch` says it."""
    try:
        return len(payment_pb2.SubmitPaymentsRequest.FromString(data).items)
    except DecodeError:
        return None


def write_result(payment: Payment, replay: bool) -> bytes:
    """A SubmitPaymentResult. Equal payments give equal bytes, for ever."""
    result = payment_pb2.SubmitPaymentResult(payment=payment_of(payment), replay=replay)
    return result.SerializeToString(deterministic=True)


def write_response(payment: Payment) -> bytes:
    """A SubmitPaymentResponse. Equal payments give equal bytes, for ever."""
    return payment_pb2.SubmitPaymentResponse(payment=payment_of(payment)).SerializeToString(deterministic=True)


def write_results(results: Sequence[bytes]) -> bytes:
    """A SubmitPaymentsResponse of the bytes of its results, in their order."""
    read = [payment_pb2.SubmitPaymentResult.FromString(result) for result in results]
    return payment_pb2.SubmitPaymentsResponse(results=read).SerializeToString(deterministic=True)
