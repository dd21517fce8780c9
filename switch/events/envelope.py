"""CloudEvents 1.0 in binary mode, as every topic of the switch uses it: attributes are headers, the value is the data.

The contract is the head of proto/bayswitch/v1/event.proto. Pure: no broker is known here.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from switch.errors import CodecError

__all__ = [
    "CONTENT_TYPE",
    "SOURCE",
    "Headers",
    "attributes",
    "demand",
    "opened",
    "second_text",
    "time_ms_of",
    "timestamp",
]

SOURCE: Final = "/bayswitch/settlement"  # ce_source, a URI reference; with ce_id it names an event for ever
CONTENT_TYPE: Final = "application/protobuf"

Headers = list[tuple[str, bytes]]

_VERSION: Final = ("ce_specversion", b"1.0")
_SOURCE: Final = ("ce_source", SOURCE.encode("ascii"))
_CONTENT: Final = ("content-type", CONTENT_TYPE.encode("ascii"))


def attributes(event_id: str, kind: str, subject: str, key: bytes, time_ms: int) -> Headers:
    """The headers of a record, in the order event.proto names them. `kind`: the name of the topic."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return [
        _VERSION,
        ("ce_id", event_id.encode()),
        _SOURCE,
        ("ce_type", kind.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", b"%b.%03dZ" % (second_text(seconds), milliseconds)),
        ("ce_partitionkey", key),
        _CONTENT,
    ]


@lru_cache(64)
def second_text(seconds: int) -> bytes:
    """A second since 1970 as `ce_time` has it, without what follows the point.

    Events that leave together became final within a few seconds; a date costs more than all else here.
    """
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat().encode("ascii")


def opened(value: bytes | None, headers: Iterable[tuple[str, bytes]], kind: str, bytes_max: int) -> tuple[bytes, bytes]:
    """The data and ce_id of a record that is an event of this kind. Headers that are not known are left alone.

    Raises:
        CodecError: another version, type or content, or no value of at most `bytes_max`.
    """
    given: Mapping[str, bytes] = dict(headers)
    demand("ce_specversion", given.get("ce_specversion") == b"1.0", "CloudEvents 1.0")
    demand("ce_type", given.get("ce_type") == kind.encode(), kind)
    demand("content-type", given.get("content-type") == _CONTENT[1], CONTENT_TYPE)
    if value is None or len(value) > bytes_max:
        raise CodecError("value", f"at most {bytes_max} bytes")
    return value, given.get("ce_id", b"")


def demand(path: str, kept: bool, rule: str) -> None:
    """Raises CodecError unless the rule is kept."""
    if not kept:
        raise CodecError(path, rule)


def timestamp(time_ms: int) -> Timestamp:
    return Timestamp(seconds=time_ms // 1000, nanos=time_ms % 1000 * 1_000_000)


def time_ms_of(time: Timestamp) -> int:
    """Unix milliseconds; 0 when it was not set."""
    return int(time.seconds) * 1000 + int(time.nanos) // 1_000_000
