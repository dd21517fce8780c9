"""Facts read from records: the compiled reader says what the plain one says, of every record there can be and some there cannot."""

import importlib
import os
import random
import subprocess
import sys
from typing import Any, Final

import msgpack
import pytest

from switch.domain.document import Document, DocumentType
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold, Payment, State, Transition
from switch.domain.position import Entry
from switch.errors import REASONS
from switch.store import _facts_reference as reference
from switch.store import facts
from switch.store.notes import Notes
from switch.store.packing import pack_payment, unpack_payment
from tests.store.builders import NOTE_KEY, NOW_MS, charge, hold

SEED: Final = 20261126
PAYMENTS: Final = 3_000
DAMAGED: Final = 6_000
UETR: Final = "5b1d1a52-6d4b-4f5e-9a54-0d3f8a1c2e77"
NOTES: Final = Notes(NOTE_KEY)
TEXTS: Final = ("", "A", "CHAN TAI MAN", "陳大文", "𠮷", "x" * 31, "x" * 32, "薪" * 40, "x" * 300, "a\x00b")
NUMBERS: Final = (
    *(0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53, 2**63 - 1),
    *(-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**53), -(2**63)),
)
BEGUN: Final = Transition(State.PREPARED, NOW_MS)
PAID: Final = Transition(State.COMMITTED, NOW_MS + 5, rail_code="ACSC", rail_reference="FPS20261123000001")
REFUSED: Final = Transition(
    State.ABORTED, NOW_MS + 5, "NET_DEBIT_CAP_EXCEEDED", figures=(("limit", "5000"), ("left", "0"))
)

compiled: Any = importlib.import_module("switch.store._facts")
fast: Any = compiled.FactReader(NOTES)
plain: Final = reference.FactReader(NOTES)


class _Refusing:
    """Stands where the plain twin is asked: what gets here was not read in C."""

    def read(self, record: bytes, sequence: int) -> Any:
        raise AssertionError("left to the plain twin")


def outcome(reader: Any, record: bytes) -> Any:
    """What is read, or the kind of what is raised."""
    try:
        return reader.read(record, 7)
    except Exception as error:  # noqa: BLE001 whatever a record that is none raises
        return type(error)


def agreed(record: bytes) -> Any:
    found = outcome(fast, record)
    expected = outcome(plain, record)
    assert found == expected
    assert type(found) is type(expected)
    return found


def payment(*steps: Transition, **changed: Any) -> Payment:
    held = hold(250, charges=(charge(250, 500),), uetr=UETR)
    asked = held.instruction._replace(**changed)
    return Payment(held._replace(instruction=asked), steps or (BEGUN, PAID))


# --- every record there can be ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "steps", [(BEGUN, PAID), (BEGUN, REFUSED), (BEGUN, BEGUN._replace(state=State.IN_DOUBT), PAID)]
)
def test_a_fact_and_its_note_are_the_plain_ones(steps: tuple[Transition, ...]) -> None:
    one = payment(*steps, remark="rent for May")
    fact = agreed(pack_payment(one))
    assert (fact.uetr, fact.sequence, fact.state) == (UETR, 7, steps[-1].state)
    assert [type(entry) for entry in fact.entries] == [Entry] * len(one.entries)
    assert NOTES.open(UETR, fact.note) == NOTES.masked(one)


def test_an_ordinary_record_is_read_in_c() -> None:
    """A reader that leaves everything to its twin would agree with it as well."""
    assert compiled.COMPILED
    record = pack_payment(payment())
    assert compiled.FactReader(NOTES, _Refusing()).read(record, 7) == plain.read(record, 7)
    with pytest.raises(AssertionError, match="left to the plain twin"):
        compiled.FactReader(NOTES, _Refusing()).read(record[:-1], 7)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason(reason: str) -> None:
    assert agreed(pack_payment(payment(BEGUN, REFUSED._replace(reason=reason)))).reason == reason


@pytest.mark.parametrize("text", TEXTS)
def test_every_length_of_every_personal_text(text: str) -> None:
    paper = Document(DocumentType.PASSPORT, text)
    party = Party(text, Place.MO, Account(Scheme.MOBILE, text), paper)
    fact = agreed(pack_payment(payment(debtor=party, creditor=party, remark=text)))
    if len(text) > 1:
        assert text.encode() not in NOTES.record(UETR, fact.note)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_size_of_a_number(number: int) -> None:
    one = payment()
    entries = (Entry("ALFA", Asset.HKD, number), Entry("GATE", Asset.HKD, -number if number > -(2**63) else number))
    held = one.hold._replace(entries=entries, prepared_time_ms=number, overdue_time_ms=number)
    agreed(pack_payment(Payment(held, (BEGUN, PAID._replace(time_ms=number)))))


def _payment(random_: random.Random) -> Payment:
    def text() -> str:
        return random_.choice(TEXTS)

    def party() -> Party:
        paper = Document(random_.choice(list(DocumentType)), text()) if random_.random() < 0.5 else None
        place = random_.choice(list(Place))
        return Party(text(), place, Account(random_.choice(list(Scheme)), text(), random_.randrange(5)), paper)

    def money() -> Money:
        return Money(random_.choice(list(Asset)), abs(random_.choice(NUMBERS)) % 2**63)

    def step() -> Transition:
        figures = tuple((text(), text()) for _ in range(random_.randrange(4)))
        return Transition(random_.choice(list(State)), random_.choice(NUMBERS), text(), text(), text(), figures)

    asked = hold(uetr=UETR).instruction._replace(
        participant=text(), request_id=text(), end_to_end_id=text(), debit=money(), credit=money(), debtor=party(),
        creditor=party(), creditor_agent=text(), purpose=text(), remark=text(), quote_id=text(),
    )  # fmt: skip
    entries = tuple(
        Entry(text(), random_.choice(list(Asset)), random_.choice(NUMBERS)) for _ in range(random_.randrange(18))
    )
    charges = tuple(charge(random_.randrange(900), 10**9) for _ in range(random_.randrange(3)))
    held = Hold(asked, text(), text(), entries, charges, random_.choice(NUMBERS), 1, random_.random() < 0.1)
    return Payment(held, tuple(step() for _ in range(random_.randrange(4))))


def test_made_up_payments() -> None:
    random_ = random.Random(SEED)
    kinds = [type(agreed(pack_payment(_payment(random_)))) for _ in range(PAYMENTS)]
    assert len(set(kinds)) > 1, "facts, and records that are none"


# --- and some there cannot -------------------------------------------------------------------------------------------
def _older(record: bytes) -> bytes:
    """A record of before masks: the hold has one field less."""
    assert record[1] == 0x98
    return record[:1] + b"\x97" + record[2:].replace(b"\xc2", b"", 1)


def _longer_form(record: bytes) -> bytes:
    """Texts as other writers of msgpack put them, with a head of two bytes."""
    version, held, *steps = msgpack.Unpacker(_stream(record))
    return b"".join(msgpack.packb(each, use_bin_type=True) for each in (version, held, *steps))


def _stream(record: bytes) -> Any:
    return importlib.import_module("io").BytesIO(record)


ODD: Final = {
    "nothing": b"",
    "older": _older(pack_payment(payment())),
    "another writer": _longer_form(pack_payment(payment(remark="x" * 40))),
    "masked": pack_payment(NOTES.masked(payment())),
    "not final": pack_payment(payment(BEGUN)),
    "no step": pack_payment(Payment(payment().hold, ())),
    "another version": b"\x02" + pack_payment(payment())[1:],
    "very long": pack_payment(payment(end_to_end_id="x" * 9_000)),
    "many entries": pack_payment(payment()._replace(hold=hold()._replace(entries=payment().entries * 9))),
    "an unknown asset": pack_payment(payment()).replace(b"\x92\x04\xcc\xfa", b"\x92\x0e\xcc\xfa"),
    "no text": pack_payment(payment()).replace("陳大文".encode(), "陳大文".encode()[:-1] + b"\xff"),
    "a number in a longer form": pack_payment(payment()).replace(b"\xcc\xfa", b"\xcd\x00\xfa"),
    "two behind each other": pack_payment(payment()) * 2,
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_not_plain_is_left_to_the_plain_twin(what: str) -> None:
    assert ODD[what] != pack_payment(payment())
    agreed(ODD[what])
    with pytest.raises(AssertionError, match="left to the plain twin"):
        compiled.FactReader(NOTES, _Refusing()).read(ODD[what], 7)


def test_odd_records_that_are_read_have_the_note_of_an_ordinary_one() -> None:
    """Written in another form, it is still the same payment, and an event that is sent again must be the same bytes."""
    ordinary = agreed(pack_payment(payment()))
    assert agreed(ODD["older"]) == ordinary
    assert agreed(ODD["a number in a longer form"]) == ordinary
    assert unpack_payment(ODD["another writer"]) == payment(remark="x" * 40)


def test_records_cut_off_or_with_one_byte_changed() -> None:
    random_ = random.Random(SEED)
    record = pack_payment(payment(BEGUN, REFUSED, remark="rent for May"))
    for end in range(len(record)):
        agreed(record[:end])
    for _ in range(DAMAGED):
        place = random_.randrange(len(record))
        agreed(record[:place] + bytes([random_.randrange(256)]) + record[place + 1 :])


# --- which one runs --------------------------------------------------------------------------------------------------
def test_the_compiled_one_runs_unless_told_otherwise() -> None:
    assert facts.FactReader is compiled.FactReader
    told = subprocess.run(
        [sys.executable, "-c", "from switch.store import facts; print(facts.COMPILED)"],
        env={**os.environ, "BAYSWITCH_PURE_PYTHON": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert told.stdout == "False\n"
