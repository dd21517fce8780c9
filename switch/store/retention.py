"""Retention: final payments that the archive has leave the store; what must be unique for ever stays, in a few bytes.

What stays is the compact form (scripts/_retired.lua): the digest of (participant, request_id) with the UETR, and the
digest of the UETR on the UETR's own shard, in the place of its claim. Everything else of such a payment is answered
from the archive. Books, use of caps and of limits are sums and stay as they are.

A participant's stream of changes is cut at the first entry of which a payment is still in the store: an entry outlives
its payments while an older one runs, and none goes before its own payments do. So whoever resumes a watch within the
retention misses nothing, however long a payment is in doubt.

What payments are listed by in the store, the stream and the names of those that came back from the log, goes last, when
the archive has been told that they left and lists them: whoever reads the store's lists first and the archive's after
finds every payment, at every moment and after every crash (payment_lists.py).
"""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from switch.domain.payment import Payment
from switch.domain.settlement import SettlementFact
from switch.errors import ConfigError
from switch.limits import RETIRE_COUNT
from switch.ports import Archive
from switch.store.changes import told_of
from switch.store.keys import request_digest, uetr_digest
from switch.store.payment_lists import relisted_place
from switch.store.payment_reads import PaymentReads
from switch.store.scripts import load_script

__all__ = ["Retention"]

RETIRE: Final = load_script(
    "retire",
    keys="retired | payment request agent quote",
    argv="items | request_digest uetr_digest uetr_bytes sequence",
)
RETIRE_CLAIM: Final = load_script("retire_claim", keys="retired | claim", argv="items | uetr_digest")
LEFT: Final = load_script("changes_left", keys="| payment*", argv="items | changes")
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
        gone = set[str]()
        for shard, rows in shards.items():
            for first in range(0, len(rows), RETIRE_COUNT):
                gone |= await self._retire(shard, rows[first : first + RETIRE_COUNT])
        await self._archive.retired(list(gone))
        listed: dict[str, list[str]] = {}
        for fact in facts:
            places = listed.setdefault(fact.debtor_agent, [])
            places += [relisted_place(fact.prepared_time_ms, fact.uetr)] if fact.uetr in gone else []
        for participant, places in listed.items():
            if places:
                await self._server.write("ZREM", self._keys.relisted(participant), *places)
            await self._trim(participant, self._archive, gone)
        return len(gone)

    async def _retire(self, shard: int, rows: Sequence[tuple[SettlementFact, Payment]]) -> set[str]:
        """Of one shard. The UETR first: a payment that is found by its request only would be lost to `get`."""
        keys = self._keys
        await self._keep_uetrs([fact.uetr for fact, _ in rows])
        names, argv = [keys.retired(shard)], list[Any]([len(rows)])
        for fact, payment in rows:
            participant, instruction = fact.debtor_agent, payment.instruction
            request = keys.request(participant, instruction.request_id)
            quote = keys.quote(participant, instruction.quote_id) if instruction.quote_id else request
            names += (keys.payment(shard, fact.uetr), request, keys.agent(participant), quote)
            argv += (*self._compact(participant, instruction.request_id, fact.uetr), fact.sequence)
        answers = await self._server.run(RETIRE, names, argv)
        return {fact.uetr for (fact, _), answer in zip(rows, answers, strict=True) if answer}

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

    async def _trim(self, participant: str, archive: Archive, told: Collection[str]) -> None:
        """Cut the participant's changes at the first whose payment is still here. Safe to repeat.

        What left otherwise than those that the archive is `told` of, by another's hand or before a crash, it is told of,
        too, before its entries go.
        """
        shard, changes = self._keys.shard_of(participant), self._keys.changes(participant)
        while rows := await self._server.read("XRANGE", changes, "-", "+", "COUNT", _ENTRIES_AT_ONCE):
            uetrs = [[change.uetr for change in told_of(row)] for row in rows]
            names = [self._keys.payment(shard, uetr) for those in uetrs for uetr in those]
            left = await self._server.run(LEFT, names, [len(rows), *map(len, uetrs)])
            if others := {uetr for those in uetrs[:left] for uetr in those}.difference(told):
                await archive.retired(sorted(others))
            if left:
                await self._server.write("XDEL", changes, *(row[0] for row in rows[:left]))
            if left < _ENTRIES_AT_ONCE:
                return
