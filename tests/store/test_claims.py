"""UETRs are claimed on shards of their own: one owner each, given back by the last attempt, whoever's version made it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from switch.errors import Refused
from switch.ports import Prepared
from switch.store import Store, open_store
from switch.store.keys import request_digest, uetr_digest
from switch.store.retention import RETIRE_CLAIM
from tests.store.builders import NOTE_KEY, NOW_MS, hold, join
from tests.store.conftest import new_namespace

SHARDS = 2


@pytest.fixture
async def sharded(valkey_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(
        valkey_url, shards=SHARDS, durability="fsync", data_dir=tmp_path, note_key=NOTE_KEY, namespace=new_namespace()
    )
    yield store
    await store.close()


def uetrs(store: Store, count: int) -> list[str]:
    """Of one shard, so that claims of one turn are one group."""
    made = (str(uuid.uuid4()) for _ in range(100 * count))
    return [uetr for uetr in made if store.payments._keys.shard_of(uetr) == 0][:count]


async def claim(store: Store, *asked: tuple[str, str]) -> list[int]:
    """Each a UETR and who asks for it; one group."""
    return await asyncio.gather(*(store.payments._claim(uetr, "ALFA", owner) for uetr, owner in asked))


async def kept(store: Store, uetr: str) -> bytes | None:
    found: bytes | None = await store.payments._server.read("GET", store.payments._keys.claim(uetr))
    return found


def outcome(told: Prepared | Exception) -> bool | str:
    """Whether it is fresh, or why it was refused."""
    return told.fresh if isinstance(told, Prepared) else str(told).partition(":")[0]


async def test_a_group_claims_what_is_free_and_says_what_is_not(sharded: Store) -> None:
    one, two, three, four = uetrs(sharded, 4)
    assert await claim(sharded, (one, "R1"), (two, "R2")) == [1, 1]
    assert await claim(sharded, (three, "R3"), (one, "R9"), (two, "R2"), (four, "R4")) == [1, 0, 1, 1]
    assert [await kept(sharded, uetr) for uetr in (one, three, four)] == [
        request_digest("ALFA", owner) for owner in ("R1", "R3", "R4")
    ]
    assert await kept(sharded, two) == request_digest("ALFA", "R2") + b"2", "two attempts rely on it"


async def test_of_two_in_one_group_who_want_one_uetr_the_first_has_it(sharded: Store) -> None:
    one, two = uetrs(sharded, 2)
    assert await claim(sharded, (one, "R1"), (one, "R2"), (two, "R3"), (two, "R3")) == [1, 0, 1, 1]
    assert await kept(sharded, one) == request_digest("ALFA", "R1")
    assert await kept(sharded, two) == request_digest("ALFA", "R3") + b"2"


async def test_the_last_attempt_gives_it_back(sharded: Store) -> None:
    payments, (uetr,) = sharded.payments, uetrs(sharded, 1)
    mine, other = hold(uetr=uetr, request_id="R1"), hold(uetr=uetr, request_id="R2")
    assert [await claim(sharded, (uetr, "R1")) for _ in range(3)] == [[1]] * 3
    for left in (b"2", b""):
        await payments._unclaim([mine])
        await payments._unclaim([other])
        assert await kept(sharded, uetr) == request_digest("ALFA", "R1") + left
    assert await claim(sharded, (uetr, "R2")) == [0]
    await payments._unclaim([mine])
    assert await kept(sharded, uetr) is None
    assert await claim(sharded, (uetr, "R2")) == [1]


async def test_what_left_the_store_is_claimed_by_nobody(sharded: Store) -> None:
    gone, free = uetrs(sharded, 2)
    keys = sharded.payments._keys
    await sharded.payments._server.run(RETIRE_CLAIM, (keys.retired(0), keys.claim(gone)), (1, uetr_digest(gone)))
    assert await claim(sharded, (free, "R1"), (gone, "R2")) == [1, -1]
    assert await kept(sharded, gone) is None
    assert await claim(sharded, (free, "R1")) == [1]


async def test_a_claim_of_an_earlier_version_is_its_owners(sharded: Store) -> None:
    """It was a hash, and named its owner in full."""
    await join(sharded)
    mine = hold(100, uetr=uetrs(sharded, 1)[0], request_id="R1")
    key = sharded.payments._keys.claim(mine.uetr)
    await sharded.payments._server.write("HSET", key, "owner", "ALFA/R1", "attempts", 1)
    with pytest.raises(Refused, match="UETR_REUSED"):
        await sharded.payments.prepare(hold(100, uetr=mine.uetr, request_id="R2"), "")
    with pytest.raises(Refused, match="PARTICIPANT_UNKNOWN"):
        await sharded.payments.prepare(hold(100, uetr=uetrs(sharded, 1)[0], request_id="R3", debtor_agent="NOBODY"), "")
    assert (await sharded.payments.prepare(mine, "")).fresh
    assert not (await sharded.payments.prepare(mine, "")).fresh
    await sharded.payments._unclaim([mine])
    assert await sharded.payments._server.read("HGET", key, "owner") == b"ALFA/R1", "one too many is harmless"


async def test_a_batch_leaves_the_claims_of_what_it_began_and_no_others(sharded: Store) -> None:
    await join(sharded)
    payments = sharded.payments
    early, others = hold(1, request_id="R1"), hold(2, request_id="R2")
    for one in (early, others):
        await payments.prepare(one, "")
    fresh, quoted = hold(3), hold(4)
    quoted = quoted._replace(instruction=quoted.instruction._replace(quote_id="Q1"))
    body, reused, both = hold(5, request_id="R1"), hold(6, uetr=others.uetr), hold(7, uetr=others.uetr, request_id="R1")
    told = await payments.prepare_all([fresh, quoted, body, reused, both, early])
    assert [outcome(one) for one in told] == [True, "QUOTE_UNKNOWN", False, "UETR_REUSED", False, False]
    claims = {one.uetr: await kept(sharded, one.uetr) for one in (fresh, quoted, body, others, early)}
    assert [uetr for uetr, claim in claims.items() if claim is None] == [quoted.uetr, body.uetr]

    await sharded.participants.set_suspended("ALFA", True, "operator", "test", NOW_MS)
    late = [hold(8), hold(9)]
    assert [outcome(one) for one in await payments.prepare_all(late)] == ["PARTICIPANT_SUSPENDED"] * 2
    assert [await kept(sharded, one.uetr) for one in late] == [None, None]
