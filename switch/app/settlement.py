"""The settlement half of the composition root: what runs beside the payments, in the switch or in a process of its own."""

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from switch.domain.settlement import SettlementFact
from switch.engine import Settlement, WindowSchedule
from switch.engine.register_copy import RegisterCopy
from switch.engine.retention import Retention
from switch.errors import BrokerUnavailable, ConfigError
from switch.events import KafkaSink, Relay, TopicSpec, require_topics, topics_of
from switch.events.announcer import Announcer
from switch.events.dead_letters import DeadLetters
from switch.events.log import KafkaLog
from switch.events.settler import Settler
from switch.events.topics import ensure
from switch.events.writer import TopicWriter
from switch.ports import Archive, Clock
from switch.rules import Rules
from switch.settings import Settings
from switch.store import Store

__all__ = ["Settling", "Work"]

Work = tuple[str, Callable[[], Coroutine[Any, Any, None]]]


class Settling:
    """Everything of settlement over one open store and archive. Without a broker there is nothing of it."""

    def __init__(self, settings: Settings, rules: Rules, store: Store, archive: Archive, clock: Clock) -> None:
        self._settings = settings
        self._rules = rules
        self._store = store
        self._archive = archive
        self._clock = clock
        self._topics = topics_of(settings)
        self.settlement = self._flow() if settings.kafka_bootstrap else None
        self.relay: Relay | None = None  # what an operator watches, where it runs: None until it is made
        self.settler: Settler | None = None
        self.announcer: Announcer | None = None

    def _flow(self) -> Settlement:
        return Settlement(
            store=self._store.settlements,
            archive=self._archive,
            log=KafkaLog(self._settings.kafka_bootstrap),
            participants=self._store.participants,
            arrangements=self._rules.arrangements,
            clock=self._clock,
            end_to_end_id_of=self._end_to_end_id,
        )

    def _end_to_end_id(self, fact: SettlementFact) -> str:
        return self._store.notes.open(fact.uetr, fact.note).instruction.end_to_end_id

    async def check_topics(self) -> None:
        """In production: refuse to start on topics that are not as the settings say, and on a store that lost its data.
        Elsewhere make the topics that are missing.

        A broker that does not answer stops nothing: payments do not need it. Raises ConfigError, with the command that
        mends it.
        """
        settings = self._settings
        if not settings.kafka_bootstrap:
            return
        if not settings.production:
            with contextlib.suppress(BrokerUnavailable):  # a topic with other settings is shown by `topics check`
                await ensure(settings.kafka_bootstrap, self._topics)
            return
        await require_topics(settings)
        await self._require_the_store_of_this_log()

    async def _require_the_store_of_this_log(self) -> None:
        """A store that came back empty under a log that is not would pay again what the log has. Raises ConfigError."""
        if (await self._store.settlements.progress()).windows or await self._store.participants.list_participants():
            return
        with contextlib.suppress(BrokerUnavailable):
            if any((await KafkaLog(self._settings.kafka_bootstrap).ends()).values()):
                raise ConfigError("the store is empty and the payment topic is not: `bayswitch rebuild` first")

    def background(self) -> list[Work]:
        """What the switch runs itself; what has a process of its own is left out."""
        settings = self._settings
        if not settings.kafka_bootstrap:
            return []
        return [*(self.relaying() if settings.run_relay else ()), *(self.settling() if settings.run_settler else ())]

    def relaying(self) -> list[Work]:
        """The outbox goes to the broker."""
        sink = KafkaSink(self._settings.kafka_bootstrap, self._topics.payment, create=not self._settings.production)
        self.relay = Relay(self._store.payments, sink, self._clock)
        return [("the relay", self.relay.run)]

    def settling(self) -> list[Work]:
        """The log becomes windows, positions and the archive; what is archived leaves the store after its time."""
        assert self.settlement is not None, "there is a broker"
        store, rules, clock = self._store, self._rules, self._clock
        schedule = WindowSchedule(self.settlement, store.settlements, rules.arrangements, rules.calendars, clock)
        windows, positions = self._writer(self._topics.window), self._writer(self._topics.position)
        self.announcer, self.settler = Announcer(store.settlements, windows, positions, clock), self._settler()
        retention = Retention(store.payments, self._archive, clock, self._settings.retention_ms)
        return [
            ("the settler", self.settler.run),
            ("the schedule of windows", schedule.run),
            ("the announcer", self.announcer.run),
            ("retention", retention.run),
            ("the copy of the register", RegisterCopy(store.participants, self._archive, clock).run),
        ]

    def _settler(self) -> Settler:
        bootstrap, create = self._settings.kafka_bootstrap, not self._settings.production
        letters = DeadLetters(bootstrap, self._topics.dlq, create=create)
        arrangements = list(self._rules.arrangements.values())
        instance = self._settings.settler_instance or None
        return Settler(
            bootstrap, self._store.settlements, self._archive, arrangements, letters, self._clock, instance=instance
        )

    def _writer(self, spec: TopicSpec) -> TopicWriter:
        return TopicWriter(self._settings.kafka_bootstrap, spec, create=not self._settings.production)
