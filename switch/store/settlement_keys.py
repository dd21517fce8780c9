"""Names of everything settlement keeps: one slot of its own, so that one script may touch it all.

epoch       string  counts cuts
offsets     hash    partition -> next offset to apply
digests     hash    partition -> digest of all accepted events before that offset
sequences   hash    debtor agent -> greatest sequence accepted
missing     set     "<debtor agent>|<sequence>" that never came
excused     stream  gaps that an operator declared final, with who and why
totals      hash    "<participant>|<asset>" -> position by the log: entries less what was settled
versions    hash    the same -> how often it changed
due         set     the same, of positions to be published
opened      hash    arrangement -> number of its open window
filling     set     "<arrangement>.<number>" that are cut and not filled
unsettled   set     the same, closed and not settled
announce    stream  moves of windows to be published
moves       hash    arrangement -> how many moves it made
transfers   stream  confirmed obligations to be carried into the shards' books
counters    hash    transfer: how many there were
window      hash    one per window: state, times, f: t: g: (ranges: from, to, digest), d: c: o: (positions: debits,
                    credits, opening), b: s: r: (obligations: amount, state, time and reference)
settled     hash    on every shard of participants: o:<partition> (credited up to), transfer (carried up to)
"""

from typing import Final

__all__ = ["SettlementKeys"]

_TAG: Final = "{settle}"


class SettlementKeys:
    """The keys of one namespace."""

    def __init__(self, prefix: str) -> None:
        def key(kind: str) -> str:
            return f"{prefix}settle:{_TAG}:{kind}"

        self.epoch, self.offsets, self.digests = key("epoch"), key("offsets"), key("digests")
        self.sequences, self.missing, self.excused = key("sequences"), key("missing"), key("excused")
        self.totals, self.versions, self.due = key("totals"), key("versions"), key("due")
        self.opened, self.filling, self.unsettled = key("opened"), key("filling"), key("unsettled")
        self.announce, self.moves = key("announce"), key("moves")
        self.transfers, self.counters = key("transfers"), key("counters")
        self.window_prefix = key("window:")
        self._prefix = prefix

    def window(self, name: str) -> str:
        """`name`: <arrangement>.<number>."""
        return self.window_prefix + name

    def settled(self, shard: int) -> str:
        return f"{self._prefix}settled:{{s{shard}}}"
