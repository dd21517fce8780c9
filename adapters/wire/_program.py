"""The two programs of the compiled XML codec, made from the tree of `_layout`: plain data, laid out in C by `_xml`."""

from typing import NamedTuple

from adapters.wire._layout import NO_SLOT, Leaf, Node
from adapters.wire._reference import DECLARATION

__all__ = ["ElementRow", "Program", "StepRow", "compile_message", "escaped"]

NOTHING, VALUE, JUMP_IF_ABSENT = 0, 1, 2  # `Act` in _straight.pxd


class StepRow(NamedTuple):
    """A Step of _straight.pxd. `leaf` is an index of Program.leaves; -1 = none."""

    piece: bytes
    act: int
    leaf: int
    first_slot: int
    end_slot: int
    target: int


class ElementRow(NamedTuple):
    """An Element of _xml.pxd; -1 = none. The attributes are the `attribute_count` leaves from `first_attribute`."""

    open: bytes
    close: bytes
    first_attribute: int
    attribute_count: int
    text: int
    first_child: int
    next_sibling: int
    expected: bool
    constant: bool
    depth: int
    ignored: tuple[bytes, ...]


class Program(NamedTuple):
    """All that the compiled codec knows of a message."""

    leaves: list[Leaf]
    steps: list[StepRow]
    elements: list[ElementRow]


def escaped(text: str, *, attribute: bool) -> str:
    """As it is written in an element or an attribute."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;") if attribute else text


def compile_message(root: Node) -> Program:
    """The programs of one message."""
    builder = _Builder()
    builder.piece = DECLARATION
    builder.write(root)
    builder.flush()
    builder.read(root)
    return Program(builder.leaves, builder.steps, builder.elements)


def _opening(node: Node) -> str:
    return f"<{node.name}" + (f' xmlns="{escaped(node.namespace, attribute=True)}"' if node.declares else "")


class _Builder:
    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.steps: list[StepRow] = []
        self.elements: list[ElementRow] = []
        self.piece = ""  # constant text not yet in a step

    def leaf(self, leaf: Leaf) -> int:
        if leaf not in self.leaves:
            self.leaves.append(leaf)
        return self.leaves.index(leaf)

    def flush(self) -> None:
        """End the running piece: a jump may land behind it."""
        if self.piece:
            self.step(NOTHING)

    def step(self, act: int, leaf: int = -1, slots: list[int] | None = None) -> int:
        first, end = (slots[0], slots[-1] + 1) if slots else (0, 0)
        self.steps.append(StepRow(self.piece.encode(), act, leaf, first, end, 0))
        self.piece = ""
        return len(self.steps) - 1

    def land(self, step: int) -> None:
        self.flush()
        self.steps[step] = self.steps[step]._replace(target=len(self.steps))

    def write(self, node: Node) -> None:
        for leaf in node.attributes:  # together, and before the text: Element.attributes is a run of leaves
            self.leaf(leaf)
        optional = not (node.required or node.constant)
        jump = self.step(JUMP_IF_ABSENT, slots=node.slots) if optional else -1
        self.piece += _opening(node)
        for leaf in node.attributes:
            self.attribute(leaf)
        self.piece += ">"
        if node.text is not None:
            self.value(node.text)
        for child in node.children:
            self.write(child)
        self.piece += f"</{node.name}>"
        if optional:
            self.land(jump)

    def attribute(self, leaf: Leaf) -> None:
        optional = leaf.slot != NO_SLOT and not leaf.required
        jump = self.step(JUMP_IF_ABSENT, slots=[leaf.slot]) if optional else -1
        self.piece += f' {leaf.name}="'
        self.value(leaf, attribute=True)
        self.piece += '"'
        if optional:
            self.land(jump)

    def value(self, leaf: Leaf, *, attribute: bool = False) -> None:
        place = self.leaf(leaf)
        if leaf.slot == NO_SLOT:
            self.piece += escaped(leaf.field.const, attribute=attribute)
        else:
            self.step(VALUE, place)

    def read(self, node: Node, depth: int = 1) -> int:
        place = len(self.elements)
        row = ElementRow(
            open=_opening(node).encode(),
            close=f"</{node.name}>".encode(),
            first_attribute=self.leaf(node.attributes[0]) if node.attributes else 0,
            attribute_count=len(node.attributes),
            text=self.leaf(node.text) if node.text is not None else -1,
            first_child=place + 1 if node.children else -1,
            next_sibling=-1,
            expected=node.expected,
            constant=node.constant,
            depth=depth,
            ignored=tuple(
                (f"<{name}" + ("" if uri == node.namespace else f' xmlns="{escaped(uri, attribute=True)}"')).encode()
                for name, uri in node.ignored.items()
            ),
        )
        self.elements.append(row)
        for child in node.children:
            before = self.read(child, depth + 1)
            if child is not node.children[-1]:
                self.elements[before] = self.elements[before]._replace(next_sibling=len(self.elements))
        return place
