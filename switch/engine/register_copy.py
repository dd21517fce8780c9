"""The register of participants and rates, copied to the archive: a store made anew gets it back from there."""

import asyncio
import json
import logging
from typing import Any, Final

from switch.domain.money import Asset, Rate
from switch.errors import ArchiveUnavailable, Refused, StoreUnavailable
from switch.ports import Archive, Clock, Participant, ParticipantStore

__all__ = ["RegisterCopy"]

_LOG = logging.getLogger("bayswitch.settlement")
_LOOK_MS: Final = 2_000  # how old the copy may be; a change in the last seconds before a loss is made again by hand
_ACTOR, _WHY = "rebuild", "put back from the archive"


class RegisterCopy:
    """`await copy.run()` until cancelled keeps the copy; `put_back` uses it."""

    def __init__(self, participants: ParticipantStore, archive: Archive, clock: Clock) -> None:
        self._participants = participants
        self._archive = archive
        self._clock = clock
        self._last = b""

    async def run(self) -> None:
        """Look, copy what changed, wait."""
        while True:
            try:
                await self.look()
            except (StoreUnavailable, ArchiveUnavailable) as error:
                _LOG.warning("the register is not copied: %s: %s", type(error).__name__, error)
            await asyncio.sleep(_LOOK_MS / 1000)

    async def look(self) -> None:
        """Copy the register when it has changed. One that lacks a participant of the copy is not copied over it.

        Nobody leaves a register: it is of a store that was lost, and the copy is what that store gets back.
        """
        participants = await self._participants.list_participants()
        rates = [
            [provider, debit.name, credit.name, rate.numerator, rate.denominator]
            for debit in Asset
            for credit in Asset
            if debit is not credit
            for provider, rate in await self._participants.rates(debit, credit)
        ]
        content = {"participants": [_plain(each) for each in participants], "rates": rates}
        rows = json.dumps(content, sort_keys=True).encode()
        if not participants or rows == self._last:
            return
        lacking = {plain["id"] for plain in (await self._copied())["participants"]} - {each.id for each in participants}
        if not lacking:
            await self._archive.keep_register(rows)
        else:
            _LOG.error("the register lacks %s: `bayswitch rebuild` puts back a lost store", ", ".join(sorted(lacking)))
        self._last = rows  # said once for each change

    async def _copied(self) -> dict[str, Any]:
        rows = await self._archive.register()
        content: dict[str, Any] = json.loads(rows) if rows is not None else {"participants": [], "rates": []}
        return content

    async def put_back(self) -> tuple[int, list[str]]:
        """Participants and rates of the copy, into the store. Safe to repeat; what is there already stays.

        How many were put back, and the ids of those that are there with other data.
        """
        content = await self._copied()
        differing, there = [], {each.id for each in await self._participants.list_participants()}
        for plain in content["participants"]:
            participant = _participant(plain)
            try:
                await self._participants.create_participant(participant, _ACTOR, _WHY)
            except Refused:
                differing.append(participant.id)
        for provider, debit, credit, numerator, denominator in content["rates"]:
            pair, rate = (Asset[debit], Asset[credit]), Rate(numerator, denominator)
            if provider not in {quoting for quoting, _ in await self._participants.rates(*pair)}:
                await self._participants.set_rate(provider, *pair, rate, _ACTOR, _WHY, self._clock.now_ms())
        new = [plain for plain in content["participants"] if plain["id"] not in there]
        return len(new), differing


def _plain(participant: Participant) -> dict[str, Any]:
    return {**participant._asdict(), "caps": [[asset.name, cap_minor] for asset, cap_minor in participant.caps]}


def _participant(plain: dict[str, Any]) -> Participant:
    caps = tuple((Asset[name], cap_minor) for name, cap_minor in plain["caps"])
    return Participant(**{**plain, "roles": tuple(plain["roles"]), "caps": caps})
