"""The compiled router equals its specification on random tables and random instructions, refusals word for word."""

import importlib
import random
from typing import Any

import pytest

from switch.domain.corridor import Corridor, Hours, Measure
from switch.domain.document import DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money, Rate
from switch.domain.party import Place, Scheme
from switch.errors import ConfigError, Refused
from switch.limits import AMOUNT_MINOR_MAX
from switch.routing import COMPILED
from switch.routing._reference import Router
from tests.routing.tables import at, instruction, txn

TABLES = 100
INSTRUCTIONS_PER_TABLE = 1_000
SEED = 20261123
PURPOSES = ("SALARY", "TUITION", "GIFT")
AGENTS = ("", "", "004", "012", "C1010411000013")
AMOUNTS = (1, 99, 100, 101, 5_000, 10**9, AMOUNT_MINOR_MAX)

compiled: Any = importlib.import_module("switch.routing._router")


def some(dice: random.Random, values: Any, most: int) -> tuple[Any, ...]:
    return tuple(dice.sample(list(values), dice.randint(0, most)))


def a_row(dice: random.Random, number: int) -> Corridor:
    opens = dice.randrange(1440)
    limits = tuple(
        txn(
            dice.choice(AMOUNTS),
            dice.choice(tuple(Measure)),
            dice.choice((0, 0, 4)),
            dice.choice((None, Rate(dice.randint(1, 10**6), dice.randint(1, 10**6)))),
            f"row.{limit}",
        )
        for limit in range(dice.randint(0, 3))
    )
    return Corridor(
        f"row{number}",
        dice.choice((Place.HK, Place.MO)),
        dice.choice((Place.HK, Place.CN)),
        dice.choice((Asset.HKD, Asset.MOP)),
        dice.choice((Asset.HKD, Asset.CNY)),
        some(dice, Scheme, 3) or (Scheme.MOBILE,),
        dice.choice(AGENTS),
        "rail",
        "GATE",
        some(dice, DocumentType, 3),
        some(dice, PURPOSES, 2),
        dice.choice((Hours(0, 1440), Hours(opens, dice.randint(opens + 1, 1440)))),
        limits,
        "test",
        some(dice, ("GATE", "ALFA"), 1),
    )


def a_table(dice: random.Random) -> list[Corridor]:
    """Rows that do not contradict each other: the reference says which."""
    rows: list[Corridor] = []
    for number in range(dice.randint(1, 60)):
        try:
            Router([*rows, row := a_row(dice, number)])
        except ConfigError:
            with pytest.raises(ConfigError):
                compiled.Router([*rows, row])
        else:
            rows.append(row)
    return rows


def an_instruction(dice: random.Random) -> Instruction:
    return instruction(
        participant=dice.choice(("ALFA", "GATE", "BRAVO")),
        debit=Money(dice.choice((Asset.HKD, Asset.MOP)), dice.choice(AMOUNTS)),
        credit=Money(dice.choice((Asset.HKD, Asset.CNY)), dice.choice(AMOUNTS)),
        document=dice.choice((None, *DocumentType)),
        purpose=dice.choice(("", *PURPOSES)),
        scheme=dice.choice(tuple(Scheme)),
        level=dice.choice((0, 3, 4)),
        agent=dice.choice((*AGENTS, "999")),
        places=(dice.choice((Place.HK, Place.MO)), dice.choice((Place.HK, Place.CN))),
    )


def outcome(router: Any, asked: Instruction, now_ms: int) -> tuple[object, ...]:
    try:
        return ("route", *router.route(asked, now_ms))
    except Refused as refusal:
        return refusal.reason.name, refusal.message, refusal.field, refusal.figures


def test_twins_agree() -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    seen = set()
    for _ in range(TABLES):
        rows = a_table(dice)
        fast, plain = compiled.Router(rows), Router(rows)
        for _ in range(INSTRUCTIONS_PER_TABLE):
            asked, now_ms = an_instruction(dice), at("00:00") + dice.randrange(86_400_000)
            expected = outcome(plain, asked, now_ms)
            assert outcome(fast, asked, now_ms) == expected
            seen.add(expected[0])
    assert len(seen) == 8, f"the draw must meet a route and each of the seven refusals: {seen}"


def test_the_compiled_one_runs_unless_told_otherwise() -> None:
    assert COMPILED is True
    assert compiled.COMPILED is True


@pytest.mark.parametrize("wrong", [None, (), "an instruction of text", tuple(range(12)), instruction()[:11]])
def test_what_is_no_instruction_is_a_type_error_not_a_crash(wrong: object) -> None:
    with pytest.raises(TypeError):
        compiled.Router([]).route(wrong, 0)


def test_values_out_of_range_match_nothing() -> None:
    router = compiled.Router([a_row(random.Random(SEED), 0)])
    assert router.match(17, 1, 1, 1, 1, "") is None
    assert router.match(0, 0, 0, 0, 0, "") is None
