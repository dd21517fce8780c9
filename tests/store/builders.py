"""Instructions, holds and participants for the tests of the store: small, valid, and different only where asked."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money, Rate, Rounding
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold, LimitCharge
from switch.domain.position import entries_of
from switch.domain.quote import Quote
from switch.ports import Participant, RailAck
from switch.store import Store, client, grouping

NOW_MS = 1_795_400_000_000  # 2026-11-23; prepared times count from here
ACK = RailAck("FPS20261123000001", "ACSC")
GATEWAY = "HKFPS"
NOTE_KEY = bytes(range(32))


def participant(name: str = "ALFA", cap_minor: int = 1_000_000, asset: Asset = Asset.HKD) -> Participant:
    return Participant(name, f"{name} wallet", "HK", ("instructing",), False, ((asset, cap_minor),), NOW_MS)


async def join(store: Store, name: str = "ALFA", cap_minor: int = 1_000_000, asset: Asset = Asset.HKD) -> None:
    await store.participants.create_participant(participant(name, cap_minor, asset), "operator", "joins")


def instruction(
    amount_minor: int = 100,
    *,
    debtor_agent: str = "ALFA",
    request_id: str = "",
    uetr: str = "",
    quote: Quote | None = None,
) -> Instruction:
    uetr = uetr or str(uuid.uuid4())
    debit = quote.debit if quote else Money(Asset.HKD, amount_minor)
    return Instruction(
        participant=debtor_agent,
        request_id=request_id or f"r-{uetr}",
        uetr=uetr,
        end_to_end_id="E2E-1",
        debit=debit,
        credit=quote.credit if quote else debit,
        debtor=Party(
            "CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "012345"), Document(DocumentType.HKID, "A1234563")
        ),
        creditor=Party("陳大文", Place.CN, Account(Scheme.MOBILE, "+86-13800138000", 2)),
        creditor_agent="",
        purpose="FAMILY_SUPPORT",
        remark="",
        quote_id=quote.id if quote else "",
    )


def hold(
    amount_minor: int = 100,
    *,
    debtor_agent: str = "ALFA",
    request_id: str = "",
    uetr: str = "",
    charges: tuple[LimitCharge, ...] = (),
    quote: Quote | None = None,
    prepared_time_ms: int = NOW_MS,
    overdue_time_ms: int = 0,
) -> Hold:
    asked = instruction(amount_minor, debtor_agent=debtor_agent, request_id=request_id, uetr=uetr, quote=quote)
    overdue = overdue_time_ms or prepared_time_ms + 10_000
    entries = entries_of(asked, GATEWAY, quote)
    return Hold(asked, "hk-hk.hkd", "hkfps", entries, charges, prepared_time_ms, overdue)


def charge(
    amount_minor: int, max_minor: int, period_key: str = "d20991231", limit_id: str = "north.day"
) -> LimitCharge:
    expiry = 4_102_444_800_000  # 2100: no test waits for it
    return LimitCharge(limit_id, f"{limit_id}|ALFA|5f3a", period_key, expiry, amount_minor, max_minor)


def quote(
    debit_minor: int = 1_000,
    credit_minor: int = 900,
    *,
    expiry_time_ms: int = 4_102_444_800_000,
    owner: str = "ALFA",
    provider: str = "FX1",
    fee_minor: int = 10,
) -> Quote:
    return Quote(
        id=str(uuid.uuid4()),
        participant=owner,
        corridor_id="hk-hk.hkd",
        creditor_agent="",
        debit=Money(Asset.HKD, debit_minor),
        credit=Money(Asset.CNY, credit_minor),
        fee_minor=fee_minor,
        rate=Rate(91, 100),
        rounding=Rounding.DOWN,
        provider=provider,
        created_time_ms=NOW_MS,
        expiry_time_ms=expiry_time_ms,
    )


@contextmanager
def store_waits(ms: int) -> Iterator[None]:
    """Every store of this process waits so long for an answer of its server. Tests may undo their own `monkeypatch`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client, "_BUDGET_S", ms / 1000)
        patched.setattr(grouping, "STORE_CALL_MS_MAX", ms)
        yield


async def until(reached: Callable[[], Awaitable[bool]], budget_s: float = 60) -> None:
    """Look until it is so, at most `budget_s`."""
    async with asyncio.timeout(budget_s):
        while not await reached():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)
