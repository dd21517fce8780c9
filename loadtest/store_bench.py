"""What a payment costs the store: bytes while it is there, bytes after it left for the archive, and how fast it moves.

Run it with `python -m loadtest.store_bench`; it starts an embedded Valkey of its own in a temporary directory.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold, LimitCharge
from switch.domain.position import entries_of
from switch.domain.settlement import SettlementFact
from switch.ports import Archive, Participant, RailAck
from switch.store import Store, open_store

__all__ = ["ACK", "GATEWAY", "hold_of", "rows"]

PAYMENTS = 20_000
AT_ONCE = 1_000
AGENT, GATEWAY = "HKWALLET", "FPSGATE"
ACK = RailAck("FPS20261123000001", "ACSC")
NEVER_MS = 4_102_444_800_000  # 2100: no counter is forgotten while this runs


class _Shelf:
    """As much of an archive as retiring needs."""

    async def retired(self, uetrs: Sequence[str]) -> None:
        return None


def rows() -> list[dict[str, Any]]:
    """One row per measure: a name, a figure, its unit."""
    return asyncio.run(_measured())


async def _measured() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def add(measure: str, figure: float, unit: str) -> None:
        text = f"{measure:<52} {figure:>10,.0f} {unit}"
        found.append({"measure": measure, "figure": figure, "unit": unit, "text": text})

    async with _opened() as store:
        holds = [hold_of(number) for number in range(PAYMENTS)]
        empty = await _used_bytes(store)
        begun = time.perf_counter()
        for first in range(0, PAYMENTS, AT_ONCE):
            await _pay(store, holds[first : first + AT_ONCE])
        add("prepare and commit, one shard, one process", PAYMENTS / (time.perf_counter() - begun), "payments/s")
        add("in the store, its event in the outbox", (await _used_bytes(store) - empty) / PAYMENTS, "bytes/payment")
        begun = time.perf_counter()
        facts = await _acknowledged(store)
        add("outbox read, notes sealed, entries removed", PAYMENTS / (time.perf_counter() - begun), "payments/s")
        add("one note", sum(len(fact.note) for fact in facts) / PAYMENTS, "bytes")
        add("in the store, its event in the log", (await _used_bytes(store) - empty) / PAYMENTS, "bytes/payment")
        begun = time.perf_counter()
        assert await store.payments.retire(facts) == PAYMENTS
        add("retire", PAYMENTS / (time.perf_counter() - begun), "payments/s")
        add("left for the archive", (await _used_bytes(store) - empty) / PAYMENTS, "bytes/payment")
        begun = time.perf_counter()
        for first in range(0, AT_ONCE * 5, AT_ONCE):
            await _pay(store, [hold_of(PAYMENTS + first + number) for number in range(AT_ONCE)])
        add("prepare and commit, after those left", AT_ONCE * 5 / (time.perf_counter() - begun), "payments/s")
    async with _opened() as store:
        empty, begun = await _used_bytes(store), time.perf_counter()
        assert await store.payments.restore(facts) == PAYMENTS
        add("restore from the log", PAYMENTS / (time.perf_counter() - begun), "payments/s")
        add("in the store, back from the log", (await _used_bytes(store) - empty) / PAYMENTS, "bytes/payment")
    return found


@asynccontextmanager
async def _opened() -> AsyncIterator[Store]:
    """A store on a server of its own, with one participant."""
    with TemporaryDirectory() as directory:
        store = await open_store(
            "",
            shards=1,
            durability="fsync",
            data_dir=Path(directory),
            note_key=bytes(range(32)),
            archive=cast(Archive, _Shelf()),
        )
        try:
            agent = Participant(AGENT, "Load", "HK", ("instructing",), False, ((Asset.HKD, 10**15),), 1)
            await store.participants.create_participant(agent, "OPERATOR", "bench")
            yield store
        finally:
            await store.close()


async def _used_bytes(store: Store) -> int:
    """What the server has allocated for data; what it owes to running connections and groups is small beside it."""
    (info,) = await store.payments._server.everywhere("INFO", "memory")
    return int(info["used_memory_dataset"])


async def _pay(store: Store, holds: Sequence[Hold]) -> None:
    await asyncio.gather(*(store.payments.prepare(hold, "") for hold in holds))
    await asyncio.gather(*(store.payments.commit(hold, ACK, hold.prepared_time_ms + 40) for hold in holds))


async def _acknowledged(store: Store) -> list[SettlementFact]:
    """As a relay whose broker takes everything."""
    facts: list[SettlementFact] = []
    token = await store.payments.outbox_lease(0, "bench", NEVER_MS)
    while entries := await store.payments.outbox_read(0, 500):
        await store.payments.outbox_delete(entries, token)
        facts += [entry.fact for entry in entries]
    return facts


def hold_of(number: int, agent: str = AGENT) -> Hold:
    """A payment of a made-up wallet over a made-up gateway; the number decides everything but the ids."""
    uetr, money = str(uuid.uuid4()), Money(Asset.HKD, 10_000 + number)
    paper = Document(DocumentType.HKID, f"A{number % 500:06}(3)")
    debtor = Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, f"HK-{number % 500:06}"), paper)
    creditor = Party(f"LOAD {number:06}", Place.HK, Account(Scheme.MOBILE, f"+852-7{number:07}"))
    instruction = Instruction(
        agent, str(uuid.uuid4()), uetr, f"E2E-{number}", money, money, debtor, creditor, "012", "FAMILY_SUPPORT", "rent", ""
    )  # fmt: skip
    counter = f"north.day|{agent}|{number % 500:032x}"
    charge = LimitCharge("north.day", counter, "d20991231", NEVER_MS, money.amount_minor, 10**12)
    now_ms = time.time_ns() // 1_000_000
    return Hold(
        instruction, "hk-hk-hkd", "hkfps", entries_of(instruction, GATEWAY, None), (charge,), now_ms, now_ms + 10_000
    )


if __name__ == "__main__":
    print("\n".join(row["text"] for row in rows()))
