"""The settler's own books: how far the log is applied, positions by the log, and what consumers have to be told.

Windows are in settlement_windows.py; both are one store, in one slot, so that one script may touch it all. What reaches
the participants' shards (headroom, books) is carried there by scripts with marks of their own: each applies once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from switch.domain.money import Asset
from switch.domain.settlement import ObligationState, Window
from switch.ports import Chunk, Credit, Moved, Progress
from switch.store.client import Server
from switch.store.keys import Keys
from switch.store.packing import pack
from switch.store.scripts import load_script
from switch.store.settlement_keys import SettlementKeys
from switch.store.settlement_packing import owner, owner_parts, pairs, unpack_window, window_fields
from switch.store.settlement_windows import Windows

__all__ = ["Settlements"]

PROGRESS: Final = load_script(
    "settle_progress", keys="epoch offsets digests sequences missing opened filling", argv="window_prefix"
)
APPLY: Final = load_script(
    "settle_apply",
    keys="epoch offsets digests sequences missing totals versions due filling | window",
    argv="epoch partition from_offset to_offset digest sequences missing found windows (agent sequence)* missing* "
    "found* (name payments reached nets (owner debits credits)*)*",
)
CREDIT: Final = load_script(
    "credit", keys="settled | agent", argv="partition from_offset to_offset items | asset amount_minor"
)
TRANSFER: Final = load_script(
    "transfer", keys="settled books agent", argv="number owner agent_owner asset amount_minor"
)
PUBLISHED: Final = load_script("settle_published", keys="versions due", argv="(owner sequence)*")
RESTORE: Final = load_script(
    "settle_restore",
    keys="epoch offsets digests sequences missing totals versions due opened filling unsettled moves transfers counters | window",
    argv="content",
)
_TRANSFERS_READ: Final = 200


class Settlements(Windows):
    """ports.SettlementStore on Redis or Valkey. Every call is safe to repeat."""

    def __init__(self, server: Server, keys: Keys) -> None:
        super().__init__(server, SettlementKeys(keys.prefix))
        self._shards = keys
        self._credited: dict[tuple[int, int], int] = {}  # (shard, partition) -> offset, as last heard

    # --- the log -----------------------------------------------------------------------------------------------------
    async def progress(self) -> Progress:
        """Where the settler is, from one moment. Raises StoreUnavailable."""
        keys = self._keys
        self._credited.clear()  # the store may have been made anew
        names = (keys.epoch, keys.offsets, keys.digests, keys.sequences, keys.missing, keys.opened, keys.filling)
        epoch, offsets, digests, sequences, missing, windows = await self._server.run(
            PROGRESS, names, (keys.window_prefix,)
        )
        open_windows = [unpack_window(name.decode(), pairs(fields)) for name, fields in windows]
        return Progress(
            int(epoch),
            {int(partition): int(offset) for partition, offset in pairs(offsets).items()},
            {int(partition): digest for partition, digest in pairs(digests).items()},
            {agent.decode(): int(sequence) for agent, sequence in pairs(sequences).items()},
            frozenset(map(_gap, missing)),
            tuple(sorted(open_windows, key=lambda window: (window.arrangement_id, window.number))),
        )

    async def apply(self, chunk: Chunk) -> bool:
        """Effects and offset together. False: the offset or the epoch is another by now; read `progress` again.

        After StoreUnavailable it may have been applied: a repeat answers False, and `progress` tells.
        """
        keys = self._keys
        names = [keys.epoch, keys.offsets, keys.digests, keys.sequences, keys.missing, keys.totals, keys.versions]
        names += [keys.due, keys.filling]
        touched = sorted({*chunk.nets, *chunk.payments, *chunk.reached})
        argv: list[Any] = [chunk.epoch, chunk.partition, chunk.from_offset, chunk.to_offset, chunk.digest]
        argv += (len(chunk.sequences), len(chunk.missing), len(chunk.found), len(touched))
        for agent, sequence in chunk.sequences.items():
            argv += (agent, sequence)
        argv += [f"{agent}|{sequence}" for agent, sequence in sorted(chunk.missing)]
        argv += [f"{agent}|{sequence}" for agent, sequence in sorted(chunk.found)]
        for key in touched:
            name, nets = f"{key[0]}.{key[1]}", chunk.nets.get(key, {})
            names.append(keys.window(name))
            argv += (name, chunk.payments.get(key, 0), int(key in chunk.reached), len(nets))
            for (participant, asset), net in nets.items():
                argv += (owner(participant, asset), net.debits_minor, net.credits_minor)
        return bool(await self._server.run(APPLY, names, argv))

    async def credit(self, partition: int, to_offset: int, credits: Sequence[Credit]) -> None:
        """Give headroom back, each shard once, with an offset of its own. See ports.SettlementStore."""
        by_shard: dict[int, list[Credit]] = {shard: [] for shard in range(self._shards.shards)}
        for each in credits:
            by_shard[self._shards.shard_of(each.participant)].append(each)
        for shard, due in by_shard.items():
            while (at := self._credited.get((shard, partition), 0)) < to_offset:
                before = await self._credit_shard(shard, partition, at, to_offset, due)
                self._credited[shard, partition] = to_offset if before == at else before

    async def _credit_shard(self, shard: int, partition: int, at: int, to_offset: int, due: Sequence[Credit]) -> int:
        sums: dict[tuple[str, Asset], int] = {}
        for each in due:
            if each.offset >= at:
                key = each.participant, each.asset
                sums[key] = sums.get(key, 0) + each.amount_minor
        names = [self._keys.settled(shard)]
        argv: list[Any] = [partition, at, to_offset, len(sums)]
        for (participant, asset), amount_minor in sums.items():
            names.append(self._shards.agent(participant))
            argv += (asset.name, amount_minor)
        return int(await self._server.run(CREDIT, names, argv))

    async def gaps(self) -> list[tuple[str, int]]:
        """(debtor agent, sequence) that never came, lowest first."""
        return sorted(map(_gap, await self._server.read("SMEMBERS", self._keys.missing)))

    async def excuse(self, debtor_agent: str, sequence: int, actor: str, reason: str, now_ms: int) -> bool:
        """Declare a gap final. The record comes first: a repeat may record twice, and never ends a gap unrecorded."""
        name = f"{debtor_agent}|{sequence}"
        if not await self._server.read("SISMEMBER", self._keys.missing, name):
            return False
        words = ("gap", name, "actor", actor, "reason", reason, "time", now_ms)
        await self._server.write("XADD", self._keys.excused, "*", *words)
        return bool(await self._server.write("SREM", self._keys.missing, name))

    # --- positions by the log --------------------------------------------------------------------------------------------
    async def moved(self, count: int) -> list[Moved]:
        """Positions that changed since they were last published, as they are now."""
        keys = self._keys
        due = await self._server.read("SRANDMEMBER", keys.due, count)
        if not due:
            return []
        # The version first: a change between the two reads leaves the position due.
        versions = await self._server.read("HMGET", keys.versions, *due)
        totals = await self._server.read("HMGET", keys.totals, *due)
        return [
            Moved(*owner_parts(name.decode()), int(total or 0), int(version or 0))
            for name, version, total in zip(due, versions, totals, strict=True)
        ]

    async def published(self, moved: Sequence[Moved]) -> None:
        """The broker has these; one that changed again meanwhile stays due."""
        argv: list[Any] = []
        for each in moved:
            argv += (owner(each.participant, each.asset), each.sequence)
        await self._server.run(PUBLISHED, (self._keys.versions, self._keys.due), argv)

    async def totals(self) -> dict[tuple[str, Asset], int]:
        """Positions by the log: entries of all applied payments, less what was settled."""
        fields = await self._server.read("HGETALL", self._keys.totals)
        return {owner_parts(name.decode()): int(total) for name, total in fields.items()}

    # --- what was settled, carried into the books ------------------------------------------------------------------------
    async def move(self) -> int:
        """Carry confirmed obligations into the books and the headroom of the participants, in order.

        How many were carried. Safe to call from several processes: each transfer has a number, and a shard takes it once.
        """
        keys, shards, carried = self._keys, self._shards, 0
        while rows := await self._server.read("XRANGE", keys.transfers, "-", "+", "COUNT", _TRANSFERS_READ):
            for place, fields in rows:
                whose, agent = fields[b"p"].decode(), fields[b"g"].decode()
                participant, asset = owner_parts(whose)
                shard = shards.shard_of(participant)
                names = (keys.settled(shard), shards.books(shard), shards.agent(participant))
                argv = (fields[b"n"], whose, agent, asset.name, fields[b"m"])
                carried += await self._server.run(TRANSFER, names, argv)
                await self._server.write("XDEL", keys.transfers, place)
        return carried

    # --- made anew -------------------------------------------------------------------------------------------------------
    async def restore(
        self, progress: Progress, windows: Sequence[Window], moves: Mapping[str, int], agents: Mapping[str, str]
    ) -> bool:
        """Into an empty settlement. See ports.SettlementStore."""
        keys = self._keys
        names = [keys.epoch, keys.offsets, keys.digests, keys.sequences, keys.missing, keys.totals, keys.versions]
        names += [keys.due, keys.opened, keys.filling, keys.unsettled, keys.moves, keys.transfers, keys.counters]
        names += [keys.window(window.id) for window in windows]
        totals, transfers = _totals(windows, agents)
        opened = {window.arrangement_id: window.number for window in windows if not window.cut_time_ms}
        content = (
            str(progress.epoch),
            _flat(progress.offsets),
            _flat(progress.digests),
            _flat(progress.sequences),
            [f"{agent}|{sequence}" for agent, sequence in sorted(progress.missing)],
            _flat(totals),
            _flat(opened),
            [window.id for window in windows if window.cut_time_ms and not window.filled],
            [window.id for window in windows if window.close_time_ms and not window.settled_time_ms],
            _flat(moves),
            transfers,
            [_flat(window_fields(window)) for window in windows],
            str(_version(progress, len(transfers))),
        )
        return bool(await self._server.run(RESTORE, names, (pack(content),)))


def _gap(name: bytes) -> tuple[str, int]:
    agent, _, sequence = name.decode().rpartition("|")
    return agent, int(sequence)


def _flat(fields: Mapping[Any, Any]) -> list[str | bytes]:
    """Numbers as text: what Lua unpacks as a number it would write back as a double."""
    return [part if isinstance(part, bytes) else str(part) for pair in fields.items() for part in pair]


def _version(progress: Progress, transfers: int) -> int:
    """What positions go on counting from: not below what consumers have seen. Each event and transfer is one change at
    most; twice that leaves room for changes that nobody announced, and grows faster than what is counted on top of it.
    """
    return 2 * (sum(progress.sequences.values()) + transfers) + 1


def _totals(windows: Sequence[Window], agents: Mapping[str, str]) -> tuple[dict[str, int], list[tuple[str, str, str]]]:
    """Positions by the log, and the transfers of what is confirmed: (owner, the settlement agent's, amount)."""
    totals: dict[str, int] = {}
    transfers = []
    for window in windows:
        for position in window.positions:
            name = owner(position.participant, position.asset)
            totals[name] = totals.get(name, 0) + position.net_debit_minor
        for obligation in window.obligations:
            if obligation.state is not ObligationState.CONFIRMED:
                continue
            name = owner(obligation.participant, obligation.asset)
            agent = owner(agents[window.arrangement_id], obligation.asset)
            totals[name] = totals.get(name, 0) - obligation.amount_minor
            totals[agent] = totals.get(agent, 0) + obligation.amount_minor
            transfers.append((name, agent, str(obligation.amount_minor)))
    return totals, transfers
