"""The rail keeps every promise of ports.Rail over real HTTP: both kinds of payment, signed and unsigned."""

from pathlib import Path

import pytest

from adapters.conformance import CHECKS, run_check
from tests.adapters.alipay.cases import CODE, CODE_REFUSALS, JIA, TRANSFER_REFUSALS, case_factory

VARIANTS = {
    "transfer": (JIA, TRANSFER_REFUSALS, True),
    "code": (CODE, CODE_REFUSALS, True),
    "unsigned": (JIA, TRANSFER_REFUSALS, False),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CHECKS)
async def test_conformance(keys_dir: Path, name: str, variant: str) -> None:
    payee, refusals, signing = VARIANTS[variant]
    await run_check(name, case_factory(keys_dir, payee, refusals, signing=signing))
