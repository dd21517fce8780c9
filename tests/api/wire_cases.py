"""Requests as callers send them and as they should not, and what may happen to bytes on their way."""

import random
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bayswitch.v1 import common_pb2, payment_pb2
from google.protobuf.message import DecodeError

import switch.cli
from loadtest.mixes import MIXES, load_mix
from switch.api.convert import instruction_of
from switch.cli.demo import request_of
from switch.domain.instruction import Instruction
from switch.domain.money import Asset
from switch.errors import Refused
from switch.limits import AMOUNT_MINOR_MAX, MAX35_CHARS, NAME_CHARS_MAX, REMARK_CHARS_MAX, REQUEST_ID_CHARS_MAX

__all__ = [
    "ACCOUNTS",
    "CALLER",
    "DOCUMENTS",
    "a_document",
    "a_request",
    "an_account",
    "mutated",
    "readable",
    "sent_in_life",
]

CALLER: Final = "ALFA"

# Scheme -> addresses that its rule takes, or does not.
ACCOUNTS: Final = {
    1: ("HK-0001", "012-875-0-123456-7", "A" * 34, "A" * 35, "a b", "1"),
    2: ("+852-61234567", "+853-66123456", "+86-13800138000", "+852-21234567", "+44-7700900123", "+1-5551234567", "61234567"),
    3: ("a.b@example.com", "A@B.CO", "a@b", "x" * 60 + "@e.hk", "测@example.com"),
    4: ("1234567", "123456789", "12345678"),
    5: ("0012000000000001", "0021000000000004", "1012000000000001", "001200000000001"),
    6: ("13800138000", "+86-13800138000", "who@example.com", "12800138000"),
    7: ("2088000000100001", "2088999999999999", "2089000000100001", "208800000010001"),
    8: ("2512345678901234", "301234567890123456789012", "2412345678901234"),
}  # fmt: skip
DOCUMENTS: Final = {
    1: ("11010519491231002X", "440305199002280013", "110101190002290010", "110101900307845", "810000199001010019"),
    2: ("810000199001010019", "830000199201300022", "820000200002290016", "110101199003078451"),
    3: ("H12345678", "M8765432101", "HA2345678", "X12345678"),
    4: ("A123456(3)", "A1234563", "AB987654(3)", "a123456(3)", "A123456(4)", " A123456(3) "),
    5: ("1234567(8)", "12345678", "5234567(A)", "2234567(8)"),
    6: ("K1234567", "k1234567", "K123", "AB1234567"),
    7: ("12345678", "1234567890B", "1234567"),
}
_NAMES: Final = (
    "CHAN TAI MAN", "测试甲", "陳大文", "LOAD 000001", "O'Neil-Smith, Jr.", "𠮷野家", "é" * NAME_CHARS_MAX,
    "N" * NAME_CHARS_MAX, "N" * (NAME_CHARS_MAX + 1), " AHEAD", "BEHIND ", "", " ", "a\u3000b", "\u3000a", "a\nb",
    "a\u202eb", "a\ue000b", "a\x00b", "\u200ba", "a\u00a0b", "\uffffx",
)  # fmt: skip
_REFERENCES: Final = (
    "E2E-1", "LOAD-123456789", "工资 2026", "R" * MAX35_CHARS, "R" * (MAX35_CHARS + 1), "薪" * MAX35_CHARS,
    "薪" * (MAX35_CHARS + 1), " R", "R ", "", "a\x85b", "a\u200bb", "a\u00a0",
)  # fmt: skip
_REMARKS: Final = (
    "",
    "",
    "Happy new year!",
    "恭喜发财",
    "r" * REMARK_CHARS_MAX,
    "r" * (REMARK_CHARS_MAX + 1),
    " ",
    "a\tb",
)
_REQUEST_IDS: Final = ("r-1", "A.b_c-9", "r" * REQUEST_ID_CHARS_MAX, "r" * (REQUEST_ID_CHARS_MAX + 1), "", "a b", "号")
_AGENTS: Final = ("", "012", "C1010411000013", "01", "C10104110000134", "abc")
_PURPOSES: Final = ("", "FAMILY_SUPPORT", "P" * 35, "P" * 36, "9A", "a", "_A", "P9_")
_AMOUNTS: Final = (1, 127, 128, 10_000, AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX + 1, 0, -1, 2**56, 2**63 - 1, -(2**63))
_ASSETS: Final = (*Asset.__members__, "", "USD", "hkd", "HKDX")


def readable(participant: str, data: bytes) -> Instruction | str:
    """What the readable path makes of bytes: the instruction, or the kind of its refusal."""
    try:
        return instruction_of(participant, payment_pb2.SubmitPaymentRequest.FromString(data))
    except (Refused, DecodeError) as error:
        return type(error).__name__


def _mostly(dice: random.Random, good: Any, table: tuple[Any, ...]) -> Any:
    return good if dice.random() < 0.97 else dice.choice(table)


def _twisted(dice: random.Random, text: str) -> str:
    """One to three characters are others."""
    characters = list(text)
    for _ in range(dice.randint(1, 3)):
        characters[dice.randrange(len(characters))] = dice.choice("0123456789AXYZafz-+(). _é８")
    return "".join(characters)


def _value(dice: random.Random, tables: dict[int, tuple[str, ...]], kind: int) -> str:
    value = dice.choice(tables.get(kind, ("1",)))
    return value if dice.random() < 0.6 else _twisted(dice, value)


def an_account(dice: random.Random, kinds: tuple[int, ...] = (*ACCOUNTS, 0, 9, 15, 16, 127, -1)) -> common_pb2.Account:
    kind = dice.choice(kinds)
    level = _mostly(dice, 0, (0, 1, 4, 5, 127, 128, -1))
    return common_pb2.Account(scheme=kind, value=_value(dice, ACCOUNTS, kind), level=level)  # type: ignore[arg-type]


def a_document(dice: random.Random, kinds: tuple[int, ...] = (*DOCUMENTS, 0, 8, 99)) -> common_pb2.Document:
    kind = dice.choice(kinds)
    return common_pb2.Document(type=kind, number=_value(dice, DOCUMENTS, kind))  # type: ignore[arg-type]


def _good_account(dice: random.Random) -> common_pb2.Account:
    kind = dice.choice(tuple(ACCOUNTS))
    return common_pb2.Account(scheme=kind, value=dice.choice(ACCOUNTS[kind][:2]))  # type: ignore[arg-type]


def _good_document(dice: random.Random) -> common_pb2.Document:
    kind = dice.choice(tuple(DOCUMENTS))
    return common_pb2.Document(type=kind, number=DOCUMENTS[kind][0])  # type: ignore[arg-type]


def _money(dice: random.Random) -> common_pb2.Money:
    return common_pb2.Money(
        asset=_mostly(dice, dice.choice(tuple(Asset.__members__)), _ASSETS), amount_minor=_mostly(dice, 5_000, _AMOUNTS)
    )


def _party(dice: random.Random) -> common_pb2.Party:
    return common_pb2.Party(
        name=_mostly(dice, dice.choice(_NAMES[:6]), _NAMES),
        place=_mostly(dice, dice.randint(1, 3), (0, 4, 15, 16, 300)),
        account=_mostly(dice, _good_account(dice), (None, an_account(dice))),
        document=_mostly(dice, dice.choice((None, _good_document(dice))), (a_document(dice),)),
    )


def a_request(dice: random.Random) -> payment_pb2.SubmitPaymentRequest:
    """Any request; about every third is valid."""
    priced = dice.random() < 0.5
    uetr = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    return payment_pb2.SubmitPaymentRequest(
        request_id=_mostly(dice, uetr, _REQUEST_IDS),
        uetr=_mostly(dice, uetr, ("", uetr.upper(), _twisted(dice, uetr), uetr[:-1])),
        end_to_end_id=_mostly(dice, dice.choice(_REFERENCES[:4]), _REFERENCES),
        debit=_mostly(dice, _money(dice), (None, common_pb2.Money())),
        credit=_money(dice) if priced else None,
        debtor=_mostly(dice, _party(dice), (None, common_pb2.Party())),
        creditor=_mostly(dice, _party(dice), (None,)),
        creditor_agent=_mostly(dice, "012", _AGENTS),
        purpose=_mostly(dice, dice.choice(_PURPOSES[:3]), _PURPOSES),
        remark=_mostly(dice, dice.choice(_REMARKS[:4]), _REMARKS),
        quote_id=_mostly(dice, uetr if priced else "", (uetr, uetr.upper())),
    )


def sent_in_life() -> Iterator[tuple[str, payment_pb2.SubmitPaymentRequest]]:
    """Name and request of every step of the demo and of some draws of every mix, quoted where they need a quote."""
    dice = random.Random(20261123)
    scenario = tomllib.loads(Path(switch.cli.__file__).with_name("demo.toml").read_text("utf-8"))
    for step in scenario["step"]:
        if "debit" in step:
            request = request_of(step)
            if "credit" in step:
                request.credit.MergeFrom(common_pb2.Money(asset=step["credit"], amount_minor=9_150))
                request.quote_id = request.uetr
            yield f"demo.{step['id']}", request
    for path in sorted(MIXES.glob("*.toml")):
        mix = load_mix(path, {"HK": 3, "MO": 3, "CN": 3})
        for number in range(40):
            drawn = mix.draw(dice)
            if drawn.credit_asset:
                drawn.request.credit.MergeFrom(common_pb2.Money(asset=drawn.credit_asset, amount_minor=9_150))
                drawn.request.quote_id = drawn.request.uetr
            yield f"{path.stem}.{drawn.corridor}.{number}", drawn.request


# Bytes that mean something somewhere: tags, wire types, long and longest numbers, broken UTF-8, empty parts.
_SNIPPETS: Final = (
    b"\x0a\x00", b"\x0a\x01A", b"\x12\x03abc", b"\x22\x00", b"\x2a\x00", b"\x10\x00", b"\x10\x01", b"\x18\x04", b"\x08\x05",
    b"\x5a\x00", b"\x62\x01x", b"\x60\x01", b"\x0b", b"\x0c", b"\x0d\0\0\0\0", b"\x09\0\0\0\0\0\0\0\0", b"\x0f", b"\x00",
    b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\x80\x00", b"\x80", b"\x81\x80\x80\x80\x80\x80\x80\x00",
    b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe6\xb5", b"\xff", b"\x7f", b"\xfa\x01\x00", b"\x92\x01\x00",
)  # fmt: skip


def mutated(dice: random.Random, data: bytes) -> bytes:
    """One to three faults: a bit turned, a byte set, a cut at either end or inside, an insertion, a part repeated."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at = dice.randrange(len(data) + 1)
        to = min(len(data), at + dice.randint(1, 12))
        what = dice.randrange(8)
        if what == 0 and at < len(data):
            data = data[:at] + bytes((data[at] ^ 1 << dice.randrange(8),)) + data[at + 1 :]
        elif what == 1 and at < len(data):
            data = (
                data[:at]
                + bytes((dice.choice((0, 1, 127, 128, 255, data[at] + 1 & 255, data[at] - 1 & 255)),))
                + data[at + 1 :]
            )
        elif what == 2:
            data = data[:at]
        elif what == 3:
            data = data[at:]
        elif what == 4:
            data = data[:at] + data[to:]
        elif what == 5:
            data = data[:at] + dice.choice(_SNIPPETS) + data[at:]
        elif what == 6:
            data = data[:at] + data[at:to] + data[at:]
        else:
            data += dice.choice((data, data[:at], dice.choice(_SNIPPETS)))
    return data
