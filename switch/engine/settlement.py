"""Settlement: windows are cut, proven, sealed, confirmed. Who calls is checked before; what is asked for, here.

    cut ─▶ (the settler fills it) ─▶ close: in turn, filled, no gap, zero-sum, as the archive says ─▶ sealed, obligations
    confirm ─▶ positions move; the last one settles the window        default ─▶ partially settled, participant suspended

Every call is safe to repeat: each ends in one step of the store that does nothing the second time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from switch.domain.money import Asset
from switch.domain.position import Entry
from switch.domain.settlement import (
    FIRST_SEAL,
    Arrangement,
    NetPosition,
    Obligation,
    SettlementFact,
    Window,
    WindowState,
    obligations_of,
    seal_of,
    unbalanced_window,
    window_id_parts,
)
from switch.engine.window_watch import WindowWatch
from switch.errors import Refused, SettlementHalted
from switch.ports import Archive, ArchivedFact, Clock, ParticipantStore, SettlementLog, SettlementStore

__all__ = ["Settlement", "Statement", "StatementBalance", "StatementLine"]

_SEALED = (WindowState.CLOSED, WindowState.PARTIALLY_SETTLED, WindowState.SETTLED)


class StatementBalance(NamedTuple):
    """One participant's window in one asset. Positive owes."""

    asset: Asset
    opening_minor: int
    debits_minor: int
    credits_minor: int

    @property
    def closing_minor(self) -> int:
        return self.opening_minor + self.debits_minor - self.credits_minor


class StatementLine(NamedTuple):
    """One entry of the participant, and the payment it is of."""

    fact: SettlementFact
    entry: Entry
    end_to_end_id: str  # "" for other participants' payments


class Statement(NamedTuple):
    """A page of one participant's account of one window."""

    window: Window
    participant: str
    balances: tuple[StatementBalance, ...]  # of the whole window, on every page
    lines: tuple[StatementLine, ...]
    token: str  # of the next page, or ""


class Settlement:
    """Windows of all arrangements. Raises of every call: StoreUnavailable, and Refused as the contract says."""

    def __init__(
        self,
        *,
        store: SettlementStore,
        archive: Archive,
        log: SettlementLog,
        participants: ParticipantStore,
        arrangements: Mapping[str, Arrangement],
        clock: Clock,
        end_to_end_id_of: Callable[[SettlementFact], str] = lambda _: "",
    ) -> None:
        """`end_to_end_id_of`: what only the store can tell of a fact; asked for the participant's own payments."""
        self._store = store
        self._archive = archive
        self._log = log
        self._participants = participants
        self._arrangements = arrangements
        self._clock = clock
        self._end_to_end_id_of = end_to_end_id_of
        self.watch = WindowWatch(store, arrangements)

    # --- looking -----------------------------------------------------------------------------------------------------
    def arrangements(self) -> list[Arrangement]:
        return list(self._arrangements.values())

    async def windows(self, arrangement_id: str, count: int) -> list[Window]:
        """Newest first, without positions and obligations; "" = of all. Raises Refused ARRANGEMENT_UNKNOWN."""
        if arrangement_id:
            self._arrangement(arrangement_id)
        return await self._store.windows(arrangement_id, count)

    async def window(self, window_id: str) -> Window:
        """The window with everything. Raises Refused WINDOW_UNKNOWN."""
        parts = window_id_parts(window_id)
        window = await self._store.window(*parts) if parts is not None else None
        if window is None:
            raise Refused("WINDOW_UNKNOWN", field="window_id")
        return window

    def _arrangement(self, arrangement_id: str) -> Arrangement:
        found = self._arrangements.get(arrangement_id)
        if found is None:
            raise Refused("ARRANGEMENT_UNKNOWN", field="arrangement_id")
        return found

    # --- cut and close -----------------------------------------------------------------------------------------------
    async def cut(self, window_id: str, cut_by: str) -> Window:
        """Fix the ranges of the open window at the present end of the log, open the next. One that is cut stays.

        Raises Refused WINDOW_UNKNOWN, BrokerUnavailable.
        """
        window = await self.window(window_id)
        if window.state is not WindowState.OPEN:
            return window
        ends = await self._log.ends()
        now_ms = self._clock.now_ms()
        cut = await self._store.cut(window.arrangement_id, window.number, ends, cut_by, now_ms)
        if cut is None:
            raise Refused("WINDOW_UNKNOWN", field="window_id")
        self.watch.nudge()
        return cut

    async def close(self, window_id: str) -> Window:
        """Prove that a cut window sums to zero, work out who owes what, seal it. One that is closed stays.

        Raises:
            Refused: WINDOW_NOT_CUT, WINDOW_OUT_OF_TURN, WINDOW_NOT_FILLED, SEQUENCE_GAP, WINDOW_UNBALANCED, in this
                order; nothing was sealed.
            ArchiveUnavailable: the second opinion could not be had; nothing was sealed.
        """
        window = await self.window(window_id)
        if window.state in _SEALED:
            return window
        if window.state is WindowState.OPEN:
            raise Refused("WINDOW_NOT_CUT")
        arrangement = self._arrangement(window.arrangement_id)
        previous_seal = await self._previous_seal(window)
        if not window.filled:
            raise Refused("WINDOW_NOT_FILLED")
        for debtor_agent, sequence in await self._store.gaps():
            raise Refused("SEQUENCE_GAP", figures={"debtor_agent": debtor_agent, "sequence": str(sequence)})
        await self._prove(window, arrangement)
        closed = await self._store.close(await self._closing(window, previous_seal))
        _check_kept(window, closed)
        self.watch.nudge()
        return closed

    async def _previous_seal(self, window: Window) -> bytes:
        """Of the window before, which must be closed; so must, by the same rule, all before it."""
        if window.number == 1:
            return FIRST_SEAL
        before = await self._store.window(window.arrangement_id, window.number - 1)
        if before is None:
            raise SettlementHalted(f"window {window.arrangement_id}.{window.number - 1} is not in the store any more")
        if before.state not in _SEALED:
            raise Refused("WINDOW_OUT_OF_TURN", figures={"window_id": before.id})
        return before.seal

    async def _prove(self, window: Window, arrangement: Arrangement) -> None:
        """Two books say the same, and it sums to zero. Raises Refused WINDOW_UNBALANCED, with what differs."""
        for asset, difference in unbalanced_window(window.positions).items():
            raise Refused("WINDOW_UNBALANCED", figures={"asset": asset.name, "difference_minor": str(difference)})
        payments, positions = await self._archive.nets(window.ranges, arrangement.assets, arrangement.rails)
        ours, theirs = _nets(window.positions), _nets(positions)
        for participant, asset in sorted(ours.keys() | theirs.keys()):
            here, there = ours.get((participant, asset), (0, 0)), theirs.get((participant, asset), (0, 0))
            if here != there:
                raise Refused(
                    "WINDOW_UNBALANCED",
                    "the books and the archive differ: nothing was sealed",
                    figures={
                        "participant": participant,
                        "asset": asset.name,
                        "debits_minor": f"{here[0]}, in the archive {there[0]}",
                        "credits_minor": f"{here[1]}, in the archive {there[1]}",
                    },
                )
        if payments != window.payments:
            raise Refused(
                "WINDOW_UNBALANCED",
                "the books and the archive differ: nothing was sealed",
                figures={"payments": f"{window.payments}, in the archive {payments}"},
            )

    async def _closing(self, window: Window, previous_seal: bytes) -> Window:
        """The window as it is to be kept: what was owed before it, what is owed now, and the seal over both."""
        carried = await self._store.carried(window.arrangement_id, window.number)
        nets = {(each.asset, each.participant): each for each in window.positions}
        for participant, asset in carried:
            nets.setdefault((asset, participant), NetPosition(participant, asset, 0, 0))
        positions = tuple(
            nets[asset, participant]._replace(opening_minor=carried.get((participant, asset), 0))
            for asset, participant in sorted(nets)
        )
        now_ms = self._clock.now_ms()
        closing = window._replace(
            positions=positions,
            obligations=obligations_of(positions),
            previous_seal=previous_seal,
            close_time_ms=now_ms,
        )
        return closing._replace(seal=seal_of(closing))

    # --- obligations -------------------------------------------------------------------------------------------------
    async def confirm(
        self, window_id: str, participant: str, asset: Asset, amount_minor: int, reference: str
    ) -> Window:
        """An obligation was paid. One that is confirmed with this reference stays as it is.

        Raises:
            Refused: WINDOW_NOT_CLOSED, OBLIGATION_UNKNOWN; OBLIGATION_MISMATCH: another amount is owed, or it was
                confirmed with another reference, both in the figures.
        """
        window = await self._closed(window_id)
        arrangement = self._arrangement(window.arrangement_id)
        owed = _obligation(window, participant, asset)
        if owed.amount_minor != amount_minor:
            raise Refused(
                "OBLIGATION_MISMATCH", field="amount_minor", figures={"expected_minor": str(owed.amount_minor)}
            )
        key = (window.arrangement_id, window.number)
        agent, now_ms = arrangement.settlement_agent, self._clock.now_ms()
        after = await self._store.confirm(key, participant, asset, agent, reference, now_ms)
        kept = _obligation(after, participant, asset)
        if kept.reference != reference:
            raise Refused(
                "OBLIGATION_MISMATCH",
                "it was confirmed before, with another reference",
                field="reference",
                figures={"confirmed_reference": kept.reference},
            )
        await self._store.move()
        self.watch.nudge()
        return after

    async def declare_default(self, window_id: str, participant: str, actor: str, reason: str) -> Window:
        """A participant does not pay: the window stays open to it, and it may begin no payment. `resume` is not ours.

        Raises:
            Refused: WINDOW_NOT_CLOSED; OBLIGATION_UNKNOWN: it owes nothing there that is not confirmed;
                PARTICIPANT_UNKNOWN: it is marked, and nobody is there to be suspended.
        """
        window = await self._closed(window_id)
        now_ms = self._clock.now_ms()
        after = await self._store.default((window.arrangement_id, window.number), participant, now_ms)
        self.watch.nudge()
        known = await self._participants.get_participant(participant)
        if known is None or not known.suspended:
            why = f"blocked by rule: default in window {window.id}: {reason}"
            await self._participants.set_suspended(participant, True, actor, why, now_ms)
        return after

    async def _closed(self, window_id: str) -> Window:
        window = await self.window(window_id)
        if window.state not in _SEALED:
            raise Refused("WINDOW_NOT_CLOSED")
        return window

    # --- statements --------------------------------------------------------------------------------------------------
    async def statement(self, window_id: str, participant: str, token: str, count: int) -> Statement:
        """Opening, entries of at most `count` payments in the order of the log, closing. The window must be closed.

        Raises:
            Refused: WINDOW_NOT_CLOSED, PARTICIPANT_UNKNOWN.
            ArchiveUnavailable: the entries could not be read.
        """
        window = await self._closed(window_id)
        arrangement = self._arrangement(window.arrangement_id)
        balances = tuple(
            StatementBalance(each.asset, each.opening_minor, each.debits_minor, each.credits_minor)
            for each in window.positions
            if each.participant == participant
        )
        if not balances and await self._participants.get_participant(participant) is None:
            raise Refused("PARTICIPANT_UNKNOWN", field="participant")
        facts, following = await self._archive.statement(
            window.ranges, participant, arrangement.assets, arrangement.rails, token, count
        )
        return Statement(window, participant, balances, self._lines(facts, participant, arrangement), following)

    def _lines(
        self, facts: Iterable[ArchivedFact], participant: str, arrangement: Arrangement
    ) -> tuple[StatementLine, ...]:
        return tuple(
            StatementLine(fact, entry, self._end_to_end_id_of(fact) if fact.debtor_agent == participant else "")
            for fact, *_ in facts
            for entry in fact.entries
            if entry.participant == participant and entry.asset in arrangement.assets
        )


def _nets(positions: Sequence[NetPosition]) -> dict[tuple[str, Asset], tuple[int, int]]:
    """Debits and credits of who has any."""
    return {
        (each.participant, each.asset): (each.debits_minor, each.credits_minor)
        for each in positions
        if each.debits_minor or each.credits_minor
    }


def _obligation(window: Window, participant: str, asset: Asset) -> Obligation:
    for each in window.obligations:
        if (each.participant, each.asset) == (participant, asset):
            return each
    raise Refused("OBLIGATION_UNKNOWN")


def _check_kept(proven: Window, kept: Window) -> None:
    """What the store kept is what was proven. Another process may have closed it first, after other confirmations."""
    if (
        kept.state not in _SEALED
        or kept.seal != seal_of(kept)
        or (kept.ranges, kept.payments) != (proven.ranges, proven.payments)
        or _nets(kept.positions) != _nets(proven.positions)
    ):
        raise SettlementHalted(f"window {kept.id}: the store did not keep what was proven; compare it with the archive")
