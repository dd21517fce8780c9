"""Quotes and the headroom they hold at the FX provider.

A quote lives on its owner's shard, its hold on the provider's. Between the two nothing is atomic, so the order is:
hold, then quote; and at the end, quote, then hold. A crash between leaves a hold without a usable quote, which is
released when it is due; never a usable quote without a hold.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgpack

from switch.domain.quote import Quote, QuoteState
from switch.errors import Refused, StoreUnavailable
from switch.limits import QUOTE_KEPT_MS, QUOTE_LOOK_AGAIN_MS
from switch.store.client import Server
from switch.store.keys import Keys
from switch.store.packing import pack, pack_quote, quote_terms, unpack_quote
from switch.store.scripts import load_script

__all__ = ["Quotes"]

HOLD: Final = load_script(
    "quote_hold", keys="agent quotedue quoteheld", argv="hold_id asset amount_minor expiry_time_ms held"
)
KEEP: Final = load_script("quote_keep", keys="quote", argv="body terms expiry_time_ms")
LOOK: Final = load_script("quote_look", keys="quote", argv="")
END: Final = load_script("quote_end", keys="quote payment", argv="items forget_time_ms | owner_and_id expiry_time_ms")
RELEASE: Final = load_script(
    "quote_release",
    keys="agent quotedue quoteheld",
    argv="items again_time_ms | hold_id provider asset amount_minor outcome",
)
_Answer = TypeVar("_Answer")


class _Held(NamedTuple):
    """A provider's hold. `id` is "<participant>/<quote_id>"; what follows is kept under it, packed, in this order."""

    id: str
    provider: str
    asset: str
    amount_minor: int
    expiry_time_ms: int


class Quotes:
    """ports.QuoteStore on Redis or Valkey."""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server = server
        self._keys = keys

    def _hold_keys(self, provider: str) -> tuple[str, str, str]:
        shard = self._keys.shard_of(provider)
        return self._keys.agent(provider), self._keys.quotedue(shard), self._keys.quoteheld(shard)

    async def create_quote(self, quote: Quote) -> None:
        """Reserve `quote.credit` at the provider and keep the quote. Safe to repeat with the same id.

        Raises:
            Refused: NO_RATE: no headroom at the provider, or it is suspended or unknown.
            StoreUnavailable: a hold may stay until the quote would have expired.
        """
        held = _held_of(quote)
        argv = (held.id, held.asset, held.amount_minor, held.expiry_time_ms, pack(held[1:]))
        if not await self._server.run(HOLD, self._hold_keys(quote.provider), argv):
            raise Refused("NO_RATE", "the provider has no headroom for this amount")
        terms = quote_terms(quote.debit, quote.credit, quote.corridor_id)
        key = self._keys.quote(quote.participant, quote.id)
        if not await self._server.run(KEEP, (key,), (pack_quote(quote), terms, quote.expiry_time_ms)):
            raise Refused("NO_RATE", "the quote expired while it was made")

    async def get_quote(self, participant: str, quote_id: str) -> tuple[Quote, QuoteState, str] | None:
        """The participant's own quote, its state at the server's time, and the UETR that used it or ""."""
        found = await self._server.run(LOOK, (self._keys.quote(participant, quote_id),), ())
        if not found:
            return None
        body, state, uetr = found
        return unpack_quote(body), QuoteState(state.decode()), uetr.decode()

    async def end_quotes(self, quotes: Sequence[Quote]) -> None:
        """Look at these now, not when they expire: their payments have ended. Safe to repeat; an open one stays.

        Raises StoreUnavailable when a shard did not answer; the others were looked at all the same.
        """
        now_ms = time.time_ns() // 1_000_000  # only says when to look again; what decides is the server's clock
        await self._end([_held_of(quote) for quote in quotes], now_ms)

    async def release_quotes(self, now_ms: int, count: int) -> int:
        """End the holds of quotes that expired unused or whose payment aborted; book those that paid. How many.

        Safe to repeat and to run in several processes at once: each step finds what is already done. Raises
        StoreUnavailable when a shard did not answer; the others were looked at all the same.
        """
        released, lost = 0, None
        for shard in range(self._keys.shards):
            try:
                released += await self._release(shard, now_ms, count - released)
            except StoreUnavailable as error:
                lost = error
        if lost is not None:
            raise lost
        return released

    async def _release(self, shard: int, now_ms: int, count: int) -> int:
        window = ("-inf", now_ms, "LIMIT", 0, count)
        ids = await self._server.read("ZRANGEBYSCORE", self._keys.quotedue(shard), *window)
        if not ids:
            return 0
        packed = await self._server.read("HMGET", self._keys.quoteheld(shard), *ids)
        held = [_Held(name.decode(), *msgpack.unpackb(body)) for name, body in zip(ids, packed, strict=True) if body]
        return await self._end(held, now_ms)

    async def _end(self, held: Sequence[_Held], now_ms: int) -> int:
        """End quotes where their owners are, then holds where their providers are; how many holds."""
        owners: dict[int, list[_Held]] = {}
        for each in held:
            owners.setdefault(self._keys.shard_of(each.id.partition("/")[0]), []).append(each)
        told, lost = await _all_of(self._outcomes(shard, those, now_ms) for shard, those in owners.items())
        providers: dict[int, list[tuple[_Held, bytes]]] = {}
        for outcomes in told:
            for each, outcome in outcomes:
                providers.setdefault(self._keys.shard_of(each.provider), []).append((each, outcome))
        ended, lost_later = await _all_of(self._let_go(shard, those, now_ms) for shard, those in providers.items())
        if error := lost or lost_later:
            raise error
        return sum(ended)

    async def _outcomes(self, shard: int, held: Sequence[_Held], now_ms: int) -> list[tuple[_Held, bytes]]:
        """Quotes of owners on one shard: what END says of each."""
        argv: list[str | int] = [len(held), now_ms + QUOTE_KEPT_MS]
        for each in held:
            argv += (each.id.replace("/", ":"), each.expiry_time_ms)
        said = await self._server.run(END, self._keys.kinds(shard, "quote", "payment"), argv)
        return list(zip(held, said, strict=True))

    async def _let_go(self, shard: int, held: Sequence[tuple[_Held, bytes]], now_ms: int) -> int:
        """Holds of providers on one shard, by what END said of their quotes."""
        argv: list[str | bytes | int] = [len(held), now_ms + QUOTE_LOOK_AGAIN_MS]
        for each, outcome in held:
            argv += (each.id, each.provider, each.asset, each.amount_minor, outcome)
        keys = (*self._keys.kinds(shard, "agent"), self._keys.quotedue(shard), self._keys.quoteheld(shard))
        ended: int = await self._server.run(RELEASE, keys, argv)
        return ended


def _held_of(quote: Quote) -> _Held:
    asset, amount_minor = quote.credit
    return _Held(f"{quote.participant}/{quote.id}", quote.provider, asset.name, amount_minor, quote.expiry_time_ms)


async def _all_of(asked: Iterable[Awaitable[_Answer]]) -> tuple[list[_Answer], StoreUnavailable | None]:
    """What shards answered, and the error of one that did not: one that is lost keeps no other back."""
    said = await asyncio.gather(*asked, return_exceptions=True)
    lost = next((each for each in said if isinstance(each, StoreUnavailable)), None)
    for each in said:
        if isinstance(each, BaseException) and not isinstance(each, StoreUnavailable):
            raise each
    return [each for each in said if not isinstance(each, BaseException)], lost
