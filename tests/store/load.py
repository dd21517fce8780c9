"""A random load that ends: payments of two agents, some converted, some limited, refused, in doubt; and its facts."""

import random
import time
from typing import NamedTuple

from switch.domain.money import Asset
from switch.domain.payment import Hold, Payment
from switch.domain.settlement import SettlementFact
from switch.ports import ArchivedFact, OutboxEntry
from switch.store import Store
from tests.fake_archive import FakeArchive
from tests.store.builders import ACK, charge, hold, join, quote

__all__ = ["AGENTS", "COUNTERS", "Load", "acknowledge", "facts_of", "join_all", "keep", "run_load"]

AGENTS = ("ALFA", "BRAVO", "CHARLIE")
CONVERTS = "CHARLIE"  # and has the cap for it: a quote that stays open would stay held
DAY_MAX, CAP = 6_000, 12_000
COUNTERS = tuple(("d20991231", f"north.day|{agent}") for agent in AGENTS)


class Load(NamedTuple):
    """What was asked, what became of it, and what the log was told."""

    holds: dict[str, Hold]
    payments: dict[str, Payment]
    facts: list[SettlementFact]


async def join_all(store: Store) -> None:
    for agent in AGENTS:
        await join(store, agent, 10**6 if agent == CONVERTS else CAP)
    await join(store, "FX1", 10**6, Asset.CNY)


async def run_load(store: Store, seed: int, count: int = 40) -> Load:
    """`count` payments, all of them final at the end; quotes are ended, too. The outbox stays as it is."""
    chance = random.Random(seed)
    await join_all(store)
    holds: dict[str, Hold] = {}
    for number in range(count):
        one = await _asked(store, chance, time.time_ns() // 1_000_000 - 1_000 + number)
        holds[one.uetr] = one
        prepared = await store.payments.prepare(one, one.instruction.quote_id)
        if not prepared.payment.state.final:
            await _end(store, chance, one)
    await store.quotes.release_quotes(1 << 52, 1_000)
    payments = {uetr: await _got(store, one) for uetr, one in holds.items()}
    facts = [fact for shard in range(store.payments.shards) for fact in await facts_of(store, shard)]
    return Load(holds, payments, facts)


async def _asked(store: Store, chance: random.Random, now_ms: int) -> Hold:
    agent = chance.choice(AGENTS)
    if agent == CONVERTS:
        priced = quote(chance.randint(20, 900), chance.randint(1, 900), owner=agent)
        await store.quotes.create_quote(priced)
        return hold(debtor_agent=agent, quote=priced, prepared_time_ms=now_ms)
    amount = chance.randint(1, 1_500)
    limited = charge(amount, DAY_MAX)._replace(counter=f"north.day|{agent}")
    charges = (limited,) if chance.random() < 0.5 else ()
    return hold(amount, debtor_agent=agent, charges=charges, prepared_time_ms=now_ms)


async def _end(store: Store, chance: random.Random, one: Hold) -> None:
    if chance.random() < 0.2:
        await store.payments.doubt(one, one.prepared_time_ms + 1)
    if chance.random() < 0.7:
        await store.payments.commit(one, ACK, one.prepared_time_ms + 2)
    else:
        await store.payments.abort(one, "CREDITOR_ACCOUNT_CLOSED", "AC04", one.prepared_time_ms + 2)


async def _got(store: Store, one: Hold) -> Payment:
    payment = await store.payments.get(one.participant, one.uetr)
    assert payment is not None
    assert payment.state.final
    return payment


async def facts_of(store: Store, shard: int) -> list[SettlementFact]:
    return [entry.fact for entry in await store.payments.outbox_read(shard, 10_000)]


async def acknowledge(store: Store) -> list[SettlementFact]:
    """As a relay: everything leaves the outbox."""
    gone: list[OutboxEntry] = []
    for shard in range(store.payments.shards):
        entries = await store.payments.outbox_read(shard, 10_000)
        token = await store.payments.outbox_lease(shard, "relay", 60_000)
        if entries:
            await store.payments.outbox_delete(entries, token)
        gone += entries
    return [entry.fact for entry in gone]


async def keep(archive: FakeArchive, facts: list[SettlementFact]) -> None:
    """As a settler: the archive has them."""
    first = len(archive.kept)
    await archive.keep([ArchivedFact(fact, 0, first + place, bytes(32)) for place, fact in enumerate(facts)])
