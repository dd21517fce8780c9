"""An XML message with elements that repeat, taken apart for the table codec, which knows none: a frame and its parts.

The parts are cut out of the bytes and read one by one, and so is what is left, so everything is checked by a table. To
make a cut safe there is no comment, CDATA section or DOCTYPE in such a message: a tag is a tag wherever it stands.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Generic, NamedTuple, TypeVar

from adapters.wire import XmlCodec, XmlSpec
from switch.errors import CodecError

__all__ = ["Part", "Place", "check_markup", "cut", "cut_list", "paste", "paste_list"]

R = TypeVar("R", bound=tuple[object, ...])

_DECLARATION: Final = re.compile(rb"\s*<\?xml[^<>]*\?>")
_BLANK: Final = re.compile(rb"\s*")


class Place(NamedTuple):
    """Where a run of equal elements stands: right before a tag that the frame has once."""

    name: str  # of the elements
    before: str  # the tag that begins or ends behind the run, e.g. <TxsSummry>


def check_markup(data: bytes) -> None:
    """Raises CodecError MARKUP: a comment, a CDATA section, a DOCTYPE, or a processing instruction."""
    declaration = _DECLARATION.match(data)
    if b"<!" in data or b"<?" in data[declaration.end() if declaration else 0 :]:
        raise CodecError("/", "MARKUP")


# --- runs of elements ------------------------------------------------------------------------------------------------
def cut(data: bytes, place: Place) -> tuple[bytes, list[bytes]]:
    """The message without the run, and the elements of the run, none of them at worst. Markup must have been checked.

    Raises:
        CodecError: path of the element: PLACE, when they are not all there, right before their tag.
    """
    before, first = place.before.encode(), f"<{place.name}>".encode()
    if data.count(before) != 1:
        raise CodecError(place.name, "PLACE")
    end = data.index(before)
    begin = data.find(first, 0, end)
    if begin < 0:
        begin = end
    return data[:begin] + data[end:], _run(data[begin:end], place.name)


def paste(frame: bytes, place: Place, parts: Iterable[bytes]) -> bytes:
    """The inverse of `cut`."""
    before = place.before.encode()
    assert frame.count(before) == 1, place
    position = frame.index(before)
    return b"".join((frame[:position], *parts, frame[position:]))


def cut_list(data: bytes, place: Place, name: str) -> tuple[bytes, list[bytes]]:
    """As `cut`, of the elements called `name` in the one element of `place` that holds nothing else."""
    data, lists = cut(data, place)
    if len(lists) != 1:
        raise CodecError(place.name, "COUNT")
    tag = len(f"<{place.name}>".encode())
    return data, _run(lists[0][tag : -tag - 1], name)


def paste_list(frame: bytes, place: Place, parts: Iterable[bytes]) -> bytes:
    """The inverse of `cut_list`."""
    return paste(frame, place, (f"<{place.name}>".encode(), *parts, f"</{place.name}>".encode()))


def _run(data: bytes, name: str) -> list[bytes]:
    element, parts, position = _element(name), [], 0
    while (match := element.match(data, position)) is not None:
        parts.append(match[1])
        position = match.end()
    if _BLANK.fullmatch(data, position) is None:
        raise CodecError(name, "PLACE")
    return parts


@lru_cache(maxsize=64)
def _element(name: str) -> re.Pattern[bytes]:
    tag = re.escape(name.encode())
    return re.compile(rb"\s*(<" + tag + rb">.*?</" + tag + rb">)", re.DOTALL)


# --- one element -----------------------------------------------------------------------------------------------------
class Part(Generic[R]):
    """The codec of one repeated element: bytes as they stand in the message <-> record.

    The table is a message whose root is the element, in the namespace of the message around it.
    """

    def __init__(self, spec: XmlSpec, record: type[R]) -> None:
        self.spec = spec
        self._codec = XmlCodec(spec, record)
        self._tag = f"<{spec.root}".encode()
        self._declared = f'<{spec.root} xmlns="{spec.namespaces[""]}"'.encode()

    def write(self, record: R) -> bytes:
        """Raises CodecError, path below the element."""
        data = self._codec.write(record)
        return self._tag + data[data.index(self._declared) + len(self._declared) :]

    def read(self, part: bytes, number: int) -> R:
        """Raises CodecError, with the element and its number (from 1) before the path."""
        try:
            return self._codec.read(self._declared + part[len(self._tag) :])
        except CodecError as error:
            root = self.spec.root
            path = f"{root}[{number}]" + ("" if error.path in ("/", root) else f"/{error.path}")
            raise CodecError(path, error.rule) from None
