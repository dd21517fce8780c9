"""Both wire twins write and read every message of this rail alike: 10^5 generated messages in all, and mutants."""

from typing import Any

import pytest

from adapters.ecny.spec import CONVERT_REQUEST, HEADER, MESSAGES, ConvertRequest, Header, sealed
from adapters.wire import XmlSpec
from tests.adapters.wire.agreement import assert_twins_agree

# Longer messages take longer: fewer of them, and 10^5 in all.
COUNTS = {225: 4_000, 226: 6_000, 411: 6_000, 412: 5_000, 900: 9_000, 902: 20_000, 909: 10_000, 911: 38_000}
SEALED_COUNT = 2_000


def test_counts() -> None:
    assert sum(COUNTS.values()) + SEALED_COUNT >= 100_000


@pytest.mark.parametrize(("spec", "record"), MESSAGES, ids=[spec.name for spec, _ in MESSAGES])
def test_messages(spec: XmlSpec, record: type[Any]) -> None:
    assert_twins_agree(spec, record, None, COUNTS[int(spec.name[5:8])], mutated_share=0.05)


def test_sealed() -> None:
    assert_twins_agree(sealed(CONVERT_REQUEST), ConvertRequest, None, SEALED_COUNT)


def test_header() -> None:
    assert_twins_agree(HEADER, Header, None, 10_000)
