"""Payments that left for the archive: who goes and who stays, and that nobody who asks can tell, but by what it costs."""

import asyncio
import uuid
from typing import Any

import pytest

from switch.domain.payment import State
from switch.errors import ArchiveUnavailable, ConfigError, Refused
from switch.store import Store
from switch.store.keys import request_digest, uetr_digest
from switch.store.retention import RETIRE_CLAIM
from tests.fake_archive import FakeArchive
from tests.store.builders import ACK, NOW_MS, hold, join, quote
from tests.store.conftest import OpenNew, new_namespace
from tests.store.load import AGENTS, Load, acknowledge, keep, run_load
from tests.store.test_restore import assert_same_answers, figures, listed

SEEDS = [11, 12]


class Shelf:
    """A store with an archive behind it."""

    def __init__(self, open_new: OpenNew) -> None:
        self.archive = FakeArchive()
        self._open_new = open_new
        self._namespace = new_namespace()

    async def open(self, **options: Any) -> Store:
        return await self._open_new(self._namespace, **{"archive": self.archive, **options})

    async def settled(self, store: Store) -> None:
        """Everything final is in the log and in the archive."""
        await keep(self.archive, await acknowledge(store))

    async def retire(self, store: Store) -> int:
        return await store.payments.retire(await self.archive.unretired(1 << 52, 10_000))


@pytest.fixture
def shelf(open_new: OpenNew) -> Shelf:
    return Shelf(open_new)


async def records(store: Store) -> int:
    """Keys of payments, requests and claims that are left."""
    rest, prefix = 0, store.payments._keys.prefix
    for kind in ("payment", "request", "claim"):
        found = await store.payments._server.everywhere("KEYS", f"{prefix}{kind}:*")
        rest += sum(len(keys) for keys in found)
    return rest


@pytest.mark.parametrize("seed", SEEDS)
async def test_nobody_who_asks_can_tell(shelf: Shelf, seed: int) -> None:
    store = await shelf.open()
    load = await run_load(store, seed)
    expected, lists = await figures(store), {agent: await listed(store, agent) for agent in AGENTS}
    await shelf.settled(store)
    assert await shelf.retire(store) == len(load.facts)
    assert await records(store) == 0
    assert await store.payments.retire(load.facts) == len(load.facts), "gone before counts as gone"
    assert shelf.archive.let_go == set(load.payments)
    assert await figures(store) == expected
    assert {agent: await listed(store, agent) for agent in AGENTS} == lists
    await assert_same_answers(store, load)
    assert await figures(store) == expected
    assert await records(store) == 0, "what is refused leaves no trace"
    assert [await store.payments.changes(agent, "", 10) for agent in AGENTS] == [[], [], []]


async def test_only_what_is_final_and_told_leaves(shelf: Shelf) -> None:
    store = await shelf.open()
    await join(store)
    paid, doubtful, untold = hold(1), hold(2), hold(4)
    for one in (paid, doubtful, untold):
        await store.payments.prepare(one, "")
    await store.payments.commit(paid, ACK, NOW_MS)
    await store.payments.doubt(doubtful, NOW_MS)
    await shelf.settled(store)
    await store.payments.commit(untold, ACK, NOW_MS)
    (told,) = (archived.fact for archived in shelf.archive.kept.values())
    shard = store.payments._keys.shard_of("ALFA")
    (waits,) = [entry.fact for entry in await store.payments.outbox_read(shard, 10)]
    never = told._replace(uetr=str(uuid.uuid4()))
    running = told._replace(uetr=doubtful.uetr, note=store.payments._notes.seal(await got(store, doubtful.uetr)))
    unknown = never._replace(
        note=store.payments._notes.seal((await got(store, paid.uetr))._replace(hold=hold(9, uetr=never.uetr)))
    )
    assert await store.payments.retire([told, waits, running, unknown]) == 1
    assert shelf.archive.let_go == {paid.uetr}
    assert (await got(store, doubtful.uetr)).state is State.IN_DOUBT
    assert [entry.fact for entry in await store.payments.outbox_read(shard, 10)] == [waits]
    await shelf.settled(store)
    assert await shelf.retire(store) == 1


async def got(store: Store, uetr: str) -> Any:
    return await store.payments.get("ALFA", uetr)


async def test_a_payment_nobody_could_answer_for_stays(shelf: Shelf, open_new: OpenNew) -> None:
    store = await shelf.open()
    await run_load(store, 13, 4)
    await shelf.settled(store)
    other = await shelf.open(note_key=bytes(32))
    with pytest.raises(ConfigError, match="identity_key"):
        await shelf.retire(other)
    alone = await open_new()
    with pytest.raises(ConfigError, match="archive"):
        await alone.payments.retire([])
    assert await records(store) > 0
    assert shelf.archive.let_go == set()


async def retired_load(shelf: Shelf, store: Store, count: int = 6) -> Load:
    load = await run_load(store, 14, count)
    await shelf.settled(store)
    await shelf.retire(store)
    return load


async def test_an_archive_that_is_down_says_so_and_new_payments_do_not_need_it(shelf: Shelf) -> None:
    store = await shelf.open()
    load = await retired_load(shelf, store)
    uetr, one = next(iter(load.holds.items()))
    shelf.archive.down = True
    for call in (
        store.payments.get(one.participant, uetr),
        store.payments.get_by_request(one.participant, one.instruction.request_id),
        store.payments.prepare(one, ""),
        store.payments.list_payments(
            one.participant, state=None, from_time_ms=0, to_time_ms=1 << 52, token="", count=5
        ),
    ):
        with pytest.raises(ArchiveUnavailable):
            await call
    with pytest.raises(Refused, match="UETR_REUSED"):
        await store.payments.prepare(hold(1, uetr=uetr, request_id="another"), "")
    assert (await store.payments.prepare(hold(1), "")).fresh
    assert await store.payments.get("ALFA", str(uuid.uuid4())) is None
    assert await store.payments.get_by_request("ALFA", "never") is None


async def test_a_store_opened_without_its_archive_does_not_forget(shelf: Shelf) -> None:
    load = await retired_load(shelf, await shelf.open())
    alone = await shelf.open(archive=None)
    uetr, one = next(iter(load.holds.items()))
    with pytest.raises(ArchiveUnavailable):
        await alone.payments.prepare(one, "")
    with pytest.raises(Refused, match="UETR_REUSED"):
        await alone.payments.prepare(hold(1, uetr=uetr, request_id="another"), "")
    with pytest.raises(Refused, match="FIELD_INVALID"):
        await alone.payments.list_payments("ALFA", state=None, from_time_ms=0, to_time_ms=1, token="al1.x", count=1)


async def test_another_participants_payment_is_not_shown(shelf: Shelf) -> None:
    store = await shelf.open()
    load = await retired_load(shelf, store)
    for uetr, one in load.holds.items():
        for agent in AGENTS:
            assert (await store.payments.get(agent, uetr) is None) == (agent != one.participant)


async def test_a_crash_anywhere_leaves_what_a_repeat_ends(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retire ends before each of its steps in turn; in between, every payment is answered as before."""
    store = await shelf.open()
    load = await run_load(store, 15, 12)
    await shelf.settled(store)
    server, plain = store.payments._server, store.payments._server.run
    for step in range(1, 100):  # more than there are: three shards, claims and trims of each
        left = step

        async def cut(*command: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                raise ConnectionError
            return await plain(*command, **options)

        monkeypatch.setattr(server, "run", cut)
        try:
            await shelf.retire(store)
        except ConnectionError:
            monkeypatch.undo()
            await assert_same_answers(store, load)
            continue
        monkeypatch.undo()
        break
    else:
        raise AssertionError("retire has more steps than the test takes from it")
    assert await shelf.retire(store) == 0
    assert await records(store) == 0
    await assert_same_answers(store, load)


async def test_old_and_new_payments_are_one_list_in_pages(shelf: Shelf) -> None:
    store = await shelf.open()
    first = await run_load(store, 16, 30)
    lists = {agent: await listed(store, agent) for agent in AGENTS}
    await shelf.settled(store)
    oldest = sorted(first.facts, key=lambda fact: fact.prepared_time_ms)
    await store.payments.retire(oldest[:17])
    for count in (1, 2, 5, 500):
        assert {agent: await listed(store, agent, count) for agent in AGENTS} == lists
    aborted = [uetr for uetr in lists["ALFA"] if first.payments[uetr].state is State.ABORTED]
    page, token = await store.payments.list_payments(
        "ALFA", state=State.ABORTED, from_time_ms=0, to_time_ms=1 << 52, token="", count=500
    )
    assert [payment.hold.uetr for payment in page] == aborted
    assert token == ""


async def test_changes_stay_from_the_first_payment_that_stays(shelf: Shelf) -> None:
    store = await shelf.open()
    await join(store)
    held = [hold(1) for _ in range(4)]
    for one in held:
        await store.payments.prepare(one, "")
    for one in (*held[:2], held[3]):
        await store.payments.commit(one, ACK, NOW_MS)
    changes = await store.payments.changes("ALFA", "", 100)
    await shelf.settled(store)
    assert await shelf.retire(store) == 3
    assert await store.payments.changes("ALFA", "", 100) == changes[2:], "the third still runs"
    assert await store.payments.changes("ALFA", changes[4].token, 100) == changes[5:]
    await store.payments.abort(held[2], "RAIL_REFUSED", "", NOW_MS)
    end = await store.payments.changes_end("ALFA")
    await shelf.settled(store)
    await shelf.retire(store)
    assert await store.payments.changes("ALFA", "", 100) == []
    later = hold(1)
    await store.payments.prepare(later, "")
    assert [change.uetr for change in await store.payments.changes("ALFA", end, 100)] == [later.uetr]


@pytest.mark.parametrize("outcome", [State.COMMITTED, State.ABORTED])
async def test_a_quote_ends_as_its_payment_did_though_that_has_left(shelf: Shelf, outcome: State) -> None:
    store = await shelf.open()
    await run_load(store, 17, 0)
    priced = quote(500, 400, owner="ALFA")
    await store.quotes.create_quote(priced)
    one = hold(quote=priced)
    await store.payments.prepare(one, priced.id)
    if outcome is State.COMMITTED:
        await store.payments.commit(one, ACK, NOW_MS)
    else:
        await store.payments.abort(one, "RAIL_REFUSED", "", NOW_MS)
    await shelf.settled(store)
    assert await shelf.retire(store) == 1
    assert await store.quotes.release_quotes(1 << 52, 10) == 1
    used = [(row.used_minor, row.reserved_minor) for row in await store.payments.positions("FX1") if row.used_minor]
    assert used == ([(400, 0)] if outcome is State.COMMITTED else [])


async def test_a_uetr_that_left_is_raced_for_in_vain(shelf: Shelf) -> None:
    store = await shelf.open()
    load = await retired_load(shelf, store)
    uetr = next(iter(load.holds))
    racing = [hold(1, debtor_agent=agent, uetr=uetr, request_id=f"{agent} {n}") for agent in AGENTS for n in range(5)]
    ends = await asyncio.gather(*(store.payments.prepare(one, "") for one in racing), return_exceptions=True)
    assert {str(end)[:11] for end in ends} == {"UETR_REUSED"}


async def test_the_compact_form_finds_what_it_took_on_every_level(single: Store) -> None:
    """Levels open as entries come: here by a counter that is set forward, as if they had."""
    server, keys = single.payments._server, single.payments._keys
    taken: list[str] = []
    for count in (0, 1 << 16, (1 << 16) + (1 << 20), (1 << 16) + (1 << 20) + (1 << 24), 1 << 40):
        await server.write("SET", keys.retired(0), count)
        some = [str(uuid.uuid4()) for _ in range(50)]
        taken += some
        names = [keys.retired(0), *map(keys.claim, some)]
        await server.run(RETIRE_CLAIM, names, [len(some), *map(uetr_digest, some)])
        assert int(await server.read("GET", keys.retired(0))) == count + 50
    for uetr in taken:
        assert await single.payments._left(0, uetr_digest(uetr)) == b""
    assert await single.payments._left(0, uetr_digest(str(uuid.uuid4()))) is None
    assert await single.payments._left(0, request_digest("ALFA", taken[0])) is None
    found = (await server.everywhere("KEYS", f"{keys.retired(0)}:*"))[0]
    assert {key.decode().split(":")[-2] for key in found} == {"0", "1", "2", "3"}
