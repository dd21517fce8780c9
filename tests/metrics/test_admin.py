"""The admin port of a real switch: what it shows is what the table says, and a dead store costs only its part."""

import asyncio
from pathlib import Path

import grpc
import pytest
from bayswitch.v1 import participant_pb2, payment_pb2

from deploy.local.valkey import Valkey
from switch import __version__
from switch.app import Switch, metrics
from switch.cli.processes import start_part
from switch.errors import ConfigError
from switch.metrics import FAMILIES, LIBRARY_FAMILIES, Admin, Scrape, scrape
from switch.metrics.families import TABLE
from switch.ports import UNMETERED
from switch.settings import load_settings
from tests.api.support import Stubs, refusal, submit_request
from tests.metrics.support import read, running_switch, scraped
from tests.test_app import settings_of
from tests.waiting import eventually

PERSONAL = ("CHAN TAI MAN", "WONG SIU MING", "012345678", "61234567", "A123456")
FROM_THE_STORE = ("bayswitch_open_payments", "bayswitch_outbox_entries", "bayswitch_cap_minor")
SERVICE = "bayswitch.v1"
ENDED = "grpc_server_call_duration_seconds_count"
NOBODY = "127.0.0.1:1"  # no broker


@pytest.fixture
def patient(patient_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out of a page because the machine stood still."""
    monkeypatch.setattr(scrape, "SCRAPE_MS_MAX", 60_000)


async def enrolled(channel: grpc.aio.Channel) -> None:
    """ALFA joins, with a cap of HKD 1,000.00."""
    operator = Stubs(channel, "OPERATOR")
    record = participant_pb2.Participant(
        participant_id="ALFA",
        name="ALFA wallet",
        place="PLACE_HK",
        roles=["instructing"],
        net_debit_caps=[{"asset": "HKD", "amount_minor": 100_000}],
    )
    request = participant_pb2.CreateParticipantRequest(participant=record, reason="a test")
    await operator.call(operator.participants.CreateParticipant, request)


@pytest.mark.usefixtures("patient")
async def test_what_is_shown_is_what_the_table_says(tmp_path: Path) -> None:
    async with running_switch(tmp_path) as switch, grpc.aio.insecure_channel(f"127.0.0.1:{switch.port}") as channel:
        await enrolled(channel)
        caller = Stubs(channel, "ALFA")
        await refusal(caller.call(caller.payments.SubmitPayment, submit_request(uetr="no UETR")))
        await refusal(
            caller.call(caller.payments.GetPayment, payment_pb2.GetPaymentRequest(uetr=submit_request().uetr))
        )
        page = await scraped(switch.admin_port)

        async def all_ended() -> bool:  # a caller has its answer a moment before the call has ended here
            nonlocal page
            page = await scraped(switch.admin_port)
            return sum(n for (name, _), n in page.values.items() if name == ENDED) == 3

        await eventually(all_ended, "three calls have ended")
    assert page.kinds == {name: family.kind for name, family in FAMILIES.items()} | LIBRARY_FAMILIES
    for name, family in FAMILIES.items():
        assert page.labels_of(name) <= {frozenset(family.labels)}, name
    begun = {
        f"{SERVICE}.ParticipantService/CreateParticipant": "OK",
        f"{SERVICE}.PaymentService/SubmitPayment": "INVALID_ARGUMENT",
        f"{SERVICE}.PaymentService/GetPayment": "NOT_FOUND",
    }
    for method, status in begun.items():
        assert page.value("grpc_server_call_started_total", grpc_method=method) == 1
        ended = {"grpc_method": method, "grpc_status": status}
        assert page.value(ENDED, **ended) == 1
    refused = {"grpc_method": f"{SERVICE}.PaymentService/GetPayment", "reason": "PAYMENT_UNKNOWN"}
    assert page.value("bayswitch_calls_refused_total", **refused) == 1
    assert page.value("bayswitch_cap_minor", participant="ALFA", asset="HKD") == 100_000
    assert page.value("bayswitch_cap_used_minor", participant="ALFA", asset="HKD") == 0
    assert page.value("bayswitch_cap_participants_left_out") == 0
    assert page.value("bayswitch_open_payments") == page.value("bayswitch_outbox_entries") == 0
    assert page.value("process_open_fds") > 0
    assert not [word for word in PERSONAL if word in page.text]


def test_names_are_as_prometheus_wants_them() -> None:
    assert len(FAMILIES) == len(TABLE.strip().splitlines()), "no name stands twice"
    assert not FAMILIES.keys() & LIBRARY_FAMILIES.keys()
    for family in FAMILIES.values():
        assert (family.kind == "counter") is family.name.endswith("_total"), family.name
        assert family.kind in ("counter", "gauge", "histogram")


async def test_a_dead_store_costs_only_its_part(own_valkey: Valkey, tmp_path: Path) -> None:
    async with running_switch(tmp_path, redis_url=own_valkey.url) as switch:
        own_valkey.pause()
        try:
            pages = [await asyncio.wait_for(scraped(switch.admin_port), 30) for _ in range(2)]
            status, _, word = await read(switch.admin_port, "/healthz")
        finally:
            own_valkey.resume()
        assert (status, word) == (200, "ok\n"), "it is alive: a restart would not help"
        for number, page in enumerate(pages, 1):
            assert not page.kinds.keys() & set(FROM_THE_STORE)
            for part in ("open payments", "outbox", "caps"):
                assert page.value("bayswitch_scrape_missed_total", part=part) == number
            assert page.value("bayswitch_store_queue_items", kind="prepare") == 0
            assert page.kinds.keys() > LIBRARY_FAMILIES.keys()

        async def whole() -> bool:
            return (await scraped(switch.admin_port)).kinds.keys() > set(FROM_THE_STORE)

        await eventually(whole, "the store answers again")


@pytest.mark.usefixtures("patient")
async def test_without_its_broker_the_work_in_the_background_is_in_trouble(tmp_path: Path) -> None:
    async with running_switch(tmp_path, kafka_bootstrap=NOBODY) as switch:
        works = ("relay", "settler", "announcer")

        async def troubled() -> bool:
            page = await scraped(switch.admin_port)
            return all(page.value("bayswitch_trouble", work=work) == (work != "relay") for work in works)

        await eventually(troubled, "settler and announcer miss the broker; the relay has nothing to tell it")
        page = await scraped(switch.admin_port)
        assert page.value("bayswitch_trouble_last_time_seconds", work="settler") > 0
        assert page.value("bayswitch_trouble_last_time_seconds", work="relay") == 0
        assert page.value("bayswitch_relay_published_total") == page.value("bayswitch_settler_lag_records") == 0
        for outcome in ("applied", "repeat", "poisoned"):
            assert page.value("bayswitch_settler_records_total", outcome=outcome) == 0
        assert page.kinds == {name: family.kind for name, family in FAMILIES.items()} | LIBRARY_FAMILIES


@pytest.mark.usefixtures("patient")
async def test_health(tmp_path: Path) -> None:
    switch = Switch(settings_of(tmp_path, admin_port=0))
    await switch.start()
    try:
        assert (await read(switch.admin_port, "/healthz"))[::2] == (200, "ok\n")
        assert (await read(switch.admin_port, "/nothing"))[0] == 404
        switch.port = 0  # as before it is bound
        assert (await read(switch.admin_port, "/healthz"))[::2] == (503, "starting\n")
        switch._stopping = True  # as `stop` begins
        assert (await read(switch.admin_port, "/healthz"))[::2] == (503, "draining\n")
    finally:
        await switch.stop()
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says of a port that nobody has
        await asyncio.open_connection("127.0.0.1", switch.admin_port)


async def test_a_process_says_where_it_is_watched(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path / "data"), "LISTEN_PORT": "0", "DEMO_IDENTITY": "true", "ADMIN_PORT": "0"}
    environment = {f"BAYSWITCH_{name}": text for name, text in settings.items()}
    part = await asyncio.to_thread(start_part, "switch", "serve", environment=environment, directory=tmp_path)
    try:
        host, _, port = part.ready["admin"].rpartition(":")
        page = await scraped(int(port))
    finally:
        assert await asyncio.to_thread(part.stop) == 0
    assert host == "127.0.0.1"
    build = [dict(labels) for name, labels in page.values if name == "bayswitch_build_info"]
    assert build == [{"version": __version__, "routing": "compiled", "codecs": "compiled"}]


@pytest.mark.usefixtures("patient")
async def test_without_a_port_nothing_is_metered(tmp_path: Path) -> None:
    assert load_settings({})[0].admin_port == -1
    switch = Switch(settings_of(tmp_path))
    await switch.start()
    try:
        assert switch._watched.meter is UNMETERED
        assert switch.admin_port == 0
    finally:
        await switch.stop()


@pytest.mark.usefixtures("patient")
async def test_a_taken_port_is_a_setting_to_change_and_workers_take_the_next(tmp_path: Path) -> None:
    first, second = (Admin(Scrape({}, {}), lambda: "") for _ in range(2))
    port = await first.start("127.0.0.1", 0)
    try:
        alone = settings_of(tmp_path, admin_port=port)
        with pytest.raises(ConfigError, match=rf"admin_port: 127\.0\.0\.1:{port} cannot be bound"):
            await metrics.first_free(second, alone)
        several = alone.model_copy(update={"workers": 20})  # others have ports here, too: some of 20 are free
        assert port < await metrics.first_free(second, several) <= port + 20
        with pytest.raises(ConfigError, match="admin_port"):
            await Switch(settings_of(tmp_path, admin_port=port)).start()
    finally:
        for each in (first, second):
            await each.close()
