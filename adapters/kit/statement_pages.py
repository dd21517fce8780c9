"""A rail's statement in pages, for a control port whose lines are bounded: what is given away, and how it comes together.

A page carries pieces of files: {"files": [{"name", "base64"}], "snapshot": id, "after": place, "bytes": all of them}. A
statement that fits is one page. Of a longer one a snapshot is kept, so that all its pages are of the same moment.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any, Final

from adapters.kit.books import Books
from adapters.kit.statement import STATEMENT_BYTES_MAX, StatementFormat, parse_day, statement_of
from switch.errors import CodecError, InvalidValue

__all__ = ["PAGE_BYTES_MAX", "StatementPages", "collect"]

PAGE_BYTES_MAX: Final = 2 << 20  # in base64 a third more: under the 4 MiB of a line
SNAPSHOTS_KEPT: Final = 4  # readers at a time; the oldest has to begin again


class StatementPages:
    """Writes the statements of one mock rail. One event loop owns it; the writing is done in a thread beside it."""

    def __init__(
        self, books: Books, form: StatementFormat, institution: str, page_bytes_max: int = PAGE_BYTES_MAX
    ) -> None:
        self._books = books
        self._form = form
        self._institution = institution
        self._page_bytes_max = page_bytes_max
        self._kept: dict[str, Mapping[str, bytes]] = {}
        self._serial = 0

    async def page(self, *, date: str, snapshot: str = "", after: int = 0) -> dict[str, Any]:
        """The page of a day's statement that begins at byte `after`; the first makes the snapshot the others name.

        Raises:
            InvalidValue: DATE; SNAPSHOT when it is not kept any more, or `after` lies beyond it.
        """
        files = self._kept.get(snapshot)
        if files is None and not snapshot and not after:
            statement = statement_of(self._books, self._institution, parse_day(date))
            files = await asyncio.to_thread(self._form.write, statement)
            snapshot = self._keep(files)
        if files is None or not 0 <= after <= _size(files):
            raise InvalidValue("SNAPSHOT", "this statement is not kept any more; begin at its first page")
        pieces = _pieces(files, after, after + self._page_bytes_max)
        after += sum(len(piece) for _, piece in pieces)
        if after == _size(files):
            self._kept.pop(snapshot, None)
        listed = [{"name": name, "base64": base64.b64encode(piece).decode("ascii")} for name, piece in pieces]
        return {"files": listed, "snapshot": snapshot, "after": after, "bytes": _size(files)}

    def _keep(self, files: Mapping[str, bytes]) -> str:
        while len(self._kept) >= SNAPSHOTS_KEPT:
            del self._kept[next(iter(self._kept))]
        self._serial += 1
        self._kept[str(self._serial)] = files
        return str(self._serial)


def _size(files: Mapping[str, bytes]) -> int:
    return sum(map(len, files.values()))


def _pieces(files: Mapping[str, bytes], begin: int, end: int) -> list[tuple[str, bytes]]:
    """What of each file lies between two places of all of them in a row."""
    pieces, place = [], 0
    for name, data in files.items():
        piece = data[max(begin - place, 0) : max(end - place, 0)]
        if piece:
            pieces.append((name, piece))
        place += len(data)
    return pieces


async def collect(ask: Callable[..., Awaitable[dict[str, Any]]], day: date) -> dict[str, bytes]:
    """All files of a day. `ask(date=, snapshot=, after=)` is the control call `statement`.

    Raises:
        CodecError: a page that is none, or more than STATEMENT_BYTES_MAX.
    """
    files: dict[str, list[bytes]] = {}
    snapshot, after, size = "", 0, 1
    while after < size:
        page = await ask(date=day.isoformat(), snapshot=snapshot, after=after)
        try:
            for piece in page["files"]:
                files.setdefault(str(piece["name"]), []).append(base64.b64decode(piece["base64"], validate=True))
            snapshot, before, after, size = str(page["snapshot"]), after, int(page["after"]), int(page["bytes"])
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise CodecError("page", "FORMAT") from None
        if size > STATEMENT_BYTES_MAX or (after <= before and size):
            raise CodecError("page", "SIZE")
    return {name: b"".join(pieces) for name, pieces in files.items()}
