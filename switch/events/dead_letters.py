"""Dead letters: records that could not be settled, as they were, until somebody replays or discards each of them.

A letter is the record itself, key, value and headers, with headers of ours behind its own. What became of a letter is a
second record, a marker, in the same topic: nothing is ever changed or removed there. Both name the place the record had
in the log, and by that place a letter buried twice is one.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from switch.errors import CodecError, InvalidValue
from switch.events.broker import Access, records
from switch.events.envelope import Headers
from switch.events.fold import LogRecord, Poisoned
from switch.events.producer import Record
from switch.events.schema import SETTLEMENT_TOPIC
from switch.events.topics import TopicSpec
from switch.events.writer import TopicWriter
from switch.limits import REMARK_CHARS_MAX

__all__ = ["ATTEMPTS", "DeadLetter", "DeadLetters"]

ATTEMPTS: Final = "x-attempts"  # how many times it was tried; a replayed record carries it, its ce_ headers untouched
_TEXT_CHARS_MAX: Final = 500
_ORIGIN: Final = ("x-origin-topic", "x-origin-partition", "x-origin-offset")
_LETTER: Final = ("x-error-code", "x-error-text", *_ORIGIN, ATTEMPTS)
_MARKER: Final = ("x-dealt-with", "x-dealt-actor", "x-dealt-reason", "x-dealt-time-ms", *_ORIGIN)
_REPLAYED, _DISCARDED = "replayed", "discarded"


class DeadLetter(NamedTuple):
    """One record that could not be settled. (`partition`, `offset`) is its place among the dead letters."""

    partition: int
    offset: int
    time_ms: int  # when it was buried
    record: LogRecord  # as it was, at the place it had
    origin_topic: str
    code: str
    text: str
    attempts: int  # that many times it was tried
    dealt: str = ""  # "replayed" or "discarded"; "": it is open
    dealt_by: str = ""
    dealt_reason: str = ""

    @property
    def origin(self) -> tuple[str, int, int]:
        return self.origin_topic, self.record.partition, self.record.offset


class DeadLetters:
    """The dead letters of one switch. Every call raises BrokerUnavailable; none is done by halves that matter."""

    def __init__(
        self,
        bootstrap: str,
        spec: TopicSpec,
        *,
        origin: str = SETTLEMENT_TOPIC,
        create: bool = True,
        access: Access | None = None,
    ) -> None:
        """`origin`: the topic of the records that are buried."""
        self._bootstrap = bootstrap
        self._origin = origin
        self._access = access
        self._writer = TopicWriter(bootstrap, spec, create=create, access=access)

    async def bury(self, poisoned: Sequence[Poisoned]) -> None:
        """Returns when the broker has them, in order. Safe to repeat: each names its origin."""
        await self._writer.write([self._letter(one) for one in poisoned])

    def _letter(self, poisoned: Poisoned) -> Record:
        record = poisoned.record
        told = (
            poisoned.code,
            poisoned.text[:_TEXT_CHARS_MAX],
            self._origin,
            record.partition,
            record.offset,
            _attempts(record.headers),
        )
        return record.key, record.value, [*record.headers, *_told(_LETTER, told)]

    async def list(self, *, dealt: bool = False) -> "list[DeadLetter]":
        """The open ones in the order in which they were buried; with `dealt`, those that are dealt with too."""
        letters: dict[tuple[str, int, int], DeadLetter] = {}
        markers: dict[tuple[str, int, int], Mapping[str, str]] = {}
        async for record in records(self._bootstrap, self._writer.spec.name, access=self._access):
            if marker := _trailing(_MARKER, record.headers):
                markers[_origin_of(marker)] = marker
            elif told := _trailing(_LETTER, record.headers):
                letters.setdefault(_origin_of(told), _letter_of(record, told))
            else:
                raise CodecError(f"{record.topic}/{record.partition}@{record.offset}", "a dead letter or a marker")
        every = (_dealt(letter, markers.get(origin)) for origin, letter in letters.items())
        return [letter for letter in every if dealt or not letter.dealt]

    async def replay(self, partition: int, offset: int, actor: str) -> DeadLetter:
        """Put the record back on its topic, where its key belongs, to be tried once more; and mark the letter.

        A kill in between leaves it open: replayed again, it is a repeat with the id it had. Raises InvalidValue: there
        is no such open letter.
        """
        letter = await self._open(partition, offset)
        record = letter.record
        told = [one for one in record.headers if one[0] != ATTEMPTS]
        headers: Headers = [*told, (ATTEMPTS, str(letter.attempts + 1).encode())]
        log = TopicWriter(self._bootstrap, TopicSpec(letter.origin_topic), create=False, access=self._access)
        try:
            await log.write([(record.key, record.value, headers)], record.partition)
        finally:
            await log.close()
        await self._mark(letter, _REPLAYED, actor, "")
        return letter

    async def discard(self, partition: int, offset: int, reason: str, actor: str) -> DeadLetter:
        """Mark it as never to be settled, for the record. Raises InvalidValue: no such open letter, or no reason."""
        if not 1 <= len(reason.strip()) <= REMARK_CHARS_MAX:
            raise InvalidValue("LENGTH", f"reason: 1 to {REMARK_CHARS_MAX} characters")
        letter = await self._open(partition, offset)
        await self._mark(letter, _DISCARDED, actor, reason.strip())
        return letter

    async def close(self) -> None:
        await self._writer.close()

    async def _open(self, partition: int, offset: int) -> DeadLetter:
        for letter in await self.list():
            if (letter.partition, letter.offset) == (partition, offset):
                return letter
        raise InvalidValue("DEAD_LETTER", f"{partition}/{offset} is no open dead letter; see `bayswitch dlq list`")

    async def _mark(self, letter: DeadLetter, how: str, actor: str, reason: str) -> None:
        now_ms = time.time_ns() // 1_000_000
        headers = _told(_MARKER, (how, actor, reason, now_ms, *letter.origin))
        await self._writer.write([(letter.record.key, b"", headers)])


def _told(names: Sequence[str], values: Sequence[object]) -> Headers:
    return [(name, str(value).encode()) for name, value in zip(names, values, strict=True)]


def _trailing(names: Sequence[str], headers: Sequence[tuple[str, bytes]]) -> Mapping[str, str] | None:
    """Our headers behind the record's own, which may have the same names; None when they are not there."""
    last = headers[-len(names) :]
    if tuple(name for name, _ in last) != tuple(names):
        return None
    return {name: value.decode("utf-8", "replace") for name, value in last}


def _origin_of(told: Mapping[str, str]) -> tuple[str, int, int]:
    topic, partition, offset = (told[name] for name in _ORIGIN)
    return topic, int(partition), int(offset)


def _letter_of(record: Any, told: Mapping[str, str]) -> DeadLetter:
    topic, partition, offset = _origin_of(told)
    original = LogRecord(partition, offset, record.key, record.value, list(record.headers[: -len(_LETTER)]))
    place = record.partition, record.offset, record.timestamp
    return DeadLetter(*place, original, topic, told["x-error-code"], told["x-error-text"], int(told[ATTEMPTS]))


def _dealt(letter: DeadLetter, marker: Mapping[str, str] | None) -> DeadLetter:
    if marker is None:
        return letter
    how, actor, reason = (marker[name] for name in _MARKER[:3])
    return letter._replace(dealt=how, dealt_by=actor, dealt_reason=reason)


def _attempts(headers: Sequence[tuple[str, bytes]]) -> int:
    """The how many-th attempt this record is: the first, unless a replay says otherwise."""
    said = dict(headers).get(ATTEMPTS, b"")
    return int(said) if said.isdigit() and len(said) < 10 else 1
