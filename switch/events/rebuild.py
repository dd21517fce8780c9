"""A store made anew from the log: outcomes, positions, limits, sequences, windows, headroom; and what the archive lacks.

What the log has is put back; what it does not have is gone: payments that ran when the store was lost, and those that
were answered and not yet published. The rails know those; `bayswitch reconcile` names them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from switch.domain.settlement import Arrangement, Window
from switch.errors import SettlementHalted
from switch.events.fold import Folded
from switch.events.log import KafkaLog
from switch.events.replay import Finding, Replayed, latest_windows, replay, verify
from switch.ports import Archive, PaymentStore, SettlementStore, WindowKey

__all__ = ["Rebuilt", "rebuild"]


class Rebuilt(NamedTuple):
    """What was put back."""

    payments: int  # that were missing
    replayed: Replayed
    settlement: bool  # False: the store had its windows still
    transfers: int  # confirmed obligations carried into the books again


async def rebuild(
    log: KafkaLog,
    archive: Archive | None,
    payments: PaymentStore,
    settlements: SettlementStore,
    arrangements: Sequence[Arrangement],
) -> Rebuilt:
    """Put everything of the log into the store. Safe to repeat, and after a crash half-way: what is there is left alone.

    Run it while no switch pays and no settler runs. Raises:
        SettlementHalted: a sealed window is not what the log says, or is another in the store, which was settled anew
            before (nothing of settlement was put back); or the topic has forgotten its beginning and no archive has it.
        ArchiveConflict: the archive has another event in the place of one of the log, so it is of another log.
        BrokerUnavailable, ArchiveUnavailable, StoreUnavailable: begin again.
    """
    restored = 0

    async def put_back(folded: Folded) -> None:
        nonlocal restored
        if archive is not None and folded.accepted:
            # Published and not archived yet: the settler will go on behind it, and old ones come back without a record.
            await archive.keep(folded.accepted)
        restored += await payments.restore([each.fact for each in folded.accepted])
        chunk = folded.chunk
        await settlements.credit(chunk.partition, chunk.to_offset, folded.credits)

    moves = await log.announcements()
    announced = latest_windows(moves)
    replayed = await replay(log, archive, announced, arrangements, put_back)
    if findings := verify(announced, replayed.windows):
        raise SettlementHalted("sealed windows are not what the log says: " + "; ".join(map(_said, findings)))
    sequences = {each.window.arrangement_id: each.sequence for each in moves}
    agents = {each.id: each.settlement_agent for each in arrangements}
    anew = await settlements.restore(replayed.progress, replayed.windows, sequences, agents)
    if not anew:
        await _must_agree(settlements, announced)
    return Rebuilt(restored, replayed, anew, await settlements.move())


async def _must_agree(settlements: SettlementStore, announced: Mapping[WindowKey, Window]) -> None:
    """The last sealed window of each arrangement is in the store as announced; by the chain, so are all before it."""
    last = {arrangement_id: window for (arrangement_id, _), window in sorted(announced.items()) if window.seal}
    for window in last.values():
        kept = await settlements.window(window.arrangement_id, window.number)
        if kept is None or kept.seal != window.seal:
            raise SettlementHalted(
                f"window {window.id} of the topic is another in the store, which was settled anew before this rebuild: "
                "empty the store and begin again"
            )


def _said(finding: Finding) -> str:
    return f"{finding.window_id}: {finding.what}"
