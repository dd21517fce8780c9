"""Relay and settler in processes of their own are watched as a switch is: the same port, their own families."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.valkey import Valkey
from switch.app import connect_store
from switch.cli.processes import NotReady, Part, start_part
from switch.metrics import FAMILIES, LIBRARY_FAMILIES
from switch.settings import load_settings
from tests.metrics.support import Page, read, scraped
from tests.store.builders import ACK, NOW_MS, hold, join
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("patient_store")
NOBODY = "127.0.0.1:1"  # no broker
EVERYWHERE = LIBRARY_FAMILIES.keys() | {
    f"bayswitch_{name}" for name in ("build_info", "loop_delay_seconds", "scrape_missed_total")
}
EVENTS = {name for name in FAMILIES if name.startswith(("bayswitch_relay_", "bayswitch_settler_", "bayswitch_trouble"))}
EVENTS |= {"bayswitch_announced_total"}
OUTBOX = {"bayswitch_outbox_entries", "bayswitch_outbox_oldest_seconds"}


def environment_of(valkey: Valkey, folder: Path) -> dict[str, str]:
    return {
        "BAYSWITCH_DATA_DIR": str(folder / "data"),
        "BAYSWITCH_REDIS_URL": valkey.url,
        "BAYSWITCH_KAFKA_BOOTSTRAP": NOBODY,
        "BAYSWITCH_DEMO_IDENTITY": "true",
        "BAYSWITCH_ADMIN_PORT": "0",
    }


async def one_event(environment: dict[str, str]) -> None:
    """An entry in the outbox, which no broker takes."""
    store = await connect_store(load_settings(environment)[0])
    try:
        await join(store, "ALFA", cap_minor=10**9)
        paid = hold(debtor_agent="ALFA")
        await store.payments.prepare(paid, "")
        await store.payments.commit(paid, ACK, NOW_MS)
    finally:
        await store.close()


@asynccontextmanager
async def running(name: str, environment: dict[str, str], folder: Path) -> AsyncIterator[int]:
    """`bayswitch NAME` in a process of its own: its admin port."""
    part: Part = await asyncio.to_thread(start_part, name, name, environment=environment, directory=folder)
    try:
        host, _, port = part.ready["admin"].rpartition(":")
        assert host == "127.0.0.1"
        yield int(port)
    finally:
        status = await asyncio.to_thread(part.stop)
    assert status == 0


async def page_when_troubled(port: int, families: set[str], *works: str) -> Page:
    """What is shown once all works miss their broker, with these families at least: a page may lack what came late."""
    pages: list[Page] = []

    async def troubled() -> bool:
        pages.append(await scraped(port))
        missed = all(pages[-1].value("bayswitch_trouble", work=work) == 1 for work in works)
        return missed and pages[-1].kinds.keys() >= families

    await eventually(troubled, f"{' and '.join(works)} miss the broker")
    return pages[-1]


async def test_a_relay_shows_the_outbox_and_nothing_of_the_path(own_valkey: Valkey, tmp_path: Path) -> None:
    environment = environment_of(own_valkey, tmp_path)
    await one_event(environment)
    async with running("relay", environment, tmp_path) as port:
        page = await page_when_troubled(port, OUTBOX, "relay")
        assert page.kinds.keys() == EVERYWHERE | EVENTS | OUTBOX
        assert page.value("bayswitch_outbox_entries") == 1
        assert page.value("bayswitch_outbox_oldest_seconds") > 0
        assert page.value("bayswitch_relay_published_total") == 0
        assert page.value("bayswitch_relay_shards_held") == 1


async def test_a_settler_shows_how_far_it_is_behind(own_valkey: Valkey, tmp_path: Path) -> None:
    async with running("settler", environment_of(own_valkey, tmp_path), tmp_path) as port:
        page = await page_when_troubled(port, EVENTS, "settler", "announcer")
        assert page.kinds.keys() == EVERYWHERE | EVENTS
        assert page.value("bayswitch_settler_lag_records") == 0
        assert page.value("bayswitch_settler_records_total", outcome="applied") == 0
        assert (await read(port, "/healthz"))[::2] == (200, "ok\n"), "a restart would not bring the broker"


async def test_a_port_that_is_taken_is_a_setting_to_change(own_valkey: Valkey, tmp_path: Path) -> None:
    environment = environment_of(own_valkey, tmp_path)
    await one_event(environment)
    taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        environment["BAYSWITCH_ADMIN_PORT"] = str(port)
        said = await asyncio.to_thread(_refused, environment, tmp_path)
    assert f"admin_port: 127.0.0.1:{port} cannot be bound" in said


def _refused(environment: dict[str, str], folder: Path) -> str:
    """The last words of a relay that does not start."""
    try:
        part = start_part("relay", "relay", environment=environment, directory=folder)
    except NotReady as error:
        return str(error)
    part.stop()
    return "it runs"
