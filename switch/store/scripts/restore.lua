-- restore.lua  Put final payments of the log back: record or compact form, request, books, use of caps and limits, sequence.
-- USES    _retired
-- KEYS    retired books respending | payment request agent changes relisted limits* agents*
-- ARGV    items now_ms | uetr request_digest uetr_digest uetr_bytes sequence record place elsewhere changes charges debits entries (letter words)* (counter amount_minor expiry_time_ms)* (asset amount_minor)* (owner amount_minor)*
-- RETURN  per item: 1 put back | 0 it was there | -1 its UETR or its request is another payment's
-- An empty record: only the compact form. An empty uetr_digest: the UETR is kept on another shard. `debits` are added to
-- what the agents of the same place in KEYS have spent; `elsewhere` names those of other shards, '' when there are none.
local call = redis.call
local retired = retired_in(KEYS[1])
local BOOKS, RESPENDING = KEYS[2], KEYS[3]

-- 1, 0 or -1, as returned.
local function missing(k, a)
  local was = call('MGET', KEYS[k + 1], KEYS[k])
  if was[1] then return string.sub(was[1], 1, 36) == ARGV[a] and 0 or -1 end
  if was[2] then return -1 end
  local left = retired.find(ARGV[a + 1])
  if left then return left == ARGV[a + 3] and 0 or -1 end
  if ARGV[a + 2] ~= '' and retired.find(ARGV[a + 2]) then return -1 end
  return 1
end

local function keep(k, a)
  if ARGV[a + 5] == '' then
    retired.add(ARGV[a + 1], ARGV[a + 3])
    if ARGV[a + 2] ~= '' then retired.add(ARGV[a + 2], '') end
    return
  end
  call('MSET', KEYS[k], ARGV[a + 5], KEYS[k + 1], ARGV[a] .. ' -')
  call('ZADD', KEYS[k + 4], 0, ARGV[a + 6])
end

local function raise(agent, field, sequence)
  if sequence > tonumber(call('HGET', agent, field) or '0') then call('HSET', agent, field, sequence) end
end

local function restore_one(k, a, changes, charges, debits, entries)
  keep(k, a)
  raise(KEYS[k + 2], 'seq', tonumber(ARGV[a + 4]))
  raise(KEYS[k + 2], 'acked', tonumber(ARGV[a + 4]))
  if ARGV[a + 7] ~= '' then call('HSET', RESPENDING, ARGV[a], ARGV[a + 7]) end
  local at = a + 12
  for _ = 1, changes do
    call('XADD', KEYS[k + 3], '*', ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  for i = 1, charges do
    if tonumber(ARGV[at + 2]) > tonumber(ARGV[2]) then
      call('HINCRBY', KEYS[k + 4 + i], ARGV[at], ARGV[at + 1])
      call('PEXPIREAT', KEYS[k + 4 + i], ARGV[at + 2])
    end
    at = at + 3
  end
  for i = 1, debits do
    call('HINCRBY', KEYS[k + 4 + charges + i], 'spent:' .. ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  for _ = 1, entries do
    call('HINCRBY', BOOKS, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end

local answers, k, a = {}, 4, 3
for item = 1, tonumber(ARGV[1]) do
  local changes, charges = tonumber(ARGV[a + 8]), tonumber(ARGV[a + 9])
  local debits, entries = tonumber(ARGV[a + 10]), tonumber(ARGV[a + 11])
  answers[item] = missing(k, a)
  if answers[item] == 1 then restore_one(k, a, changes, charges, debits, entries) end
  k, a = k + 5 + charges + debits, a + 12 + 2 * changes + 3 * charges + 2 * debits + 2 * entries
end
return answers
