"""Payments read back: one, many, changes, positions, and the outbox. Nothing here moves money."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from switch.domain.money import Asset
from switch.domain.payment import Payment, State
from switch.domain.position import Position
from switch.errors import Refused, StoreUnavailable
from switch.limits import CLOCK_SKEW_MS_MAX, PAGE_SIZE_MAX, STORE_READ_ROUNDS_MAX
from switch.ports import Change, Durability, OutboxEntry
from switch.store.client import Server
from switch.store.durability import ask_durability
from switch.store.grouping import Item, Kind, Lane
from switch.store.keys import Keys
from switch.store.packing import unpack_fact, unpack_payment, unpack_reserved

__all__ = ["PaymentReads"]

_TOKEN: Final = re.compile(r"\d{1,20}(-\d{1,20})?", re.ASCII)
_HOLDS_SCANNED: Final = 1_000  # at a time: a long hash is read in turns with everybody else's work
_REFUSED_AT_ONCE: Final = b"R"  # a change that begins and ends a payment
_BEGIN: Final = {b"P", _REFUSED_AT_ONCE}


class PaymentReads:
    """The half of ports.PaymentStore that changes nothing, but for the outbox that the relay empties."""

    def __init__(self, server: Server, keys: Keys, lanes: Sequence[Lane]) -> None:
        self._server = server
        self._keys = keys
        self._lanes = lanes

    @property
    def shards(self) -> int:
        """How many shards there are; fixed when the store was first used."""
        return self._keys.shards

    def _lane(self, participant: str) -> Lane:
        return self._lanes[self._keys.shard_of(participant)]

    async def durability(self) -> Durability:
        """What the server says of its durability, asked now."""
        return await ask_durability(self._server)

    async def _value(self, participant: str, key: str) -> bytes | None:
        value: bytes | None = await self._lane(participant).call(Kind.READ, Item((key,), (), len(key)))
        return value

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
        payment = unpack_payment(record) if record is not None else None
        return payment if payment is not None and payment.hold.participant == participant else None

    async def get_by_request(self, participant: str, request_id: str) -> Payment | None:
        """The payment a request_id began, or None."""
        began = await self._value(participant, self._keys.request(participant, request_id))
        return await self.get(participant, began[:36].decode()) if began is not None else None

    async def _payments(self, shard: int, uetrs: Sequence[str]) -> list[Payment]:
        if not uetrs:
            return []
        records = await self._server.read("MGET", *(self._keys.payment(shard, uetr) for uetr in uetrs))
        return [unpack_payment(record) for record in records if record is not None]

    async def list_payments(
        self, participant: str, *, state: State | None, from_time_ms: int, to_time_ms: int, token: str, count: int
    ) -> tuple[list[Payment], str]:
        """Own payments in order of preparation, [from, to), at most `count`, and the token of the next page or "".

        A page may be short, even empty, and still have a next one: what one answer looks through is bounded.
        Raises Refused FIELD_INVALID for a token that is not ours.
        """
        # Places in the stream are the server's time, preparation is the caller's: look around the edges, then filter.
        start = f"({_checked(token, 'page_token')}" if token else str(max(0, from_time_ms - CLOCK_SKEW_MS_MAX))
        end, found = str(max(0, to_time_ms + CLOCK_SKEW_MS_MAX)), list[Payment]()
        shard, last = self._keys.shard_of(participant), token
        for _ in range(STORE_READ_ROUNDS_MAX):
            rows = await self._server.read(
                "XRANGE", self._keys.changes(participant), start, end, "COUNT", PAGE_SIZE_MAX
            )
            began = {_change(row).uetr: row[0].decode() for row in rows if not _BEGIN.isdisjoint(row[1])}
            for payment in await self._payments(shard, list(began)):
                if from_time_ms <= payment.hold.prepared_time_ms < to_time_ms and state in (None, payment.state):
                    if len(found) == count:
                        return found, last
                    found.append(payment)
                last = began[payment.hold.uetr]
            if len(rows) < PAGE_SIZE_MAX:
                return found, ""
            last = rows[-1][0].decode()
            start = f"({last}"
        return found, last

    async def changes(self, participant: str, token: str, count: int) -> list[Change]:
        """State changes after `token` ("" = from the beginning), oldest first, at most `count`.

        Raises Refused FIELD_INVALID for a token that is not ours.
        """
        start = f"({_checked(token, 'resume_token')}" if token else "-"
        rows = await self._server.read("XRANGE", self._keys.changes(participant), start, "+", "COUNT", count)
        return [_change(row) for row in rows]

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

    async def outbox_read(self, shard: int, count: int) -> list[OutboxEntry]:
        """The oldest entries of a shard's outbox, not removed."""
        rows = await self._server.read("XRANGE", self._keys.outbox(shard), "-", "+", "COUNT", count)
        entries = []
        for place, fields in rows:
            fact = unpack_fact(fields[b"f"], int(fields[b"q"]), fields.get(b"r", b"").decode())
            entries.append(OutboxEntry(shard, place.decode(), fact))
        return entries

    async def outbox_delete(self, entries: Sequence[OutboxEntry]) -> None:
        """Remove entries the broker has acknowledged. Safe to repeat."""
        places: dict[int, list[str]] = {}
        for entry in entries:
            places.setdefault(entry.shard, []).append(entry.entry_id)
        for shard, ids in places.items():
            await self._server.write("XDEL", self._keys.outbox(shard), *ids)

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


def _checked(token: str, field: str) -> str:
    if _TOKEN.fullmatch(token) is None:
        raise Refused("FIELD_INVALID", "FORMAT: this token did not come from us", field=field)
    return token


def _pairs(flat: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _change(row: Sequence[Any]) -> Change:
    place, ((letter, words),) = row[0], row[1].items()
    uetr, time_ms = words.decode().split(" ")
    state = State.ABORTED if letter == _REFUSED_AT_ONCE else State(letter.decode())
    return Change(place.decode(), uetr, state, int(time_ms))


def _position(owner: str, asset: Asset, agent: dict[str, str], sums: dict[tuple[str, str], int]) -> Position:
    cap, held, spent = (int(agent.get(f"{name}:{asset.name}", "0")) for name in ("cap", "held", "spent"))
    return Position(owner, asset, sums.get((owner, asset.name), 0), held, held + spent, cap)
