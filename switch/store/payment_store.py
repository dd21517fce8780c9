"""Payments: the steps that move money. Reading them back is in payment_reads.py."""

import secrets
from collections.abc import Sequence
from itertools import chain, count
from typing import Any, Final

from switch.domain.payment import Hold, Payment, State, Transition
from switch.domain.position import unbalanced
from switch.errors import Refused, StoreUnavailable
from switch.ports import Archive, Prepared, RailAck
from switch.store.client import Server
from switch.store.grouping import Item, Kind, Lane, RunGroup
from switch.store.keys import Keys, request_digest, uetr_digest
from switch.store.notes import Notes
from switch.store.outbox import Outbox
from switch.store.packing import (
    charges_of,
    pack_hold,
    pack_reserved,
    pack_transition,
    period_end,
    quote_terms,
    unpack_payment,
)
from switch.store.part import fault
from switch.store.restoring import Restoring
from switch.store.scripts import Script, load_script

__all__ = ["Payments"]

PREPARE: Final = load_script(
    "prepare",
    keys="holds overdue outbox retired | request payment agent changes quote limits*",
    argv="items | uetr attempt asset amount_minor prepared_time_ms overdue_time_ms record step reserved terms "
    "request_digest uetr_digest charges (counter amount_minor max_minor expiry_time_ms limit_id resets)*",
)
FINISH: Final = load_script(
    "finish",
    keys="holds overdue outbox books | payment agent changes limits*",
    argv="items | uetr state time_ms step charges entries (owner amount_minor)*",
)
CLAIM: Final = load_script("claim", keys="retired | claim", argv="items | owner uetr_digest")
UNCLAIM: Final = load_script("unclaim", keys="| claim", argv="items | owner")
_ARGUMENT_BYTES: Final = 24  # what a small argument costs on the wire, about


class Payments(Restoring, Outbox):
    """ports.PaymentStore on Redis or Valkey. Every call is safe to repeat; a cancel leaves it done or not done."""

    def __init__(self, server: Server, keys: Keys, notes: Notes, archive: Archive | None, retention_ms: int) -> None:
        lanes = [Lane(self._runners(server, keys, shard)) for shard in range(keys.shards)]
        super().__init__(server, keys, lanes, notes, archive, retention_ms)
        self._attempts = count()
        self._process = secrets.token_hex(4)

    def _runners(self, server: Server, keys: Keys, shard: int) -> dict[Kind, RunGroup]:
        common = (keys.holds(shard), keys.overdue(shard), keys.outbox(shard))
        books, retired = keys.books(shard), keys.retired(shard)

        def script(which: Script, *first: str) -> RunGroup:
            async def run(items: Sequence[Item]) -> Any:
                names = [*first, *chain.from_iterable(item.keys for item in items)]
                argv = [len(items), *chain.from_iterable(item.argv for item in items)]
                return await server.run(which, names, argv)

            return run

        async def read(items: Sequence[Item]) -> Any:
            return await server.read("MGET", *(item.keys[0] for item in items))

        return {
            Kind.FINISH: script(FINISH, *common, books),
            Kind.READ: read,
            Kind.CLAIM: script(CLAIM, retired),
            Kind.PREPARE: script(PREPARE, *common, retired),
        }

    async def prepare(self, hold: Hold, quote_id: str) -> Prepared:
        """Claim (participant, request_id) and the UETR, use the quote, reserve cap and limits, or do none of it.

        The first outcome is kept: a repeat returns it with fresh=False, whatever the body (the caller compares).
        A cap, limit or quote refusal is kept as an ABORTED payment whose history carries reason and figures
        (limit_minor, used_minor, left_minor, resets). Safe to repeat. After a cancel the payment may be there.

        Raises:
            Refused: UETR_REUSED, PARTICIPANT_UNKNOWN, PARTICIPANT_SUSPENDED, QUOTE_UNKNOWN, QUOTE_MISMATCH,
                OVERLOADED; these leave no trace.
            StoreUnavailable: unknown what was done; a repeat finds it.
            ArchiveUnavailable: the request began a payment that has left the store; repeat.
        """
        step = Transition(State.PREPARED, hold.prepared_time_ms)
        item = self._prepare_item(hold, quote_id, step)
        if self.shards == 1:
            return await self._prepare(hold, item, step)
        owner = f"{hold.participant}/{hold.instruction.request_id}"
        claim = Item((self._keys.claim(hold.uetr),), (owner, uetr_digest(hold.uetr)), 128)
        if await self._lanes[self._keys.shard_of(hold.uetr)].call(Kind.CLAIM, claim) != 1:
            # The request may be an old one under another UETR: its first outcome comes before this refusal.
            began = await self.get_by_request(hold.participant, hold.instruction.request_id)
            if began is None:
                raise Refused("UETR_REUSED", field="uetr")
            return Prepared(False, began)
        try:
            prepared = await self._prepare(hold, item, step)
        except Refused:
            await self._unclaim(claim.keys, owner)
            raise
        if prepared.payment.hold.uetr != hold.uetr:
            await self._unclaim(claim.keys, owner)
        return prepared

    async def _unclaim(self, names: Sequence[str], owner: str) -> None:
        """Leave no trace. A claim that stays behind is harmless: its owner may take it again."""
        try:
            await self._server.run(UNCLAIM, names, (1, owner), repeat=False)
        except StoreUnavailable:
            return

    def _prepare_item(self, hold: Hold, quote_id: str, step: Transition) -> Item:
        assert not unbalanced(hold.entries), "entries do not sum to zero"
        instruction, keys = hold.instruction, self._keys
        participant, debit = instruction.participant, instruction.debit
        shard, charges = keys.shard_of(participant), charges_of(hold)
        request = keys.request(participant, instruction.request_id)
        names = [request, keys.payment(shard, hold.uetr), keys.agent(participant), keys.changes(participant)]
        # A script takes a key in every place; without a quote the request's stands in and is not looked at.
        names.append(keys.quote(participant, quote_id) if quote_id else request)
        terms = quote_terms(debit, instruction.credit, hold.corridor_id) if quote_id else ""
        record = pack_hold(hold)
        argv: list[Any] = [
            *(hold.uetr, f"{self._process}{next(self._attempts):x}", debit.asset.name, debit.amount_minor),
            *(hold.prepared_time_ms, hold.overdue_time_ms, record, pack_transition(step), pack_reserved(hold)),
            *(terms, request_digest(participant, instruction.request_id), uetr_digest(hold.uetr), len(charges)),
        ]
        for charge in charges:
            names.append(keys.limits(shard, charge.period_key))
            argv += (charge.counter, charge.amount_minor, charge.max_minor, charge.expiry_time_ms, charge.limit_id)
            argv.append(period_end(charge.period_key))
        return Item(tuple(names), tuple(argv), len(record) + _ARGUMENT_BYTES * (len(argv) + 2 * len(names)))

    async def _prepare(self, hold: Hold, item: Item, step: Transition) -> Prepared:
        answer = await self._lane(hold.participant).call(Kind.PREPARE, item)
        match answer[0]:
            case b"F":
                return Prepared(True, Payment(hold, (step,)))
            case b"K" | b"S":
                return Prepared(True, unpack_payment(answer[1]))
            case b"R":
                return Prepared(False, unpack_payment(answer[1]))
            case b"O":
                began = await self.get(hold.participant, answer[1].decode())
                assert began is not None, "a request without its payment"
                return Prepared(False, began)
            case b"A":
                return Prepared(False, await self._archived(hold.participant, answer[1]))
            case b"N":
                reason = answer[1].decode()
                raise Refused(reason, field=_FIELD_OF.get(reason, ""))
        raise fault(answer)

    async def commit(self, hold: Hold, ack: RailAck, time_ms: int) -> Payment:
        """PREPARED | IN_DOUBT -> COMMITTED: entries booked, hold ended, outbox entry written. Repeats change nothing.

        A payment that is already final is returned as it is: the caller compares. Raises StoreUnavailable: unknown
        whether it was done; a repeat finds it. After a cancel it is done or will be.
        """
        step = Transition(State.COMMITTED, time_ms, rail_code=ack.rail_code, rail_reference=ack.rail_reference)
        return await self._finish(hold, step)

    async def abort(self, hold: Hold, reason: str, rail_code: str, time_ms: int) -> Payment:
        """PREPARED | IN_DOUBT -> ABORTED: everything reserved is released, outbox entry written. As `commit`."""
        return await self._finish(hold, Transition(State.ABORTED, time_ms, reason, rail_code))

    async def doubt(self, hold: Hold, time_ms: int) -> Payment:
        """PREPARED -> IN_DOUBT: the hold stays. A final payment is returned as it is. As `commit`."""
        return await self._finish(hold, Transition(State.IN_DOUBT, time_ms))

    async def _finish(self, hold: Hold, step: Transition) -> Payment:
        answer = await self._lane(hold.participant).call(Kind.FINISH, self._finish_item(hold, step))
        match answer[0]:
            case b"P":
                return Payment(hold, (Transition(State.PREPARED, hold.prepared_time_ms), step))
            case b"D" | b"=":
                return unpack_payment(answer[1])
        raise fault(answer)

    def _finish_item(self, hold: Hold, step: Transition) -> Item:
        keys, participant = self._keys, hold.participant
        shard, charges = keys.shard_of(participant), charges_of(hold)
        names = [keys.payment(shard, hold.uetr), keys.agent(participant), keys.changes(participant)]
        names += (keys.limits(shard, charge.period_key) for charge in charges)
        entries = hold.entries if step.state is State.COMMITTED else ()
        argv: list[Any] = [hold.uetr, step.state.value, step.time_ms, pack_transition(step)]
        argv += (len(charges), len(entries))
        for entry in entries:
            argv += (f"{entry.participant}|{entry.asset.name}", entry.amount_minor)
        return Item(tuple(names), tuple(argv), _ARGUMENT_BYTES * (len(argv) + 2 * len(names)))

    async def reschedule(self, hold: Hold, overdue_time_ms: int) -> None:
        """Put the next look of recovery at this time. Nothing else changes; a final payment has no next look."""
        overdue = self._keys.overdue(self._keys.shard_of(hold.participant))
        await self._server.write("ZADD", overdue, "XX", overdue_time_ms, hold.uetr)

    async def close(self) -> None:
        """Returns when every call that began has its answer."""
        for lane in self._lanes:
            await lane.close()


_FIELD_OF: Final = {"UETR_REUSED": "uetr", "QUOTE_UNKNOWN": "quote_id", "QUOTE_MISMATCH": "quote_id"}
