"""The vectors: inputs with verdicts. One list for every test that walks a kind."""

import json
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Vector", "vectors"]


class Vector(NamedTuple):
    """`reason` is OK, OK_NORMALISED or the rule that refuses `input`."""

    kind: str
    input: Any
    valid: bool
    reason: str
    notes: str


_ALL = [Vector(**row) for row in json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))]


def vectors(*kinds: str) -> list[Vector]:
    """All vectors of these kinds; a kind without any is our mistake."""
    chosen = [vector for vector in _ALL if vector.kind in kinds]
    assert {vector.kind for vector in chosen} == set(kinds), kinds
    return chosen
