"""A checked spec as a tree of elements: what both XML codecs walk. A malformed spec is a ValueError."""

import re
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from adapters.wire._scan import Start, events
from adapters.wire._values import read_value
from adapters.wire.spec import Field, HeaderField, HeaderSpec, Kind, XmlSpec
from switch.errors import InvalidValue
from switch.limits import XML_DEPTH_MAX, XML_NODES_MAX

__all__ = ["NO_SLOT", "Leaf", "Node", "check_header", "check_record", "layout", "places_in"]

NO_SLOT: Final = -1  # place in the record of a constant: it has none

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SIZED: Final = (Kind.TEXT, Kind.ASCII, Kind.DIGITS)
_HEADER_ONLY: Final = (Kind.HEADER_DATE, Kind.HEADER_TIME)


class Leaf:
    """A field and its place in the record."""

    __slots__ = ("field", "name", "path", "required", "slot")

    def __init__(self, field: Field, slot: int) -> None:
        self.field = field
        self.slot = slot  # NO_SLOT for a constant
        self.path = field.at
        self.name = field.at.rpartition("/")[2].removeprefix("@")
        # An attribute or a constant is required where its element is; another field is required in every message.
        self.required = field.required


class Node:
    """One element of the message."""

    __slots__ = (
        "attribute_names",
        "attributes",
        "children",
        "constant",
        "declares",
        "expected",
        "ignored",
        "name",
        "namespace",
        "path",
        "required",
        "slots",
        "text",
    )

    def __init__(self, path: str, name: str, inherited: str, namespaces: Any) -> None:
        self.path = path  # below the root; "" = the root
        self.name = name
        self.declares = path in namespaces  # written with a declaration of its namespace
        self.namespace: str = namespaces.get(path, inherited)
        self.attributes: list[Leaf] = []
        self.attribute_names: set[str] = set()
        self.text: Leaf | None = None
        self.children: list[Node] = []
        self.ignored: dict[str, str] = {}  # name -> namespace of children whose content is skipped
        self.slots: list[int] = []  # of all fields in it, in order and without a gap
        self.required = path == ""  # stands in every message
        self.constant = False  # holds constants only, and is written wherever its parent is
        self.expected = False  # must stand, when read, wherever its parent does

    @property
    def shown(self) -> str:
        """What an error calls this element."""
        return self.path or self.name

    def settle(self) -> None:
        """Compute from the leaves up what the fields below mean for this element."""
        for child in self.children:
            child.settle()
            self.slots += child.slots
            self.required |= child.required
        own = [*self.attributes, *([self.text] if self.text else [])]
        self.slots = sorted({*self.slots, *(leaf.slot for leaf in own if leaf.slot != NO_SLOT)})
        self.attribute_names = {leaf.name for leaf in self.attributes}
        self.constant = not self.slots
        self.required |= self.text is not None and self.text.slot != NO_SLOT and self.text.required
        strict = any(leaf.required for leaf in own) or any(child.expected for child in self.children)
        self.expected = self.required or (self.constant and strict)


def check_record(name: str, fields: tuple[Field, ...] | tuple[HeaderField, ...], record: type) -> None:
    """The record's fields are the fields that are no constants, in order."""
    wanted = tuple(field.name for field in fields if not field.const)
    if len(set(wanted)) != len(wanted):
        raise ValueError(f"{name}: a field name stands twice")
    if not issubclass(record, tuple) or getattr(record, "_fields", None) != wanted:
        raise ValueError(f"{name}: {record.__name__} must have exactly the fields {', '.join(wanted)}")


def places_in(record: type, whole: type) -> list[int]:
    """For each field of `whole`, a record of a codec, its place in `record`; -1 where that has it not."""
    names, offered = getattr(record, "_fields", ()), getattr(whole, "_fields", ())
    if not issubclass(record, tuple) or not names or not set(names) <= set(offered):
        raise ValueError(f"{record.__name__}: a view has some of the fields of {whole.__name__}, and no others")
    return [names.index(name) if name in names else -1 for name in offered]


def layout(spec: XmlSpec) -> Node:
    """The root of the tree, or ValueError."""
    try:
        return _Builder(spec).build()
    except (ValueError, InvalidValue) as broken:
        raise ValueError(f"{spec.name}: {broken}") from None


class _Builder:
    def __init__(self, spec: XmlSpec) -> None:
        self.spec = spec
        _named(spec.root)
        self.root = Node("", spec.root, "", spec.namespaces)
        self.closed: set[str] = set()  # elements that later fields can no longer enter
        self.open: list[Node] = [self.root]

    def build(self) -> Node:
        slot = 0
        if not self.spec.fields:
            raise ValueError("a message has fields")
        for field in self.spec.fields:
            _check_field(field)
            self._place(Leaf(field, NO_SLOT if field.const else slot))
            slot += not field.const
        paths = {""}
        self._collect(self.root, paths)
        if len(paths) > XML_NODES_MAX:
            raise ValueError("more elements than XML_NODES_MAX")
        for path in self.spec.ignore:
            self._ignore(path, paths)
        for uri in self.spec.namespaces.values():
            _check_namespace(uri)
        stray = set(self.spec.namespaces) - paths - set(self.spec.ignore)
        if stray:
            raise ValueError(f"a namespace for what is no element: {min(stray)}")
        self.root.settle()
        return self.root

    def _place(self, leaf: Leaf) -> None:
        *steps, last = leaf.path.split("/")
        attribute = last.startswith("@")
        if attribute:
            self._attribute(self._enter(steps), leaf)
            return
        node = self._enter([*steps, last])
        if node.text is not None or node.children:
            raise ValueError(f"{leaf.path}: stands twice, or holds both text and elements")
        node.text = leaf

    def _attribute(self, node: Node, leaf: Leaf) -> None:
        _named(leaf.name)
        if leaf.name == "xmlns":
            raise ValueError(f"{leaf.path}: a namespace is declared in `namespaces`")
        if node.children or any(other.name == leaf.name for other in node.attributes):
            raise ValueError(f"{leaf.path}: an attribute stands once, before the elements of its element")
        node.attributes.append(leaf)

    def _enter(self, steps: list[str]) -> Node:
        """The element at this path, opened where it is new; what was open beside it closes for ever."""
        depth = 0
        while depth < len(steps) and depth + 1 < len(self.open) and self.open[depth + 1].name == steps[depth]:
            depth += 1
        for node in self.open[depth + 1 :]:
            self.closed.add(node.path)
        del self.open[depth + 1 :]
        for step in steps[depth:]:
            _named(step)
            parent = self.open[-1]
            path = f"{parent.path}/{step}" if parent.path else step
            if path in self.closed:
                raise ValueError(f"{path}: its fields do not stand together")
            if parent.text is not None:
                raise ValueError(f"{parent.path}: holds both text and elements")
            node = Node(path, step, parent.namespace, self.spec.namespaces)
            parent.children.append(node)
            self.open.append(node)
        if len(self.open) > XML_DEPTH_MAX:
            raise ValueError(f"{'/'.join(steps)}: deeper than XML_DEPTH_MAX")
        return self.open[-1]

    def _collect(self, node: Node, paths: set[str]) -> None:
        for child in node.children:
            paths.add(child.path)
            self._collect(child, paths)

    def _ignore(self, path: str, paths: set[str]) -> None:
        if path in paths:
            raise ValueError(f"{path}: both read and ignored")
        above, _, name = path.rpartition("/")
        _named(name)
        node = self.root
        for step in above.split("/") if above else []:
            node = next((child for child in node.children if child.name == step), node)
        if node.path != above or node.text is not None:
            raise ValueError(f"{path}: ignored in an element that the fields do not make")
        node.ignored[name] = self.spec.namespaces.get(path, node.namespace)


def _named(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an element or attribute here")


def _check_namespace(uri: str) -> None:
    """Is it read back as it is written?"""
    start = next(events(f"<a xmlns={quoteattr(uri)}/>".encode()))
    if not isinstance(start, Start) or start.namespace != uri:
        raise ValueError("a namespace that would not come back")


def _check_field(field: Field) -> None:
    if field.kind in _HEADER_ONLY:
        raise ValueError(f"{field.at}: a kind for headers only")
    if field.const:
        read_value(Field(field.name, field.at, Kind.TEXT, max_chars=len(field.const)), field.const)
        return
    if not field.name.isidentifier():
        raise ValueError(f"{field.at}: a field that is no constant has a name")
    if (field.kind is Kind.CODE) != bool(field.codes):
        raise ValueError(f"{field.at}: codes belong to CODE, and CODE has some")
    for code in field.codes:
        read_value(Field("", field.at, Kind.ASCII), code)
    if field.kind in _SIZED and not 0 <= field.min_chars <= field.max_chars:
        raise ValueError(f"{field.at}: 0 <= min_chars <= max_chars")


def check_header(spec: HeaderSpec) -> None:
    """ValueError for a table that no header can follow."""
    kinds = {Kind.ASCII: 0, Kind.DIGITS: 0, Kind.CODE: 0, Kind.HEADER_DATE: 8, Kind.HEADER_TIME: 6}
    for field in spec.fields:
        shown = f"{spec.name}: {field.name}"
        if field.const:
            if len(field.const) != field.length or not field.const.isascii():
                raise ValueError(f"{shown}: a constant fills its length with ASCII")
            continue
        if not field.name.isidentifier() or field.length < 1:
            raise ValueError(f"{shown}: a field has a name and at least one character")
        if field.kind not in kinds or field.length < kinds[field.kind]:
            raise ValueError(f"{shown}: a kind that headers do not have, or too short for it")
        if (field.kind is Kind.CODE) != bool(field.codes) or any(len(code) > field.length for code in field.codes):
            raise ValueError(f"{shown}: codes belong to CODE, and fit its length")
