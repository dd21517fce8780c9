"""Restoring: a store that lost its data gets its final payments back from the log.

Each fact brings its note, and the note is the record with personal values masked; masks are enough to tell whether a
repeat of a request is the same. Put back are the record (of payments older than the retention, with an archive, only
the compact form), the request, the UETR's claim, the entries in the books, what was spent of caps, what counts of
person limits whose period still runs, the sequence, and the changes, which are told again to who watches.

A payment is put back by one script on its debtor agent's shard, once. What it spent at a participant of another shard
(the provider of its quote) is written down there, and carried over afterwards with a marker, so that neither a crash
nor two who restore at once bring it twice or not at all. When only some shards of a cluster were lost, a provider on
one that was not may be left with less headroom than it has, never with more.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgpack

from switch.domain.money import Asset
from switch.domain.payment import Payment, State
from switch.domain.position import Entry
from switch.domain.settlement import SettlementFact
from switch.errors import SettlementHalted
from switch.limits import RETIRE_COUNT, STORE_CALL_MS_MAX
from switch.store.packing import charges_of, pack, pack_payment
from switch.store.payment_lists import relisted_place
from switch.store.retention import Retention
from switch.store.scripts import load_script

__all__ = ["Restoring"]

RESTORE: Final = load_script(
    "restore",
    keys="retired books respending | payment request agent changes relisted limits* agents*",
    argv="items now_ms | uetr request_digest uetr_digest uetr_bytes sequence record place elsewhere changes charges debits "
    "entries (letter words)* (counter amount_minor expiry_time_ms)* (asset amount_minor)* (owner amount_minor)*",
)
RESPEND: Final = load_script("respend", keys="| marker agent", argv="items | asset amount_minor")
_MARKED_MS: Final = 60 * STORE_CALL_MS_MAX  # far longer than anybody works on an old answer


class _Found(NamedTuple):
    """A fact and what its note says."""

    fact: SettlementFact
    payment: Payment
    hot: bool  # the record comes back, not only the compact form


class Restoring(Retention):
    """The part of ports.PaymentStore that takes payments back from the log."""

    async def restore(self, facts: Sequence[SettlementFact]) -> int:
        """Put final payments of the log back into a store that lost them. How many were missing.

        Never touches a payment that is there. Safe to repeat, in any order, and by several at once.

        Raises:
            ConfigError: a note was sealed with another key; nothing was put back.
            SettlementHalted: the store has another payment of a fact's UETR or request: it was used without what the
                log has. Facts before it may be back.
            StoreUnavailable, ArchiveUnavailable: some may be back; repeat.
        """
        seconds, micros = await self._server.read("TIME")
        now_ms = int(seconds) * 1_000 + int(micros) // 1_000
        shards: dict[int, list[_Found]] = {}
        for fact in facts:
            hot = self._archive is None or fact.final_time_ms > now_ms - self._retention_ms
            found = _Found(fact, self._notes.open(fact.uetr, fact.note), hot)
            shards.setdefault(self._keys.shard_of(fact.debtor_agent), []).append(found)
        missing = 0
        for shard, rows in shards.items():
            for first in range(0, len(rows), RETIRE_COUNT):
                missing += await self._restore(shard, rows[first : first + RETIRE_COUNT], now_ms)
            await self._respend(shard)
        if self._archive is not None:
            await self._archive.retired([row.fact.uetr for rows in shards.values() for row in rows if not row.hot])
        return missing

    async def _restore(self, shard: int, rows: Sequence[_Found], now_ms: int) -> int:
        """Of one shard. UETRs first: a claim without its payment is harmless, a payment without its claim is not."""
        keys = self._keys
        if self.shards > 1:
            await self._keep_uetrs([row.fact.uetr for row in rows if not row.hot])
            await asyncio.gather(*map(self._claim_again, rows))
        names, argv = [keys.retired(shard), keys.books(shard), keys.respending(shard)], list[Any]([len(rows), now_ms])
        for row in rows:
            self._add(shard, row, names, argv)
        answers = await self._server.run(RESTORE, names, argv)
        for row, answer in zip(rows, answers, strict=True):
            if answer < 0:
                raise _another(row)
        return sum(answers)

    async def _claim_again(self, row: _Found) -> None:
        fact, request_id = row.fact, row.payment.instruction.request_id
        if row.hot and not await self._claim(fact.uetr, fact.debtor_agent, request_id):
            raise _another(row)

    def _add(self, shard: int, row: _Found, names: list[str], argv: list[Any]) -> None:
        """One item of the script."""
        (fact, payment, hot), keys = row, self._keys
        hold, participant, uetr = payment.hold, fact.debtor_agent, fact.uetr
        request_id = payment.instruction.request_id
        charges = charges_of(hold) if payment.state is State.COMMITTED else []
        debits = [entry for entry in payment.entries if entry.amount_minor > 0]
        here = [entry for entry in debits if keys.shard_of(entry.participant) == shard]
        elsewhere = [tuple(entry) for entry in debits if entry not in here]
        changes = _changes(payment) if hot else []
        names += (keys.payment(shard, uetr), keys.request(participant, request_id), keys.agent(participant))
        names += (keys.changes(participant), keys.relisted(participant))
        names += (keys.limits(shard, charge.period_key) for charge in charges)
        names += (keys.agent(entry.participant) for entry in here)
        argv += (uetr, *self._compact(participant, request_id, uetr), fact.sequence)
        argv += (pack_payment(payment) if hot else b"", relisted_place(hold.prepared_time_ms, uetr))
        argv.append(pack(elsewhere) if elsewhere else b"")
        argv += (len(changes), len(charges), len(here), len(payment.entries))
        argv += (word for change in changes for word in change)
        for charge in charges:
            argv += (charge.counter, charge.amount_minor, charge.expiry_time_ms)
        for entry in here:
            argv += (entry.asset.name, entry.amount_minor)
        for entry in payment.entries:
            argv += (f"{entry.participant}|{entry.asset.name}", entry.amount_minor)

    async def _respend(self, shard: int) -> None:
        """Carry over what payments of this shard spent at participants of others. Finds what a crash left, too."""
        respending = self._keys.respending(shard)
        for uetr, debits in (await self._server.read("HGETALL", respending)).items():
            markers = []
            for participant, asset, amount_minor in msgpack.unpackb(debits):
                entry = Entry(participant, Asset(asset), amount_minor)
                markers.append(self._keys.respent(entry.participant, entry.asset, uetr.decode()))
                names = (markers[-1], self._keys.agent(entry.participant))
                await self._server.run(RESPEND, names, (1, entry.asset.name, entry.amount_minor))
            await self._server.write("HDEL", respending, uetr)
            for marker in markers:
                await self._server.write("PEXPIRE", marker, _MARKED_MS)


def _changes(payment: Payment) -> list[tuple[str, str]]:
    """Entries of the stream as prepare and finish wrote them, in small letters."""
    history, uetr = payment.history, payment.hold.uetr
    at_once = history[0].state is State.ABORTED  # refused when it was prepared
    return [("r" if at_once else step.state.value.lower(), f"{uetr} {step.time_ms}") for step in history]


def _another(row: _Found) -> SettlementHalted:
    return SettlementHalted(
        f"payment {row.fact.uetr} of the log is another one in the store: it was used before what the log has was put back"
    )
