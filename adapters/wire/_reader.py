"""The general reader: any XML a rail may send, as a tree. For tools, tests and messages without a table.

Plain Python only: no payment waits for it. What it takes and refuses is said in `_scan`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from adapters.wire._scan import End, Start, events
from switch.errors import CodecError, InvalidValue

__all__ = ["Element", "parse_xml"]


class Element(NamedTuple):
    """One element. `text` is all character data directly inside it, in one piece, "" when there is none."""

    tag: str
    namespace: str  # "" = in none
    attributes: Mapping[str, str]  # by local name, or {namespace}local
    text: str
    children: tuple["Element", ...]


class _Open(NamedTuple):
    start: Start
    texts: list[str]
    children: list[Element]


def parse_xml(data: bytes) -> Element:
    """The root element of a document.

    Agrees with libxml2 (no DTD, no network, entities not resolved) on well-formed input, and refuses all that it
    refuses; beyond that it refuses any DOCTYPE, processing instruction, encoding other than UTF-8, version other than
    1.0, and what exceeds RAIL_MESSAGE_BYTES_MAX, XML_DEPTH_MAX or XML_NODES_MAX.

    Raises:
        CodecError: path "/"; rule SIZE, ENCODING, CHARACTER, DOCTYPE, PI, ENTITY, NAMESPACE, DEPTH, NODES or
            WELL_FORMED.
    """
    top = _Open(Start("", "", {}), [], [])
    stack = [top]
    try:
        for event in events(data):
            if isinstance(event, Start):
                stack.append(_Open(event, [], []))
            elif isinstance(event, End):
                start, texts, children = stack.pop()
                stack[-1].children.append(Element(*start, "".join(texts), tuple(children)))
            else:
                stack[-1].texts.append(event.text)
    except InvalidValue as broken:
        raise CodecError("/", broken.rule) from None
    return top.children[0]
