"""Windows: opened, cut, closed, confirmed, announced. Each move and its announcement are one script."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack

from switch.domain.money import Asset
from switch.domain.settlement import FIRST_DIGEST, ObligationState, Window
from switch.errors import Refused
from switch.ports import Announcement, WindowKey
from switch.store.client import Server
from switch.store.scripts import load_script
from switch.store.settlement_keys import SettlementKeys
from switch.store.settlement_packing import owner, pairs, unpack_window, without_figures

__all__ = ["Windows"]

OPEN: Final = load_script("settle_open", keys="opened offsets announce moves window", argv="arrangement time_ms")
CUT: Final = load_script(
    "settle_cut",
    keys="epoch offsets digests opened filling announce moves window next",
    argv="arrangement number time_ms cut_by first_digest (partition end)*",
)
CLOSE: Final = load_script(
    "settle_close",
    keys="announce moves window unsettled",
    argv="arrangement name time_ms previous_seal seal carried obligations (owner opening_minor)* (owner amount_minor)*",
)
CONFIRM: Final = load_script(
    "settle_confirm",
    keys="announce moves window unsettled totals versions due transfers counters",
    argv="arrangement name time_ms owner agent_owner reference",
)
DEFAULT: Final = load_script(
    "settle_default", keys="announce moves window", argv="arrangement name time_ms participant"
)


class Windows:
    """The half of ports.SettlementStore that is about windows."""

    def __init__(self, server: Server, keys: SettlementKeys) -> None:
        self._server = server
        self._keys = keys

    async def open_windows(self, arrangement_ids: Sequence[str], now_ms: int) -> None:
        """See that each arrangement has an open window. Safe to repeat."""
        keys = self._keys
        for arrangement in arrangement_ids:
            names = (keys.opened, keys.offsets, keys.announce, keys.moves, keys.window(f"{arrangement}.1"))
            await self._server.run(OPEN, names, (arrangement, now_ms))

    async def cut(
        self, arrangement_id: str, number: int, ends: Mapping[int, int], cut_by: str, now_ms: int
    ) -> Window | None:
        """Fix the ranges, open the next window. One that is not open any more is returned as it is; None: unknown."""
        keys, name = self._keys, f"{arrangement_id}.{number}"
        names = [keys.epoch, keys.offsets, keys.digests, keys.opened, keys.filling, keys.announce, keys.moves]
        names += [keys.window(name), keys.window(f"{arrangement_id}.{number + 1}")]
        argv: list[Any] = [arrangement_id, number, now_ms, cut_by, FIRST_DIGEST]
        for partition, end in sorted(ends.items()):
            argv += (partition, end)
        await self._server.run(CUT, names, argv)
        return await self.window(arrangement_id, number)

    async def window(self, arrangement_id: str, number: int) -> Window | None:
        """The window with everything, from one moment."""
        name = f"{arrangement_id}.{number}"
        fields = await self._server.read("HGETALL", self._keys.window(name))
        return unpack_window(name, fields) if fields else None

    async def windows(self, arrangement_id: str, count: int) -> list[Window]:
        """Newest first, without positions and obligations; of one arrangement or ("") of all."""
        opened = await self._server.read("HGETALL", self._keys.opened)
        chosen = {name.decode(): int(number) for name, number in opened.items()}
        if arrangement_id:
            chosen = {name: number for name, number in chosen.items() if name == arrangement_id}
        found = []
        for name, newest in chosen.items():
            for number in range(newest, max(0, newest - count), -1):
                window = await self.window(name, number)
                if window is not None:
                    found.append(without_figures(window))
        found.sort(key=lambda window: (-window.open_time_ms, window.arrangement_id, -window.number))
        return found[:count]

    async def carried(self, arrangement_id: str, before: int) -> dict[tuple[str, Asset], int]:
        """Obligations of windows with numbers < `before` that are not confirmed, summed."""
        sums: dict[tuple[str, Asset], int] = {}
        for name in await self._server.read("SMEMBERS", self._keys.unsettled):
            arrangement, _, number = name.decode().rpartition(".")
            if arrangement != arrangement_id or int(number) >= before:
                continue
            window = await self._there(arrangement, int(number))
            for obligation in window.obligations:
                if obligation.state is not ObligationState.CONFIRMED:
                    key = obligation.participant, obligation.asset
                    sums[key] = sums.get(key, 0) + obligation.amount_minor
        return sums

    async def close(self, window: Window) -> Window:
        """CUT and filled -> CLOSED, as given; one that is closed already is returned as it is: the caller compares."""
        carried = [
            (owner(position.participant, position.asset), position.opening_minor)
            for position in window.positions
            if position.opening_minor
        ]
        owing = [(owner(each.participant, each.asset), each.amount_minor) for each in window.obligations]
        argv: list[Any] = [window.arrangement_id, window.id, window.close_time_ms, window.previous_seal, window.seal]
        argv += (len(carried), len(owing), *(part for row in (*carried, *owing) for part in row))
        await self._server.run(CLOSE, (*self._window_keys(window.id), self._keys.unsettled), argv)
        return await self._there(window.arrangement_id, window.number)

    async def confirm(
        self, key: WindowKey, participant: str, asset: Asset, agent: str, reference: str, now_ms: int
    ) -> Window:
        """An obligation -> CONFIRMED, and its transfer written down. A confirmed one stays as it is.

        Raises Refused OBLIGATION_UNKNOWN.
        """
        keys, name = self._keys, f"{key[0]}.{key[1]}"
        names = (
            *self._window_keys(name),
            keys.unsettled,
            keys.totals,
            keys.versions,
            keys.due,
            keys.transfers,
            keys.counters,
        )
        argv = (key[0], name, now_ms, owner(participant, asset), owner(agent, asset), reference)
        if await self._server.run(CONFIRM, names, argv) < 0:
            raise Refused("OBLIGATION_UNKNOWN")
        return await self._there(*key)

    async def default(self, key: WindowKey, participant: str, now_ms: int) -> Window:
        """Open obligations of the participant that owe -> DEFAULTED; the window -> PARTIALLY_SETTLED.

        Raises Refused OBLIGATION_UNKNOWN: it owes nothing there.
        """
        name = f"{key[0]}.{key[1]}"
        argv = (key[0], name, now_ms, participant)
        if await self._server.run(DEFAULT, self._window_keys(name), argv) < 0:
            raise Refused("OBLIGATION_UNKNOWN")
        return await self._there(*key)

    def _window_keys(self, name: str) -> tuple[str, str, str]:
        return self._keys.announce, self._keys.moves, self._keys.window(name)

    async def _there(self, arrangement_id: str, number: int) -> Window:
        window = await self.window(arrangement_id, number)
        if window is None:
            raise Refused("WINDOW_UNKNOWN")
        return window

    async def announcements(self, count: int) -> list[Announcement]:
        """The oldest moves of windows that are not published, not removed."""
        rows = await self._server.read("XRANGE", self._keys.announce, "-", "+", "COUNT", count)
        found = []
        for place, fields in rows:
            flat = msgpack.unpackb(fields[b"w"], raw=True)
            window = unpack_window(fields[b"a"].decode(), pairs(flat))
            found.append(Announcement(place.decode(), int(fields[b"q"]), int(fields[b"t"]), window))
        return found

    async def announced(self, announcements: Sequence[Announcement]) -> None:
        """Remove what the broker has acknowledged. Safe to repeat."""
        if announcements:
            await self._server.write("XDEL", self._keys.announce, *(each.place for each in announcements))
