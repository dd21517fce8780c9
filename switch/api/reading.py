"""A caller's bytes -> instruction: the compiled way when they are plain, else the way that finds words for what is wrong."""

from typing import TypeVar

from bayswitch.v1 import payment_pb2
from google.protobuf.message import DecodeError, Message

from switch.api.convert import instruction_of
from switch.api.payment_wire import read_submit
from switch.domain.instruction import Instruction
from switch.errors import Refused

__all__ = ["instruction_from", "message_from"]

_Message = TypeVar("_Message", bound=Message)


def instruction_from(participant: str, data: bytes) -> Instruction:
    """The instruction in the bytes of a SubmitPaymentRequest. Raises Refused as `instruction_of`."""
    instruction = read_submit(participant, data)
    if instruction is None:  # not plain: the readable way takes it, or says what is wrong
        instruction = instruction_of(participant, message_from(payment_pb2.SubmitPaymentRequest, data))
    return instruction


def message_from(kind: type[_Message], data: bytes) -> _Message:
    """A message of the contract. Raises Refused: FIELD_INVALID, the bytes are none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Refused(
            "FIELD_INVALID", f"the bytes are no {kind.DESCRIPTOR.name} of this contract", figures={"rule": "WIRE"}
        ) from None
