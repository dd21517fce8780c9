"""A store that lost everything gets its final payments back from the log, and answers as if nothing had happened."""

import asyncio
import random
import time

import pytest

from switch.api.convert import payment_of
from switch.domain.money import Asset
from switch.domain.payment import Hold, State
from switch.domain.position import Position
from switch.errors import ConfigError, Refused, SettlementHalted
from switch.ports import Change
from switch.store import Store
from tests.fake_archive import FakeArchive
from tests.store.builders import ACK, NOW_MS, charge, hold, join, quote
from tests.store.conftest import OpenNew
from tests.store.load import AGENTS, COUNTERS, Load, acknowledge, facts_of, join_all, keep, run_load

SEEDS = [1, 2, 3]
EVER = {"state": None, "from_time_ms": 0, "to_time_ms": 1 << 52}


async def figures(store: Store) -> tuple[list[Position], list[list[int]]]:
    """Positions of all, and the use of the counted limits."""
    used = [await store.payments.limit_use(agent, COUNTERS) for agent in AGENTS]
    return await store.payments.positions(), used


async def listed(store: Store, agent: str, count: int = 7) -> list[str]:
    """UETRs over all pages."""
    found, token = list[str](), ""
    while True:
        page, token = await store.payments.list_payments(agent, token=token, count=count, **EVER)  # type: ignore[arg-type]
        found += [payment.hold.uetr for payment in page]
        if not token:
            return found


async def assert_same_answers(store: Store, load: Load) -> None:
    """Every payment is answered as before: looked at, repeated, repeated otherwise, and its UETR used by another."""
    for uetr, before in load.payments.items():
        one = load.holds[uetr]
        public = payment_of(before).SerializeToString(deterministic=True)
        for now in (
            await store.payments.get(one.participant, uetr),
            await store.payments.get_by_request(one.participant, one.instruction.request_id),
            (await store.payments.prepare(one, one.instruction.quote_id)).payment,
            (await store.payments.prepare(another_uetr(one), "")).payment,
        ):
            assert now is not None
            assert payment_of(now).SerializeToString(deterministic=True) == public
            assert store.payments.differing_field(now, one.instruction) == ""
            changed = one.instruction._replace(remark="something else")
            assert store.payments.differing_field(now, changed) == "remark"
        for agent in AGENTS:
            with pytest.raises(Refused, match="UETR_REUSED"):
                await store.payments.prepare(hold(1, debtor_agent=agent, uetr=uetr, request_id="another"), "")


def another_uetr(one: Hold) -> Hold:
    return hold(5, debtor_agent=one.participant, request_id=one.instruction.request_id)


@pytest.mark.parametrize("seed", SEEDS)
async def test_everything_is_as_it_was(open_new: OpenNew, seed: int) -> None:
    old = await open_new()
    load = await run_load(old, seed)
    expected, lists = await figures(old), {agent: await listed(old, agent) for agent in AGENTS}
    new = await open_new()
    await join_all(new)
    facts = load.facts.copy()
    random.Random(seed).shuffle(facts)
    half = len(facts) // 2
    assert await new.payments.restore(facts[:half]) == half
    assert await new.payments.restore(facts[half - 5 :]) == len(facts) - half
    assert await new.payments.restore(load.facts) == 0
    assert await figures(new) == expected
    assert {agent: await listed(new, agent) for agent in AGENTS} == lists
    await assert_same_answers(new, load)
    assert await figures(new) == expected, "and no repeat changed anything"
    assert await new.payments.outbox_depth() == (0, 0)
    assert await new.payments.holds() == (0, 0)


@pytest.mark.parametrize("seed", SEEDS)
async def test_two_who_restore_at_once_put_back_once(open_new: OpenNew, seed: int) -> None:
    old = await open_new()
    load = await run_load(old, seed)
    namespace = f"{old.payments._keys.prefix.removesuffix(':')}x"
    one, other = await open_new(namespace), await open_new(namespace)
    await join_all(one)
    thirds = [load.facts[place::3] for place in range(3)]
    put = await asyncio.gather(*(each.payments.restore(part) for part in thirds for each in (one, other)))
    assert sum(put) == len(load.facts)
    assert await figures(one) == await figures(old)


async def test_the_next_payment_goes_on_where_the_log_ends(open_new: OpenNew) -> None:
    old = await open_new()
    load = await run_load(old, 4)
    new = await open_new()
    await new.payments.restore(load.facts)
    await join_all(new)  # the register may come back before or after
    assert await figures(new) == await figures(old)
    for store in (old, new):
        await acknowledge(store)
    last = max(fact.sequence for fact in load.facts if fact.debtor_agent == "ALFA")
    next_one = hold(1)
    await new.payments.prepare(next_one, "")
    await new.payments.commit(next_one, ACK, NOW_MS)
    (fact,) = await facts_of(new, new.payments._keys.shard_of("ALFA"))
    assert fact.sequence == last + 1


async def test_watchers_are_told_again(open_new: OpenNew) -> None:
    old = await open_new()
    load = await run_load(old, 5)
    new = await open_new()
    await new.payments.restore(load.facts)
    for agent in AGENTS:
        assert told(await new.payments.changes(agent, "", 1_000)) == told(await old.payments.changes(agent, "", 1_000))


def told(changes: list[Change]) -> dict[str, list[tuple[State, int]]]:
    """Of each payment, in its own order."""
    found: dict[str, list[tuple[State, int]]] = {}
    for change in changes:
        found.setdefault(change.uetr, []).append((change.state, change.time_ms))
    return found


async def test_a_period_that_is_over_is_not_counted_again(open_new: OpenNew) -> None:
    old, new = await open_new(), await open_new()
    await join(old)
    over = charge(60, 100, "d20200101")._replace(expiry_time_ms=time.time_ns() // 1_000_000 + 200)
    limited = hold(60, charges=(over, charge(60, 100)))
    await old.payments.prepare(limited, "")
    await old.payments.commit(limited, ACK, NOW_MS)
    counters = [(each.period_key, each.counter) for each in limited.charges]
    facts = await acknowledge(old)
    while (await old.payments.limit_use("ALFA", counters))[0]:  # noqa: ASYNC110 - the server's clock, not this loop's
        await asyncio.sleep(0.02)
    await new.payments.restore(facts)
    assert await new.payments.limit_use("ALFA", counters) == [0, 60]
    key = new.payments._keys.limits(new.payments._keys.shard_of("ALFA"), "d20991231")
    assert await new.payments._server.read("PTTL", key) > 0, "forgotten after its period, as it would have been"


async def test_what_a_crash_left_of_a_providers_use_is_carried_over_once(
    open_new: OpenNew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The debtor agent's shard has the payment; the provider's has not heard of it, or has and could not say so."""
    old = await open_new()
    await join_all(old)
    priced = quote(500, 400)
    await old.quotes.create_quote(priced)
    paid = hold(quote=priced)
    await old.payments.prepare(paid, priced.id)
    await old.payments.commit(paid, ACK, NOW_MS)
    await old.quotes.end_quotes([priced])
    facts, new = await acknowledge(old), await open_new()
    steps = ("run", "write") if new.payments.shards > 1 else ()  # with one shard it is one step
    for step in steps:
        server, plain = new.payments._server, getattr(new.payments._server, step)

        async def cut(*command: object, plain: object = plain, **options: object) -> object:
            if "respend" in str(command[1]) or "respend" in getattr(command[0], "name", ""):
                raise ConnectionError
            return await plain(*command, **options)  # type: ignore[operator]

        monkeypatch.setattr(server, step, cut)
        with pytest.raises(ConnectionError):
            await new.payments.restore(facts)
        monkeypatch.undo()
    await new.payments.restore(facts)
    await new.payments.restore(facts)
    await join_all(new)
    assert await figures(new) == await figures(old)
    rows = {(row.participant, row.asset): row for row in await new.payments.positions()}
    assert rows["FX1", Asset.CNY].used_minor == 400


async def test_a_payment_that_is_there_is_not_touched(open_new: OpenNew) -> None:
    store = await open_new()
    load = await run_load(store, 6)
    expected = await figures(store), {agent: await store.payments.changes(agent, "", 1_000) for agent in AGENTS}
    assert await store.payments.restore(load.facts) == 0
    assert (
        await figures(store),
        {agent: await store.payments.changes(agent, "", 1_000) for agent in AGENTS},
    ) == expected


@pytest.mark.parametrize(("agent", "what"), [("ALFA", "uetr"), ("BRAVO", "uetr"), ("ALFA", "request_id")])
async def test_a_store_that_was_used_without_its_log_is_refused(open_new: OpenNew, agent: str, what: str) -> None:
    old, new = await open_new(), await open_new()
    for store in (old, new):
        await join_all(store)
    lost = hold(100)
    await old.payments.prepare(lost, "")
    await old.payments.commit(lost, ACK, NOW_MS)
    uetr, request_id = (lost.uetr, "another") if what == "uetr" else ("", lost.instruction.request_id)
    assert (await new.payments.prepare(hold(7, debtor_agent=agent, uetr=uetr, request_id=request_id), "")).fresh
    with pytest.raises(SettlementHalted, match=lost.uetr):
        await new.payments.restore(await acknowledge(old))
    assert (await new.payments.positions(agent))[0].reserved_minor == 7


async def test_another_key_opens_nothing_and_puts_nothing_back(open_new: OpenNew) -> None:
    old, new = await open_new(), await open_new(note_key=bytes(32))
    load = await run_load(old, 7)
    with pytest.raises(ConfigError, match="identity_key"):
        await new.payments.restore(load.facts)
    assert await new.payments.positions() == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_older_than_the_retention_stays_in_the_archive(open_new: OpenNew, seed: int) -> None:
    old, archive = await open_new(), FakeArchive()
    load = await run_load(old, seed)
    await keep(archive, load.facts)
    lists = {agent: await listed(old, agent) for agent in AGENTS}
    new = await open_new(archive=archive, retention_ms=0)
    await join_all(new)
    assert await new.payments.restore(load.facts) == len(load.facts)
    assert await new.payments.restore(load.facts) == 0
    assert archive.let_go == {fact.uetr for fact in load.facts}
    assert await figures(new) == await figures(old)
    assert {agent: await listed(new, agent) for agent in AGENTS} == lists
    assert await new.payments.changes("ALFA", "", 10) == []
    await assert_same_answers(new, load)
