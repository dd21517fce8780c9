"""Reason -> google.rpc.Status: the same details whether a call is refused or one item of a batch."""

import logging
from functools import cache, lru_cache
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from switch.errors import (
    REASONS,
    ArchiveUnavailable,
    BrokerUnavailable,
    Refused,
    StoreUnavailable,
    anatomy,
)

__all__ = ["DOMAIN", "abort", "refusal_of", "status_of"]

DOMAIN: Final = "bayswitch"  # of every ErrorInfo
_DETAILS_KEY: Final = "grpc-status-details-bin"  # where rich errors travel; grpc_status.rpc_status reads it
_LOG: Final = logging.getLogger("bayswitch.api")

_UNAVAILABLE: Final[dict[type[Exception], str]] = {
    StoreUnavailable: "STORE_UNAVAILABLE",
    BrokerUnavailable: "BROKER_UNAVAILABLE",
    ArchiveUnavailable: "ARCHIVE_UNAVAILABLE",
}
_CODE_OF: Final = {reason.name: grpc.StatusCode[reason.grpc] for reason in REASONS.values()}


def _packed(detail: Any) -> AnyMessage:
    # Deterministic: ErrorInfo holds a map, and a kept refusal is answered in the same bytes each time.
    return AnyMessage(
        type_url=f"type.googleapis.com/{detail.DESCRIPTOR.full_name}",
        value=detail.SerializeToString(deterministic=True),
    )


@lru_cache(256)
def _retry_info(after_ms: int) -> AnyMessage:
    seconds, rest_ms = divmod(after_ms, 1000)
    return _packed(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=rest_ms * 1_000_000)))


def status_of(refusal: Refused, path: str = "") -> Status:
    """The refusal with all its details. `path` is set before the field, e.g. "items[3]." for an item of a batch.

    A broken rule's name stands in the violation's `reason` and, like every figure, in ErrorInfo.metadata. A figure
    `retry_after_ms` is what RetryInfo says instead of the catalogue's.
    """
    reason = refusal.reason
    details = [_packed(ErrorInfo(reason=reason.name, domain=DOMAIN, metadata=refusal.figures))]
    if refusal.field:
        violation = BadRequest.FieldViolation(
            field=path + refusal.field,
            description=refusal.message,
            reason=refusal.figures.get("rule", reason.name),
        )
        details.append(_packed(BadRequest(field_violations=[violation])))
    if reason.retry_after_ms:
        details.append(_retry_info(int(refusal.figures.get("retry_after_ms", reason.retry_after_ms))))
    code: int = _CODE_OF[reason.name].value[0]
    return Status(code=code, message=f"{reason.name}: {refusal.message}", details=details)


def refusal_of(error: Exception) -> Refused:
    """What a caller is told of an error. What nobody foresaw is INTERNAL_FAULT, and logged.

    The log gets types and places, never the text of an exception: it may quote a personal value.
    """
    if isinstance(error, Refused):
        return error
    for kind, reason in _UNAVAILABLE.items():
        if isinstance(error, kind):
            return Refused(reason)
    _LOG.error("unforeseen %s", anatomy(error))
    return Refused("INTERNAL_FAULT")


async def abort(context: grpc.aio.ServicerContext, refusal: Refused) -> NoReturn:
    """End the call with the refusal. Always raises.

    grpc.aio keeps in the call what it raises, and that keeps all it is raised through. If one of them kept the call, forty
    objects would wait in a circle for the collector: thousands of refusals, and everybody waits for that. So nobody here
    has it any more, and who awaits this must not.
    """
    plain = not refusal.field and not refusal.figures and refusal.message == refusal.reason.advice
    message, trailing = _plain_end(refusal.reason.name) if plain else _end(refusal)
    ending = context.abort(_CODE_OF[refusal.reason.name], message, trailing_metadata=trailing)
    del context
    await ending
    raise AssertionError("abort returned")


def _end(refusal: Refused) -> tuple[str, tuple[tuple[str, bytes]]]:
    status = status_of(refusal)
    return status.message, ((_DETAILS_KEY, status.SerializeToString()),)


@cache
def _plain_end(reason: str) -> tuple[str, tuple[tuple[str, bytes]]]:
    """The same for a refusal that says no more than its reason: in an overload there are thousands."""
    return _end(Refused(reason))
