"""Retention: final payments that the archive has leave the store; what must be unique for ever stays, in a few bytes.

What stays is the compact form (scripts/_retired.lua): the digest of (participant, request_id) with the UETR, and the
digest of the UETR on the UETR's own shard, in the place of its claim. Everything else of such a payment is answered
from the archive. Books, use of caps and of limits are sums and stay as they are.

A participant's stream of changes is cut at the first entry of which a payment is still in the store: an entry outlives
its payments while an older one runs, and none goes before its own payments do. So whoever resumes a watch within the
retention misses nothing, however long a payment is in doubt.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from switch.domain.payment import Payment
from switch.domain.settlement import SettlementFact
from switch.errors import ConfigError
from switch.limits import RETIRE_COUNT
from switch.store.changes import told_of
from switch.store.keys import request_digest, uetr_digest
from switch.store.payment_reads import PaymentReads, relisted_place
from switch.store.scripts import load_script

__all__ = ["Retention"]

RETIRE: Final = load_script(
    "retire",
    keys="retired | payment request agent quote relisted",
    argv="items | request_digest uetr_digest uetr_bytes sequence place",
)
RETIRE_CLAIM: Final = load_script("retire_claim", keys="retired | claim", argv="items | uetr_digest")
TRIM: Final = load_script("changes_trim", keys="changes | payment*", argv="items | place changes")
_ENTRIES_AT_ONCE: Final = 32  # of changes, looked at in one step: each has as many as a group has items


class Retention(PaymentReads):
    """The part of ports.PaymentStore that lets payments go."""

    async def retire(self, facts: Sequence[SettlementFact]) -> int:
        """Let final payments that are archived leave the store, and tell the archive which have. How many have.

        Until then and afterwards `get`, `get_by_request`, `list_payments` and `prepare` answer the same. A payment
        stays that is not final, whose event the broker has not acknowledged, or that this store never had. Safe to
        repeat: of what is left behind by a crash the rest is done.

        Raises:
            ConfigError: there is no archive, or a note cannot be opened: a payment nobody could answer for stays.
            StoreUnavailable, ArchiveUnavailable: some may have left; repeat.
        """
        if self._archive is None:
            raise ConfigError("archive: without one nothing leaves the store")
        shards: dict[int, list[tuple[SettlementFact, Payment]]] = {}
        for fact in facts:
            row = (fact, self._notes.open(fact.uetr, fact.note))
            shards.setdefault(self._keys.shard_of(fact.debtor_agent), []).append(row)
        gone: list[str] = []
        for shard, rows in shards.items():
            for first in range(0, len(rows), RETIRE_COUNT):
                gone += await self._retire(shard, rows[first : first + RETIRE_COUNT])
        await self._archive.retired(gone)
        for participant in {fact.debtor_agent for fact in facts}:
            await self._trim(participant)
        return len(gone)

    async def _retire(self, shard: int, rows: Sequence[tuple[SettlementFact, Payment]]) -> list[str]:
        """Of one shard. The UETR first: a payment that is found by its request only would be lost to `get`."""
        keys = self._keys
        await self._keep_uetrs([fact.uetr for fact, _ in rows])
        names, argv = [keys.retired(shard)], list[Any]([len(rows)])
        for fact, payment in rows:
            participant, instruction = fact.debtor_agent, payment.instruction
            request = keys.request(participant, instruction.request_id)
            quote = keys.quote(participant, instruction.quote_id) if instruction.quote_id else request
            names += (keys.payment(shard, fact.uetr), request, keys.agent(participant), quote)
            names.append(keys.relisted(participant))
            argv += self._compact(participant, instruction.request_id, fact.uetr)
            argv += (fact.sequence, relisted_place(payment.hold.prepared_time_ms, fact.uetr))
        answers = await self._server.run(RETIRE, names, argv)
        return [fact.uetr for (fact, _), answer in zip(rows, answers, strict=True) if answer]

    def _compact(self, participant: str, request_id: str, uetr: str) -> tuple[bytes, bytes, bytes]:
        """Digest of the request, digest of the UETR when the participant's shard keeps it, the UETR's bytes."""
        own = uetr_digest(uetr) if self.shards == 1 else b""
        return request_digest(participant, request_id), own, UUID(uetr).bytes

    async def _keep_uetrs(self, uetrs: Sequence[str]) -> None:
        """With several shards, each on its own, where its claim was; with one, the same script does it."""
        shards: dict[int, list[str]] = {}
        for uetr in uetrs if self.shards > 1 else ():
            shards.setdefault(self._keys.shard_of(uetr), []).append(uetr)
        for shard, those in shards.items():
            names = [self._keys.retired(shard), *map(self._keys.claim, those)]
            await self._server.run(RETIRE_CLAIM, names, [len(those), *map(uetr_digest, those)])

    async def _trim(self, participant: str) -> None:
        """Cut the participant's changes at the first whose payment is still here. Safe to repeat."""
        shard, changes = self._keys.shard_of(participant), self._keys.changes(participant)
        while True:
            rows = await self._server.read("XRANGE", changes, "-", "+", "COUNT", _ENTRIES_AT_ONCE)
            names, argv = [changes], list[Any]([len(rows)])
            for row in rows:
                told = told_of(row)
                names += (self._keys.payment(shard, change.uetr) for change in told)
                argv += (row[0], len(told))
            went = await self._server.run(TRIM, names, argv) if rows else 0
            if went < _ENTRIES_AT_ONCE:
                return
