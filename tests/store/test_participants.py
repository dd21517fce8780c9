"""The register: every change is recorded with who and why, a repeat changes and records nothing."""

import pytest

from switch.domain.money import Asset, Rate
from switch.errors import Refused
from switch.limits import SCRIPT_INTEGER_MAX
from switch.store import Store
from tests.store.builders import NOW_MS, join, participant


async def test_create_is_safe_to_repeat_and_refuses_other_data(store: Store) -> None:
    asked = participant()
    assert await store.participants.create_participant(asked, "operator", "joins") == asked
    later = asked._replace(created_time_ms=NOW_MS + 5)
    assert await store.participants.create_participant(later, "operator", "again") == asked
    with pytest.raises(Refused, match="PARTICIPANT_EXISTS"):
        await store.participants.create_participant(asked._replace(name="another"), "operator", "joins")
    assert len(await store.participants.participant_changes("ALFA")) == 1
    assert await store.participants.get_participant("BRAVO") is None


async def test_every_change_is_recorded_once(store: Store) -> None:
    await join(store)
    for _ in range(2):
        await store.participants.set_suspended("ALFA", True, "ann", "audit", NOW_MS + 1)
    for _ in range(2):
        await store.participants.set_cap("ALFA", Asset.MOP, 77, "bob", "asked", NOW_MS + 2)
        await store.participants.set_rate("ALFA", Asset.HKD, Asset.CNY, Rate(91, 100), "bob", "market", NOW_MS + 3)
    found = await store.participants.set_suspended("ALFA", False, "ann", "done", NOW_MS + 4)
    assert found.caps == ((Asset.HKD, 1_000_000), (Asset.MOP, 77))
    assert not found.suspended
    changes = await store.participants.participant_changes("ALFA")
    assert [(change.time_ms - NOW_MS, change.actor, change.action, change.detail) for change in changes] == [
        (0, "operator", "create", "instructing"),
        (1, "ann", "suspend", ""),
        (2, "bob", "set_cap", "MOP 77"),
        (3, "bob", "set_rate", "HKD CNY 91/100"),
        (4, "ann", "resume", ""),
    ]


async def test_changes_to_nobody_are_refused(store: Store) -> None:
    for change in (
        store.participants.set_suspended("NOBODY", True, "ann", "audit", NOW_MS),
        store.participants.set_cap("NOBODY", Asset.HKD, 1, "ann", "audit", NOW_MS),
        store.participants.set_rate("NOBODY", Asset.HKD, Asset.CNY, Rate(1, 1), "ann", "audit", NOW_MS),
    ):
        with pytest.raises(Refused, match="PARTICIPANT_UNKNOWN"):
            await change
    assert await store.participants.list_participants() == []
    assert await store.participants.participant_changes("NOBODY") == []


@pytest.mark.parametrize("cap_minor", [-1, SCRIPT_INTEGER_MAX + 1])
async def test_a_cap_that_lua_cannot_hold_is_refused(single: Store, cap_minor: int) -> None:
    await join(single)
    with pytest.raises(Refused, match="FIELD_INVALID"):
        await single.participants.set_cap("ALFA", Asset.HKD, cap_minor, "ann", "more", NOW_MS)


async def test_list_is_by_id_over_all_shards(store: Store) -> None:
    names = [f"P{n}" for n in range(9)]
    for name in reversed(names):
        await join(store, name)
    assert [one.id for one in await store.participants.list_participants()] == names


async def test_the_best_rate_for_the_payer_comes_first(store: Store) -> None:
    rates = {
        "FXC": Rate(10**12 - 1, 10**12),  # less than 1 by less than a float can tell from the next
        "FXB": Rate(10**12 - 2, 10**12 - 1),
        "FXA": Rate(91, 100),
        "FXD": Rate(182, 200),
        "FXE": Rate(99, 100),
    }
    for name, rate in rates.items():
        await join(store, name)
        await store.participants.set_rate(name, Asset.HKD, Asset.CNY, rate, "ann", "market", NOW_MS)
    await store.participants.set_suspended("FXE", True, "ann", "audit", NOW_MS)
    found = await store.participants.rates(Asset.HKD, Asset.CNY)
    assert found == [(name, rates[name]) for name in ("FXC", "FXB", "FXA", "FXD")]
    assert await store.participants.rates(Asset.CNY, Asset.HKD) == []
