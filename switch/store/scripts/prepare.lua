-- prepare.lua  Claim a request and its UETR, use its quote, reserve limits and cap; or do none of it. Many at once.
-- USES    _retired
-- KEYS    holds overdue outbox retired | request payment agent changes quote limits*
-- ARGV    items | uetr attempt asset amount_minor prepared_time_ms overdue_time_ms record step reserved terms request_digest uetr_digest charges (counter amount_minor max_minor expiry_time_ms limit_id resets)*
-- RETURN  per item: {F} prepared | {K record} refused and kept | {S record} this very attempt, done before
--         | {R record} the request began before | {O uetr} it began before with this other UETR
--         | {A uetr_bytes} it began before with this UETR and left the store: the archive has it
--         | {N reason} refused, no trace | {E text} this item is poisoned, nothing of it was done
-- Checks stand in the order of errors.REASONS; all of an item's checks come before its first write.
-- A quote's expiry is compared with the server's clock: the one clock all workers share.
-- What no later item of the group reads back is written once, for all, at the end; figures of agents are kept meanwhile.
local HOLDS, OVERDUE, OUTBOX = KEYS[1], KEYS[2], KEYS[3]
local call, whole = redis.call, '%.0f'
local agents, holds, overdue, retired = {}, {}, {}, retired_in(KEYS[4])

-- A shard key of another type must fail before anything is written.
call('HLEN', HOLDS)
call('ZCARD', OVERDUE)
call('XLEN', OUTBOX)

-- An agent's state and figures of one asset: cap, used before this group, reserved by it.
local function agent_of(key, asset)
  local id = asset .. key
  local agent = agents[id]
  if not agent then
    local row = call('HMGET', key, 'state', 'cap:' .. asset, 'held:' .. asset, 'spent:' .. asset)
    local used = tonumber(row[3] or '0') + tonumber(row[4] or '0')
    agent = { key = key, asset = asset, state = row[1], cap = tonumber(row[2] or '0'), used = used, more = 0 }
    agents[id] = agent
  end
  return agent
end

local now
local function server_time_ms()
  if not now then
    local time = call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  return now
end

-- Reason of a quote that cannot pay, and whether the refusal is kept.
local function quote_fault(key, terms)
  local quote = call('HMGET', key, 'terms', 'expiry', 'uetr', 'ended')
  if not quote[1] then return 'QUOTE_UNKNOWN', false end
  if quote[1] ~= terms then return 'QUOTE_MISMATCH', false end
  if quote[4] or server_time_ms() >= tonumber(quote[2]) then return 'QUOTE_EXPIRED', true end
  if quote[3] then return 'QUOTE_USED', true end
end

-- Reason and figures of the first limit that has not enough left.
local function limit_fault(k, a, charges)
  for i = 1, charges do
    local at = a + 13 + 6 * (i - 1)
    local used = tonumber(call('HGET', KEYS[k + 5 + i - 1], ARGV[at]) or '0')
    local max = tonumber(ARGV[at + 2])
    if tonumber(ARGV[at + 1]) > max - used then
      local period = string.match(KEYS[k + 5 + i - 1], '([dy])%d+$')
      return period == 'y' and 'YEAR_LIMIT' or 'DAY_LIMIT', {
        { 'limit_id', ARGV[at + 4] }, { 'limit_minor', ARGV[at + 2] }, { 'used_minor', string.format(whole, used) },
        { 'left_minor', string.format(whole, math.max(0, max - used)) }, { 'resets', ARGV[at + 5] },
      }
    end
  end
end

local function cap_fault(agent, amount)
  local used = agent.used + agent.more
  if amount > agent.cap - used then
    return 'NET_DEBIT_CAP_EXCEEDED', {
      { 'asset', agent.asset }, { 'limit_minor', string.format(whole, agent.cap) },
      { 'used_minor', string.format(whole, used) }, { 'left_minor', string.format(whole, math.max(0, agent.cap - used)) },
    }
  end
end

local function keep_refusal(k, a, reason, figures)
  local uetr, time_ms = ARGV[a], ARGV[a + 4]
  local record = ARGV[a + 6] .. cmsgpack.pack({ tonumber(time_ms), reason, '', '', figures or {}, 'A' })
  call('XADD', KEYS[k + 3], '*', 'R', uetr .. ' ' .. time_ms)
  call('MSET', KEYS[k], uetr .. ' ' .. ARGV[a + 1], KEYS[k + 1], record)
  call('XADD', OUTBOX, '*', 'q', call('HINCRBY', KEYS[k + 2], 'seq', 1), 'u', uetr)
  return { 'K', record }
end

local function reserve(k, a, charges, agent)
  local uetr = ARGV[a]
  call('XADD', KEYS[k + 3], '*', 'P', uetr .. ' ' .. ARGV[a + 4])
  call('MSET', KEYS[k], uetr .. ' ' .. ARGV[a + 1], KEYS[k + 1], ARGV[a + 6] .. ARGV[a + 7])
  if ARGV[a + 9] ~= '' then call('HSET', KEYS[k + 4], 'uetr', uetr) end
  for i = 1, charges do
    local at, key = a + 13 + 6 * (i - 1), KEYS[k + 5 + i - 1]
    call('HINCRBY', key, ARGV[at], ARGV[at + 1])
    call('PEXPIREAT', key, ARGV[at + 3])
  end
  agent.more = agent.more + tonumber(ARGV[a + 3])
  holds[#holds + 1], holds[#holds + 2] = uetr, ARGV[a + 8]
  overdue[#overdue + 1], overdue[#overdue + 2] = ARGV[a + 5], uetr
  return { 'F' }
end

local function prepare_one(k, a, charges)
  local was = call('MGET', KEYS[k], KEYS[k + 1])
  if was[1] then
    local uetr = string.sub(was[1], 1, 36)
    if uetr ~= ARGV[a] then return { 'O', uetr } end
    return { string.sub(was[1], 38) == ARGV[a + 1] and 'S' or 'R', was[2] }
  end
  local left = retired.find(ARGV[a + 10])
  if left then return { 'A', left } end
  if was[2] or retired.find(ARGV[a + 11]) then return { 'N', 'UETR_REUSED' } end
  local agent = agent_of(KEYS[k + 2], ARGV[a + 2])
  if not agent.state then return { 'N', 'PARTICIPANT_UNKNOWN' } end
  if agent.state ~= 'A' then return { 'N', 'PARTICIPANT_SUSPENDED' } end
  local reason, figures
  if ARGV[a + 9] ~= '' then
    local kept
    reason, kept = quote_fault(KEYS[k + 4], ARGV[a + 9])
    if reason and not kept then return { 'N', reason } end
  end
  if not reason then reason, figures = limit_fault(k, a, charges) end
  if not reason then reason, figures = cap_fault(agent, tonumber(ARGV[a + 3])) end
  if reason then return keep_refusal(k, a, reason, figures) end
  return reserve(k, a, charges, agent)
end

local answers, k, a = {}, 5, 2
for item = 1, tonumber(ARGV[1]) do
  local charges = tonumber(ARGV[a + 12])
  local done, answer = pcall(prepare_one, k, a, charges)
  if not done then
    answer = { 'E', type(answer) == 'table' and answer.err or tostring(answer) }
  end
  answers[item] = answer
  k, a = k + 5 + charges, a + 13 + 6 * charges
end
if #holds > 0 then
  call('HSET', HOLDS, unpack(holds))
  call('ZADD', OVERDUE, unpack(overdue))
end
for _, agent in pairs(agents) do
  if agent.more > 0 then call('HINCRBY', agent.key, 'held:' .. agent.asset, agent.more) end
end
return answers
