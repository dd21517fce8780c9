"""Facts as records of the topic and back, plainly. The specification of _event_writer.pyx and _event_reader.pyx."""

from collections.abc import Iterable
from typing import Final

from switch.domain.settlement import SettlementFact, record_digest
from switch.events.envelope import Headers
from switch.events.schema import decode, encode, headers, key

__all__ = ["COMPILED", "digest_of", "fact_of", "record_of"]

COMPILED: Final = False


def record_of(fact: SettlementFact) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of a fact's record. The same fact always gives the same bytes."""
    return key(fact), encode(fact), headers(fact)


def fact_of(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> SettlementFact:
    """The fact of a record. Raises CodecError as schema.decode does."""
    return decode(value, headers)


def digest_of(key: bytes, value: bytes, headers: Iterable[tuple[str, bytes]]) -> bytes:
    """What a record adds to the digest of its partition: settlement.record_digest."""
    return record_digest(key, value, headers)
