"""A store from its settings: a server of the caller's, or our own in the data directory."""

import asyncio
from pathlib import Path

from switch.errors import ConfigError
from switch.limits import RETENTION_MS_DEFAULT
from switch.ports import Archive, Durability
from switch.store.client import Server, connect
from switch.store.durability import check_durability
from switch.store.embedded import EmbeddedValkey
from switch.store.figures import Figures
from switch.store.keys import LAYOUT, Keys
from switch.store.notes import Notes
from switch.store.participant_store import Participants
from switch.store.payment_store import Payments
from switch.store.quote_store import Quotes
from switch.store.settlement_store import Settlements

__all__ = ["Store", "open_store"]


class Store:
    """The three stores of one server or cluster. Made by `open_store`; `close` it."""

    def __init__(
        self,
        server: Server,
        keys: Keys,
        durability: Durability,
        embedded: EmbeddedValkey | None,
        notes: Notes,
        archive: Archive | None,
        retention_ms: int,
    ) -> None:
        self.durability = durability  # as found at start
        self.notes = notes
        self.payments = Payments(server, keys, notes, archive, retention_ms)
        self.quotes = Quotes(server, keys)
        self.participants = Participants(server, keys)
        self.settlements = Settlements(server, keys)
        self.figures = Figures(server, keys, self.payments.lanes)
        self._server = server
        self._keys = keys
        self.embedded = embedded  # None when the server is the caller's
        self._guard = asyncio.create_task(embedded.guard()) if embedded is not None else None

    async def pin(self, setting: str, value: str) -> None:
        """Write `value` down at first use of the store, and refuse another one ever after. Safe to repeat.

        For what every switch on one store must have in common. Raises ConfigError, StoreUnavailable.
        """
        await _pin(self._server, self._keys, setting, value)

    async def close(self) -> None:
        """End what runs, close the links, and stop the server if it is ours. May be repeated."""
        await self.payments.close()
        await self._server.close()
        if self._guard is not None:
            self._guard.cancel()
        if self.embedded is not None:
            await self.embedded.stop()


async def open_store(
    url: str,
    *,
    shards: int,
    durability: str,
    data_dir: Path,
    note_key: bytes,
    namespace: str = "",
    archive: Archive | None = None,
    retention_ms: int = RETENTION_MS_DEFAULT,
) -> Store:
    """Connect, check what the server promises, and fix or check the number of shards.

    Args:
        url: redis://host:port, rediss://…, unix:///path; a cluster is told by itself. "" starts our own Valkey.
        shards: how many slots of work there are; written at first use, for ever. One unless there is a cluster.
        durability: none, fsync or replica; see durability.py.
        data_dir: where our own Valkey keeps its data; not touched when `url` is given.
        note_key: NOTE_KEY_BYTES; seals the notes in settlement facts, the same for all who share store and log.
        namespace: goes before every key, for those who share a server.
        archive: answers for payments that left the store; None: none ever leaves. The caller closes it.
        retention_ms: what is older when it comes back from the log, stays in the archive.

    Raises:
        ConfigError: names the setting to change.
        StoreUnavailable: the server does not answer.
    """
    if shards < 1:
        raise ConfigError("shards: at least 1")
    if any(mark in namespace for mark in "{}: "):
        raise ConfigError("namespace: no braces, colons or spaces; they have a meaning in keys")
    notes = Notes(note_key)
    embedded = None if url else EmbeddedValkey(data_dir)
    server: Server | None = None
    try:
        if embedded is not None:
            await embedded.start()
        server = await connect(embedded.url if embedded is not None else url)
        keys = Keys(namespace, shards)
        found = await check_durability(server, durability)
        await _fix_layout(server, keys)
        return Store(server, keys, found, embedded, notes, archive, retention_ms)
    except BaseException:
        if server is not None:
            await server.close()
        if embedded is not None:
            await embedded.stop()
        raise


async def _fix_layout(server: Server, keys: Keys) -> None:
    """Write layout and number of shards at first use; refuse another number later: every key depends on it."""
    await _pin(server, keys, "layout", LAYOUT)
    await _pin(server, keys, "shards", str(keys.shards))


async def _pin(server: Server, keys: Keys, field: str, ours: str) -> None:
    await server.write("HSETNX", keys.meta, field, ours)
    theirs = (await server.read("HGET", keys.meta, field)).decode()
    if theirs != ours:
        raise ConfigError(f"{field}: this store was first used with {theirs}, the setting says {ours}; set it back")
