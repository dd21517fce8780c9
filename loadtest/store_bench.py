"""What a payment costs the store: bytes while it is there, bytes after it left for the archive, and how fast it moves.

An embedded Valkey of its own in a temporary directory, driven through the store's own functions.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from loadtest.bench_rows import Figure, Scale, named
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold, LimitCharge
from switch.domain.position import entries_of
from switch.domain.settlement import SettlementFact
from switch.errors import StoreUnavailable
from switch.ports import Archive, Participant, RailAck
from switch.store import Store, open_store

__all__ = ["ACK", "AGENT", "GATEWAY", "figures", "hold_of", "opened", "pay", "used_bytes", "wallet"]

AT_ONCE = 1_000
REPEATS_MAX = 5
AGENT, GATEWAY = "HKWALLET", "FPSGATE"
ACK = RailAck("FPS20261123000001", "ACSC")
NEVER_MS = 4_102_444_800_000  # 2100: no counter is forgotten while this runs


class _Shelf:
    """As much of an archive as retiring needs."""

    async def retired(self, uetrs: Sequence[str]) -> None:
        return None


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "store"."""
    yield from named("store", asyncio.run(_measured(scale.store_payments)))


async def _measured(count: int) -> dict[str, Figure]:
    found: dict[str, Figure] = {}

    def add(measure: str, figure: float) -> None:
        found[measure] = Figure((figure,))

    async with opened() as store:
        holds = [hold_of(number) for number in range(count)]
        empty = await used_bytes(store)
        begun = time.perf_counter()
        await pay(store, holds)
        add("prepare and commit, one shard, one process", count / (time.perf_counter() - begun))
        add("in the store, its event in the outbox", (await used_bytes(store) - empty) / count)
        begun = time.perf_counter()
        facts = await _acknowledged(store)
        add("outbox read, notes sealed, entries removed", count / (time.perf_counter() - begun))
        add("one note", sum(len(fact.note) for fact in facts) / count)
        add("in the store, its event in the log", (await used_bytes(store) - empty) / count)
        begun = time.perf_counter()
        assert await store.payments.retire(facts) == count
        add("retire", count / (time.perf_counter() - begun))
        add("left for the archive", (await used_bytes(store) - empty) / count)
        holds = [hold_of(count + number) for number in range(count // 4)]
        begun = time.perf_counter()
        await pay(store, holds)
        add("prepare and commit, after those left", len(holds) / (time.perf_counter() - begun))
    async with opened() as store:
        empty, begun = await used_bytes(store), time.perf_counter()
        assert await store.payments.restore(facts) == count
        add("restore from the log", count / (time.perf_counter() - begun))
        add("in the store, back from the log", (await used_bytes(store) - empty) / count)
    return found


@asynccontextmanager
async def opened(url: str = "", *, shards: int = 1, agents: Sequence[str] = (AGENT,)) -> AsyncIterator[Store]:
    """A store with these participants, on the server at `url` or one of its own."""
    with TemporaryDirectory(prefix="bayswitch-bench-") as directory:
        store = await open_store(
            url,
            shards=shards,
            durability="fsync",
            data_dir=Path(directory),
            note_key=bytes(range(32)),
            archive=cast(Archive, _Shelf()),
        )
        try:
            for name in agents:
                await store.participants.create_participant(wallet(name), "OPERATOR", "bench")
            yield store
        finally:
            await store.close()


def wallet(name: str) -> Participant:
    """One that may owe more than any bench makes it owe."""
    return Participant(name, name, "HK", ("instructing",), False, ((Asset.HKD, 10**15),), 1)


async def used_bytes(store: Store) -> int:
    """What the servers have allocated for data; what they owe to running connections and groups is small beside it."""
    return sum(int(info["used_memory_dataset"]) for info in await store.payments._server.everywhere("INFO", "memory"))


async def pay(store: Store, holds: Sequence[Hold]) -> None:
    """Prepare and commit, AT_ONCE at a time, as a switch under load does."""
    for first in range(0, len(holds), AT_ONCE):
        some = holds[first : first + AT_ONCE]
        await asyncio.gather(*(_repeated(store.payments.prepare, hold, "") for hold in some))
        await asyncio.gather(
            *(_repeated(store.payments.commit, hold, ACK, hold.prepared_time_ms + 40) for hold in some)
        )


async def _repeated(step: Callable[..., Awaitable[object]], *given: object) -> None:
    """A step that is safe to repeat, again when the store had no time for it: the machine may be somebody else's, too."""
    for _ in range(REPEATS_MAX):
        with contextlib.suppress(StoreUnavailable):
            await step(*given)
            return
    await step(*given)


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
