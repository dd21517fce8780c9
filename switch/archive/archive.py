"""ports.Archive over one database. Every call is a transaction of its own, in a thread."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from switch.archive import reading, tokens, writing
from switch.archive.database import Clash, Database, open_database
from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.settlement import LogRange, NetPosition, SettlementFact
from switch.errors import ArchiveUnavailable
from switch.limits import ARCHIVE_CALL_MS_MAX
from switch.ports import ArchivedFact

__all__ = ["SqlArchive", "open_archive"]

_NETS_OFFSETS: Final = 100_000  # of one transaction: about a second
_KEEP_ATTEMPTS: Final = 3  # with another writer of the same events, the second finds them there


class SqlArchive:
    """Made by `open_archive`; `start` it when you want to know at once whether it works; `close` it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self) -> None:
        """See that it is reachable and has its tables. Safe to repeat; without it, the first call does the same.

        Raises:
            ConfigError: the tables are not what this release works with; says what to do.
            ArchiveUnavailable: not reachable now; it goes on by itself when it is.
        """
        await self._database.start()

    async def close(self) -> None:
        """End what runs, close the links. May be repeated."""
        await self._database.close()

    # --- writes ------------------------------------------------------------------------------------------------------
    async def keep(self, facts: Sequence[ArchivedFact]) -> None:
        """All or none, on disk when it returns. Safe to repeat: an event that is there is left as it is.

        Raises:
            ArchiveConflict: another event has this UETR, this debtor agent and sequence, or this place in the log.
            ArchiveUnavailable: what it did is unknown.
        """
        keep = writing.keep_facts  # that any of them is there already is rare: the insert finds it
        for _ in range(_KEEP_ATTEMPTS if facts else 0):
            try:
                await self._database.write(partial(keep, facts=facts))
            except Clash:
                await self._database.read(partial(writing.find_conflict, facts=facts))
                keep = writing.keep_unknown
            else:
                return
        if facts:
            raise ArchiveUnavailable("another writer keeps the same events; repeat")

    async def retired(self, uetrs: Sequence[str]) -> None:
        """The hot store has let these go. Safe to repeat. Raises ArchiveUnavailable."""
        if uetrs:
            await self._database.write(lambda link: writing.mark_retired(link, uetrs))

    async def keep_register(self, rows: bytes) -> None:
        """The latest snapshot of the register; the one before is forgotten. Raises ArchiveUnavailable."""
        await self._database.write(lambda link: writing.keep_register(link, rows))

    # --- one payment -------------------------------------------------------------------------------------------------
    async def get(self, participant: str, uetr: str) -> SettlementFact | None:
        """The participant's own payment, or None."""
        return _fact(
            await self._database.read(lambda link: reading.payment_where(link, uetr=uetr, debtor_agent=participant))
        )

    async def get_by_request(self, participant: str, request_id: str) -> SettlementFact | None:
        """The payment a request_id began, or None."""
        return _fact(await self._database.read(lambda link: reading.with_request(link, participant, request_id)))

    async def at_sequence(self, debtor_agent: str, sequence: int) -> SettlementFact | None:
        """The payment with this number among its debtor agent's, or None."""
        return _fact(
            await self._database.read(
                lambda link: reading.payment_where(link, debtor_agent=debtor_agent, sequence=sequence)
            )
        )

    # --- lists by time -----------------------------------------------------------------------------------------------
    async def list_payments(
        self,
        participant: str,
        *,
        state: State | None,
        from_time_ms: int,
        to_time_ms: int,
        after: tuple[int, str],
        count: int,
    ) -> list[SettlementFact]:
        """Retired payments of one debtor agent, prepared in [from, to), in the order of (prepared_time_ms, uetr), behind
        `after`; (0, "") is before the first. Fewer than `count` only at the end.
        """
        between = (from_time_ms, to_time_ms)
        return _facts(
            await self._database.read(
                lambda link: reading.listed_facts(link, participant, state, between, after, count)
            )
        )

    async def final_between(
        self, from_time_ms: int, to_time_ms: int, token: str, count: int
    ) -> tuple[list[SettlementFact], str]:
        """Payments of all that became final in [from, to), in order; token of the next page or "".

        Raises Refused FIELD_INVALID for a token that is not ours.
        """
        after, between = tokens.final_after(token), (from_time_ms, to_time_ms)
        found = await self._database.read(lambda link: reading.final_facts(link, between, after, count + 1))
        page, last = _facts(found[:count]), len(found) <= count
        return page, "" if last else tokens.final_token(page[-1].final_time_ms, page[-1].uetr)

    async def unretired(self, before_time_ms: int, count: int) -> list[SettlementFact]:
        """Payments final before this that the hot store has not let go yet, oldest first."""
        return _facts(await self._database.read(lambda link: reading.unretired_facts(link, before_time_ms, count)))

    # --- ranges of the log -------------------------------------------------------------------------------------------
    async def statement(
        self,
        ranges: Sequence[LogRange],
        participant: str,
        assets: Sequence[Asset],
        rails: Sequence[str],
        token: str,
        count: int,
    ) -> tuple[list[ArchivedFact], str]:
        """Payments in the ranges with an entry of the participant in one of the assets. Raises as `final_between`."""
        after = tokens.statement_after(token)
        found = await self._database.read(
            lambda link: reading.touched_facts(link, ranges, (participant, assets), rails, after, count + 1)
        )
        page, last = found[:count], len(found) <= count
        return page, "" if last else tokens.statement_token(page[-1].partition, page[-1].offset)

    async def nets(
        self, ranges: Sequence[LogRange], assets: Sequence[Asset], rails: Sequence[str]
    ) -> tuple[int, list[NetPosition]]:
        """Committed payments with an entry in these assets in the ranges, and what those entries come to.

        A large window is several transactions, each with its own budget: what a range that is cut holds does not change.
        """
        payments, sums = 0, defaultdict[tuple[Asset, str], list[int]](lambda: [0, 0])
        kept = await self._database.read(partial(reading.kept_spans, ranges=ranges))
        for spans in reading.rounds_of(kept, _NETS_OFFSETS):
            count, found = await self._database.read(
                partial(reading.span_sums, spans=spans, assets=assets, rails=rails)
            )
            payments += count
            for (asset, participant, received), amount_minor in found.items():
                sums[asset, participant][received] += amount_minor
        rows = [NetPosition(participant, asset, *sides) for (asset, participant), sides in sorted(sums.items())]
        return payments, rows

    async def read(self, partition: int, from_offset: int, count: int) -> list[ArchivedFact]:
        """In the order of the log."""
        return await self._database.read(lambda link: reading.logged_facts(link, partition, from_offset, count))

    async def partitions(self) -> list[int]:
        """Partitions of which anything is kept."""
        return await self._database.read(reading.partitions)

    async def register(self) -> bytes | None:
        """The latest snapshot of the register, or None."""
        return await self._database.read(reading.register)


def _facts(found: Sequence[ArchivedFact]) -> list[SettlementFact]:
    return [one.fact for one in found]


def _fact(found: ArchivedFact | None) -> SettlementFact | None:
    return found.fact if found is not None else None


def open_archive(url: str, data_dir: Path, *, call_ms: int = ARCHIVE_CALL_MS_MAX) -> SqlArchive:
    """An archive from its settings; nothing is reached for yet, and no event loop is needed.

    Args:
        url: postgresql+psycopg://user:password@host:port/database. "" is a SQLite file in `data_dir`.
        data_dir: made when it is missing; not touched when `url` is given.
        call_ms: the budget of one call.

    Raises:
        ConfigError: names the setting to change.
    """
    return SqlArchive(open_database(url, data_dir, call_ms))
