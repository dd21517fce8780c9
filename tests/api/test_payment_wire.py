"""The compiled reader knows too little at most: what it reads is what the readable path reads, whatever the bytes."""

import gc
import importlib
import os
import random
import subprocess
import sys
import uuid
from typing import Any

import pytest
from bayswitch.v1 import common_pb2, payment_pb2
from google.protobuf import any_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.api import _payment_wire_reference, payment_wire
from switch.api._wire_layout import fields_of
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.limits import (
    AMOUNT_MINOR_MAX,
    BATCH_ITEMS_MAX,
    MAX35_CHARS,
    NAME_CHARS_MAX,
    REMARK_CHARS_MAX,
    REQUEST_ID_CHARS_MAX,
)
from tests.api.support import submit_request
from tests.api.wire_cases import (
    ACCOUNTS,
    CALLER,
    DOCUMENTS,
    a_document,
    a_request,
    an_account,
    mutated,
    readable,
    sent_in_life,
)

SEED = 20261125
REQUESTS = 12_000
MUTATIONS = 24_000

compiled: Any = importlib.import_module("switch.api._payment_reader")


def agreed(data: bytes) -> Instruction | None:
    """What the compiled one reads; it must be nothing, or what the readable path reads."""
    read: Instruction | None = compiled.read_submit(CALLER, data)
    expected = readable(CALLER, data)
    assert read is None or read == expected, data.hex()
    if read is not None:
        assert type(read) is Instruction, "a NamedTuple of its own kind, not a tuple"
        assert repr(read) == repr(expected), "enums are members, numbers are numbers"
    return read


def party(account: common_pb2.Account, document: common_pb2.Document | None = None) -> common_pb2.Party:
    return common_pb2.Party(name="CHAN TAI MAN", place=common_pb2.PLACE_HK, account=account, document=document)


# --- one request -----------------------------------------------------------------------------------------------------
def test_what_is_read_is_what_the_readable_path_reads() -> None:
    dice, valid, read = random.Random(SEED), 0, 0
    print(f"seed {SEED}")
    for _ in range(REQUESTS):
        data = a_request(dice).SerializeToString()
        valid += isinstance(readable(CALLER, data), Instruction)
        read += agreed(data) is not None
    assert valid > REQUESTS // 10, "the draw must meet valid requests"
    assert read > valid * 95 // 100, f"most of what is valid is plain: {read} of {valid}"


@pytest.mark.parametrize("request_", [pytest.param(each, id=name) for name, each in sent_in_life()])
def test_what_is_sent_in_life_is_read(request_: payment_pb2.SubmitPaymentRequest) -> None:
    assert agreed(request_.SerializeToString()) is not None


_MONEY = common_pb2.Money
PLAIN: dict[str, dict[str, Any]] = {
    "an id of a wallet's own": {"request_id": "ORDER_2026.11-0001"},
    "the longest id": {"request_id": "r" * REQUEST_ID_CHARS_MAX},
    "the longest reference": {"end_to_end_id": "R" * MAX35_CHARS},
    "the longest Chinese reference": {"end_to_end_id": "薪" * MAX35_CHARS},
    "the longest remark": {"remark": "r" * REMARK_CHARS_MAX},
    "the longest Chinese remark": {"remark": "恭" * REMARK_CHARS_MAX},
    "a remark with a space in it": {"remark": "恭喜 发财"},
    "a purpose": {"purpose": "FAMILY_SUPPORT"},
    "the longest purpose": {"purpose": "P" * 35},
    "a clearing code": {"creditor_agent": "012"},
    "an institution id": {"creditor_agent": "C1010411000013"},
    "the smallest amount": {"debit": _MONEY(asset="HKD", amount_minor=1)},
    "the largest amount": {"debit": _MONEY(asset="HKD", amount_minor=AMOUNT_MINOR_MAX)},
    "an equal credit": {"credit": _MONEY(asset="HKD", amount_minor=10_000)},
    "a quote": {"credit": _MONEY(asset="CNY", amount_minor=9_150), "quote_id": str(uuid.UUID(int=7, version=4))},
    "another asset without a quote": {"credit": _MONEY(asset="MOP", amount_minor=10_300)},
    "a message that is there and empty": {"purpose": "", "remark": ""},
    **{f"{asset}": {"debit": _MONEY(asset=asset, amount_minor=5)} for asset in Asset.__members__},
    **{
        f"{Scheme(kind).name} {value}": {
            "creditor": party(common_pb2.Account(scheme=kind, value=value)),  # type: ignore[arg-type]
            "creditor_agent": "012",
        }
        for kind, values in ACCOUNTS.items()
        for value in values[:2]
    },
    **{
        f"tier {level}": {
            "creditor": party(common_pb2.Account(scheme="SCHEME_WALLET_ID", value="0021000000000004", level=level))
        }
        for level in range(1, 5)
    },
    **{
        f"document {kind} {values[0]}": {
            "debtor": party(
                common_pb2.Account(scheme="SCHEME_ACCOUNT", value="HK-0001"),
                common_pb2.Document(type=kind, number=values[0]),  # type: ignore[arg-type]
            )
        }
        for kind, values in DOCUMENTS.items()
    },
}


@pytest.mark.parametrize("changes", PLAIN.values(), ids=PLAIN)
def test_what_is_plain_is_read(changes: dict[str, Any]) -> None:
    assert agreed(submit_request(**changes).SerializeToString()) is not None


_ACCOUNT = common_pb2.Account(scheme="SCHEME_ACCOUNT", value="HK-0001")
LEFT: dict[str, dict[str, Any]] = {
    "no id": {"request_id": ""},
    "an id too long": {"request_id": "r" * (REQUEST_ID_CHARS_MAX + 1)},
    "an id in capitals": {"uetr": str(uuid.UUID(int=0xABC, version=4)).upper()},
    "an id of version 1": {"uetr": "00000000-0000-1000-8000-000000000000"},
    "an id of another variant": {"uetr": "00000000-0000-4000-c000-000000000000"},
    "no reference": {"end_to_end_id": ""},
    "a reference too long": {"end_to_end_id": "R" * (MAX35_CHARS + 1)},
    "a Chinese reference too long": {"end_to_end_id": "薪" * (MAX35_CHARS + 1)},
    "a reference with a space at its end": {"end_to_end_id": "R "},
    "a remark too long": {"remark": "r" * (REMARK_CHARS_MAX + 1)},
    "a remark with a line in it": {"remark": "a\nb"},
    "a remark that turns the reading direction": {"remark": "a\u202eb"},
    "an agent too long": {"creditor_agent": "C" * 15},
    "a purpose that begins with a digit": {"purpose": "9A"},
    "no debit": {"debit": None},
    "an empty debit": {"debit": _MONEY()},
    "an asset nobody knows": {"debit": _MONEY(asset="USD", amount_minor=1)},
    "no amount": {"debit": _MONEY(asset="HKD")},
    "an amount with a sign": {"debit": _MONEY(asset="HKD", amount_minor=-1)},
    "an amount too large": {"debit": _MONEY(asset="HKD", amount_minor=AMOUNT_MINOR_MAX + 1)},
    "another credit in one asset": {"credit": _MONEY(asset="HKD", amount_minor=9_999)},
    "a quote without a credit": {"quote_id": str(uuid.UUID(int=7, version=4))},
    "no debtor": {"debtor": None},
    "no account": {"debtor": common_pb2.Party(name="A", place=common_pb2.PLACE_HK)},
    "no name": {"debtor": common_pb2.Party(place=common_pb2.PLACE_HK, account=_ACCOUNT)},
    "a name too long": {
        "debtor": common_pb2.Party(name="N" * (NAME_CHARS_MAX + 1), place=common_pb2.PLACE_HK, account=_ACCOUNT)
    },
    "no place": {"debtor": common_pb2.Party(name="A", account=_ACCOUNT)},
    "an account without its bank": {"creditor": party(_ACCOUNT)},
    "a tier of no wallet": {"debtor": party(common_pb2.Account(scheme="SCHEME_ACCOUNT", value="HK-0001", level=1))},
    "an empty document": {"debtor": party(_ACCOUNT, common_pb2.Document())},
    "a document with a wrong check": {
        "debtor": party(_ACCOUNT, common_pb2.Document(type="DOCUMENT_TYPE_HKID", number="A123456(4)"))
    },
}


@pytest.mark.parametrize("changes", LEFT.values(), ids=LEFT)
def test_what_is_wrong_is_left_to_the_readable_path(changes: dict[str, Any]) -> None:
    data = submit_request(**changes).SerializeToString()
    assert agreed(data) is None
    assert readable(CALLER, data) == "Refused"


# --- values: what is learnt of a rule is never wider than the rule ------------------------------------------------------
def test_addresses_agree_with_their_rules() -> None:
    dice, seen = random.Random(SEED), set()
    for _ in range(REQUESTS):
        account = an_account(dice)
        read = agreed(submit_request(creditor=party(account), creditor_agent="012").SerializeToString())
        seen.add((account.scheme, read is not None))
    assert {(int(kind), known) for kind in Scheme for known in (True, False)} <= seen


def test_documents_agree_with_their_rules() -> None:
    dice, seen = random.Random(SEED), set()
    for _ in range(REQUESTS):
        document = a_document(dice)
        read = agreed(submit_request(debtor=party(_ACCOUNT, document)).SerializeToString())
        seen.add((document.type, read is not None))
    assert {(kind, known) for kind in DOCUMENTS for known in (True, False)} <= seen


@pytest.mark.parametrize("kind", [1, 2])
def test_cards_of_every_region_and_day_agree_with_their_rule(kind: int) -> None:
    dice, read = random.Random(SEED), 0
    for number in range(REQUESTS):
        region = f"{number % 100:02d}{dice.choice(('0000', '0101', '9999'))}"
        day = f"{dice.choice((1849, 1850, 1899, 1900, 1990, 2000, 2024, 2099, 2100))}{dice.randint(0, 13):02d}{dice.randint(0, 32):02d}"
        digits = f"{region}{day}{dice.randrange(1000):03d}"
        total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(digits))
        check = "10X98765432"[total % 11] if dice.random() < 0.9 else dice.choice("0123456789Xx")
        document = common_pb2.Document(type=kind, number=digits + check)  # type: ignore[arg-type]
        read += agreed(submit_request(debtor=party(_ACCOUNT, document)).SerializeToString()) is not None
    assert read > REQUESTS // 200, "some are valid"


# --- bytes that came to harm -----------------------------------------------------------------------------------------
def test_bytes_that_came_to_harm_are_never_read_wrongly() -> None:
    dice, read = random.Random(SEED), 0
    print(f"seed {SEED}")
    sound = [request.SerializeToString() for _, request in sent_in_life()]
    for _ in range(MUTATIONS):
        read += agreed(mutated(dice, dice.choice(sound))) is not None
    assert MUTATIONS // 100 < read < MUTATIONS, "some harm makes another valid request, most makes none"


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    agreed(data)
    compiled.read_batch(CALLER, data)


def test_every_cut_is_left_to_the_readable_path() -> None:
    data = submit_request(remark="恭喜发财").SerializeToString()
    assert agreed(data) is not None
    for size in range(len(data)):
        agreed(data[:size])
        assert compiled.read_batch(CALLER, bytes((10, 0x80 | len(data) & 127, len(data) >> 7)) + data[:size]) is None


NOT_PLAIN: dict[str, bytes] = {
    "a field again": b"\x0a\x01r",
    "a field out of order": b"\x52\x01r\x4a\x01P",
    "an unknown field": b"\x62\x01x",
    "an unknown number": b"\x60\x01",
    "a field of two bytes": b"\x82\x01\x01x",
    "a text as a number": b"\x50\x01",
    "a group": b"\x53\x54",
    "a broken text": b"\x52\x02\xe6\xb5",
    "an overlong text": b"\x52\x02\xc0\x80",
    "a surrogate": b"\x52\x03\xed\xa0\x80",
    "a length past the end": b"\x52\x7fr",
    "the longest length": b"\x52" + b"\xff" * 9 + b"\x01",
    "a negative length": b"\x52" + b"\xff" * 4 + b"\x0f",
    "a length without an end": b"\x52\xff",
}


@pytest.mark.parametrize("tail", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_is_left_to_the_readable_path(tail: bytes) -> None:
    assert agreed(submit_request().SerializeToString() + tail) is None


def test_nothing_at_all_is_left_to_the_readable_path() -> None:
    assert agreed(b"") is None


@pytest.mark.parametrize("given", [(None, b""), ("ALFA", None), (b"ALFA", b""), ("ALFA", ""), ("ALFA", bytearray())])
def test_what_is_no_bytes_is_a_type_error_not_a_crash(given: tuple[Any, Any]) -> None:
    for read in (compiled.read_submit, compiled.read_batch):
        with pytest.raises(TypeError):
            read(*given)


def test_nothing_is_kept_of_what_was_read() -> None:
    caller = "".join(("ALF", "A"))  # a str of its own: nobody else holds it
    plain = submit_request(remark="恭喜发财").SerializeToString()
    broken = submit_request(end_to_end_id="").SerializeToString()
    watched: tuple[Any, ...] = (caller, Asset.HKD, Place.HK, Scheme.MOBILE, Money, Account, Party, Instruction, plain)
    gc.collect()
    before = [sys.getrefcount(each) for each in watched]
    for _ in range(500):
        assert compiled.read_submit(caller, plain) is not None
        assert compiled.read_submit(caller, broken) is None
        assert (
            len(compiled.read_batch(caller, b"\x0a" + bytes((len(broken) & 127 | 128, len(broken) >> 7)) + broken)) == 1
        )
    gc.collect()
    assert [sys.getrefcount(each) for each in watched] == before


# --- a batch ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("wire", [compiled, _payment_wire_reference], ids=["compiled", "reference"])
def test_each_item_of_a_batch_is_an_instruction_or_its_bytes(wire: Any) -> None:
    dice = random.Random(SEED)
    items = [submit_request(remark=f"{number}") for number in range(BATCH_ITEMS_MAX - 200)]
    items += [a_request(dice) for _ in range(200)]
    dice.shuffle(items)
    read = wire.read_batch(CALLER, payment_pb2.SubmitPaymentsRequest(items=items).SerializeToString())
    assert len(read) == len(items)
    for each, item in zip(read, items, strict=True):
        data = item.SerializeToString()
        expected = readable(CALLER, data)
        assert each in (expected, data)
        assert isinstance(each, Instruction) or data == each
    assert {type(each) for each in read} == {Instruction, bytes}


@pytest.mark.parametrize("wire", [compiled, _payment_wire_reference], ids=["compiled", "reference"])
def test_a_batch_of_nothing_is_empty(wire: Any) -> None:
    assert wire.read_batch(CALLER, b"") == []
    assert wire.read_batch(CALLER, b"\x0a\x00") == [b""]


@pytest.mark.parametrize("tail", [b"\x12\x00", b"\x08\x01", b"\x0a", b"\x0a\x05abc", b"\x0a" + b"\xff" * 10, b"\x0b"])
def test_a_batch_that_is_not_plain_is_left_to_the_readable_path(tail: bytes) -> None:
    data = payment_pb2.SubmitPaymentsRequest(items=[submit_request()]).SerializeToString()
    assert len(compiled.read_batch(CALLER, data)) == 1
    assert compiled.read_batch(CALLER, data + tail) is None


# --- which one runs --------------------------------------------------------------------------------------------------
def test_the_compiled_one_runs_unless_told_otherwise() -> None:
    chosen: Any = importlib.import_module("switch.api.payment_wire")
    assert chosen.COMPILED is True
    assert chosen.read_submit is compiled.read_submit
    told = subprocess.run(
        [sys.executable, "-c", "from switch.api import payment_wire; print(payment_wire.COMPILED)"],
        env={**os.environ, "BAYSWITCH_PURE_PYTHON": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert told.stdout == "False\n"


def test_the_layout_of_a_message_is_read_from_its_descriptor() -> None:
    assert fields_of(common_pb2.Account) == {"scheme": (1, "number"), "value": (2, "text"), "level": (3, "number")}
    assert fields_of(payment_pb2.SubmitPaymentsRequest) == {"items": (1, "messages")}
    with pytest.raises(KeyError):  # bytes, which no message of ours has
        fields_of(any_pb2.Any)


@pytest.mark.parametrize("items", [0, 1, 3, 500])
def test_items_are_counted_without_being_read(items: int) -> None:
    data = payment_pb2.SubmitPaymentsRequest(
        items=[payment_pb2.SubmitPaymentRequest(request_id="x" * number) for number in range(items)]
    ).SerializeToString()
    assert payment_wire.count_items(data) == _payment_wire_reference.count_items(data) == items
    for damaged in (data[:-1], data + b"\x12\x00", data + b"\x0a\x7f"):
        if damaged != data and items:
            assert payment_wire.count_items(damaged) in (None, _payment_wire_reference.count_items(damaged))
    assert payment_wire.count_items(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f") is None
