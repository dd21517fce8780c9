"""Payments read back: one, changes, positions; lists are in payment_lists.py. Nothing here moves money."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from switch.domain.money import Asset
from switch.domain.payment import Payment
from switch.domain.position import Position
from switch.errors import StoreUnavailable
from switch.ports import Change, Durability
from switch.store.changes import PLACE, read_changes
from switch.store.durability import ask_durability
from switch.store.keys import request_digest, uetr_digest
from switch.store.packing import unpack_payment, unpack_reserved
from switch.store.payment_lists import PaymentLists, not_ours
from switch.store.scripts import load_script

__all__ = ["PaymentReads"]

_HOLDS_SCANNED: Final = 1_000  # at a time: a long hash is read in turns with everybody else's work
FIND: Final = load_script("retired_find", keys="retired", argv="digest")


class PaymentReads(PaymentLists):
    """The part of ports.PaymentStore that changes nothing."""

    async def durability(self) -> Durability:
        """What the server says of its durability, asked now."""
        return await ask_durability(self._server)

    async def limit_use(self, participant: str, counters: Sequence[tuple[str, str]]) -> list[int]:
        """What is used of each (period_key, counter) at this participant, holds included; 0 where nothing is."""
        shard = self._keys.shard_of(participant)
        used = await asyncio.gather(
            *(self._server.read("HGET", self._keys.limits(shard, period), counter) for period, counter in counters)
        )
        return [int(value or 0) for value in used]

    async def get(self, participant: str, uetr: str) -> Payment | None:
        """The participant's own payment, or None."""
        record = await self._value(participant, self._keys.payment(self._keys.shard_of(participant), uetr))
        if record is not None:
            payment = unpack_payment(record)
            return payment if payment.hold.participant == participant else None
        if await self._left(self._keys.shard_of(uetr), uetr_digest(uetr)) is None:
            return None
        fact = await self._archived_only().get(participant, uetr)  # None: it was another participant's
        return self._notes.open(uetr, fact.note) if fact is not None else None

    async def get_by_request(self, participant: str, request_id: str) -> Payment | None:
        """The payment a request_id began, or None."""
        began = await self._value(participant, self._keys.request(participant, request_id))
        if began is not None:
            return await self.get(participant, began[:36].decode())
        left = await self._left(self._keys.shard_of(participant), request_digest(participant, request_id))
        return await self._archived(participant, left) if left is not None else None

    async def _left(self, shard: int, digest: bytes) -> bytes | None:
        """What the compact form of a shard keeps with a digest."""
        kept: bytes | None = await self._server.run(FIND, (self._keys.retired(shard),), (digest,))
        return kept

    async def _payments(self, shard: int, uetrs: Sequence[str]) -> list[Payment]:
        if not uetrs:
            return []
        records = await self._server.read("MGET", *(self._keys.payment(shard, uetr) for uetr in uetrs))
        return [unpack_payment(record) for record in records if record is not None]

    async def changes(self, participant: str, token: str, count: int) -> list[Change]:
        """State changes after `token` ("" = from the beginning), oldest first, at most `count`.

        Raises Refused FIELD_INVALID for a token that is not ours.
        """
        after, key = token and _checked(token, "resume_token"), self._keys.changes(participant)
        told = await read_changes(self._server, key, after=after, count=count)
        return [Change(one.place, one.uetr, one.state, one.time_ms) for one in told]

    async def changes_end(self, participant: str) -> str:
        """The token after which only what happens from now on comes."""
        rows = await self._server.read("XREVRANGE", self._keys.changes(participant), "+", "-", "COUNT", 1)
        return rows[0][0].decode() if rows else "0-0"

    async def overdue(self, before_time_ms: int, count: int) -> list[Payment]:
        """PREPARED and IN_DOUBT payments overdue before this, oldest first, over all shards that answer.

        A master that is lost must not keep what is open on the others from being ended. Raises StoreUnavailable when
        no shard answers.
        """

        async def of(shard: int) -> list[tuple[int, Payment]]:
            window = ("-inf", f"({before_time_ms}", "WITHSCORES", "LIMIT", 0, count)
            rows = await self._server.read("ZRANGEBYSCORE", self._keys.overdue(shard), *window)
            due = {uetr.decode(): int(float(score)) for uetr, score in _pairs(rows)}
            return [(due[payment.hold.uetr], payment) for payment in await self._payments(shard, list(due))]

        answers = await asyncio.gather(*map(of, range(self.shards)), return_exceptions=True)
        lost = [answer for answer in answers if isinstance(answer, BaseException)]
        if lost and (len(lost) == self.shards or not all(isinstance(error, StoreUnavailable) for error in lost)):
            raise next((error for error in lost if not isinstance(error, StoreUnavailable)), lost[0])
        ready = [row for rows in answers if not isinstance(rows, BaseException) for row in rows]
        ready.sort(key=lambda row: row[0])
        return [payment for _, payment in ready[:count] if not payment.state.final]

    async def holds(self) -> tuple[int, int]:
        """How many payments are PREPARED or IN_DOUBT, and prepared_time_ms of the oldest (0: none)."""
        number, oldest = 0, 0
        for shard in range(self.shards):
            cursor: Any = 0
            seen: dict[bytes, bytes] = {}
            while True:
                scan = ("HSCAN", self._keys.holds(shard), cursor, "COUNT", _HOLDS_SCANNED)
                cursor, rows = await self._server.read(*scan)
                seen |= rows
                if int(cursor) == 0:
                    break
            number += len(seen)
            times = [unpack_reserved(reserved)[3] for reserved in seen.values()]
            oldest = min((time_ms for time_ms in (*times, oldest) if time_ms), default=0)
        return number, oldest

    async def positions(self, participant: str = "") -> list[Position]:
        """Positions of one participant, or of all, summed over the shards; assets without figures are left out.

        The books of a shard are read in one step, so that per asset they sum to zero at every moment.
        """
        shards = range(self.shards)
        if participant:
            members = [participant]
        else:
            sets = await asyncio.gather(*(self._server.read("SMEMBERS", self._keys.members(shard)) for shard in shards))
            members = [member.decode() for members in sets for member in members]
        agents = await asyncio.gather(*(self._hash(self._keys.agent(member)) for member in members))
        books = await asyncio.gather(*(self._hash(self._keys.books(shard)) for shard in shards))
        sums: dict[tuple[str, str], int] = {}
        for book in books:
            for field, amount in book.items():
                owner, asset = field.split("|")
                sums[owner, asset] = sums.get((owner, asset), 0) + int(amount)
        owners = dict(zip(members, agents, strict=True))
        if not participant:  # those who are paid through the switch and never joined: rails' gateways, fees
            owners |= {owner: {} for owner, _ in sums if owner not in owners}
        rows = (_position(owner, asset, owners[owner], sums) for owner in sorted(owners) for asset in Asset)
        return [row for row in rows if any(row[2:])]

    async def _hash(self, key: str) -> dict[str, str]:
        """A hash whose every field is text; the agent's packed record is left out."""
        fields = await self._server.read("HGETALL", key)
        return {name.decode(): value.decode() for name, value in fields.items() if name != b"record"}


def _checked(token: str, field: str) -> str:
    if PLACE.fullmatch(token) is None:
        raise not_ours(field)
    return token


def _pairs(flat: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _position(owner: str, asset: Asset, agent: dict[str, str], sums: dict[tuple[str, str], int]) -> Position:
    cap, held, spent = (int(agent.get(f"{name}:{asset.name}", "0")) for name in ("cap", "held", "spent"))
    return Position(owner, asset, sums.get((owner, asset.name), 0), held, held + spent, cap)
