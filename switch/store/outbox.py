"""The outbox: final payments that the broker has not acknowledged, shard by shard, and who may relay them.

An entry is a sequence and a UETR. What is told of the payment is read from its record, which stays until the broker
has acknowledged the event and the archive has it.
"""

from collections.abc import Sequence
from typing import Final

from switch.domain.payment import Payment
from switch.domain.settlement import SettlementFact
from switch.errors import LeaseLost, StoreUnavailable
from switch.ports import OutboxEntry
from switch.store.notes import Notes
from switch.store.packing import unpack_payment
from switch.store.part import StorePart
from switch.store.scripts import load_script

__all__ = ["Outbox"]

LEASE: Final = load_script("outbox_lease", keys="lease", argv="holder ttl_ms")
DELETE: Final = load_script("outbox_delete", keys="outbox lease | agent", argv="token items | entry_id sequence")


class Outbox(StorePart):
    """The part of ports.PaymentStore that the relay uses."""

    async def outbox_lease(self, shard: int, holder: str, ttl_ms: int) -> int:
        """Take, or keep, the right to relay a shard's outbox for `ttl_ms` of the server's time.

        Returns the fencing token: it grows with every new holder. 0: another holder's has not ended. `ttl_ms` 0 gives
        it back and answers 0. Safe to repeat.
        """
        token: int = await self._server.run(LEASE, (self._keys.lease(shard),), (holder, ttl_ms))
        return token

    async def outbox_read(self, shard: int, count: int) -> list[OutboxEntry]:
        """The oldest entries of a shard's outbox, not removed.

        Raises StoreUnavailable, too, when an entry's payment has no record: nothing is skipped, somebody has to look.
        """
        rows = await self._server.read("XRANGE", self._keys.outbox(shard), "-", "+", "COUNT", count)
        if not rows:
            return []
        uetrs = [fields[b"u"].decode() for _, fields in rows]
        records = await self._server.read("MGET", *(self._keys.payment(shard, uetr) for uetr in uetrs))
        entries = []
        for (place, fields), uetr, record in zip(rows, uetrs, records, strict=True):
            if record is None:
                raise StoreUnavailable(f"payment {uetr} is in the outbox and has no record")
            fact = fact_of(unpack_payment(record), int(fields[b"q"]), self._notes)
            entries.append(OutboxEntry(shard, place.decode(), fact))
        return entries

    async def outbox_delete(self, entries: Sequence[OutboxEntry], token: int) -> None:
        """Remove entries the broker has acknowledged, the oldest of each debtor agent first. Safe to repeat.

        Raises LeaseLost: `token` is not the shard's any more; of that shard nothing was removed.
        """
        shards: dict[int, list[OutboxEntry]] = {}
        for entry in entries:
            shards.setdefault(entry.shard, []).append(entry)
        for shard, those in shards.items():
            names = [self._keys.outbox(shard), self._keys.lease(shard)]
            names += (self._keys.agent(entry.fact.debtor_agent) for entry in those)
            argv: list[str | int] = [token, len(those)]
            for entry in those:
                argv += (entry.entry_id, entry.fact.sequence)
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


def fact_of(payment: Payment, sequence: int, notes: Notes) -> SettlementFact:
    """What the log is told of a final payment."""
    hold, last = payment.hold, payment.history[-1]
    assert last.state.final, "only a final payment is a fact"
    return SettlementFact(
        event_id=hold.uetr,
        sequence=sequence,
        uetr=hold.uetr,
        debtor_agent=hold.participant,
        state=last.state,
        reason=last.reason,
        rail=hold.rail,
        corridor_id=hold.corridor_id,
        rail_reference=last.rail_reference,
        entries=payment.entries,
        prepared_time_ms=hold.prepared_time_ms,
        final_time_ms=last.time_ms,
        request_id=hold.instruction.request_id,
        note=notes.seal(payment),
    )
