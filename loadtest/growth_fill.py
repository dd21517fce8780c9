"""Fills a store with payments in no time, for benches: copies of one that was really made, under ids of their own.

A payment is prepared and committed through the store's own functions. What it left is found by its ids: keys that are
named after it, entries of streams that name it, and figures of hashes that moved. All of that is then written again by a
script inside the server, once for each copy: the ids replaced wherever they stand, as text or as their 16 bytes, figures
moved as often. So the copies are what the store itself would have written, whatever its layout. One shard, no cluster.

The append-only file is off meanwhile and written anew from memory at the end: it is the same as if it had been on.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from deploy.local.valkey import Valkey
from loadtest.recording import command_of, say_again
from loadtest.store_bench import ACK
from switch.domain.payment import Hold
from switch.errors import StoreUnavailable
from switch.store import Store

__all__ = ["fill"]

COPIES_OF_A_CALL: Final = 20_000  # half a second: nobody else waits for the server
REWRITE_SECONDS_MAX: Final = 600
POLL_SECONDS: Final = 0.1
UUID_CHARS: Final = 36

# RETURN  keys and (field, figure) of every hash, flat: only whole numbers, which are what moves
_FIGURES: Final = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TYPE', key).ok == 'hash' then
    local row = redis.call('HGETALL', key)
    for i = 1, #row, 2 do
      if string.match(row[i + 1], '^%-?%d+$') and #row[i + 1] < 17 then
        found[#found + 1], found[#found + 2], found[#found + 3] = key, row[i], row[i + 1]
      end
    end
  end
end
return found
"""

# What both scripts below begin with.
_IDS: Final = """
local function raw(id)
  return (string.gsub(string.gsub(id, '-', ''), '%x%x', function(pair) return string.char(tonumber(pair, 16)) end))
end
local function ids(uetr, request)
  return { uetr, request, raw(uetr), raw(request) }
end

local function names(text, those)
  for i = 1, #those do
    if string.find(text, those[i], 1, true) then return true end
  end
end
"""

# ARGV    uetr request_id of a payment
# RETURN  kind key of all that is named after it or names it, flat; streams are looked at from their beginning
_TRACES: Final = (
    _IDS
    + """
local those, found = ids(ARGV[1], ARGV[2]), {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local its = names(key, those)
  if kind == 'stream' and not its then
    for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', 64)) do
      its = its or names(table.concat(entry[2], '\\n'), those)
    end
  end
  if its then found[#found + 1], found[#found + 2] = kind, key end
end
return found
"""
)

# KEYS    strings | streams
# ARGV    strings | uetr request_id of one | uetr request_id of the next | first copies | moved (key field by)*
# A stream's figure that differs between the two and is a whole number counts up from copy to copy.
_COPY: Final = (
    _IDS
    + """
local before, sample = ids(ARGV[2], ARGV[3]), ids(ARGV[4], ARGV[5])
local first, copies = tonumber(ARGV[6]), tonumber(ARGV[7])
local texts, entries, packed = {}, {}, false

-- A text in pieces: what stays, and for each id in it, the id's place among those of a payment.
local function cut(text)
  local pieces, from = {}, 1
  while true do
    local at, which
    for i = 1, #sample do
      local found = string.find(text, sample[i], from, true)
      if found and (not at or found < at) then at, which = found, i end
    end
    if not at then break end
    packed = packed or which > 2
    pieces[#pieces + 1], pieces[#pieces + 2] = string.sub(text, from, at - 1), which
    from = at + #sample[which]
  end
  pieces[#pieces + 1] = string.sub(text, from)
  return pieces
end

-- A text in pieces, ready to be put together: what stays is there, and for each id its place in it.
local function mould(text)
  local pieces, places = cut(text), {}
  for i, piece in ipairs(pieces) do
    if type(piece) == 'number' then places[#places + 1] = { i, piece } end
  end
  return { pieces = pieces, places = places }
end

local function cast(mould, mine)
  for _, place in ipairs(mould.places) do mould.pieces[place[1]] = mine[place[2]] end
  return table.concat(mould.pieces)
end

local function entries_of(key)
  local mine, was = {}, {}
  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', 64)) do
    local whole = table.concat(entry[2], '\\n')
    if names(whole, sample) then mine[#mine + 1] = entry[2] end
    if names(whole, before) then was[#was + 1] = entry[2] end
  end
  for place, fields in ipairs(mine) do
    local moulds, steps = {}, {}
    for i, text in ipairs(fields) do
      local other = was[place] and was[place][i]
      if other and other ~= text and string.match(text, '^%d+$') and string.match(other, '^%d+$') then
        steps[i] = { tonumber(text), tonumber(text) - tonumber(other) }
      elseif names(text, sample) then
        moulds[i] = mould(text)
      end
    end
    entries[#entries + 1] = { key = key, fields = fields, moulds = moulds, steps = steps }
  end
end

for place, key in ipairs(KEYS) do
  if place <= tonumber(ARGV[1]) then texts[#texts + 1] = { key = mould(key), value = mould(redis.call('GET', key)) }
  else entries_of(key) end
end
local sets = {}
for number = first, first + copies - 1 do
  local high, low = math.floor(number / 65536), number % 65536
  -- Ids of copies begin with their number turned round, so that they are spread as those of a generator are.
  local spread = (number * 40503) % 4294967296
  local uetr = string.format('%08x-%04x-4%03x-8%03x-%012x', spread, low, high % 4096, low % 4096, number)
  local request = string.sub(uetr, 1, 19) .. '9' .. string.sub(uetr, 21)
  local mine = packed and ids(uetr, request) or { uetr, request }
  for _, text in ipairs(texts) do
    local n = #sets
    sets[n + 1], sets[n + 2] = cast(text.key, mine), cast(text.value, mine)
  end
  if #sets >= 256 or number == first + copies - 1 then
    redis.call('MSET', unpack(sets))
    sets = {}
  end
  for _, entry in ipairs(entries) do
    for i, mould in pairs(entry.moulds) do entry.fields[i] = cast(mould, mine) end
    for i, step in pairs(entry.steps) do entry.fields[i] = string.format('%.0f', step[1] + step[2] * number) end
    redis.call('XADD', entry.key, '*', unpack(entry.fields))
  end
end
for i = 8, #ARGV, 3 do
  redis.call('HINCRBY', ARGV[i], ARGV[i + 1], string.format('%.0f', tonumber(ARGV[i + 2]) * copies))
end
"""
)


async def fill(store: Store, server: Valkey, hold_of: Callable[[int], Hold], count: int) -> float:
    """`count` committed payments more, and how many a second were copied; `hold_of(n)` is the n-th to really make.

    Its amounts, participants and limits are what all copies have. The store is a new one; nothing else may write to it.
    """
    now_ms = time.time_ns() // 1_000_000
    one, sample = (_alike(hold_of(number), now_ms) for number in (0, 1))
    await _paid(store, one)
    before, there = _figures(server), _size(server)
    await _paid(store, sample)
    moved = _moved(before, _figures(server))
    texts, streams = _traces(server, sample)
    assert len(texts) == _size(server) - there, "a payment left keys that are not named after it"
    keys = (*texts, *streams)
    await _told(server, "CONFIG", "SET", "appendonly", "no")
    seconds = 0.0
    for first in range(1, count - 1, COPIES_OF_A_CALL):
        copies = min(COPIES_OF_A_CALL, count - 1 - first)
        argv = (len(texts), *_ids(one), *_ids(sample), first, copies, *moved)
        seconds += await _told(server, "EVAL", _COPY, len(keys), *keys, *argv)
    await _told(server, "CONFIG", "SET", "appendonly", "yes")
    await _written(store)
    return count / seconds


async def _told(server: Valkey, *words: str | int) -> float:
    """Seconds of one long command. In a thread: Ctrl-C is heard between two of them."""
    return await asyncio.to_thread(say_again, server.port, [command_of(*words)])


def _alike(hold: Hold, now_ms: int) -> Hold:
    """With the same times as another: what then differs between two payments are ids and figures that count."""
    assert len(hold.uetr) == len(hold.instruction.request_id) == UUID_CHARS == len(str(uuid.UUID(hold.uetr)))
    return hold._replace(prepared_time_ms=now_ms, overdue_time_ms=now_ms + 10_000)


def _ids(hold: Hold) -> tuple[str, str]:
    return hold.uetr, hold.instruction.request_id


async def _paid(store: Store, hold: Hold) -> None:
    await store.payments.prepare(hold, "")
    await store.payments.commit(hold, ACK, hold.prepared_time_ms + 40)


def _figures(server: Valkey) -> dict[tuple[str, str], int]:
    flat: Any = server.command("EVAL", _FIGURES, 0)
    return {(flat[at], flat[at + 1]): int(flat[at + 2]) for at in range(0, len(flat), 3)}


def _moved(before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]) -> list[str | int]:
    """(key, field, by how much) of every figure that one payment moves, flat."""
    found: list[str | int] = []
    for (key, field), figure in after.items():
        if by := figure - before.get((key, field), 0):
            found += [key, field, by]
    return found


def _traces(server: Valkey, hold: Hold) -> tuple[list[str], list[str]]:
    """Keys named after a payment, which are strings, and streams that name it."""
    flat: Any = server.command("EVAL", _TRACES, 0, *_ids(hold))
    found = list(zip(flat[::2], flat[1::2], strict=True))
    assert {kind for kind, _ in found} == {"string", "stream"}, f"a payment left {found}"
    return [key for kind, key in found if kind == "string"], [key for kind, key in found if kind == "stream"]


def _size(server: Valkey) -> int:
    found: Any = server.command("DBSIZE")
    return int(found)


async def _written(store: Store) -> None:
    """Returns when the append-only file is on again, and what it begins with is on disk."""
    async with asyncio.timeout(REWRITE_SECONDS_MAX):
        while True:
            with contextlib.suppress(StoreUnavailable):  # it may be busy with just that
                (found,) = await store.payments._server.everywhere("INFO", "persistence")
                if not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]:
                    return
            await asyncio.sleep(POLL_SECONDS)
