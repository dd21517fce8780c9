-- prepare.lua  Claim a request and its UETR, use its quote, reserve limits and cap; or do none of it. Many at once.
-- USES    _retired
-- KEYS    holds overdue outbox retired request payment agent changes quote limits
-- ARGV    items group
-- RETURN  per item: 1 prepared | {K record} refused and kept | {S record} this very attempt, done before
--         | {R record} the request began before | {O uetr} it began before with this other UETR
--         | {A uetr_bytes} it began before with this UETR and left the store: the archive has it
--         | {N reason} refused, no trace | {E text} this item is poisoned, nothing of it was done
-- The group is its items, packed, one behind the other, each an array of FIELDS: those named below, in their order.
-- What KEYS has from `request` on are kinds: keys of items are named after them (keys.py), so they are in their slot.
-- `record` begins as it does when all goes well. `digests` are the request's and the UETR's. `quote` and its `terms` are
-- nil without one, `charges` nil without limits; each is (limit_id counter period expiry_time_ms amount_minor max_minor
-- resets).
-- Checks stand in the order of errors.REASONS; all of an item's checks come before anything of it is noted.
-- A quote's expiry is compared with the server's clock: the one clock all workers share.
-- Everything is read before anything is written, and written at the end, for all items at once; what a later item must
-- find of an earlier one is in the tables here.
local UETR, ATTEMPT, TIME, OVERDUE_TIME, PARTICIPANT, REQUEST, ASSET, AMOUNT = 2, 3, 4, 5, 6, 7, 8, 9
local RECORD, RESERVED, DIGESTS, QUOTE, TERMS, CHARGES = 10, 11, 12, 13, 14, 15
local FIELDS = 14 -- the head of an array of up to 15 is one byte, which is passed over; what is read comes from 2 on
local HOLDS, OVERDUE, OUTBOX = KEYS[1], KEYS[2], KEYS[3]
local call, whole = redis.call, '%.0f'
local retired, agents, periods, times, refused = retired_in(KEYS[4]), {}, {}, {}, {}
local kept, quotes, sets, holds, overdue, keeps, reserves = {}, {}, {}, {}, {}, 0, 0

-- A shard key of another type must fail before anything is written.
call('HLEN', HOLDS)
call('ZCARD', OVERDUE)
call('XLEN', OUTBOX)

-- What all items of one agent share: its changes, and its state and figures by asset: cap, used before, reserved here.
local function agent_of(item)
  local name, asset = item[PARTICIPANT], item[ASSET]
  local agent = agents[name]
  if not agent then
    agent = { key = KEYS[7] .. ':' .. name, changes = KEYS[8] .. ':' .. name, rows = {} }
    agent.letters, agent.words, agent.moves = {}, {}, 0
    call('XLEN', agent.changes)
    agents[name] = agent
  end
  local row = agent.rows[asset]
  if not row then
    local has = call('HMGET', agent.key, 'state', 'cap:' .. asset, 'held:' .. asset, 'spent:' .. asset)
    local used = tonumber(has[3] or '0') + tonumber(has[4] or '0')
    row = { state = has[1], cap = tonumber(has[2] or '0'), used = used, more = 0 }
    agent.rows[asset] = row
  end
  return agent, row
end

local function text_of(time_ms)
  local text = times[time_ms]
  if not text then
    text = string.format(whole, time_ms)
    times[time_ms] = text
  end
  return text
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
  if quote[3] or quotes[key] then return 'QUOTE_USED', true end
end

-- The counters of one period that the group has charges on.
local function period_of(charge)
  local key, counter = KEYS[10] .. ':' .. charge[3], charge[2]
  local period = periods[key]
  if not period then
    period = { counters = {}, used = {}, more = {} }
    periods[key] = period
  end
  if not period.used[counter] then
    period.used[counter] = 0
    period.counters[#period.counters + 1] = counter
  end
  return period
end

-- Reason and figures of the first limit that has not enough left.
local function limit_fault(charges)
  for _, charge in ipairs(charges) do
    local period, max = charge.period, charge[6]
    if period.fault then error(period.fault) end
    local used = period.used[charge[2]]
    if charge[5] > max - used then
      return string.sub(charge[3], 1, 1) == 'y' and 'YEAR_LIMIT' or 'DAY_LIMIT', {
        { 'limit_id', charge[1] }, { 'limit_minor', string.format(whole, max) },
        { 'used_minor', string.format(whole, used) },
        { 'left_minor', string.format(whole, math.max(0, max - used)) }, { 'resets', charge[7] },
      }
    end
  end
end

local function cap_fault(row, item)
  local used = row.used + row.more
  if item[AMOUNT] > row.cap - used then
    return 'NET_DEBIT_CAP_EXCEEDED', {
      { 'asset', item[ASSET] }, { 'limit_minor', string.format(whole, row.cap) },
      { 'used_minor', string.format(whole, used) }, { 'left_minor', string.format(whole, math.max(0, row.cap - used)) },
    }
  end
end

local function keep(item, request, payment, record, agent, letter)
  local uetr, n, m = item[UETR], 4 * keeps, agent.moves
  local claim = uetr .. ' ' .. item[ATTEMPT]
  sets[n + 1], sets[n + 2], sets[n + 3], sets[n + 4] = request, claim, payment, record
  kept[request], kept[payment], keeps = claim, record, keeps + 1
  agent.letters[m + 1], agent.words[2 * m + 1], agent.words[2 * m + 2] = letter, uetr, text_of(item[TIME])
  agent.moves = m + 1
end

-- A record of a payment that is refused: its first step goes, and another comes.
local function refused_record(item, reason, figures)
  local time_ms = item[TIME]
  local prepared = cmsgpack.pack({ time_ms, '', '', '', {}, 'P' })
  return string.sub(item[RECORD], 1, -1 - #prepared) .. cmsgpack.pack({ time_ms, reason, '', '', figures or {}, 'A' })
end

local function reserve(item, agent, row)
  local n, uetr = 2 * reserves, item[UETR]
  row.more = row.more + item[AMOUNT]
  holds[n + 1], holds[n + 2] = uetr, item[RESERVED]
  overdue[n + 1], overdue[n + 2] = item[OVERDUE_TIME], uetr
  reserves = reserves + 1
  if item[QUOTE] then quotes[item[QUOTE]] = uetr end
  if not item[CHARGES] then return end
  for _, charge in ipairs(item[CHARGES]) do
    local period, counter = charge.period, charge[2]
    period.used[counter], period.more[counter] = period.used[counter] + charge[5], true
    period.expiry = charge[4]
  end
end

local function prepare_one(item, request, payment, began, record)
  if began then
    local uetr = string.sub(began, 1, 36)
    if uetr ~= item[UETR] then return { 'O', uetr } end
    return { string.sub(began, 38) == item[ATTEMPT] and 'S' or 'R', record }
  end
  if retired.any then
    local left = retired.find(string.sub(item[DIGESTS], 1, 12))
    if left then return { 'A', left } end
    record = record or retired.find(string.sub(item[DIGESTS], 13))
  end
  if record then return { 'N', 'UETR_REUSED' } end
  local agent, row = agent_of(item)
  if not row.state then return { 'N', 'PARTICIPANT_UNKNOWN' } end
  if row.state ~= 'A' then return { 'N', 'PARTICIPANT_SUSPENDED' } end
  local reason, figures
  if item[QUOTE] then
    local stays
    reason, stays = quote_fault(item[QUOTE], item[TERMS])
    if reason and not stays then return { 'N', reason } end
  end
  if not reason and item[CHARGES] then reason, figures = limit_fault(item[CHARGES]) end
  if not reason then reason, figures = cap_fault(row, item) end
  if reason then
    record = refused_record(item, reason, figures)
    keep(item, request, payment, record, agent, 'R')
    refused[#refused + 1] = { agent.key, item[UETR] }
    return { 'K', record }
  end
  keep(item, request, payment, item[RECORD], agent, 'P')
  reserve(item, agent, row)
  return 1
end

local items, names, at = {}, {}, 0
for i = 1, tonumber(ARGV[1]) do
  local item = { cmsgpack.unpack_limit(ARGV[2], FIELDS, at + 1) }
  at = item[1]
  names[2 * i - 1] = KEYS[5] .. ':' .. item[PARTICIPANT] .. ':' .. item[REQUEST]
  names[2 * i] = KEYS[6] .. ':' .. item[UETR]
  if item[QUOTE] then item[QUOTE] = KEYS[9] .. ':' .. item[PARTICIPANT] .. ':' .. item[QUOTE] end
  for _, charge in ipairs(item[CHARGES] or {}) do charge.period = period_of(charge) end
  items[i] = item
end
for key, period in pairs(periods) do
  local used = redis.pcall('HMGET', key, unpack(period.counters))
  period.fault = used.err and used
  for n, counter in ipairs(period.counters) do period.used[counter] = tonumber(used[n] or '0') end
end
local found, answers = call('MGET', unpack(names)), {}
for i, item in ipairs(items) do
  local request, payment = names[2 * i - 1], names[2 * i]
  local began, record = kept[request] or found[2 * i - 1], kept[payment] or found[2 * i]
  local done, answer = pcall(prepare_one, item, request, payment, began, record)
  if not done then
    answer = { 'E', type(answer) == 'table' and answer.err or tostring(answer) }
  end
  answers[i] = answer
end

if keeps > 0 then call('MSET', unpack(sets)) end
if reserves > 0 then
  call('HSET', HOLDS, unpack(holds))
  call('ZADD', OVERDUE, unpack(overdue))
end
for key, uetr in pairs(quotes) do
  call('HSET', key, 'uetr', uetr)
end
for key, period in pairs(periods) do
  local counters = {}
  for counter in pairs(period.more) do
    local n = #counters
    counters[n + 1], counters[n + 2] = counter, period.used[counter]
  end
  if #counters > 0 then
    call('HSET', key, unpack(counters))
    call('PEXPIREAT', key, period.expiry)
  end
end
for _, agent in pairs(agents) do
  if agent.moves > 0 then
    call('XADD', agent.changes, '*', table.concat(agent.letters), table.concat(agent.words, ' '))
  end
  for asset, row in pairs(agent.rows) do
    if row.more > 0 then call('HINCRBY', agent.key, 'held:' .. asset, row.more) end
  end
end
for _, one in ipairs(refused) do
  call('XADD', OUTBOX, '*', 'q', call('HINCRBY', one[1], 'seq', 1), 'u', one[2])
end
return answers
