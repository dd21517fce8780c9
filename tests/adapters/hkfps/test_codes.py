"""FPS code lists: the vectors, and that everything the rules write is a code of FPS."""

import tomllib
from pathlib import Path

import pytest

import switch.rules
from adapters.hkfps import rules, spec
from switch.errors import InvalidValue
from tests.vectors import Vector, vectors

CHECKS = {"fps_category_purpose": rules.check_category, "fps_bizsvc": rules.check_service}
PURPOSES = tomllib.loads(Path(switch.rules.__file__).with_name("purposes.toml").read_text("utf-8"))["purpose"]


@pytest.mark.parametrize("vector", vectors(*CHECKS), ids=lambda vector: f"{vector.kind}-{vector.input}")
def test_vectors(vector: Vector) -> None:
    check = CHECKS[vector.kind]
    if vector.valid:
        assert check(vector.input) == vector.input
        return
    with pytest.raises(InvalidValue) as refused:
        check(vector.input)
    assert refused.value.rule == vector.reason


@pytest.mark.parametrize("purpose", [row["id"] for row in PURPOSES])
def test_every_purpose_of_ours_has_a_category_of_theirs(purpose: str) -> None:
    assert rules.check_category(rules.category_of(purpose))


def test_a_category_that_means_a_purpose_means_one_of_ours() -> None:
    known = {row["id"] for row in PURPOSES}
    assert {rules.purpose_of(category, None) for category in spec.CATEGORIES} <= known | {""}


def test_what_this_rail_speaks_is_in_the_list() -> None:
    assert {spec.PAYMENT_SERVICE, spec.ENQUIRY_SERVICE} <= set(spec.SERVICES)
