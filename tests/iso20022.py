"""Does a message keep its ISO 20022 schema? Told from the dataclasses of pyiso20022, which were made from the schemas.

Two looks: xsdata parses it with unknown elements and attributes refused, and a walk over the tree checks from the
classes' metadata what a parser does not: order, occurrence, choices, lengths, patterns, digits, code lists, types.
"""

import dataclasses
import re
import sys
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_type_hints

from lxml import etree
from xsdata.exceptions import ConverterWarning
from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.models.datatype import XmlDate, XmlDateTime

__all__ = ["NotValid", "assert_valid", "part"]

_CONFIG = ParserConfig(
    fail_on_unknown_properties=True, fail_on_unknown_attributes=True, fail_on_converter_warnings=True
)
_CONTEXT = XmlContext()


class NotValid(AssertionError):
    """The message breaks its schema; names the path and the rule."""


def part(message: bytes, name: str) -> bytes:
    """The outermost element of this local name (Document, AppHdr) cut out of an envelope, as a document of its own."""
    found = next(
        (element for element in etree.fromstring(message).iter() if etree.QName(element).localname == name), None
    )
    assert found is not None, f"no {name} in the message"
    return bytes(etree.tostring(found, with_tail=False))


def assert_valid(document: bytes, model: type[Any]) -> Any:
    """Check `document` against the class of its root (Document or AppHdr); return it parsed. Raises NotValid."""
    try:
        parsed = XmlParser(config=_CONFIG, context=_CONTEXT).from_bytes(document, model)
    except (ConverterWarning, Exception) as error:
        raise NotValid(f"{model.__module__}: {type(error).__name__}: {error}") from error
    root = etree.fromstring(document)
    namespace = model.Meta.namespace
    name = etree.QName(root)
    wanted = getattr(model.Meta, "name", model.__name__)
    _require(name.localname == wanted and name.namespace == namespace, name.localname, "root element")
    _check_element(root, model, wanted, namespace)
    return parsed


def _require(kept: bool, path: str, rule: str) -> None:
    if not kept:
        raise NotValid(f"{path}: {rule}")


def _check_element(element: Any, model: type[Any], path: str, namespace: str) -> None:
    """One element of a complex type: its attributes, its text, its children in order."""
    types = _types(model)
    children = []
    for field in dataclasses.fields(model):
        kind = field.metadata.get("type")
        if kind == "Attribute":
            _check_attribute(element, field, types[field.name], path)
        elif kind in ("Element", "Wildcard"):
            children.append(field)
        else:
            _check_text(element.text or "", types[field.name], field.metadata, path)
    _check_children(element, model, children, types, path, namespace)


def _types(model: type[Any]) -> dict[str, Any]:
    return get_type_hints(model, vars(sys.modules[model.__module__]))


def _check_attribute(element: Any, field: dataclasses.Field[Any], kind: Any, path: str) -> None:
    text = element.get(field.metadata["name"])
    if text is None:
        _require(not field.metadata.get("required"), path, f"attribute {field.metadata['name']} is required")
    else:
        _check_text(text, kind, field.metadata, f"{path}/@{field.metadata['name']}")


def _check_children(
    element: Any,
    model: type[Any],
    fields: list[dataclasses.Field[Any]],
    types: dict[str, Any],
    path: str,
    namespace: str,
) -> None:
    if any(field.metadata["type"] == "Wildcard" for field in fields):
        return  # xs:any: nothing of ours is in one
    names = [field.metadata["name"] for field in fields]
    seen: dict[str, int] = {}
    last = 0
    for child in element:
        name = etree.QName(child)
        _require(name.localname in names, path, f"unknown element {name.localname}")
        _require(name.namespace == namespace, path, f"{name.localname} in another namespace")
        place = names.index(name.localname)
        _require(place >= last, path, f"{name.localname} is out of order")
        last = place
        seen[name.localname] = seen.get(name.localname, 0) + 1
        field = fields[place]
        below, kind = f"{path}/{name.localname}", _innermost(types[field.name])
        if dataclasses.is_dataclass(kind):
            assert isinstance(kind, type)
            _check_element(child, kind, below, namespace)
        else:
            _require(len(child) == 0, below, "holds elements")
            _check_text(child.text or "", kind, field.metadata, below)
    for field in fields:
        count = seen.get(field.metadata["name"], 0)
        listed = str(types[field.name]).startswith("list")
        least = field.metadata.get("min_occurs", 1 if field.metadata.get("required") else 0)
        most = field.metadata.get("max_occurs", sys.maxsize if listed else 1)
        _require(least <= count <= most, path, f"{field.metadata['name']} stands {count} times")
    if model.__name__.endswith("Choice"):
        _require(len(seen) == 1, path, "a choice has exactly one element")


def _innermost(kind: Any) -> Any:
    """`None | X` and `list[X]` -> X."""
    inner = [argument for argument in get_args(kind) if argument is not type(None)]
    return _innermost(inner[0]) if inner else kind


def _check_text(text: str, kind: Any, rules: Any, path: str) -> None:
    kind = _innermost(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        _require(text in {member.value for member in kind}, path, "not in the code list")
    elif kind is Decimal:
        _check_decimal(text, rules, path)
    elif kind in (XmlDateTime, XmlDate):
        kind.from_string(text)
    elif kind is bool:
        _require(text in ("true", "false", "1", "0"), path, "not a boolean")
    else:
        least, most = rules.get("min_length", 0), rules.get("max_length", sys.maxsize)
        _require(least <= len(text) <= most, path, f"{len(text)} characters, not {least} to {most}")
    if "pattern" in rules:
        _require(re.fullmatch(rules["pattern"], text) is not None, path, "breaks its pattern")


def _check_decimal(text: str, rules: Any, path: str) -> None:
    number = Decimal(text)
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    assert isinstance(exponent, int)
    _require(len(digits) <= rules.get("total_digits", 99), path, "too many digits")
    _require(-exponent <= rules.get("fraction_digits", 99), path, "too many decimals")
    if "min_inclusive" in rules:
        _require(number >= rules["min_inclusive"], path, "below the least value")
