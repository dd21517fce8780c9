"""What an operator watches of the store: a few bounded reads, however much it holds. Nothing here moves money."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.limits import METRIC_OPEN_SEEN, METRIC_PARTICIPANTS_MAX
from switch.store.client import Server
from switch.store.grouping import Kind, Lane
from switch.store.keys import Keys
from switch.store.packing import unpack_reserved

__all__ = ["CapUse", "Figures", "OpenPayments", "Queues"]

_SHARDS_AT_ONCE: Final = 4  # a look must leave the links to those who pay
_ASSETS: Final = tuple(Asset)


class OpenPayments(NamedTuple):
    """Payments that have not ended. `number` and `overdue` are exact; `seen` is state and prepared_time_ms of some.

    Those are, of every shard, the ones that recovery looks at next and the ones it has put off the longest: the new are
    in between. So the oldest is among them, and all are when there are no more than METRIC_OPEN_SEEN.
    """

    number: int
    overdue: int
    seen: tuple[tuple[State, int], ...]


class CapUse(NamedTuple):
    """What of a participant's cap is in use: holds and committed debits, less what a settlement credited."""

    participant: str
    asset: Asset
    used_minor: int
    net_debit_cap_minor: int


class Queues(NamedTuple):
    """The lanes of this process, over all shards. `sizes[kind][n]`: groups of at most 2**n items, and of more than half."""

    waiting: dict[str, int]  # by kind: items that have not left
    deepest: int  # items in the fullest lane
    groups_running: int
    sizes: dict[str, tuple[int, ...]]
    items: dict[str, int]  # by kind: all that left


class Figures:
    """Every read raises StoreUnavailable when a shard does not answer: a sum that lacks one would be believed."""

    def __init__(self, server: Server, keys: Keys, lanes: Sequence[Lane]) -> None:
        self._server = server
        self._keys = keys
        self._lanes = lanes

    async def open_payments(self, now_ms: int) -> OpenPayments:
        """What is PREPARED or IN_DOUBT. Reads at most METRIC_OPEN_SEEN records, or two of each shard."""
        count, room = max(1, METRIC_OPEN_SEEN // (2 * self._keys.shards)), asyncio.Semaphore(_SHARDS_AT_ONCE)

        async def of(shard: int) -> OpenPayments:
            async with room:
                return await self._open(shard, now_ms, count)

        found = await asyncio.gather(*map(of, range(self._keys.shards)))
        seen = tuple(one for each in found for one in each.seen)
        return OpenPayments(sum(each.number for each in found), sum(each.overdue for each in found), seen)

    async def _open(self, shard: int, now_ms: int, count: int) -> OpenPayments:
        read, keys = self._server.read, self._keys
        number = await read("HLEN", keys.holds(shard))
        if not number:
            return OpenPayments(0, 0, ())
        overdue = await read("ZCOUNT", keys.overdue(shard), "-inf", f"({now_ms}")
        next_ones = await read("ZRANGE", keys.overdue(shard), 0, count - 1)
        put_off = await read("ZRANGE", keys.overdue(shard), -count, -1)
        uetrs = list(dict.fromkeys([*next_ones, *put_off]))
        if not uetrs:
            return OpenPayments(number, overdue, ())
        held = await read("HMGET", keys.holds(shard), *uetrs)
        records = await read("MGET", *(keys.payment(shard, uetr.decode()) for uetr in uetrs))
        seen = [
            (State(record[-1:].decode()), unpack_reserved(reserved)[3])  # a record's last byte is its state: keys.py
            for reserved, record in zip(held, records, strict=True)
            if reserved is not None and record is not None
        ]
        return OpenPayments(number, overdue, tuple(row for row in seen if not row[0].final))

    async def cap_use(self) -> tuple[list[CapUse], int]:
        """Cap and use of at most METRIC_PARTICIPANTS_MAX participants, and how many are left out.

        Which ones a longer register shows is the store's choice, and stays the same while nobody joins. One after the
        other: payments go on in between.
        """
        read, keys = self._server.read, self._keys
        numbers = [await read("SCARD", keys.members(shard)) for shard in range(keys.shards)]
        members: list[str] = []
        for shard, number in enumerate(numbers):
            if number and len(members) < METRIC_PARTICIPANTS_MAX:
                _, some = await read("SSCAN", keys.members(shard), 0, "COUNT", METRIC_PARTICIPANTS_MAX)
                members += sorted(member.decode() for member in some)
        shown = members[:METRIC_PARTICIPANTS_MAX]
        use = [row for member in shown for row in await self._use(member)]
        return use, sum(numbers) - len(shown)

    async def _use(self, participant: str) -> list[CapUse]:
        names = [f"{field}:{asset.name}" for asset in _ASSETS for field in ("cap", "held", "spent")]
        values = [int(value or 0) for value in await self._server.read("HMGET", self._keys.agent(participant), *names)]
        rows = zip(_ASSETS, values[::3], values[1::3], values[2::3], strict=True)
        return [
            CapUse(participant, asset, held + spent, cap) for asset, cap, held, spent in rows if cap or held or spent
        ]

    def queues(self) -> Queues:
        """The lanes, now. Reads no server."""
        lanes, kinds = self._lanes, {kind: kind.name.lower() for kind in Kind}
        return Queues(
            {name: sum(lane._queues[kind].items for lane in lanes) for kind, name in kinds.items()},
            max(lane.waiting for lane in lanes),
            sum(len(lane._running) for lane in lanes),
            {name: _summed([lane.sizes[kind] for lane in lanes]) for kind, name in kinds.items()},
            {name: sum(lane.items[kind] for lane in lanes) for kind, name in kinds.items()},
        )


def _summed(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))
