"""`bayswitch relay` as processes of their own, on a real store and a real broker."""

import asyncio
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import kafka
from deploy.local.valkey import Valkey
from switch.app import connect_store
from switch.cli.processes import NotReady, Part, start_part
from switch.domain.settlement import SettlementFact
from switch.events import tail
from switch.settings import load_settings
from switch.store import Store
from tests.cli.support import Cli, until
from tests.events.support import first_arrivals, in_order_per_agent
from tests.store.builders import ACK, NOW_MS, hold, join

pytestmark = pytest.mark.usefixtures("patient_store")
AGENTS = [f"AGENT{number}" for number in range(4)]


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kafka.cluster(folder=tmp_path_factory.mktemp("kafka")) as running:
        yield running.bootstrap


class Place:
    """A store with an outbox, and the environment of the relays that share it."""

    def __init__(self, bootstrap: str, valkey: Valkey, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self.environment = {
            "BAYSWITCH_DATA_DIR": str(folder / "data"),
            "BAYSWITCH_REDIS_URL": valkey.url,
            "BAYSWITCH_KAFKA_BOOTSTRAP": bootstrap,
            "BAYSWITCH_SHARDS": "2",
        }
        self.settings = load_settings(self.environment)[0]
        self.paid = 0

    def pay(self, count: int) -> None:
        """So many payments of each agent, all committed."""
        asyncio.run(self._pay(count))

    async def _pay(self, count: int) -> None:
        store = await connect_store(self.settings)
        try:
            for agent in AGENTS if not self.paid else ():
                await join(store, agent, cap_minor=10**9)
            await asyncio.gather(*(self._pay_one(store, agent) for _ in range(count) for agent in AGENTS))
        finally:
            await store.close()
        self.paid += count

    async def _pay_one(self, store: Store, agent: str) -> None:
        one = hold(debtor_agent=agent)
        await store.payments.prepare(one, "")
        await store.payments.commit(one, ACK, NOW_MS)

    def depth(self) -> int:
        async def asked() -> int:
            store = await connect_store(self.settings)
            try:
                return (await store.payments.outbox_depth())[0]
            finally:
                await store.close()

        return asyncio.run(asked())

    def published(self) -> list[SettlementFact]:
        async def read() -> list[SettlementFact]:
            return [record.fact async for record in tail(self.bootstrap, follow=False)]

        mine = set(AGENTS)
        return [one for one in asyncio.run(read()) if one.debtor_agent in mine]

    def relay(self, name: str, *arguments: str) -> Part:
        return start_part(name, "relay", *arguments, environment=self.environment, directory=self.folder)


@pytest.fixture
def place(bootstrap: str, own_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(f"{__name__}.AGENTS", [f"A{uuid.uuid4().hex[:10].upper()}" for _ in range(4)])
    (tmp_path / "data").mkdir()
    return Place(bootstrap, own_valkey, tmp_path)


def test_it_publishes_the_outbox_until_sigterm(place: Place) -> None:
    place.pay(25)
    one = place.relay("relay")
    try:
        assert (one.ready["shards"], one.ready["topic"]) == (2, "bayswitch.settlement.payment.v1")
        until(lambda: place.depth() == 0, "the outbox is empty")
        place.pay(5)
        until(lambda: place.depth() == 0, "the outbox is empty again")
    finally:
        one.process.send_signal(signal.SIGTERM)
        assert one.process.stdout is not None
        last = one.process.stdout.read()
        assert one.stop() == 0
    assert '"published": 120' in last
    assert in_order_per_agent(place.published())
    assert len(place.published()) == 120


def test_it_ends_by_itself_when_the_outbox_is_empty(place: Place, bootstrap: str) -> None:
    place.pay(10)
    ran = Cli(place.environment)("relay", "--until-empty")
    assert ran.code == 0
    assert "published 40" in ran.out
    assert len(place.published()) == 40
    assert "published 0" in Cli(place.environment)("relay", "--until-empty").out


def test_the_second_takes_over_from_one_that_is_stopped_and_that_one_does_no_harm_when_it_wakes(place: Place) -> None:
    first = place.relay("first")
    second = place.relay("second")
    try:
        place.pay(20)
        until(lambda: place.depth() == 0, "the outbox is empty")
        first.process.send_signal(signal.SIGSTOP)
        place.pay(20)
        until(lambda: place.depth() == 0, "the second takes over within the lease")
        first.process.send_signal(signal.SIGCONT)
        place.pay(20)
        until(lambda: place.depth() == 0, "events flow")
        second.process.send_signal(signal.SIGSTOP)
        place.pay(20)
        until(lambda: place.depth() == 0, "and the first again from the second")
    finally:
        for one in (first, second):
            one.process.send_signal(signal.SIGCONT)
        assert [one.stop() for one in (first, second)] == [0, 0]
    kept = first_arrivals(place.published())
    assert in_order_per_agent(kept)
    assert len(kept) == 320


def test_a_killed_relay_is_replaced_when_its_lease_ends(place: Place) -> None:
    first = place.relay("first")
    place.pay(10)
    until(lambda: place.depth() == 0, "the outbox is empty")
    first.kill()
    place.pay(10)
    ran = Cli(place.environment)("relay", "--until-empty")
    assert ran.code == 0
    kept = first_arrivals(place.published())
    assert in_order_per_agent(kept)
    assert len(kept) == 80


def test_in_production_it_does_not_start_on_topics_that_are_not_as_told(place: Place) -> None:
    with pytest.raises(NotReady, match=r"payment\.v1: has 12 partitions and not 9; BAYSWITCH_KAFKA_PARTITIONS=12"):
        start_part(
            "wrong",
            "relay",
            environment={**place.environment, "BAYSWITCH_PRODUCTION": "true", "BAYSWITCH_KAFKA_PARTITIONS": "9"},
            directory=place.folder,
        )
