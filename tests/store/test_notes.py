"""Notes: nothing personal is in them in any readable form, nobody else opens them, and a repeat is still told apart."""

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction, differing_field
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Payment, State, Transition
from switch.errors import ConfigError
from switch.store.notes import Notes
from switch.store.packing import pack_payment, unpack_payment
from tests.store.builders import NOTE_KEY, NOW_MS, charge, hold

NOTES = Notes(NOTE_KEY)
PERSONAL = ("CHAN TAI MAN", "陳大文", "012345", "A1234563", "13800138000", "rent for May")


def payment(**changed: Any) -> Payment:
    held = hold(250, charges=(charge(250, 500),), uetr="5b1d1a52-6d4b-4f5e-9a54-0d3f8a1c2e77")
    asked = held.instruction._replace(**({"remark": "rent for May"} | changed))
    steps = (Transition(State.PREPARED, NOW_MS), Transition(State.COMMITTED, NOW_MS + 5, rail_reference="FPS1"))
    return Payment(held._replace(instruction=asked), steps)


def test_a_note_opens_to_the_masked_payment_and_is_always_the_same_bytes() -> None:
    one = payment()
    note = NOTES.seal(one)
    assert note == Notes(NOTE_KEY).seal(payment())
    opened = NOTES.open(one.hold.uetr, note)
    assert opened == NOTES.masked(one)
    assert opened.hold.masked
    assert opened.history == one.history
    assert (opened.hold.charges, opened.entries) == (one.hold.charges, one.entries)
    assert NOTES.seal(opened) == note, "what came back is sealed as it was"


def test_no_personal_value_is_in_a_note_nor_in_what_it_opens_to() -> None:
    note = NOTES.seal(payment())
    record = NOTES.record(payment().hold.uetr, note)
    for word in PERSONAL:
        assert word.encode() in pack_payment(payment())
        assert word.encode() not in note
        assert word.encode() not in record


def test_masks_of_one_person_are_not_linked_across_payments_nor_across_fields() -> None:
    first = payment()
    other = first.instruction._replace(uetr=str(uuid.uuid4()))
    second = first._replace(hold=first.hold._replace(instruction=other))
    names = {NOTES.masked(one).instruction.debtor.name for one in (first, second)}
    assert len(names) == 2
    twice = payment(creditor=first.instruction.debtor)
    hidden = NOTES.masked(twice).instruction
    assert hidden.creditor.name != hidden.debtor.name


def test_what_is_empty_stays_empty() -> None:
    hidden = NOTES.masked(payment(remark="")).instruction
    assert hidden.remark == ""
    assert hidden.creditor.document is None


@pytest.mark.parametrize("wrong", ["key", "uetr", "byte", "short"])
def test_a_note_that_is_not_ours_is_not_opened(wrong: str) -> None:
    note, uetr, notes = NOTES.seal(payment()), payment().hold.uetr, NOTES
    if wrong == "key":
        notes = Notes(bytes(32))
    elif wrong == "uetr":
        uetr = str(uuid.uuid4())
    else:
        note = note[:-1] + bytes([note[-1] ^ 1]) if wrong == "byte" else note[:10]
    with pytest.raises(ConfigError, match="identity_key"):
        notes.open(uetr, note)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_a_wrong_setting(length: int) -> None:
    with pytest.raises(ConfigError, match="note_key"):
        Notes(bytes(length))


def test_a_record_of_before_masks_still_reads() -> None:
    one = payment()
    head = pack_payment(one)
    # The version is one byte, the hold an array: without its last field it has one element less.
    assert head[1] == 0x98
    old = head[:1] + b"\x97" + head[2:].replace(b"\xc2", b"", 1)
    assert unpack_payment(old) == one


TEXTS = st.text(max_size=6)
MONEY = st.builds(Money, st.sampled_from([Asset.HKD, Asset.CNY]), st.integers(1, 3))
ACCOUNTS = st.builds(Account, st.sampled_from(list(Scheme)[:2]), TEXTS, st.integers(0, 1))
DOCUMENTS = st.none() | st.builds(Document, st.sampled_from(list(DocumentType)[:2]), TEXTS)
PARTIES = st.builds(Party, TEXTS, st.sampled_from(list(Place)), ACCOUNTS, DOCUMENTS)
INSTRUCTIONS = st.builds(
    Instruction, TEXTS, TEXTS, st.just("u1") | st.just("u2"), TEXTS, MONEY, MONEY, PARTIES, PARTIES, TEXTS, TEXTS, TEXTS, TEXTS
)  # fmt: skip


@given(first=INSTRUCTIONS, other=INSTRUCTIONS, fields=st.sets(st.sampled_from(Instruction._fields)))
def test_a_masked_record_names_the_field_an_open_one_would(
    first: Instruction, other: Instruction, fields: set[str]
) -> None:
    second = first._replace(**{name: getattr(other, name) for name in fields})
    earlier = payment()
    earlier = earlier._replace(hold=earlier.hold._replace(instruction=first))
    expected = differing_field(first, second)
    assert NOTES.differing_field(earlier, second) == expected
    assert NOTES.differing_field(NOTES.masked(earlier), second) == expected
