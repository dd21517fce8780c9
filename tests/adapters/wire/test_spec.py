"""Malformed tables fail when the codec is made, and the choice of twin is made in one place."""

import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from adapters.wire import Field, Kind, XmlSpec, parse_iso_time
from switch.errors import InvalidValue
from tests.adapters.wire.agreement import twins
from tests.adapters.wire.sample import SAMPLE
from tests.vectors import vectors

A = Field("a", "A", Kind.TEXT)


def spec_of(*fields: Field, **changes: Any) -> XmlSpec:
    return XmlSpec("bad", "R", {}, fields, "tests")._replace(**changes)


BAD = (
    (spec_of(), "has fields"),
    (spec_of(A, A), "stands twice"),
    (spec_of(A, Field("b", "A", Kind.TEXT)), "stands twice"),
    (spec_of(A, Field("b", "A/B", Kind.TEXT)), "both text and elements"),
    (spec_of(Field("b", "A/B", Kind.TEXT), A), "both text and elements"),
    (spec_of(Field("b", "A/B", Kind.TEXT), Field("c", "C", Kind.TEXT), Field("d", "A/D", Kind.TEXT)), "stand together"),
    (spec_of(Field("b", "A/B", Kind.TEXT), Field("c", "A/@C", Kind.TEXT)), "before the elements"),
    (spec_of(Field("b", "A/@B", Kind.TEXT), Field("c", "A/@B", Kind.TEXT)), "stands once"),
    (spec_of(Field("b", "A/@xmlns", Kind.TEXT)), "in `namespaces`"),
    (spec_of(Field("b", "A//B", Kind.TEXT)), "no name"),
    (spec_of(Field("b", "A b", Kind.TEXT)), "no name"),
    (spec_of(A, root="1"), "no name"),
    (spec_of(Field("", "A", Kind.TEXT)), "has a name"),
    (spec_of(Field("a", "A", Kind.CODE)), "codes belong"),
    (spec_of(Field("a", "A", Kind.TEXT, codes=("x",))), "codes belong"),
    (spec_of(Field("a", "A", Kind.TEXT, min_chars=3, max_chars=2)), "min_chars"),
    (spec_of(Field("a", "A", Kind.HEADER_DATE)), "for headers only"),
    (spec_of(Field("", "A", Kind.TEXT, const="a\x00")), "character"),
    (spec_of(A, namespaces={"B": "u"}), "no element"),
    (spec_of(A, namespaces={"": "a b"}), "URI"),
    (spec_of(A, ignore=("A",)), "both read and ignored"),
    (spec_of(A, ignore=("A/B",)), "do not make"),
    (spec_of(A, ignore=("B/C",)), "do not make"),
    (spec_of(Field("a", "/".join("A" * 24), Kind.TEXT)), "XML_DEPTH_MAX"),
)


@pytest.mark.parametrize(("spec", "text"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_a_malformed_table_is_refused_at_once(spec: XmlSpec, text: str) -> None:
    names = [field.name for field in spec.fields if not field.const and field.name.isidentifier()]
    record = NamedTuple("Row", [(name, str) for name in dict.fromkeys(names)])  # type: ignore[misc]
    with pytest.raises(
        ValueError, match=text if names or not spec.fields or spec.fields[0].const else "has a name|exactly"
    ):
        twins(spec, record)


def test_the_record_must_fit() -> None:
    records: tuple[Any, ...] = (NamedTuple("Row", [("a", str)]), tuple, dict)
    for record in records:
        with pytest.raises(ValueError, match="must have exactly"):
            twins(SAMPLE, record)


@pytest.mark.parametrize("vector", vectors("iso_datetime"), ids=lambda vector: vector.input)
def test_iso_datetime_vectors(vector: Any) -> None:
    if not vector.valid:
        with pytest.raises(InvalidValue) as refused:
            parse_iso_time(vector.input)
        assert refused.value.rule == vector.reason
    else:
        assert parse_iso_time(vector.input) == (1_751_362_215_000 if vector.input.endswith("Z") else 1_751_333_415_000)


@pytest.mark.parametrize(("plain", "compiled"), [("1", False), ("0", True), ("", True)])
def test_the_environment_chooses(plain: str, compiled: bool) -> None:
    code = "import adapters.wire as wire; print(wire.COMPILED, wire.XmlCodec.__module__, wire.Deframer.__module__)"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "BAYSWITCH_PURE_PYTHON": plain},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    module = "adapters.wire._xml" if compiled else "adapters.wire._reference"
    assert shown == [str(compiled), module, "adapters.wire._header" if compiled else module]


def test_a_missing_extension_is_an_import_error() -> None:
    code = "import sys; sys.modules['adapters.wire._xml'] = None\nimport adapters.wire"
    env = {**os.environ, "BAYSWITCH_PURE_PYTHON": ""}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "ModuleNotFoundError" in ran.stderr or "ImportError" in ran.stderr
