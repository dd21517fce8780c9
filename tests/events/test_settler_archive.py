"""The archive is a real PostgreSQL that stands still and dies: settlement waits at its place, and payments do not notice."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.local import kafka
from deploy.local.postgres import Postgres
from deploy.local.valkey import Valkey
from loadtest.settlement_audit import audit_settlement
from switch.archive import open_archive
from switch.cli.sandbox import OPERATOR, Sandbox, load_scenario
from switch.domain.settlement import SettlementFact
from switch.errors import ArchiveUnavailable, BrokerUnavailable
from switch.events.settler import Settler
from switch.ports import Archive
from switch.rules import load_rules
from tests.events.settling import PARTITIONS, Place, load, open_place, settling
from tests.store.builders import join
from tests.system.support import STATE, Provider, on_a_port_to_keep, payments_in, step, until
from tests.waiting import eventually

CALL_MS = 2_000  # a database that says nothing is given up by the settler after this
PATIENCE_MS = 60_000  # and by who only looks
EVENTS_OF_EACH = 60
PARTS = 6  # of the stream: the database is hit before each but the first
READ_COUNT = 1_000


@pytest.fixture
async def place(kafka_bootstrap: str, valkey_url: str, own_postgres: Postgres, tmp_path: Path) -> AsyncIterator[Place]:
    """A settler's place whose archive is the real one."""
    archive = open_archive(own_postgres.url, tmp_path, call_ms=CALL_MS)
    try:
        async with open_place(kafka_bootstrap, valkey_url, tmp_path) as made:
            made.archive = archive  # type: ignore[assignment]
            await join(made.store, "FXBANK")
            yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            own_postgres.resume()
        await archive.close()


@pytest.fixture
async def patient(own_postgres: Postgres, tmp_path: Path) -> AsyncIterator[Archive]:
    """The same archive to somebody who has time: what is asked of it here is no trouble to be tested."""
    archive = open_archive(own_postgres.url, tmp_path, call_ms=PATIENCE_MS)
    yield archive
    await archive.close()


async def kept(archive: Archive) -> list[SettlementFact]:
    """Everything in the archive, in the order of the log."""
    found: list[SettlementFact] = []
    for partition in range(PARTITIONS):
        found += [each.fact for each in await archive.read(partition, 0, READ_COUNT)]
    return found


async def applied(place: Place) -> int:
    """How far the log is settled: records, over all partitions."""
    return sum((await place.store.settlements.progress()).offsets.values())


async def check(place: Place, patient: Archive, facts: list[SettlementFact]) -> None:
    """Each event once: in the archive, in the positions, in the windows, in the headroom."""
    place.archive = patient  # type: ignore[assignment]  # for the close; the settler has its own
    archived = await kept(patient)
    assert len(archived) == len(facts)
    assert set(archived) == set(facts)
    sums: dict[object, int] = {}
    for fact in facts:
        for entry in fact.entries:
            whose = entry.participant, entry.asset
            sums[whose] = sums.get(whose, 0) + entry.amount_minor
    assert {whose: total for whose, total in (await place.store.settlements.totals()).items() if total} == sums
    used = {(row.participant, row.asset): row.used_minor for row in await place.store.payments.positions()}
    for entry in (entry for fact in facts for entry in fact.entries if entry.participant == "FXBANK"):
        if entry.amount_minor < 0:
            credits = [other for fact in facts for other in fact.entries if other[:2] == entry[:2] and other[2] < 0]
            assert used[entry.participant, entry.asset] == sum(other.amount_minor for other in credits)
            break
    assert {window.state.name for window in await place.close_windows(1)} == {"CLOSED"}, "two books say the same"


async def waits(place: Place, settler: Settler) -> None:
    """The trouble is shown, and nothing is settled any more."""
    await eventually(lambda: settler.trouble.failing, "the trouble is shown")
    assert "ArchiveUnavailable" in settler.trouble.last_error
    assert await applied(place) < sum((await place.ends()).values())


@pytest.mark.usefixtures("patient_broker", "patient_store")
@pytest.mark.parametrize("how", ["silent", "killed"])
async def test_settlement_stops_at_its_place_and_goes_on(
    place: Place, patient: Archive, own_postgres: Postgres, how: str
) -> None:
    facts = load(10)
    async with settling(place) as settler:
        await place.publish(facts[:40])
        await place.settled()
        await asyncio.to_thread(own_postgres.pause if how == "silent" else own_postgres.kill)
        await place.publish(facts[40:])
        await waits(place, settler)
        assert await applied(place) == 40, "not one event is settled that is not archived"
        await asyncio.to_thread(own_postgres.resume if how == "silent" else own_postgres.start)
        await place.settled()
        await eventually(lambda: not settler.trouble.failing, "it is over")
        await check(place, patient, facts)


@pytest.mark.usefixtures("patient_broker", "patient_store")
async def test_killed_again_and_again_under_a_stream(place: Place, patient: Archive, own_postgres: Postgres) -> None:
    """At random moments of keeping, applying and committing; every event counts once."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    facts = load(EVENTS_OF_EACH)
    size = len(facts) // PARTS
    async with settling(place):
        for part in range(PARTS):
            publishing = asyncio.create_task(place.publish(facts[part * size : (part + 1) * size]))
            if part:
                await asyncio.sleep(dice.uniform(0.0, 0.1))
                await asyncio.to_thread(own_postgres.kill)
                await publishing
                await asyncio.to_thread(own_postgres.start)
            await publishing
        await place.settled()
        await check(place, patient, facts)


# --- the switch ------------------------------------------------------------------------------------------------------
@pytest.fixture
def broker(tmp_path: Path) -> Iterator[kafka.Cluster]:
    if missing := kafka.missing():
        pytest.fail(f"a real Kafka is needed: {missing}")
    with kafka.cluster(folder=tmp_path / "kafka") as running:
        yield running


@pytest.fixture
def sandbox(tmp_path: Path, broker: kafka.Cluster, own_valkey: Valkey, own_postgres: Postgres) -> Iterator[Sandbox]:
    """Over its own servers, the settler within the switch."""
    environment = {
        "BAYSWITCH_ARCHIVE_URL": own_postgres.url,
        "BAYSWITCH_KAFKA_BOOTSTRAP": broker.bootstrap,
        "BAYSWITCH_REDIS_URL": own_valkey.url,
        "BAYSWITCH_RETENTION_MS": "1000",
    }
    running = Sandbox(tmp_path / "sandbox", environment, signing=False)
    try:
        on_a_port_to_keep(running).start()
        running.enrol(load_scenario())
        yield running
    finally:
        assert not any(running.stop().values())


@pytest.mark.usefixtures("patient_broker")
async def test_payments_go_on_without_the_archive(
    sandbox: Sandbox, own_postgres: Postgres, broker: kafka.Cluster
) -> None:
    """Down while payments are made, and down while the switch is started; afterwards everything is settled, once."""
    uetrs = await asyncio.to_thread(pay, sandbox, 3)
    await eventually(lambda: settled(sandbox, own_postgres, broker, 3), "settled")
    await asyncio.to_thread(own_postgres.kill)
    uetrs += await asyncio.to_thread(pay, sandbox, 5)
    assert sandbox.switch is not None
    assert await asyncio.to_thread(sandbox.switch.stop) == 0
    await asyncio.to_thread(sandbox.start_switch)
    uetrs += await asyncio.to_thread(pay, sandbox, 5)
    await asyncio.to_thread(own_postgres.start)
    await eventually(lambda: settled(sandbox, own_postgres, broker, len(uetrs)), "settled, too")
    await asyncio.to_thread(all_seen, sandbox, uetrs)


def pay(sandbox: Sandbox, count: int) -> list[str]:
    """UETRs of so many new payments, all committed; at once, but for those during which the machine stood still."""
    with payments_in(sandbox) as provider:
        of = step("hk-mo", "debit=HKD_10.00")
        answers = [answered(provider(of["as"]), of) for _ in range(count)]
        assert "COMMITTED" in {STATE[answer.state] for answer in answers}
        ends = [provider(of["as"]).ended(answer.uetr) for answer in answers]
        assert {STATE[end.state] for end in ends} == {"COMMITTED"}
        return [end.uetr for end in ends]


def answered(payer: Provider, of: Mapping[str, Any]) -> Any:
    """The payment as it is answered; a call that fails is made again."""
    request, answers = payer.request(of), list[Any]()

    def submitted() -> bool:
        answers.append(payer.submit(request))
        return True

    until(submitted, "it is answered")
    return answers[0]


def all_seen(sandbox: Sandbox, uetrs: Sequence[str]) -> None:
    """Those that have left the store, too."""
    with payments_in(sandbox) as provider:
        payer = provider(step("hk-mo")["as"])
        assert {STATE[payer.get(uetr).state] for uetr in uetrs} == {"COMMITTED"}


async def settled(sandbox: Sandbox, server: Postgres, broker: kafka.Cluster, count: int) -> bool:
    """So many payments are in records, topic, archive, windows and positions, and all say the same."""
    archive = open_archive(server.url, sandbox.data_dir, call_ms=PATIENCE_MS)
    try:
        rules = load_rules(sandbox.directory / "rules").arrangements.values()
        names = [row["id"] for row in load_scenario()["participant"]]
        found = await audit_settlement(sandbox.address, OPERATOR, names, broker.bootstrap, archive, rules)
    except (ArchiveUnavailable, BrokerUnavailable, grpc.RpcError):  # not answered in time: it is asked again
        return False
    finally:
        await archive.close()
    return found.clean and found.archived == count
