"""The plain twins: the specification of the XML codec, the header codec and the framing.

The compiled twins must give the same bytes, the same values and the same refusals; they hand whatever they do not
recognise at once to these, so that a refusal has one author.
"""

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from adapters.wire._layout import NO_SLOT, Leaf, Node, check_header, check_record, layout, places_in
from adapters.wire._scan import End, Start, Text, events
from adapters.wire._values import Value, check_text, read_value, write_value
from adapters.wire.spec import Field, HeaderField, HeaderSpec, Kind, XmlSpec
from switch.errors import CodecError, InvalidValue
from switch.limits import RAIL_MESSAGE_BYTES_MAX

__all__ = ["COMPILED", "DECLARATION", "Deframer", "HeaderCodec", "View", "XmlCodec", "frame"]

COMPILED: Final = False

R = TypeVar("R", bound=tuple[object, ...])
S = TypeVar("S", bound=tuple[object, ...])

DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
_HINTS: Final = {
    _XSI + "schemaLocation",
    _XSI + "noNamespaceSchemaLocation",
}  # where a schema lies: allowed, never followed


class XmlCodec(Generic[R]):
    """One message, bytes <-> record, by its table. Pure; one codec serves all threads and connections.

    An optional element is written only when a field in it has a value, and constants go with their element. When read,
    a field is required in every message; an attribute or a constant is required where its element is.
    """

    def __init__(self, spec: XmlSpec, record: type[R]) -> None:
        """Raises ValueError when the table is malformed or `record` is not a NamedTuple of exactly its fields."""
        check_record(spec.name, spec.fields, record)
        self.spec = spec
        self.record = record
        self._root = layout(spec)

    def write(self, record: R) -> bytes:
        """The message in UTF-8 with an XML declaration, in one line.

        Raises:
            CodecError: path of the first field, in document order, that is MISSING, of the wrong KIND, or breaks the
                rule of its kind (LENGTH, CHARACTER, CODE, FORMAT, SIGN, VERSION, VARIANT, DATE); path "/": SIZE.
        """
        out = [DECLARATION]
        _write_node(self._root, record, out)
        data = "".join(out).encode()
        if len(data) > RAIL_MESSAGE_BYTES_MAX:
            raise CodecError("/", "SIZE")
        return data

    def read(self, data: bytes) -> R:
        """The record of a message; an absent optional field is None.

        Strict: the whole input is well-formed and within bounds, the elements are those of the table in its namespaces
        and its order, and every value keeps the rule of its kind. Prefixes, comments, CDATA and white space between
        elements are read as XML means them; schema location hints are passed over.

        Raises:
            CodecError: path of the field, or of the innermost element known to the table ("/" outside the root); rule
                as for `write`, or DECIMALS, TIME, OFFSET, CONST, UNKNOWN, ORDER, REPEATED, NAMESPACE, MIXED, or one
                of `_scan`.
        """
        return tuple.__new__(self.record, _Reading(self._root).read(data))

    def view(self, record: type[S]) -> "View[S]":
        """A reader of some fields only. Raises ValueError when `record` is not a NamedTuple of fields of this message."""
        return View(self, record)


class View(Generic[R]):
    """Reads the whole message or header, as strictly as its codec does, and gives the fields of `record`, in its order."""

    def __init__(self, codec: "XmlCodec[Any] | HeaderCodec[Any]", record: type[R]) -> None:
        places = places_in(record, codec.record)
        self.record = record
        self._codec = codec
        self._slots = [places.index(place) for place in range(max(places) + 1)]

    def read(self, data: bytes) -> R:
        """As the codec's `read`, its errors too."""
        whole = self._codec.read(data)
        return tuple.__new__(self.record, [whole[slot] for slot in self._slots])


class HeaderCodec(Generic[R]):
    """A fixed-width ASCII header, bytes <-> record, by its table. All values are text; "" stands for all spaces."""

    def __init__(self, spec: HeaderSpec, record: type[R]) -> None:
        """Raises ValueError when the table is malformed or `record` is not a NamedTuple of exactly its fields."""
        check_header(spec)
        check_record(spec.name, spec.fields, record)
        self.spec = spec
        self.record = record
        self.length = sum(field.length for field in spec.fields)  # bytes

    def write(self, record: R) -> bytes:
        """Exactly `length` bytes, each text padded with spaces on the right.

        Raises:
            CodecError: name of the first field that is of the wrong KIND, MISSING, too long (LENGTH), or breaks
                its rule.
        """
        out, slot = [], 0
        for field in self.spec.fields:
            if field.const:
                out.append(field.const)
                continue
            value = record[slot]
            slot += 1
            if not isinstance(value, str):
                raise CodecError(field.name, "KIND")
            if len(value) > field.length:
                raise CodecError(field.name, "LENGTH")
            if value.endswith(" "):
                raise CodecError(field.name, "CHARACTER")  # it would not come back
            _check_header_text(field, value)
            out.append(value.ljust(field.length))
        return "".join(out).encode("ascii")

    def read(self, data: bytes) -> R:
        """The record of a header, spaces on the right stripped.

        Raises:
            CodecError: path "/" and LENGTH when `data` is not `length` bytes; else the name of the first field that is
                MISSING, CONST, CHARACTER, CODE, DATE, TIME, or the rule its row names.
        """
        if len(data) != self.length:
            raise CodecError("/", "LENGTH")
        values, start = [], 0
        for field in self.spec.fields:
            text = data[start : start + field.length].decode("latin-1")  # a byte is a character; most are refused
            start += field.length
            if field.const:
                if text != field.const:
                    raise CodecError(field.name, field.rule or "CONST")
                continue
            text = text.rstrip(" ")
            _check_header_text(field, text)
            values.append(text)
        return tuple.__new__(self.record, values)

    def view(self, record: type[S]) -> "View[S]":
        """As XmlCodec.view."""
        return View(self, record)


def _check_header_text(field: HeaderField, text: str) -> None:
    if not text:
        if field.required:
            raise CodecError(field.name, "MISSING")
        return
    try:
        if field.kind is Kind.CODE or field.kind in (Kind.HEADER_DATE, Kind.HEADER_TIME):
            read_value(Field(field.name, "", field.kind, codes=field.codes), text)
        else:
            check_text(field.kind, text, 1, field.length)
    except InvalidValue as broken:
        raise CodecError(field.name, field.rule or broken.rule) from None


def frame(payload: bytes) -> bytes:
    """`payload` behind its length in four bytes, most significant first. CodecError SIZE when they cannot hold it."""
    if len(payload) > 0xFFFFFFFF:
        raise CodecError("/", "SIZE")
    return len(payload).to_bytes(4, "big") + payload


class Deframer:
    """Takes a stream apart into the payloads that `frame` made. Holds at most one unfinished payload."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` bounds one payload."""
        if not 0 < max_bytes <= 0xFFFFFFFF:
            raise ValueError("max_bytes is 1 to 2**32 - 1")
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes of an unfinished frame: not 0 at the end of a stream means that it was cut."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes, in order.

        Raises:
            CodecError: path "/", rule SIZE: a length beyond `max_bytes`. The stream is lost: this and every later call
                raises, and the payloads that came before it in the same `data` are not given out.
        """
        self._buffer += data
        payloads, start = [], 0
        while len(self._buffer) - start >= 4:
            length = int.from_bytes(self._buffer[start : start + 4], "big")
            if length > self._max_bytes:
                del self._buffer[:start], self._buffer[4:]
                raise CodecError("/", "SIZE")
            end = start + 4 + length
            if len(self._buffer) < end:
                break
            payloads.append(bytes(self._buffer[start + 4 : end]))
            start = end
        del self._buffer[:start]
        return payloads


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text_of(leaf: Leaf, record: Sequence[object]) -> str:
    if leaf.slot == NO_SLOT:
        return _escaped(leaf.field.const)
    value = record[leaf.slot]
    if value is None:
        raise CodecError(leaf.path, "MISSING")
    try:
        return _escaped(write_value(leaf.field, value))
    except InvalidValue as broken:
        raise CodecError(leaf.path, broken.rule) from None


def _write_node(node: Node, record: Sequence[object], out: list[str]) -> None:
    """Append one element, or nothing when it is optional and no field in it has a value."""
    if not (node.required or node.constant or any(record[slot] is not None for slot in node.slots)):
        return
    out.append(f"<{node.name}")
    if node.declares:
        out.append(f' xmlns="{_quoted(node.namespace)}"')
    for leaf in node.attributes:
        if leaf.required or leaf.slot == NO_SLOT or record[leaf.slot] is not None:
            out.append(f' {leaf.name}="{_quoted(_text_of(leaf, record), escaped=True)}"')
    out.append(">")
    if node.text is not None:
        out.append(_text_of(node.text, record))
    for child in node.children:
        _write_node(child, record, out)
    out.append(f"</{node.name}>")


def _quoted(text: str, *, escaped: bool = False) -> str:
    return (text if escaped else _escaped(text)).replace('"', "&quot;")


class _Frame:
    """An element of the table that is open while a message is read."""

    __slots__ = ("next", "node", "seen", "texts", "values_before")

    def __init__(self, node: Node, values_before: int) -> None:
        self.node = node
        self.next = 0  # children before this one may no longer come
        self.seen = 0  # bit by place among the children
        self.texts: list[str] = []
        self.values_before = values_before


class _Reading:
    """One pass over one message."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.values: list[Value | None] = [None] * len(root.slots)
        self.found = 0  # values so far
        self.open: list[_Frame] = []
        self.skipping = 0  # depth inside an ignored element

    def read(self, data: bytes) -> list[Value | None]:
        """The values of all slots, or CodecError."""
        try:
            for event in events(data):
                if self.skipping:
                    self.skipping += isinstance(event, Start) - isinstance(event, End)
                elif isinstance(event, Start):
                    self._start(event)
                elif isinstance(event, Text):
                    self._text(event.text)
                else:
                    self._end(self.open.pop())
        except InvalidValue as broken:
            raise CodecError(self.open[-1].node.shown if self.open else "/", broken.rule) from None
        return self.values

    def _start(self, event: Start) -> None:
        if not self.open:
            if event.tag != self.root.name:
                raise CodecError("/", "UNKNOWN")
            self._enter(self.root, event)
            return
        frame = self.open[-1]
        for place, child in enumerate(frame.node.children):
            if child.name == event.tag:
                if event.namespace == child.namespace:
                    self._check_order(frame, place)
                self._enter(child, event)
                return
        if event.tag not in frame.node.ignored:
            raise CodecError(frame.node.shown, "UNKNOWN")
        if event.namespace != frame.node.ignored[event.tag]:
            raise CodecError(frame.node.shown, "NAMESPACE")
        self.skipping = 1

    def _check_order(self, frame: _Frame, place: int) -> None:
        if place < frame.next:
            raise CodecError(frame.node.children[place].path, "REPEATED" if frame.seen >> place & 1 else "ORDER")
        frame.seen |= 1 << place
        frame.next = place + 1

    def _enter(self, node: Node, event: Start) -> None:
        if event.namespace != node.namespace:
            raise CodecError(node.shown, "NAMESPACE")
        self.open.append(_Frame(node, self.found))
        if event.attributes and not event.attributes.keys() <= node.attribute_names | _HINTS:
            raise CodecError(node.shown, "UNKNOWN")
        for leaf in node.attributes:
            text = event.attributes.get(leaf.name)
            if text is not None:
                self._value(leaf, text)
            elif leaf.required:
                raise CodecError(leaf.path, "MISSING")

    def _text(self, text: str) -> None:
        frame = self.open[-1]
        if frame.node.text is not None:
            frame.texts.append(text)
        elif text.strip(" \t\r\n"):
            raise CodecError(frame.node.shown, "MIXED")

    def _end(self, frame: _Frame) -> None:
        node = frame.node
        if node.text is not None:
            self._value(node.text, "".join(frame.texts))
        for place, child in enumerate(node.children):
            if child.expected and not frame.seen >> place & 1:
                raise CodecError(child.path, "MISSING")
        if not node.constant and self.found == frame.values_before:
            raise CodecError(node.shown, "MISSING")  # an optional element that says nothing

    def _value(self, leaf: Leaf, text: str) -> None:
        if leaf.slot == NO_SLOT:
            if text != leaf.field.const:
                raise CodecError(leaf.path, "CONST")
            return
        try:
            self.values[leaf.slot] = read_value(leaf.field, text)
        except InvalidValue as broken:
            raise CodecError(leaf.path, broken.rule) from None
        self.found += 1
