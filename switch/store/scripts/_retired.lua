-- _retired.lua  The compact form of what left the store, for the scripts that name it under USES.
-- An entry is a digest of 12 bytes and what is kept with it. Entries lie in hashes, the buckets, each so small that the
-- server keeps it as one flat list (hash-max-listpack-entries: 128 and more). When the buckets of a level hold 64 entries
-- each, on average, the next level opens with 16 times as many buckets: 2^10, 2^14, 2^18, 2^22. An entry never moves;
-- it is looked for in all levels there are. The key in KEYS is the counter of entries; buckets are named after it, so
-- they are in its slot.
local BITS_FIRST, BITS_MORE, LEVEL_LAST, ENTRIES_MEAN = 10, 4, 3, 64

local function retired_in(key)
  local count, retired = tonumber(redis.call('GET', key) or '0'), {}
  retired.any = count > 0

  local function top()
    local level, room = 0, ENTRIES_MEAN * 2 ^ BITS_FIRST
    while level < LEVEL_LAST and count >= room do
      level = level + 1
      room = room + ENTRIES_MEAN * 2 ^ (BITS_FIRST + BITS_MORE * level)
    end
    return level
  end

  local function bucket(digest, level)
    local first, second, third = string.byte(digest, 1, 3)
    return key .. ':' .. level .. ':' .. (first * 65536 + second * 256 + third) % 2 ^ (BITS_FIRST + BITS_MORE * level)
  end

  -- What is kept with the digest ('' is something); nil: it is not there.
  function retired.find(digest)
    if count == 0 then return nil end
    for level = top(), 0, -1 do
      local kept = redis.call('HGET', bucket(digest, level), digest)
      if kept then return kept end
    end
  end

  function retired.add(digest, kept)
    if retired.find(digest) then return end
    redis.call('HSET', bucket(digest, top()), digest, kept)
    count = redis.call('INCR', key)
  end

  return retired
end

