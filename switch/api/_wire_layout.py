"""The fields of a message of the contract, for compiled code that knows them by number."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

__all__ = ["fields_of"]

_KINDS: Final = {
    FieldDescriptor.TYPE_STRING: "text",
    FieldDescriptor.TYPE_MESSAGE: "message",
    FieldDescriptor.TYPE_INT64: "number",
    FieldDescriptor.TYPE_INT32: "number",
    FieldDescriptor.TYPE_ENUM: "number",
    FieldDescriptor.TYPE_BOOL: "number",
}


def fields_of(message: Any) -> Mapping[str, tuple[int, str]]:
    """Name -> (number, kind) of every field; a kind in the plural is repeated. KeyError: a kind we do not write."""
    return {
        field.name: (field.number, _KINDS[field.type] + ("s" if field.is_repeated else ""))
        for field in message.DESCRIPTOR.fields
    }
