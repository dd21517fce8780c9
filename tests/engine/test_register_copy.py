"""The register in the archive: what is put back into an empty store is what was there."""

import pytest

from switch.domain.money import Asset, Rate
from switch.engine.register_copy import RegisterCopy
from switch.errors import Refused
from switch.ports import Participant
from tests.events.support import FakeClock
from tests.fake_archive import FakeArchive
from tests.fake_store import FakeStore

ALFA = Participant("ALFA", "Alfa wallet", "HK", ("instructing",), False, ((Asset.HKD, 5), (Asset.CNH, 7)), 1)
FX = Participant("FXBANK", "Bay FX", "HK", ("fx_provider",), False, ((Asset.CNY, 9),), 2)


async def filled() -> FakeStore:
    register = FakeStore(FakeClock())
    for participant in (ALFA, FX):
        await register.create_participant(participant, "OPERATOR", "joins")
    await register.set_rate("FXBANK", Asset.HKD, Asset.CNY, Rate(912, 1000), "OPERATOR", "market", 3)
    await register.set_suspended("ALFA", True, "OPERATOR", "a test", 4)
    return register


async def test_what_is_put_back_is_what_was_copied() -> None:
    archive, register = FakeArchive(), await filled()
    await RegisterCopy(register, archive, FakeClock()).look()
    empty = FakeStore(FakeClock())
    assert await RegisterCopy(empty, archive, FakeClock()).put_back() == (2, [])
    assert await empty.list_participants() == await register.list_participants()
    assert await empty.rates(Asset.HKD, Asset.CNY) == [("FXBANK", Rate(912, 1000))]


async def test_it_is_copied_when_it_has_changed_and_an_empty_one_never() -> None:
    archive, register = FakeArchive(), await filled()
    copy = RegisterCopy(register, archive, FakeClock())
    for _ in range(3):
        await copy.look()
    assert archive.calls["keep_register"] == 1
    await register.set_suspended("ALFA", False, "OPERATOR", "paid", 5)
    await copy.look()
    assert archive.calls["keep_register"] == 2
    await RegisterCopy(FakeStore(FakeClock()), archive, FakeClock()).look()
    assert archive.calls["keep_register"] == 2


async def test_what_is_there_stays_and_is_named() -> None:
    archive, register = FakeArchive(), await filled()
    await RegisterCopy(register, archive, FakeClock()).look()
    other = FakeStore(FakeClock())
    await other.create_participant(ALFA._replace(name="another"), "OPERATOR", "joins")
    assert await RegisterCopy(other, archive, FakeClock()).put_back() == (1, ["ALFA"])
    kept = await other.get_participant("ALFA")
    assert kept is not None
    assert kept.name == "another"
    with pytest.raises(Refused):
        await other.create_participant(ALFA, "OPERATOR", "joins")


async def test_the_register_of_a_lost_store_is_not_copied_over_what_it_gets_back() -> None:
    """Somebody enters one participant by hand before the store is made anew: the copy must still have the others."""
    archive, register = FakeArchive(), await filled()
    await RegisterCopy(register, archive, FakeClock()).look()
    new = FakeStore(FakeClock())
    await new.create_participant(FX, "OPERATOR", "joins")
    copy = RegisterCopy(new, archive, FakeClock())
    await copy.look()
    assert archive.calls["keep_register"] == 1
    assert await copy.put_back() == (1, [])
    assert await new.list_participants() == await register.list_participants()
    await new.create_participant(ALFA._replace(id="BRAVO"), "OPERATOR", "joins")
    await copy.look()
    assert archive.calls["keep_register"] == 2


async def test_rates_come_back_although_it_ended_between_participants_and_rates() -> None:
    """And one that was set since stays."""
    archive, register = FakeArchive(), await filled()
    await register.set_rate("FXBANK", Asset.CNY, Asset.HKD, Rate(1094, 1000), "OPERATOR", "market", 3)
    await RegisterCopy(register, archive, FakeClock()).look()
    half = FakeStore(FakeClock())
    await half.create_participant(FX, "rebuild", "put back")
    await half.set_rate("FXBANK", Asset.CNY, Asset.HKD, Rate(1100, 1000), "OPERATOR", "market", 4)
    assert await RegisterCopy(half, archive, FakeClock()).put_back() == (1, [])
    assert await half.rates(Asset.HKD, Asset.CNY) == [("FXBANK", Rate(912, 1000))]
    assert await half.rates(Asset.CNY, Asset.HKD) == [("FXBANK", Rate(1100, 1000))]
