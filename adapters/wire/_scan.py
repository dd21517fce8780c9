"""XML as a stream of events: the subset of XML 1.0 with namespaces that a rail may send, and nothing else.

It takes UTF-8 with or without its mark, a declaration, elements, attributes, text, CDATA, comments, the five entities
and character references. It refuses what could reach outside the message or make much of little: any DOCTYPE, any other
entity, any processing instruction, another encoding, and whatever exceeds the bounds of `switch.limits`. Everything
else that is not well-formed is refused too, namespaces included.

A refusal is an InvalidValue whose rule is one of SIZE, ENCODING, CHARACTER, DOCTYPE, PI, ENTITY, NAMESPACE, DEPTH,
NODES, WELL_FORMED; what comes first in the message speaks, but SIZE, ENCODING and CHARACTER are judged over the whole
of it first.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, NoReturn

from switch.errors import InvalidValue
from switch.limits import RAIL_MESSAGE_BYTES_MAX, XML_DEPTH_MAX, XML_NODES_MAX

__all__ = ["End", "Event", "Start", "Text", "events"]


class Start(NamedTuple):
    """An element opens. Attribute names are `local`, or `{namespace}local`; declarations are not among them."""

    tag: str
    namespace: str  # "" = in none
    attributes: Mapping[str, str]


class Text(NamedTuple):
    """Character data, decoded; one run of text may come in several events."""

    text: str


class End(NamedTuple):
    """The innermost open element closes."""


Event = Start | Text | End
END: Final = End()

_XML_NAMESPACE: Final = "http://www.w3.org/XML/1998/namespace"
_XMLNS_NAMESPACE: Final = "http://www.w3.org/2000/xmlns/"

# XML 1.0 (fifth edition) productions 4 and 4a, without the colon: a name with namespaces is NCName or NCName:NCName.
_FIRST: Final = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME: Final = f"[{_FIRST}][-.0-9\xb7\u0300-\u036f\u203f-\u2040{_FIRST}]*+"
_QNAME: Final = f"{_NAME}(?::{_NAME})?+"
_SPACE: Final = "[ \t\n]"

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DECLARATION: Final = re.compile(
    rf"""<\?xml{_SPACE}++version{_SPACE}*+={_SPACE}*+(?:"1\.0"|'1\.0')"""
    rf"""(?:{_SPACE}++encoding{_SPACE}*+={_SPACE}*+(?:"([A-Za-z][-A-Za-z0-9._]*+)"|'([A-Za-z][-A-Za-z0-9._]*+)'))?+"""
    rf"""(?:{_SPACE}++standalone{_SPACE}*+={_SPACE}*+(?:"(?:yes|no)"|'(?:yes|no)'))?+{_SPACE}*+\?>"""
)
_MISC: Final = re.compile(f"(?:{_SPACE}++|<!--(?:(?!--).)*+-->)*+", re.DOTALL)
_COMMENT: Final = re.compile("<!--(?:(?!--).)*+-->", re.DOTALL)
_CDATA: Final = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_ATTRIBUTE: Final = rf"""{_SPACE}++{_QNAME}{_SPACE}*+={_SPACE}*+(?:"[^<"]*+"|'[^<']*+')"""
_ATTRIBUTES: Final = re.compile(rf"""({_QNAME}){_SPACE}*+={_SPACE}*+(?:"([^<"]*+)"|'([^<']*+)')""")
_START: Final = re.compile(f"<({_QNAME})((?:{_ATTRIBUTE})*+){_SPACE}*+(/?+)>")
_END: Final = re.compile(f"</({_QNAME}){_SPACE}*+>")
_REFERENCE: Final = re.compile(f"&(?:#x([0-9a-fA-F]++)|#([0-9]++)|({_NAME}));")
# RFC 3986, URI-reference: a namespace is named by one (Namespaces in XML 1.0, section 2.2), relative ones included.
_UNIT: Final = r"[-A-Za-z0-9._~!$&'()*+,;=@]|%[0-9A-Fa-f]{2}"
_PATH: Final = f"(?:/(?:{_UNIT}|:)*+)*+"
_NAMED: Final = r"(?:[-A-Za-z0-9._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})"
_HOST: Final = rf"(?:(?:{_NAMED}|:)*@)?(?:\[[^\]]*+\]|{_NAMED}*+)(?::[0-9]{{0,8}}+)?+"
_HIERARCHY: Final = rf"//{_HOST}{_PATH}|/(?:(?:{_UNIT}|:)++{_PATH})?+"
_URI: Final = re.compile(
    rf"(?:[A-Za-z][-A-Za-z0-9+.]*+:(?:{_HIERARCHY}|(?:{_UNIT}|:)++{_PATH})?+|(?:{_HIERARCHY}|(?:{_UNIT})++{_PATH})?+)"
    rf"(?:\?(?:{_UNIT}|[:/?])*+)?+(?:#(?:{_UNIT}|[:/?\[\]])*+)?+"
)

_NO_ATTRIBUTES: Final[Mapping[str, str]] = {}
_FIVE: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def events(data: bytes) -> Iterator[Event]:
    """The events of one whole document; the last End is the root's. InvalidValue where it is refused (see above)."""
    text = _decoded(data)
    position = _prolog(text)
    if not text.startswith("<", position):
        _refuse("WELL_FORMED", "no root element")
    scopes: list[Mapping[str, str]] = [{"xml": _XML_NAMESPACE, "": ""}]  # what each open element sees declared
    names: list[str] = []
    nodes = 0
    while True:
        match = _START.match(text, position)
        if match is not None:
            nodes += 1
            _bound(len(names), nodes)
            yield _start(match, scopes)
            if match[3]:
                scopes.pop()
                yield END
            else:
                names.append(match[1])
            position = match.end()
        elif text.startswith("<", position):
            position, event = _other_markup(text, position, names, scopes)
            if event is not None:
                yield event
        else:
            end = text.find("<", position)
            if end < 0:
                _refuse("WELL_FORMED", "the message ends inside an element")
            yield Text(_character_data(text[position:end]))
            position = end
        if not names:
            break
    _epilog(text, position)


def _refuse(rule: str, message: str) -> NoReturn:
    raise InvalidValue(rule, message)


def _bound(depth: int, nodes: int) -> None:
    if depth >= XML_DEPTH_MAX:
        _refuse("DEPTH", f"at most {XML_DEPTH_MAX} elements inside one another")
    if nodes > XML_NODES_MAX:
        _refuse("NODES", f"at most {XML_NODES_MAX} elements")


def _decoded(data: bytes) -> str:
    """The whole text with line ends as XML reads them (2.11), once it is known to be of XML characters in UTF-8."""
    if len(data) > RAIL_MESSAGE_BYTES_MAX:
        _refuse("SIZE", f"at most {RAIL_MESSAGE_BYTES_MAX} bytes")
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValue("ENCODING", "not UTF-8") from None
    if _NOT_XML.search(text):
        _refuse("CHARACTER", "a character XML does not take")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _prolog(text: str) -> int:
    """The position of the root's '<'."""
    position = 0
    if re.match(r"<\?xml[ \t\n]", text):
        match = _DECLARATION.match(text)
        if match is None:
            _refuse("WELL_FORMED", "the XML declaration is not one of version 1.0")
        encoding = match[1] or match[2] or "UTF-8"
        if encoding.upper() != "UTF-8":
            _refuse("ENCODING", "the declaration names another encoding than UTF-8")
        position = match.end()
    return _misc(text, position)


def _misc(text: str, position: int) -> int:
    match = _MISC.match(text, position)
    assert match is not None  # it matches nothing as well
    position = match.end()
    if text.startswith("<!DOCTYPE", position):
        _refuse("DOCTYPE", "no DOCTYPE")
    if text.startswith("<?", position):
        _refuse("PI", "no processing instructions")
    return position


def _epilog(text: str, position: int) -> None:
    if _misc(text, position) != len(text):
        _refuse("WELL_FORMED", "something stands after the root element")


def _other_markup(
    text: str, position: int, names: list[str], scopes: list[Mapping[str, str]]
) -> tuple[int, Event | None]:
    """An end tag, a comment or CDATA: where it ends, and its event."""
    match = _END.match(text, position)
    if match is not None:
        if not names or names.pop() != match[1]:
            _refuse("WELL_FORMED", "an end tag that does not close the innermost element")
        scopes.pop()
        return match.end(), END
    if names:
        match = _COMMENT.match(text, position)
        if match is not None:
            return match.end(), None
        match = _CDATA.match(text, position)
        if match is not None:
            return match.end(), Text(match[1])
        if text.startswith("<?", position):
            _refuse("PI", "no processing instructions")
    _refuse("WELL_FORMED", "markup that is no tag")


def _start(match: re.Match[str], scopes: list[Mapping[str, str]]) -> Start:
    """The event of a start tag; pushes what is declared inside it."""
    scope, attributes = scopes[-1], _NO_ATTRIBUTES
    if match[2]:
        pairs = [(name, _attribute_value(double or single)) for name, double, single in _ATTRIBUTES.findall(match[2])]
        if len({name for name, _ in pairs}) != len(pairs):
            _refuse("WELL_FORMED", "an attribute stands twice")
        declared = {name[6:]: value for name, value in pairs if name == "xmlns" or name.startswith("xmlns:")}
        for prefix, uri in declared.items():
            _check_declaration(prefix, uri)
        scope = {**scope, **declared}
        attributes = _attributes(pairs, scope)
    scopes.append(scope)
    namespace, tag = _expanded(match[1], scope, scope[""])
    return Start(tag, namespace, attributes)


def _attributes(pairs: list[tuple[str, str]], scope: Mapping[str, str]) -> Mapping[str, str]:
    attributes: dict[str, str] = {}
    for name, value in pairs:
        if name == "xmlns" or name.startswith("xmlns:"):
            continue
        namespace, local = _expanded(name, scope, "")
        key = f"{{{namespace}}}{local}" if namespace else local
        if key in attributes:
            _refuse("WELL_FORMED", "an attribute stands twice")
        attributes[key] = value
    return attributes


def _expanded(name: str, scope: Mapping[str, str], default: str) -> tuple[str, str]:
    prefix, colon, local = name.partition(":")
    if not colon:
        return default, name
    if prefix not in scope:
        _refuse("NAMESPACE", "a prefix that is not declared")
    return scope[prefix], local


def _check_declaration(prefix: str, uri: str) -> None:
    """Namespaces in XML 1.0, section 3: the two names that are reserved, and no undeclaring of a prefix."""
    if (
        prefix == "xmlns"
        or uri == _XMLNS_NAMESPACE
        or (prefix == "xml") != (uri == _XML_NAMESPACE)
        or (prefix and not uri)
    ):
        _refuse("NAMESPACE", "a namespace declaration that is not allowed")
    if not _URI.fullmatch(uri):
        _refuse("NAMESPACE", "a namespace that is not named by a URI")


def _attribute_value(raw: str) -> str:
    return _references(
        raw.replace("\t", " ").replace("\n", " ")
    )  # XML 3.3.3: white space is a space, unless it is a reference


def _character_data(raw: str) -> str:
    if "]]>" in raw:
        _refuse("WELL_FORMED", "]]> in text")
    return _references(raw)


def _references(raw: str) -> str:
    if "&" not in raw:
        return raw
    pieces, position = [], 0
    while (start := raw.find("&", position)) >= 0:
        match = _REFERENCE.match(raw, start)
        if match is None:
            _refuse("WELL_FORMED", "an ampersand that begins no reference")
        pieces += [raw[position:start], _referred(match)]
        position = match.end()
    pieces.append(raw[position:])
    return "".join(pieces)


def _referred(match: re.Match[str]) -> str:
    hexadecimal, decimal, entity = match.groups()
    if entity is not None:
        if entity not in _FIVE:
            _refuse("ENTITY", "no entities but the five of XML")
        return _FIVE[entity]
    digits = (hexadecimal or decimal).lstrip("0") or "0"
    code = int(digits, 16 if hexadecimal else 10) if len(digits) <= 7 else 0x110000
    if code > 0x10FFFF or _NOT_XML.match(chr(code)):
        _refuse("CHARACTER", "a reference to a character XML does not take")
    return chr(code)
