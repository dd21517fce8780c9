"""A participant's stream of changes: what an entry says, and the places in between.

An entry is what one script call changed: its field has a letter per change, its value their "<uetr> <time_ms>". Small
letters came back from the log. A place is a text that stays good for ever: an entry's name, when all of it was told, or
`<entry>.<n>` when the first n of its changes were.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from switch.domain.payment import State
from switch.store.client import Server

__all__ = [
    "ENTRIES_FIRST",
    "PLACE",
    "Begun",
    "Order",
    "Place",
    "Told",
    "before",
    "begun_of",
    "read_changes",
    "read_from",
    "told_of",
]

Order = tuple[int, str]  # prepared_time_ms and UETR
Place = tuple[int, int, int]  # an entry's two numbers, and how many of its changes: sorts as the stream does

PLACE: Final = re.compile(r"\d{1,20}(-\d{1,20}(\.\d{1,5})?)?", re.ASCII)
ENTRIES_FIRST: Final = 4  # read to see how many changes an entry has here: from one to as many as a group has items
_REFUSED_AT_ONCE: Final = "R"  # a change that begins and ends a payment
_BEGINS: Final = (State.PREPARED.value, _REFUSED_AT_ONCE)
_WHOLE: Final = 99_999  # changes: more than any entry has


class Told(NamedTuple):
    """One change. `place`: it and all before it were told."""

    place: str
    letter: str
    uetr: str
    time_ms: int

    @property
    def state(self) -> State:
        letter = self.letter.upper()
        return State.ABORTED if letter == _REFUSED_AT_ONCE else State(letter)


def told_of(row: Sequence[Any]) -> list[Told]:
    """The changes of an entry, as the client library gives it."""
    entry, ((letters, words),) = row[0].decode(), row[1].items()
    texts, number = words.decode().split(" "), len(letters)
    places = [*(f"{entry}.{passed}" for passed in range(1, number)), entry]
    changes = zip(places, letters.decode(), texts[::2], texts[1::2], strict=True)
    return [Told(place, letter, uetr, int(time_ms)) for place, letter, uetr, time_ms in changes]


class Begun(NamedTuple):
    """A payment's first change. `place`: it and all before it."""

    order: Order
    place: Place


def begun_of(row: Sequence[Any]) -> tuple[int, list[Begun], Place]:
    """Of an entry: how many changes it has, what they began, and the place behind it. Made for many."""
    (entry, _, number), ((letters, words),) = row[0].partition(b"-"), row[1].items()
    time_ms, number, letters = int(entry), int(number), letters.decode()
    found = list[Begun]()
    if any(letter in letters for letter in _BEGINS):
        texts = words.decode().split(" ")
        orders = zip(map(int, texts[1::2]), texts[::2], strict=True)
        for passed, (letter, order) in enumerate(zip(letters, orders, strict=True), 1):
            if letter in _BEGINS:
                found.append(Begun(order, (time_ms, number, passed)))
    return len(letters), found, (time_ms, number, _WHOLE)


def before(place: Place) -> Place:
    """Without its last change."""
    time_ms, number, passed = place
    return time_ms, number, passed - 1


def read_from(place: Place) -> str:
    """The end of a range of entries that has what is behind the place; of a part of an entry, all of it."""
    time_ms, number, passed = place
    return f"{'(' if passed == _WHOLE else ''}{time_ms}-{number}"


async def read_changes(server: Server, key: str, *, after: str, count: int) -> list[Told]:
    """Oldest first, at most `count`; fewer only at the end. Those behind the place `after`, or ("") from the first on.

    Raises StoreUnavailable.
    """
    entry, _, passed = after.partition(".")
    start = (entry if passed else f"({entry}") if after else "-"
    found, entries = list[Told](), min(count, ENTRIES_FIRST)
    while True:
        rows = await server.read("XRANGE", key, start, "+", "COUNT", entries)
        changes = [change for row in rows for change in told_of(row)]
        if passed and rows and rows[0][0].decode() == entry:
            del changes[: int(passed)]
        found += changes
        if len(found) >= count or len(rows) < entries:
            return found[:count]
        start, passed = f"({rows[-1][0].decode()}", ""
        # As many as will do, if they are like those that were read.
        entries = max(ENTRIES_FIRST, (count - len(found)) * len(rows) // max(1, len(changes)))
