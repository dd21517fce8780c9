"""Payments: the steps that move money. Reading them back is in payment_reads.py."""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from switch.domain.payment import Hold, Payment, State, Transition
from switch.domain.position import Entry, unbalanced
from switch.errors import Refused, StoreUnavailable
from switch.ports import Archive, Prepared, RailAck
from switch.store.client import Server
from switch.store.grouping import Item, Kind, Lane, RunGroup
from switch.store.keys import Keys, request_digest, uetr_digest
from switch.store.notes import Notes
from switch.store.outbox import Outbox
from switch.store.packing import (
    ASSET_NAMES,
    charges_of,
    pack,
    pack_hold,
    pack_limit,
    pack_prepared,
    pack_reserved,
    pack_transition,
    quote_terms,
    unpack_payment,
)
from switch.store.part import claim_item, claimed, fault
from switch.store.restoring import Restoring
from switch.store.scripts import Script, load_script

__all__ = ["Payments"]

PREPARE: Final = load_script(
    "prepare",
    keys="holds overdue outbox retired request payment agent changes quote limits",
    argv="items group",
)
FINISH: Final = load_script(
    "finish",
    keys="holds overdue outbox books payment agent changes limits",
    argv="items group",
)
CLAIM: Final = load_script("claim", keys="retired claim", argv="items group")
UNCLAIM: Final = load_script("unclaim", keys="| claim", argv="items | owner")
_DONE: Final = 1  # an item's answer when all went as it mostly does
_COMMITTED, _ABORTED, _PREPARED = State.COMMITTED, State.ABORTED, State.PREPARED


class Payments(Restoring, Outbox):
    """ports.PaymentStore on Redis or Valkey. Every call is safe to repeat; a cancel leaves it done or not done."""

    def __init__(self, server: Server, keys: Keys, notes: Notes, archive: Archive | None, retention_ms: int) -> None:
        lanes = [Lane(self._runners(server, keys, shard)) for shard in range(keys.shards)]
        super().__init__(server, keys, lanes, notes, archive, retention_ms)
        self._attempts = count()
        self._process = secrets.token_hex(4)

    def _runners(self, server: Server, keys: Keys, shard: int) -> dict[Kind, RunGroup]:
        def packed(which: Script, *kinds: str) -> RunGroup:
            names = keys.kinds(shard, *kinds)

            async def run(items: Sequence[Item]) -> Any:
                return await server.run(which, names, (len(items), b"".join([item.argv[0] for item in items])))

            return run

        run_claims = packed(CLAIM, "retired", "claim")

        async def claim(items: Sequence[Item]) -> Any:
            answers: Any = await run_claims(items)  # one figure for all, or one each
            return [_DONE] * len(items) if answers == _DONE else answers

        async def read(items: Sequence[Item]) -> Any:
            return await server.read("MGET", *(item.keys[0] for item in items))

        common = ("holds", "overdue", "outbox")
        return {
            Kind.FINISH: packed(FINISH, *common, "books", "payment", "agent", "changes", "limits"),
            Kind.READ: read,
            Kind.CLAIM: claim,
            Kind.PREPARE: packed(
                PREPARE, *common, "retired", "request", "payment", "agent", "changes", "quote", "limits"
            ),
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
        if self.shards == 1:
            return await self._prepare(hold, quote_id)
        if await self._claim(hold.uetr, hold.participant, hold.instruction.request_id) != 1:
            return await self._under_another(hold)
        try:
            prepared = await self._prepare(hold, quote_id)
        except Refused:
            await self._unclaim([hold])
            raise
        if _left_no_trace(hold, prepared):
            await self._unclaim([hold])
        return prepared

    async def prepare_all(self, holds: Sequence[Hold]) -> list[Prepared | Exception]:
        """`prepare` of each with the quote of its instruction, in few round trips. All are of one participant.

        One answer per hold, in order; what `prepare` would raise of one is its answer.
        """
        if not holds:
            return []
        claims = await self._claim_all(holds) if self.shards > 1 else [_DONE] * len(holds)
        free = [hold for hold, claim in zip(holds, claims, strict=True) if claim == _DONE]
        items = [self.prepare_item(hold, hold.instruction.quote_id) for hold in free]
        answers = iter(await self._lane(holds[0].participant).call_all(Kind.PREPARE, items))
        told: list[Prepared | Exception] = []
        for hold, claim in zip(holds, claims, strict=True):
            try:
                answer: Any = next(answers) if claim == _DONE else claim
                if isinstance(answer, Exception):
                    told.append(answer)
                elif claim != _DONE:
                    told.append(await self._under_another(hold))
                else:
                    told.append(self.prepared(hold, answer) or await self.began(hold, answer))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this one's answer
                told.append(error)
        if self.shards > 1:
            rows = zip(holds, claims, told, strict=True)
            await self._unclaim([hold for hold, claim, one in rows if claim == _DONE and _left_no_trace(hold, one)])
        return told

    async def _claim_all(self, holds: Sequence[Hold]) -> list[int | Exception]:
        """`_claim` of each, in few round trips; what it would raise of one is its answer."""
        shards: dict[int, list[int]] = {}
        for place, hold in enumerate(holds):
            shards.setdefault(self._keys.shard_of(hold.uetr), []).append(place)
        told: list[int | Exception] = [0] * len(holds)

        async def claim(shard: int, places: Sequence[int]) -> None:
            asked = [(holds[place].participant, holds[place].instruction.request_id) for place in places]
            items = [claim_item(holds[place].uetr, *owner) for place, owner in zip(places, asked, strict=True)]
            answers = await self._lanes[shard].call_all(Kind.CLAIM, items)
            for place, owner, answer in zip(places, asked, answers, strict=True):
                told[place] = answer if isinstance(answer, Exception) else claimed(answer, *owner)

        await asyncio.gather(*(claim(shard, places) for shard, places in shards.items()))
        return told

    async def _under_another(self, hold: Hold) -> Prepared:
        """Its UETR is not free. An old request under another UETR: its first outcome comes before this refusal."""
        began = await self.get_by_request(hold.participant, hold.instruction.request_id)
        if began is None:
            raise Refused("UETR_REUSED", field="uetr")
        return Prepared(False, began)

    async def _unclaim(self, holds: Sequence[Hold]) -> None:
        """Leave no trace. A claim that stays behind is harmless: its owner may take it again."""
        shards: dict[int, list[Hold]] = {}
        for hold in holds:
            shards.setdefault(self._keys.shard_of(hold.uetr), []).append(hold)
        for those in shards.values():
            names = [self._keys.claim(hold.uetr) for hold in those]
            owners = [request_digest(hold.participant, hold.instruction.request_id) for hold in those]
            with contextlib.suppress(StoreUnavailable):
                await self._server.run(UNCLAIM, names, (len(those), *owners), repeat=False)

    async def _prepare(self, hold: Hold, quote_id: str) -> Prepared:
        answer = await self._lane(hold.participant).call(Kind.PREPARE, self.prepare_item(hold, quote_id))
        return self.prepared(hold, answer) or await self.began(hold, answer)

    def prepare_item(self, hold: Hold, quote_id: str) -> Item:
        """What `prepare` sends to its lane; with several shards, only once the UETR is claimed."""
        assert _balanced(hold.entries), "entries do not sum to zero"
        instruction, charges, time_ms = hold.instruction, charges_of(hold), hold.prepared_time_ms
        participant, request_id, uetr = instruction.participant, instruction.request_id, instruction.uetr
        asset, amount_minor = instruction.debit
        terms = (instruction.debit, instruction.credit, hold.corridor_id)
        fields = [
            *(f"{uetr} {self._process}{next(self._attempts):x}", time_ms, hold.overdue_time_ms, participant),
            *(f"{participant}:{request_id}", ASSET_NAMES[asset], amount_minor),
            *(pack_hold(hold) + pack_prepared(time_ms), pack_reserved(hold, charges)),
            request_digest(participant, request_id) + uetr_digest(uetr),
            *(quote_id or None, quote_terms(*terms) if quote_id else None),
        ]
        for limit_id, counter, period_key, expiry_time_ms, charged_minor, max_minor in charges:
            fields += (pack_limit(limit_id, period_key, expiry_time_ms, max_minor), counter, charged_minor)
        packed = pack(fields)
        return Item((), (packed,), len(packed))

    def prepared(self, hold: Hold, answer: Any) -> Prepared | None:
        """What the answer to prepare_item says. None: await `began` for it.

        Raises Refused and StoreUnavailable as `prepare`.
        """
        if answer == _DONE:
            return Prepared(True, Payment(hold, (Transition(_PREPARED, hold.prepared_time_ms),)))
        match answer[0]:
            case b"K" | b"S":
                return Prepared(True, unpack_payment(answer[1]))
            case b"R":
                return Prepared(False, unpack_payment(answer[1]))
            case b"O" | b"A":
                return None
            case b"N":
                reason = answer[1].decode()
                raise Refused(reason, field=_FIELD_OF.get(reason, ""))
        raise fault(answer)

    async def began(self, hold: Hold, answer: Sequence[bytes]) -> Prepared:
        """What the request began, when it has another UETR, or left the store. Raises as `prepare`."""
        letter, uetr = answer
        if letter == b"A":
            return Prepared(False, await self._archived(hold.participant, uetr))
        began = await self.get(hold.participant, uetr.decode())
        assert began is not None, "a request without its payment"
        return Prepared(False, began)

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

    async def finish_all(self, moves: Sequence[tuple[Hold, Transition]]) -> list[Payment | Exception]:
        """`commit`, `abort` or `doubt` of each, as its step says, in few round trips. All are of one participant.

        One answer per move, in order; StoreUnavailable of one is its answer.
        """
        if not moves:
            return []
        items = [self.finish_item(hold, step) for hold, step in moves]
        answers = await self._lane(moves[0][0].participant).call_all(Kind.FINISH, items)
        told: list[Payment | Exception] = []
        for (hold, step), answer in zip(moves, answers, strict=True):
            try:
                told.append(answer if isinstance(answer, Exception) else self.finished(hold, step, answer))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this one's answer
                told.append(error)
        return told

    async def _finish(self, hold: Hold, step: Transition) -> Payment:
        answer = await self._lane(hold.participant).call(Kind.FINISH, self.finish_item(hold, step))
        return self.finished(hold, step, answer)

    def finish_item(self, hold: Hold, step: Transition) -> Item:
        """What `commit`, `abort` and `doubt` send to their lane."""
        state, instruction = step.state, hold.instruction
        given_back = hold.charges and state is _ABORTED
        periods = [charge.period_key for charge in charges_of(hold)] if given_back else None
        step_bytes = pack_transition(step)
        fields = [instruction.uetr, state.value, step.time_ms, step_bytes, instruction.participant, periods]
        if state is _COMMITTED:
            for participant, asset, amount_minor in hold.entries:
                fields += (f"{participant}|{ASSET_NAMES[asset]}", amount_minor)
        packed = pack(fields)
        return Item((), (packed,), len(packed))

    def finished(self, hold: Hold, step: Transition, answer: Any) -> Payment:
        """What the answer to finish_item says. Raises StoreUnavailable as `commit`."""
        if answer == _DONE:
            return Payment(hold, (Transition(_PREPARED, hold.prepared_time_ms), step))
        if answer[0] in (b"D", b"="):
            return unpack_payment(answer[1])
        raise fault(answer)

    async def reschedule(self, hold: Hold, overdue_time_ms: int) -> None:
        """Put the next look of recovery at this time. Nothing else changes; a final payment has no next look."""
        overdue = self._keys.overdue(self._keys.shard_of(hold.participant))
        await self._server.write("ZADD", overdue, "XX", overdue_time_ms, hold.uetr)

    async def close(self) -> None:
        """Returns when every call that began has its answer."""
        for lane in self._lanes:
            await lane.close()


def _left_no_trace(hold: Hold, told: Prepared | Exception) -> bool:
    """Nothing of this hold is in the store: it was refused, or its request had begun under another UETR."""
    return isinstance(told, Refused) or (isinstance(told, Prepared) and told.payment.hold.uetr != hold.uetr)


def _balanced(entries: Sequence[Entry]) -> bool:
    """Two entries of one asset, as most payments have, are compared at once."""
    if len(entries) == 2 and entries[0].asset == entries[1].asset:
        return entries[0].amount_minor + entries[1].amount_minor == 0
    return not unbalanced(entries)


_FIELD_OF: Final = {"UETR_REUSED": "uetr", "QUOTE_UNKNOWN": "quote_id", "QUOTE_MISMATCH": "quote_id"}
