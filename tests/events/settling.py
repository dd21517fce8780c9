"""A topic, a store and an archive of a test's own, and a settler over them."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from switch.domain.settlement import SettlementFact, Window
from switch.engine.settlement import Settlement
from switch.events.fold import Poisoned
from switch.events.log import KafkaLog
from switch.events.schema import encode, headers, key
from switch.events.settler import Settler
from switch.events.window_schema import announcement_headers, announcement_key, encode_announcement
from switch.store import Store, open_store
from tests.events.support import FakeClock
from tests.fake_archive import FakeArchive
from tests.settlement import ARRANGEMENTS, paid
from tests.store.builders import NOTE_KEY
from tests.waiting import eventually, running_task

__all__ = ["AGENTS", "Graves", "Place", "load", "open_place", "settling"]

PARTITIONS = 4
AGENTS = [f"AGENT{number}" for number in range(8)]


@dataclass
class Graves:
    """The dead letters, in memory."""

    buried: list[Poisoned] = field(default_factory=list)

    async def bury(self, poisoned: Sequence[Poisoned]) -> None:
        self.buried += poisoned


class Place:
    """A topic, a store and an archive of a test's own."""

    def __init__(self, bootstrap: str, store: Store, producer: AIOKafkaProducer, reader: AIOKafkaConsumer) -> None:
        self.bootstrap = bootstrap
        self.store = store
        self.archive = FakeArchive()
        self.graves = Graves()
        self.topic = f"test.{uuid.uuid4().hex}"
        self.producer = producer
        self._reader = reader

    def settler(self) -> Settler:
        return Settler(
            self.bootstrap,
            self.store.settlements,
            self.archive,
            ARRANGEMENTS,
            self.graves,
            FakeClock(),
            topic=self.topic,
            group=self.topic,
        )

    @property
    def window_topic(self) -> str:
        return f"{self.topic}.windows"

    def log(self) -> KafkaLog:
        return KafkaLog(self.bootstrap, topic=self.topic, window_topic=self.window_topic)

    def settlement(self) -> Settlement:
        """The flow of windows; nobody joined, so nobody is suspended."""
        return Settlement(
            store=self.store.settlements,
            archive=self.archive,
            log=self.log(),
            participants=self.store.participants,
            arrangements={each.id: each for each in ARRANGEMENTS},
            clock=FakeClock(),
        )

    async def make_topics(self) -> None:
        """Anew under a new name."""
        self.topic = f"test.{uuid.uuid4().hex}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(self.topic, PARTITIONS, 1), NewTopic(self.window_topic, 1, 1)])
        await admin.close()

    async def announce(self) -> None:
        """Publish what windows have done since the last time."""
        while told := await self.store.settlements.announcements(100):
            for each in told:
                record = encode_announcement(each), announcement_key(each)
                await self.producer.send_and_wait(self.window_topic, *record, headers=announcement_headers(each))
            await self.store.settlements.announced(told)

    async def close_windows(self, number: int) -> list[Window]:
        """Cut and close this window of every arrangement; the settler must be running."""
        flow = self.settlement()
        for arrangement in ARRANGEMENTS:
            await flow.cut(f"{arrangement.id}.{number}", "OPERATOR")
        await self.settled()
        return [await flow.close(f"{arrangement.id}.{number}") for arrangement in ARRANGEMENTS]

    async def publish(self, facts: Sequence[SettlementFact]) -> None:
        for fact in facts:
            await self.producer.send(self.topic, encode(fact), key(fact), headers=headers(fact))
        await self.producer.flush()

    async def ends(self) -> dict[int, int]:
        places = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
        ends = await self._reader.end_offsets(places)
        return {place.partition: end for place, end in ends.items()}

    async def caught_up(self) -> bool:
        progress = await self.store.settlements.progress()
        return all(progress.offsets.get(partition, 0) == end for partition, end in (await self.ends()).items())

    async def settled(self) -> None:
        await eventually(self.caught_up, "the settler is at the end of the log")

    async def windows(self) -> list[Window]:
        found = []
        for each in await self.store.settlements.windows("", 100):
            window = await self.store.settlements.window(each.arrangement_id, each.number)
            assert window is not None
            found.append(window)
        return found


@asynccontextmanager
async def open_place(bootstrap: str, redis_url: str, folder: Path) -> AsyncIterator[Place]:
    """Everything made, the topics empty."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await producer.start()
    await reader.start()
    store = await open_own_store(redis_url, folder)
    made = Place(bootstrap, store, producer, reader)
    await made.make_topics()
    try:
        yield made
    finally:
        await reader.stop()
        await producer.stop()
        await made.store.close()


async def open_own_store(redis_url: str, folder: Path) -> Store:
    """An empty store of three shards."""
    namespace = f"t{uuid.uuid4().hex[:12]}"
    return await open_store(
        redis_url, shards=3, durability="fsync", data_dir=folder, namespace=namespace, note_key=NOTE_KEY
    )


@asynccontextmanager
async def settling(place: Place) -> AsyncIterator[Settler]:
    """From when its windows are open; until then there is nothing to cut."""
    settler = place.settler()

    async def opened() -> bool:
        return len(await place.store.settlements.windows("", 100)) >= len(ARRANGEMENTS)

    async with running_task(settler.run()):
        await eventually(opened, "the first windows are open")
        yield settler


def load(count: int) -> list[SettlementFact]:
    """`count` events of every agent, interleaved."""
    return [paid(agent, number) for number in range(1, count + 1) for agent in AGENTS]
