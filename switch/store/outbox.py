"""The outbox: final payments that the broker has not acknowledged, shard by shard, and who may relay them.

An entry is a sequence and a UETR. What is told of the payment is read from its record, which stays until the broker
has acknowledged the event and the archive has it.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from switch.errors import LeaseLost, StoreUnavailable
from switch.ports import OutboxEntry
from switch.store.facts import FactReader
from switch.store.part import StorePart
from switch.store.scripts import load_script

__all__ = ["Outbox"]

LEASE: Final = load_script("outbox_lease", keys="lease", argv="holder ttl_ms")
DELETE: Final = load_script("outbox_delete", keys="outbox lease | agent", argv="token entry_id* | sequence")


class Outbox(StorePart):
    """The part of ports.PaymentStore that the relay uses."""

    @cached_property
    def _facts(self) -> FactReader:
        return FactReader(self._notes)

    async def outbox_lease(self, shard: int, holder: str, ttl_ms: int) -> int:
        """Take, or keep, the right to relay a shard's outbox for `ttl_ms` of the server's time.

        Returns the fencing token: it grows with every new holder. 0: another holder's has not ended. `ttl_ms` 0 gives
        it back and answers 0. Safe to repeat.
        """
        token: int = await self._server.run(LEASE, (self._keys.lease(shard),), (holder, ttl_ms))
        return token

    async def outbox_read(self, shard: int, count: int, after: str = "") -> list[OutboxEntry]:
        """The oldest entries of a shard's outbox, not removed; with `after`, the oldest behind that entry_id.

        Raises StoreUnavailable, too, when an entry's payment has no record: nothing is skipped, somebody has to look.
        """
        begin = f"({after}" if after else "-"
        rows = await self._server.read("XRANGE", self._keys.outbox(shard), begin, "+", "COUNT", count)
        if not rows:
            return []
        head = self._keys.payment(shard, "").encode()
        records = await self._server.read("MGET", *[head + fields[b"u"] for _, fields in rows])
        entries, read = [], self._facts.read
        for (place, fields), record in zip(rows, records, strict=True):
            if record is None:
                raise StoreUnavailable(f"payment {fields[b'u'].decode()} is in the outbox and has no record")
            entries.append(OutboxEntry(shard, place.decode(), read(record, int(fields[b"q"]))))
        return entries

    async def outbox_delete(self, entries: Sequence[OutboxEntry], token: int) -> None:
        """Remove entries the broker has acknowledged, the oldest of each debtor agent first. Safe to repeat.

        Raises LeaseLost: `token` is not the shard's any more; of that shard nothing was removed.
        """
        shards: dict[int, list[OutboxEntry]] = {}
        for entry in entries:
            shards.setdefault(entry.shard, []).append(entry)
        for shard, those in shards.items():
            reached: dict[str, int] = {}
            for _, _, fact in those:
                reached[fact.debtor_agent] = max(fact.sequence, reached.get(fact.debtor_agent, 0))
            names = (self._keys.outbox(shard), self._keys.lease(shard), *map(self._keys.agent, reached))
            argv = (token, *[entry.entry_id for entry in those], *reached.values())
            if not await self._server.run(DELETE, names, argv):
                raise LeaseLost(f"shard {shard}: token {token} is not its relay's any more")

    async def outbox_depth(self) -> tuple[int, int]:
        """How many entries wait over all shards, and the time_ms of the oldest (0: none)."""
        number, oldest = 0, 0
        for shard in range(self.shards):
            key = self._keys.outbox(shard)
            number += await self._server.read("XLEN", key)
            rows = await self._server.read("XRANGE", key, "-", "+", "COUNT", 1)
            times = (oldest, *(int(row[0].split(b"-")[0]) for row in rows))
            oldest = min((time_ms for time_ms in times if time_ms), default=0)
        return number, oldest
