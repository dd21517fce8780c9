"""A shape is never wider than the rule it was learnt from: whatever has the shape, the rule takes, and as it is."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from switch.api import _shapes, fields
from switch.api._shapes import Shape
from switch.domain.document import DocumentType, parse_document
from switch.domain.identifiers import parse_account, parse_request_id, parse_uetr
from switch.domain.party import Scheme
from switch.errors import InvalidValue, Refused
from switch.limits import REQUEST_ID_CHARS_MAX

SEED = 20261125
TEXTS = 2_000


def number_of(kind: DocumentType, number: str) -> str:
    return parse_document(kind, number).number


def learnt() -> Iterator[Any]:
    """Every shape with its rule."""
    yield pytest.param(_shapes.REQUEST_ID, parse_request_id, id="request_id")
    yield pytest.param(_shapes.UETR, parse_uetr, id="uetr")
    yield pytest.param(_shapes.CREDITOR_AGENT, fields.creditor_agent, id="creditor_agent")
    yield pytest.param(_shapes.PURPOSE, fields.purpose, id="purpose")
    for scheme, shapes in _shapes.ACCOUNTS.items():
        for place, shape in enumerate(shapes):
            yield pytest.param(shape, partial(parse_account, scheme), id=f"{scheme.name}-{place}")
    for kind, shapes in _shapes.DOCUMENTS.items():
        for shape in shapes:
            yield pytest.param(shape, partial(number_of, kind), id=kind.name)


def drawn(dice: random.Random, shape: Shape, count: int) -> set[str]:
    """Texts of the shape, of any of its lengths, every place for itself."""
    sets = [[chr(code) for code in range(256) if shape.places[code] >> at & 1] for at in range(shape.chars_max)]
    sizes = (dice.randint(shape.chars_min, shape.chars_max) for _ in range(count))
    return {"".join(map(dice.choice, sets[:size])) for size in sizes}


@pytest.mark.parametrize(("shape", "rule"), list(learnt()))
def test_whatever_has_the_shape_is_taken_as_it_is(shape: Shape, rule: Callable[[str], str]) -> None:
    texts = drawn(random.Random(SEED), shape, TEXTS)
    assert len(texts) > TEXTS // 4, "a shape is more than its example"
    for text in texts:
        assert rule(text) == text


@pytest.mark.parametrize(
    ("shape", "rule"),
    [
        (_shapes.REQUEST_ID, parse_request_id),
        (_shapes.CREDITOR_AGENT, fields.creditor_agent),
        (_shapes.PURPOSE, fields.purpose),
        (_shapes.ACCOUNTS[Scheme.ACCOUNT][0], partial(parse_account, Scheme.ACCOUNT)),
        (_shapes.DOCUMENTS[DocumentType.PASSPORT][0], partial(number_of, DocumentType.PASSPORT)),
    ],
)
def test_a_run_is_as_long_as_its_rule_allows(shape: Shape, rule: Callable[[str], str]) -> None:
    assert rule("A" * shape.chars_max) == "A" * shape.chars_max
    with pytest.raises((InvalidValue, Refused)):
        rule("A" * (shape.chars_max + 1))
    assert _shapes.REQUEST_ID.chars_max == REQUEST_ID_CHARS_MAX


def test_only_schemes_with_tiers_have_a_highest_tier() -> None:
    assert set(_shapes.LEVEL_MAX) == {Scheme.WALLET_ID}
    assert _shapes.LEVEL_MAX[Scheme.WALLET_ID] > 0
