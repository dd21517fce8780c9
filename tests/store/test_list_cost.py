"""What a page of a list costs: bounded, however much there is, and however little of it is wanted."""

from typing import Any

import pytest

from switch.domain.payment import Payment, State
from switch.limits import PAGE_SIZE_MAX, STORE_READ_ROUNDS_MAX
from switch.store import Store
from tests.fake_archive import FakeArchive
from tests.store.builders import ACK, NOW_MS, hold, join
from tests.store.test_lists import APART_MS, EVER, kept, listed, pay


async def asked_for_a_page(
    store: Store, monkeypatch: pytest.MonkeyPatch, count: int, token: str = "", **asked: Any
) -> tuple[list[Payment], str, list[str]]:
    """A page, and the commands it cost."""
    commands, read = list[str](), store.payments._server.read

    async def counted(*command: Any) -> Any:
        commands.append(str(command[0]))
        return await read(*command)

    monkeypatch.setattr(store.payments._server, "read", counted)
    page, token = await store.payments.list_payments("ALFA", token=token, count=count, **EVER | asked)
    monkeypatch.undo()
    return page, token, commands


@pytest.mark.parametrize("left", [0, 400])
async def test_a_page_of_many_costs_what_it_shows(single: Store, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    archive = FakeArchive()
    single.payments._archive = archive
    await join(single)
    before = await pay(single, 1_200, APART_MS)
    await single.payments.retire((await kept(archive, single))[:left])
    token, seen = "", list[str]()
    while True:
        page, token, commands = await asked_for_a_page(single, monkeypatch, 100, token)
        seen += [payment.hold.uetr for payment in page]
        assert commands.count("XRANGE") <= 4
        assert len(commands) <= 10
        if not token:
            break
    assert seen == before
    assert archive.calls["list_payments"] == (12 if left else 0)
    assert not archive.calls["get"]


async def test_what_one_answer_looks_through_is_bounded(single: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand a second, none of the wanted state but the last."""
    await join(single)
    number = STORE_READ_ROUNDS_MAX * PAGE_SIZE_MAX // 2 + 1_500
    for first in range(0, number, PAGE_SIZE_MAX):
        await pay(single, min(PAGE_SIZE_MAX, number - first), 1, NOW_MS + first)
    wanted = hold(1, prepared_time_ms=NOW_MS + number)
    await single.payments.prepare(wanted, "")
    page, token, commands = await asked_for_a_page(single, monkeypatch, 10, state=State.PREPARED)
    assert len(commands) < 2 * 3 * STORE_READ_ROUNDS_MAX
    pages = 1
    while token:
        assert not page
        page, token, commands = await asked_for_a_page(single, monkeypatch, 10, token, state=State.PREPARED)
        pages += 1
    assert [payment.hold.uetr for payment in page] == [wanted.uetr]
    assert pages < 5


async def test_a_busy_participant_of_whom_nothing_left_has_no_empty_first_page(single: Store) -> None:
    archive = FakeArchive()
    single.payments._archive = archive
    await join(single)
    await join(single, "BRAVO")
    gone = hold(1, debtor_agent="BRAVO")
    await single.payments.prepare(gone, "")
    await single.payments.commit(gone, ACK, NOW_MS)
    await single.payments.retire(await kept(archive, single))
    before = await pay(single, 2 * PAGE_SIZE_MAX)
    page, _ = await single.payments.list_payments("ALFA", token="", count=10, **EVER)
    assert [payment.hold.uetr for payment in page] == before[:10]
    assert await listed(single, PAGE_SIZE_MAX) == before
