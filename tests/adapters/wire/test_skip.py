"""Ignored elements: passed over by the compiled twin itself when they look like a signature, by the same rules."""

import random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.wire import Field, Kind, XmlSpec, _reference
from switch.limits import XML_DEPTH_MAX, XML_NODES_MAX
from tests.adapters.wire.agreement import mutations, twins, verdict
from tests.adapters.wire.sample import SAMPLE, Sample, sample

TWINS = twins(SAMPLE, Sample)
FRAME: bytes = TWINS.plain.write(sample())
SIGNATURE = (
    '<Sgntr><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>'
    '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>'
    '<ds:Reference URI="" Id="r1"><ds:DigestValue>AAAA\nBBBB==</ds:DigestValue></ds:Reference></ds:SignedInfo>'
    '<ds:SignatureValue/><KeyInfo xmlns="urn:k"><a><b/></a></KeyInfo></ds:Signature></Sgntr>'
)


def signed(signature: str) -> bytes:
    return FRAME.replace(b"</Svc>", b"</Svc>" + signature.encode())


class One(NamedTuple):
    """The record of OWN."""

    a: str


OWN = XmlSpec("own", "R", {"": "urn:r", "Sig": "urn:s"}, (Field("a", "A", Kind.TEXT),), "tests", ignore=("Sig",))


def test_a_signature_needs_no_plain_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    own = twins(OWN, One)
    assert TWINS.plain.read(signed(SIGNATURE)) == sample()
    monkeypatch.delattr(_reference.XmlCodec, "read")
    assert TWINS.compiled.read(signed(SIGNATURE)) == sample()
    assert TWINS.compiled.read(signed(SIGNATURE + "<Sgntr/> \n" + SIGNATURE)) == sample()
    data = b'<R xmlns="urn:r"><Sig xmlns="urn:s" a="1"><x/></Sig><A>a</A><Sig xmlns="urn:s"></Sig></R>'
    assert own.compiled.read(data) == One("a")


ROWS = """
# what stands in the place of the signature                        | rule, or = for taken
  <Sgntr>&lt;&#1234;<!-- c --><![CDATA[>]]></Sgntr>                | =
  <Sgntr a='1'  b="é" >é</Sgntr >                                  | =
  <Sgntr xmlns:p="urn:p"><p:a p:b="1"/></Sgntr>                    | =
  <Sgntr><a xmlns:p="urn:p"/><p:b/></Sgntr>                        | NAMESPACE
  <Sgntr><a xmlns:p="urn:p"><p:b/></a><p:b/></Sgntr>               | NAMESPACE
  <Sgntr><a xmlns:p="urn:p"><p:b xmlns:p="urn:q"/><p:c/></a></Sgntr>| =
  <Sgntr><a xmlns="http://www.w3.org/2000/xmlns/"/></Sgntr>        | NAMESPACE
  <Sgntr><a xmlns="http://www.w3.org/XML/1998/namespace"/></Sgntr> | NAMESPACE
  <Sgntr><a xmlns:xml="urn:x"/></Sgntr>                            | NAMESPACE
  <Sgntr><a xmlns:p=""/></Sgntr>                                   | NAMESPACE
  <Sgntr><a xmlns="http://a b"/></Sgntr>                           | NAMESPACE
  <Sgntr xmlns="urn:other"/>                                       | NAMESPACE
  <Sgntr xmlns="urn:sample:envelope"/>                             | =
  <Sgntr a="1" a="2"/>                                             | WELL_FORMED
  <Sgntr><a></b></Sgntr>                                           | WELL_FORMED
  <Sgntr><a></Sgntr></a>                                           | WELL_FORMED
  <Sgntr><a>]]></a></Sgntr>                                        | WELL_FORMED
  <Sgntr><a b="<"/></Sgntr>                                        | WELL_FORMED
  <Sgntr><a b=1/></Sgntr>                                          | WELL_FORMED
  <Sgntr><1/></Sgntr>                                              | WELL_FORMED
  <Sgntr><a:b:c xmlns:a="urn:a"/></Sgntr>                          | WELL_FORMED
  <Sgntr>&x;</Sgntr>                                               | ENTITY
  <Sgntr><?p?></Sgntr>                                             | PI
  <Sgntrs/>                                                        | UNKNOWN
"""


@pytest.mark.parametrize("twin", ["plain", "compiled"])
@pytest.mark.parametrize("row", [row for row in ROWS.splitlines() if row.strip() and not row.startswith("#")])
def test_rules_hold_inside_what_is_ignored(row: str, twin: str) -> None:
    text, rule = (cell.strip() for cell in row.rsplit("|", 1))
    found = verdict(getattr(TWINS, twin).read, signed(text))
    assert found == (("taken", sample()) if rule == "=" else ("refused", "Head", rule))


@pytest.mark.parametrize("twin", ["plain", "compiled"])
def test_bounds_hold_inside_what_is_ignored(twin: str) -> None:
    read = getattr(TWINS, twin).read
    deepest = XML_DEPTH_MAX - 3  # inside Msg/Head/Sgntr
    assert verdict(read, signed("<Sgntr>" + "<a>" * deepest + "</a>" * deepest + "</Sgntr>"))[0] == "taken"
    deeper = deepest + 1
    assert verdict(read, signed("<Sgntr>" + "<a>" * deeper + "</a>" * deeper + "</Sgntr>")) == (
        "refused",
        "Head",
        "DEPTH",
    )
    assert verdict(read, signed("<Sgntr/>" * XML_NODES_MAX)) == ("refused", "Head", "NODES")
    assert verdict(read, signed("<Sgntr>" + "<a/>" * XML_NODES_MAX + "</Sgntr>")) == ("refused", "Head", "NODES")
    assert verdict(read, signed("<Sgntr>" + "<a/>" * (XML_NODES_MAX - 40) + "</Sgntr>"))[0] == "taken"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_one_verdict_on_mutated_signatures(seed: int) -> None:
    mutants = mutations(SIGNATURE.encode(), random.Random(seed))
    for _ in range(40):
        data = FRAME.replace(b"</Svc>", b"</Svc>" + next(mutants))
        assert verdict(TWINS.plain.read, data) == verdict(TWINS.compiled.read, data), data


INSIDE: st.SearchStrategy[str] = st.recursive(
    st.sampled_from(["", "t", "\n", "&amp;", "<a/>", "<p:a/>", "<q:a></q:a>"]),
    lambda inner: st.builds(
        lambda name, declared, parts: f"<{name}{declared}>{''.join(parts)}</{name}>",
        st.sampled_from(["a", "p:a", "q:b"]),
        st.sampled_from(["", ' xmlns:p="urn:p"', ' xmlns:q="http://q/a.b#c"', ' xmlns="urn:d" x="1"', ' x="1" x="2"']),
        st.lists(inner, max_size=3),
    ),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(INSIDE)
def test_one_verdict_on_generated_content(inside: str) -> None:
    data: Any = signed(f'<Sgntr xmlns:p="urn:p">{inside}</Sgntr>')
    assert verdict(TWINS.plain.read, data) == verdict(TWINS.compiled.read, data)
