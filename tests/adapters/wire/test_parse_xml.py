"""The general reader against lxml (libxml2), on documents that are well-formed and on ones that were."""

import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.wire import Element, parse_xml
from switch.errors import CodecError
from switch.limits import RAIL_MESSAGE_BYTES_MAX, XML_DEPTH_MAX, XML_NODES_MAX
from tests.adapters.wire.agreement import mutations
from tests.vectors import vectors

# What we refuse on purpose where libxml2 does not; everything else must be one verdict.
POLICY = {"SIZE", "ENCODING", "DOCTYPE", "PI", "DEPTH", "NODES"}

DOCUMENTS = (
    "<a/>",
    "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>\r\n"
    "<a b='1' c=\"2\"><!-- x -->t<b/>u<![CDATA[<&]]>v</a>\n<!--e-->",
    '<p:a xmlns:p="urn:p" xmlns="urn:d" p:x="1" x="2"><b/><p:c xmlns=""><d/></p:c><e xml:lang="en"/></p:a>',
    "<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x4e2d;&#13;\r\n\r\t</a>",
    "<a x='&lt;&#10;\n\t&quot;'>陳大文</a>",
    "<Doc xmlns='urn:a'><Hd><Id>1</Id></Hd><Bd Ccy='HKD'>12.30</Bd></Doc>",
    "<陳><文·a.b-c_d/></陳>",
)


def lxml_verdict(data: bytes) -> Any:
    """The tree in our words, or None when lxml refuses."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, huge_tree=False
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    # lxml looks at the last complaint alone: an error that a mere warning follows would pass.
    if any(entry.level >= etree.ErrorLevels.ERROR for entry in parser.error_log):
        return None
    return as_element(root)


def as_element(node: Any) -> Element:
    """An lxml element as one of ours: all text directly inside it in one piece."""
    name = etree.QName(node)
    text = (node.text or "") + "".join(child.tail or "" for child in node)
    attributes = {str(key): str(value) for key, value in node.attrib.items()}
    children = tuple(as_element(child) for child in node if isinstance(child.tag, str))  # no entities, no instructions
    return Element(name.localname, name.namespace or "", attributes, text, children)


def our_verdict(data: bytes) -> Any:
    try:
        return parse_xml(data)
    except CodecError as refused:
        return refused.rule


def assert_one_verdict(data: bytes) -> None:
    """Ours is lxml's, but for the stated policy, and we never take what lxml refuses."""
    ours, theirs = our_verdict(data), lxml_verdict(data)
    if isinstance(ours, str):
        assert theirs is None or ours in POLICY or is_policy(data, ours), (ours, data)
    else:
        assert ours == theirs, data


def is_policy(data: bytes, rule: str) -> bool:
    """Other versions of XML than 1.0 are refused on purpose."""
    return rule == "WELL_FORMED" and re.search(rb"""<\?xml[^>]*version\s*=\s*["']1\.(?!0["'])""", data) is not None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_reads_what_lxml_reads(document: str) -> None:
    data = document.encode()
    assert our_verdict(data) == lxml_verdict(data)
    assert not isinstance(our_verdict(data), str)


REFUSED = """
# rule         document
  WELL_FORMED  |
  WELL_FORMED  |text
  WELL_FORMED  |<a>
  WELL_FORMED  |<a></b>
  WELL_FORMED  |<a/><b/>
  WELL_FORMED  |<a/>text
  WELL_FORMED  |<a b=1/>
  WELL_FORMED  |<a b="1"c="2"/>
  WELL_FORMED  |<a b="1" b="2"/>
  WELL_FORMED  |<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>
  WELL_FORMED  |<a b="<"/>
  WELL_FORMED  |<a>]]></a>
  WELL_FORMED  |<a>& </a>
  WELL_FORMED  |<a><!-- -- --></a>
  WELL_FORMED  |<a><!--></a>
  WELL_FORMED  |<!-- x ---><a/>
  WELL_FORMED  |<![CDATA[x]]><a/>
  WELL_FORMED  |<a><![CDATA[x]]</a>
  WELL_FORMED  |<a:b:c xmlns:a="u"/>
  WELL_FORMED  |<1/>
  WELL_FORMED  |<?xml version="2.0"?><a/>
  WELL_FORMED  |<?xml encoding="UTF-8"?><a/>
  WELL_FORMED  |<a><!DOCTYPE a></a>
  NAMESPACE    |<p:a/>
  NAMESPACE    |<a p:b="1"/>
  NAMESPACE    |<a xmlns:p=""/>
  NAMESPACE    |<a xmlns:xml="u"/>
  NAMESPACE    |<a xmlns:xmlns="u"/>
  NAMESPACE    |<a xmlns="http://www.w3.org/2000/xmlns/"/>
  NAMESPACE    |<a xmlns="a b"/>
  NAMESPACE    |<a xmlns="1:a"/>
  NAMESPACE    |<a xmlns="http://u@v@w/"/>
  NAMESPACE    |<a xmlns="urn:%4"/>
  ENTITY       |<a>&x;</a>
  ENTITY       |<a b="&nbsp;"/>
  CHARACTER    |<a>&#0;</a>
  CHARACTER    |<a>&#xD800;</a>
  CHARACTER    |<a>&#x110000;</a>
  CHARACTER    |<a>&#99999999999999999999;</a>
  DOCTYPE      |<!DOCTYPE a><a/>
  DOCTYPE      |<?xml version="1.0"?> <!-- c --> <!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>
  PI           |<?p i?><a/>
  PI           |<a><?p i?></a>
  PI           |<a/><?p i?>
  PI           | <?xml version="1.0"?><a/>
  ENCODING     |<?xml version="1.0" encoding="GBK"?><a/>
"""


@pytest.mark.parametrize("row", [row for row in REFUSED.splitlines() if row.strip() and not row.startswith("#")])
def test_refuses_by_rule(row: str) -> None:
    rule, _, document = row.partition("|")
    assert our_verdict(document.encode()) == rule.strip()
    assert_one_verdict(document.encode())


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\xff\xfe<\x00a\x00/\x00>\x00", "ENCODING"),
        (b"<a>\xed\xa0\x80</a>", "ENCODING"),
        (b"<a>\xc0\xaf</a>", "ENCODING"),
        (b"<a>\x00</a>", "CHARACTER"),
        (b"<a>\x0b</a>", "CHARACTER"),
        (b"<a>\xef\xbf\xbf</a>", "CHARACTER"),
        (b"<a>" + b"x" * RAIL_MESSAGE_BYTES_MAX + b"</a>", "SIZE"),
        (b"<a>" * (XML_DEPTH_MAX + 1) + b"</a>" * (XML_DEPTH_MAX + 1), "DEPTH"),
        (b"<a>" + b"<b/>" * XML_NODES_MAX + b"</a>", "NODES"),
    ],
)
def test_refuses_bytes_and_bounds(data: bytes, rule: str) -> None:
    assert our_verdict(data) == rule


def test_takes_the_bounds_themselves() -> None:
    assert parse_xml(b"<a>" * XML_DEPTH_MAX + b"</a>" * XML_DEPTH_MAX).tag == "a"
    assert len(parse_xml(b"<a>" + b"<b/>" * (XML_NODES_MAX - 1) + b"</a>").children) == XML_NODES_MAX - 1
    assert parse_xml(b"<a>" + b"x" * (RAIL_MESSAGE_BYTES_MAX - 7) + b"</a>").tag == "a"
    assert parse_xml(b"\xef\xbb\xbf<a/>").tag == "a"


@pytest.mark.parametrize("vector", vectors("xml_safety"), ids=lambda vector: vector.notes)
def test_vectors(vector: Any) -> None:
    assert our_verdict(vector.input.encode()) == vector.reason


NAMES = st.sampled_from(["a", "b", "p:a", "q:b", "é", "x.y-z"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


def quoted(text: str) -> str:
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("\r", "&#13;")
    )


def as_markup(name: str, attributes: dict[str, str], text: str, children: list[str]) -> str:
    inside = quoted(text) + "".join(children)
    written = "".join(f' {key}="{quoted(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written} />"


ELEMENTS: st.SearchStrategy[str] = st.recursive(
    st.builds(as_markup, NAMES, st.dictionaries(NAMES, TEXTS, max_size=2), TEXTS, st.just([])),
    lambda inner: st.builds(
        as_markup,
        NAMES,
        st.dictionaries(st.sampled_from(["xmlns", "xmlns:p", "c", "q:d"]), st.sampled_from(["u", "v"]), max_size=3),
        TEXTS,
        st.lists(inner | st.sampled_from(["<!-- c -->", "<![CDATA[<x>&]]>", "&#x41;", "\n"]), max_size=4),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(ELEMENTS)
def test_agrees_with_lxml_on_generated_documents(inner: str) -> None:
    assert_one_verdict(f'<r xmlns:p="urn:p" xmlns:q="urn:q">{inner}</r>'.encode())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(DOCUMENTS))
def test_agrees_with_lxml_on_mutated_documents(seed: int, document: str) -> None:
    mutants = mutations(document.encode(), random.Random(seed))
    for _ in range(100):
        assert_one_verdict(next(mutants))
