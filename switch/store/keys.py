"""Names of everything in the store. The only place that spells a key.

One shard holds all that one participant's payments touch, so every key of a shard carries the hash tag `{sN}`: one
slot of a cluster, and one script may touch them all. A namespace goes in front, for those who share a server.

    payment   string  packed objects: version, hold, one transition after the other; its last byte is the state
    request   string  "<uetr> <attempt>"
    agent     hash    state, record, created; seq: final payments; acked: those of them the broker has; per asset cap:,
                      held:, spent: (spent: committed, less what settled)
    members   set     participants of the shard
    audit     stream  changes of one participant's row in the register
    rates     hash    provider -> "numerator/denominator", one hash per pair of assets
    holds     hash    uetr -> packed reservation of a payment that has not ended
    overdue   zset    uetr by the time of recovery's next look
    limits    hash    counter -> used, one hash per period, forgotten after it
    books     hash    "<participant>|<asset>" -> sum of the entries of committed payments; zero-sum per asset
    outbox    stream  one entry per final payment, until the broker has it: q: its sequence, u: its UETR
    lease     hash    who relays the shard's outbox: holder, token, expiry
    changes   stream  per participant: a letter per change of state -> "<uetr> <time_ms>" per change; a script call's
                      changes are one entry
    quote     hash    owner's quote: body, terms, expiry, uetr, ended, state (of its payment, once that has left)
    quotedue  zset    quote by the time its provider's hold is looked at
    quoteheld hash    quote -> packed hold of the provider's headroom
    claim     string  digest of the request that a UETR is of, and the number of its attempts when it is more than one; on
                      the UETR's own shard, only when there are several (a hash of both: an earlier version made it)
    retired   string  how many entries the shard's compact form has; one hash per bucket is named after it: digest of a
                      request -> its UETR, digest of a UETR (on its own shard) -> ""; see scripts/_retired.lua
    relisted  zset    per participant, "<prepared_time_ms> <uetr>" of records that came back from the log
    respending hash   uetr -> packed debits at participants of other shards that a payment that came back still brings
    respent   string  one of those debits is booked; on the participant's shard, forgotten after some time
    meta      hash    layout, number of shards, and what else all switches must have in common; written once
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from zlib import crc32

from switch.domain.money import Asset

__all__ = ["LAYOUT", "Keys", "request_digest", "uetr_digest"]

LAYOUT: Final = "2"  # a store written with another layout is refused at start
_NAMES_KEPT: Final = 4_096  # of participants, whose keys are asked for with every payment
_DIGEST_BYTES: Final = 12  # of a field of the compact form: no two of 10^10 are equal by chance


class Keys:
    """The keys of one namespace, for a fixed number of shards."""

    def __init__(self, namespace: str, shards: int) -> None:
        self.prefix = f"{namespace}:" if namespace else ""
        self.shards = shards
        self.meta = f"{self.prefix}meta"
        self._head: Callable[[str, int], str] = lru_cache(maxsize=None)(self._head_of)  # as many as kinds and shards
        self.agent: Callable[[str], str] = lru_cache(maxsize=_NAMES_KEPT)(self._agent)
        self.changes: Callable[[str], str] = lru_cache(maxsize=_NAMES_KEPT)(self._changes)

    def shard_of(self, name: str) -> int:
        """Shard of a participant, or, for a claim, of a UETR. crc32: the same in every process and version."""
        return crc32(name.encode()) % self.shards if self.shards > 1 else 0

    def _head_of(self, kind: str, shard: int) -> str:
        return f"{self.prefix}{kind}:{{s{shard}}}"

    def _key(self, kind: str, shard: int, *parts: str) -> str:
        return ":".join((self._head(kind, shard), *parts))

    def kinds(self, shard: int, *kinds: str) -> tuple[str, ...]:
        """Beginnings of keys, for a script that names keys itself: behind them come `:` and what the methods here add."""
        return tuple(self._head(kind, shard) for kind in kinds)

    # --- of a shard ---
    def holds(self, shard: int) -> str:
        return self._key("holds", shard)

    def overdue(self, shard: int) -> str:
        return self._key("overdue", shard)

    def outbox(self, shard: int) -> str:
        return self._key("outbox", shard)

    def retired(self, shard: int) -> str:
        return self._key("retired", shard)

    def respending(self, shard: int) -> str:
        return self._key("respending", shard)

    def lease(self, shard: int) -> str:
        return self._key("lease", shard)

    def books(self, shard: int) -> str:
        return self._key("books", shard)

    def members(self, shard: int) -> str:
        return self._key("members", shard)

    def quotedue(self, shard: int) -> str:
        return self._key("quotedue", shard)

    def quoteheld(self, shard: int) -> str:
        return self._key("quoteheld", shard)

    def rates(self, shard: int, debit: Asset, credit: Asset) -> str:
        return self._key("rates", shard, debit.name, credit.name)

    def limits(self, shard: int, period_key: str) -> str:
        return self._key("limits", shard, period_key)

    # --- of a participant, on its shard ---
    def payment(self, shard: int, uetr: str) -> str:
        return self._key("payment", shard, uetr)

    def request(self, participant: str, request_id: str) -> str:
        return self._key("request", self.shard_of(participant), participant, request_id)

    def _agent(self, participant: str) -> str:
        return self._key("agent", self.shard_of(participant), participant)

    def audit(self, participant: str) -> str:
        return self._key("audit", self.shard_of(participant), participant)

    def _changes(self, participant: str) -> str:
        return self._key("changes", self.shard_of(participant), participant)

    def relisted(self, participant: str) -> str:
        return self._key("relisted", self.shard_of(participant), participant)

    def respent(self, participant: str, asset: Asset, uetr: str) -> str:
        return self._key("respent", self.shard_of(participant), participant, asset.name, uetr)

    def quote(self, participant: str, quote_id: str) -> str:
        return self._key("quote", self.shard_of(participant), participant, quote_id)

    # --- of a UETR, on its own shard ---
    def claim(self, uetr: str) -> str:
        return self._key("claim", self.shard_of(uetr), uetr)


_REQUEST: Final = blake2b(digest_size=_DIGEST_BYTES, person=b"request")
_UETR: Final = blake2b(digest_size=_DIGEST_BYTES, person=b"uetr")


def request_digest(participant: str, request_id: str) -> bytes:
    """The field of a request in the compact form."""
    digest = _REQUEST.copy()
    digest.update(f"{participant}/{request_id}".encode())
    return digest.digest()


def uetr_digest(uetr: str) -> bytes:
    """The field of a UETR in the compact form."""
    digest = _UETR.copy()
    digest.update(uetr.encode())
    return digest.digest()
