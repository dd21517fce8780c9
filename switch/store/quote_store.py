"""Quotes and the headroom they hold at the FX provider.

A quote lives on its owner's shard, its hold on the provider's. Between the two nothing is atomic, so the order is:
hold, then quote; and at the end, quote, then hold. A crash between leaves a hold without a usable quote, which is
released when it is due; never a usable quote without a hold.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import msgpack

from switch.domain.payment import State
from switch.domain.quote import Quote, QuoteState
from switch.errors import Refused, StoreUnavailable
from switch.limits import QUOTE_KEPT_MS, QUOTE_LOOK_AGAIN_MS
from switch.store.client import Server
from switch.store.keys import Keys
from switch.store.packing import pack, pack_quote, quote_terms, state_of, unpack_quote
from switch.store.scripts import load_script

__all__ = ["Quotes"]

HOLD: Final = load_script(
    "quote_hold", keys="agent quotedue quoteheld", argv="hold_id asset amount_minor expiry_time_ms held"
)
KEEP: Final = load_script("quote_keep", keys="quote", argv="body terms expiry_time_ms")
LOOK: Final = load_script("quote_look", keys="quote", argv="")
END: Final = load_script("quote_end", keys="quote", argv="expiry_time_ms")
RELEASE: Final = load_script("quote_release", keys="agent quotedue quoteheld", argv="hold_id asset amount_minor paid")


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
        asset, amount_minor = quote.credit
        hold_id = f"{quote.participant}/{quote.id}"
        held = pack((quote.provider, asset.name, amount_minor, quote.expiry_time_ms))
        argv = (hold_id, asset.name, amount_minor, quote.expiry_time_ms, held)
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
        """Look at these now, not when they expire: their payments have ended. Safe to repeat; an open one stays."""
        now_ms = time.time_ns() // 1_000_000  # only says when to look again; what decides is the server's clock
        await asyncio.gather(
            *(
                self._end(
                    self._keys.shard_of(quote.provider),
                    f"{quote.participant}/{quote.id}",
                    [quote.provider, quote.credit.asset.name, quote.credit.amount_minor, quote.expiry_time_ms],
                    now_ms,
                )
                for quote in quotes
            )
        )

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
        released = 0
        window = ("-inf", now_ms, "LIMIT", 0, count)
        for hold_id in await self._server.read("ZRANGEBYSCORE", self._keys.quotedue(shard), *window):
            held = await self._server.read("HGET", self._keys.quoteheld(shard), hold_id)
            if held is not None:
                released += await self._end(shard, hold_id.decode(), msgpack.unpackb(held), now_ms)
        return released

    async def _end(self, shard: int, hold_id: str, held: list[Any], now_ms: int) -> int:
        provider, asset, amount_minor, expiry_time_ms = held
        participant, quote_id = hold_id.split("/")
        quote = self._keys.quote(participant, quote_id)
        answer, *used = await self._server.run(END, (quote,), (expiry_time_ms,))
        outcome = await self._outcome(participant, quote, *used) if used else None
        if answer == b"OPEN" or (outcome is not None and not outcome.final):
            again = (self._keys.quotedue(shard), "XX", now_ms + QUOTE_LOOK_AGAIN_MS, hold_id)
            await self._server.write("ZADD", *again)
            return 0
        # The quote is forgotten some time later; before the hold ends, so that a crash here leaves work, not litter.
        await self._server.write("PEXPIREAT", quote, now_ms + QUOTE_KEPT_MS)
        argv = (hold_id, asset, amount_minor, 1 if outcome is State.COMMITTED else 0)
        ended: int = await self._server.run(RELEASE, self._hold_keys(provider), argv)
        return ended

    async def _outcome(self, participant: str, quote: str, uetr: bytes, state: bytes) -> State:
        """State of the payment that used a quote. Its record is there, or its state stands in the quote since it left."""
        payment = self._keys.payment(self._keys.shard_of(participant), uetr.decode())
        record = state or await self._server.read("GETRANGE", payment, -1, -1)
        return state_of(record or await self._server.read("HGET", quote, "state"))  # it may leave in between
