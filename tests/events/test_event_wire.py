"""Records of the topic: what the compiled code writes and reads is what schema.py says, of every fact and of what is none."""

import importlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.errors import REASONS, CodecError
from switch.events import _event_wire_reference as reference
from switch.events import event_wire
from switch.events.schema import encode, headers, key
from switch.limits import EVENT_BYTES_MAX
from tests.events.make_golden import FACTS
from tests.events.support import START_MS, fact

SEED: Final = 20261126
MADE: Final = 4_000
DAMAGED: Final = 6_000
TEXTS: Final = ("", "A", "HKWALLET_2", "测试甲", "𠮷", "x" * 127, "x" * 128, "薪" * 140, "a\x00b", "\ud800")
NUMBERS: Final = (0, 1, 127, 128, 10_000, 2**53, 2**63 - 1, -1, -127, -(2**53), -(2**63), 2**63, True)
TIMES: Final = (0, 1, 999, 1_000, 1_001, START_MS, START_MS + 127, 253_402_300_799_999, -1, 2**63)
NOTES: Final = (b"", b"\x00", bytes(range(256)), b"n" * 432)

writer: Any = importlib.import_module("switch.events._event_writer")
reader: Any = importlib.import_module("switch.events._event_reader")


def outcome(how: Any, *given: Any) -> Any:
    """The answer, or the kind of what is raised."""
    try:
        return how(*given)
    except Exception as error:  # noqa: BLE001 whatever is raised of what is no fact
        return type(error)


def agreed(one: Any) -> Any:
    """The record of a fact: the compiled one's is the plain one's."""
    record = outcome(writer.record_of, one)
    assert record == outcome(reference.record_of, one)
    return record


# --- facts to records ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FACTS)
def test_golden_facts(name: str) -> None:
    one = FACTS[name]
    assert agreed(one) == (key(one), encode(one), headers(one))


def test_an_ordinary_fact_is_written_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that leaves everything to its twin would agree with it as well."""

    def refuse(_: SettlementFact) -> None:
        raise AssertionError("left to the plain twin")

    one = fact("ALFA", 1)
    expected = reference.record_of(one)
    monkeypatch.setattr(reference, "record_of", refuse)
    assert writer.COMPILED
    assert writer.record_of(one) == expected
    with pytest.raises(AssertionError, match="left to the plain twin"):
        writer.record_of(one._replace(note=bytes(EVENT_BYTES_MAX)))


@pytest.mark.parametrize("number", [0, 1, 2, 5, 60, 400])
def test_any_number_of_entries(number: int) -> None:
    agreed(fact("ALFA", 1)._replace(entries=tuple(Entry(f"P{n}", Asset.HKD, n - 2) for n in range(number))))


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason(reason: str) -> None:
    record = agreed(fact("ALFA", 7)._replace(reason=reason))
    assert reason.encode() in record[1]


def test_made_up_facts() -> None:
    random_ = random.Random(SEED)

    def text() -> str:
        return random_.choice(TEXTS[:-1] if random_.random() < 0.98 else TEXTS)

    def one() -> SettlementFact:
        entries = tuple(
            Entry(text(), random_.choice(list(Asset)), random_.choice(NUMBERS)) for _ in range(random_.randrange(5))
        )
        event_id = text()
        return SettlementFact(
            event_id, random_.choice(NUMBERS), random_.choice((event_id, text())), random_.choice(("ALFA", text())),
            random_.choice(list(State)), text(), text(), text(), text(), entries, random_.choice(TIMES),
            random_.choice(TIMES), text(), random_.choice(NOTES),
        )  # fmt: skip

    outcomes = [agreed(one()) for _ in range(MADE)]
    for each in outcomes:
        if isinstance(each, tuple):
            read(each[1], tuple(each[2]))
    assert sum(type(each) is tuple for each in outcomes) > MADE // 20, "many are facts"
    assert AssertionError in outcomes
    assert UnicodeEncodeError in outcomes


ODD: Final = (
    {"entries": [Entry("ALFA", Asset.HKD, 1)]},
    {"entries": (("ALFA", Asset.HKD, 1),)},
    {"entries": (Entry("ALFA", 4, 1),)},  # type: ignore[arg-type]
    {"entries": (Entry("ALFA", Asset.HKD, "1"),)},  # type: ignore[arg-type]
    {"note": bytearray(b"note")},
    {"note": "note"},
    {"sequence": "1"},
    {"uetr": b"text"},
    {"state": "C"},
    {"prepared_time_ms": None},
    {"note": bytes(EVENT_BYTES_MAX - 300)},
    {"note": bytes(EVENT_BYTES_MAX)},
    {"debtor_agent": "ÄLFA"},
)


@pytest.mark.parametrize("changed", ODD, ids=lambda changed: next(iter(changed)))
def test_what_is_not_plain_is_left_to_the_plain_twin(changed: dict[str, Any]) -> None:
    agreed(fact("ALFA", 1)._replace(**changed))


@pytest.mark.parametrize("odd", [None, (), tuple(fact("ALFA", 1)), "fact"], ids=["none", "empty", "tuple", "text"])
def test_what_is_no_fact_is_no_record(odd: Any) -> None:
    assert isinstance(agreed(odd), type)


# --- records to facts ------------------------------------------------------------------------------------------------
def read(value: Any, attributes: Any) -> Any:
    """What is read of a record, or the words it is refused with; the compiled one's are the plain one's."""

    def told(how: Any) -> Any:
        try:
            return how(value, attributes)
        except CodecError as error:
            return str(error)

    found, expected = told(reader.fact_of), told(reference.fact_of)
    assert found == expected
    assert type(found) is type(expected)
    return found


@pytest.mark.parametrize("name", FACTS)
def test_golden_facts_are_read(name: str) -> None:
    one = FACTS[name]
    found = read(encode(one), tuple(headers(one)))
    assert found == one
    assert [type(entry) for entry in found.entries] == [Entry] * len(one.entries)


def test_an_ordinary_record_is_read_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("left to the plain twin")

    name, value, attributes = reference.record_of(fact("ALFA", 1))
    expected = reference.digest_of(name, value, attributes)
    for each in ("fact_of", "digest_of"):
        monkeypatch.setattr(reference, each, refuse)
    assert reader.fact_of(value, tuple(attributes)) == fact("ALFA", 1)
    assert reader.digest_of(name, value, tuple(attributes)) == expected
    for each, given in ((reader.fact_of, (value,)), (reader.digest_of, (name, value))):
        with pytest.raises(AssertionError, match="left to the plain twin"):
            each(*given, (*attributes, ("x-attempts", b"2")))


@pytest.mark.parametrize("number", [0, 1, 2, 5, 64, 65])
def test_any_number_of_entries_is_read(number: int) -> None:
    one = fact("ALFA", 1)._replace(entries=tuple(Entry(f"P{n}", Asset.HKD, n - 2) for n in range(number)))
    assert read(encode(one), tuple(headers(one))) == one


def test_values_cut_off_or_with_one_byte_changed() -> None:
    random_ = random.Random(SEED)
    one = fact("ALFA", 1)._replace(request_id="薪", note=bytes(range(40)))
    value, attributes = encode(one), tuple(headers(one))
    for end in range(len(value)):
        read(value[:end], attributes)
    changed = []
    for _ in range(DAMAGED):
        place = random_.randrange(len(value))
        damaged = value[:place] + bytes([random_.randrange(256)]) + value[place + 1 :]
        changed.append(read(damaged, attributes))
        read(damaged + value[place:], attributes)
    assert {type(each) for each in changed} == {SettlementFact, str}


ATTRIBUTES: Final[dict[str, Callable[[Any], Any]]] = {
    "as a list": list,
    "in another order": lambda given: tuple(reversed(given)),
    "one too many": lambda given: (*given, ("x-attempts", b"2")),
    "one less": lambda given: given[1:],
    "none": lambda _: (),
    "one twice": lambda given: (*given, given[1]),
    "another version": lambda given: (("ce_specversion", b"0.3"), *given[1:]),
    "another id": lambda given: (given[0], ("ce_id", b"other"), *given[2:]),
    "another subject": lambda given: (*given[:4], ("ce_subject", b"other"), *given[5:]),
    "another kind": lambda given: (*given[:3], ("ce_type", b"other"), *given[4:]),
    "another content": lambda given: (*given[:7], ("content-type", b"text/plain")),
    "pairs as lists": lambda given: tuple(map(list, given)),
}


@pytest.mark.parametrize("how", ATTRIBUTES)
def test_headers_of_every_kind(how: str) -> None:
    one = fact("ALFA", 1)
    name, value, ours = reference.record_of(one)
    attributes = ATTRIBUTES[how](tuple(ours))
    read(value, attributes)
    assert reader.digest_of(name, value, attributes) == reference.digest_of(name, value, attributes)


@pytest.mark.parametrize(
    "value", [None, b"", bytes(EVENT_BYTES_MAX + 1), b"\xff\xff"], ids=["none", "empty", "long", "no"]
)
def test_what_is_no_value(value: bytes | None) -> None:
    assert isinstance(read(value, tuple(headers(fact("ALFA", 1)))), str)


# --- which one runs --------------------------------------------------------------------------------------------------
def test_the_compiled_one_runs_unless_told_otherwise() -> None:
    assert (event_wire.record_of, event_wire.fact_of) == (writer.record_of, reader.fact_of)
    told = subprocess.run(
        [sys.executable, "-c", "from switch.events import event_wire; print(event_wire.COMPILED)"],
        env={**os.environ, "BAYSWITCH_PURE_PYTHON": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert told.stdout == "False\n"
