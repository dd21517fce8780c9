-- prepare.lua  Claim a request and its UETR, use its quote, reserve limits and cap; or do none of it. Many at once.
-- USES    _retired
-- KEYS    holds overdue outbox retired request payment agent changes quote limits
-- ARGV    items group
-- RETURN  per item: 1 prepared | {K record} refused and kept | {S record} this very attempt, done before
--         | {R record} the request began before | {O uetr} it began before with this other UETR
--         | {A uetr_bytes} it began before with this UETR and left the store: the archive has it
--         | {N reason} refused, no trace | {E text} this item is poisoned, nothing of it was done
-- The group is its items, packed, one behind the other, each an array of the fields named below, in their order, and of
-- (limit counter amount_minor)* from CHARGE on. What KEYS has from `request` on are kinds: keys of items are named after
-- them (keys.py), so they are in their slot. `claim` is "<uetr> <attempt>", `request` "<participant>:<request_id>";
-- `record` begins as it does when all goes well. `digests` are the request's and the UETR's. `quote` and its `terms` are
-- nil without one. A limit, packed, is (limit_id period expiry_time_ms max_minor resets): few differ, so each is read once.
-- Checks stand in the order of errors.REASONS; all of an item's checks come before anything of it is noted.
-- A quote's expiry is compared with the server's clock: the one clock all workers share.
-- Everything is read before anything is written, and written at the end, for all items at once; what a later item must
-- find of an earlier one is in the tables here.
local UETR, CLAIM, TIME, OVERDUE_TIME, PARTICIPANT, REQUEST, ASSET, AMOUNT = 1, 2, 3, 4, 5, 6, 7, 8
local RECORD, RESERVED, DIGESTS, QUOTE, TERMS, CHARGE = 9, 10, 11, 12, 13, 14
local UETR_BYTES = 36
local HOLDS, OVERDUE, OUTBOX, PAYMENT = KEYS[1], KEYS[2], KEYS[3], KEYS[6] .. ':'
local call, sub, whole, unpacked = redis.call, string.sub, '%.0f', cmsgpack.unpack_limit
local count, group = tonumber(ARGV[1]), ARGV[2]
local retired, agents, limits, periods, times, refused = retired_in(KEYS[4]), {}, {}, {}, {}, {}
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

-- A limit, and the counters of its period that the group has charges on.
local function limit_of(packed)
  local limit = limits[packed]
  if not limit then
    local _, id, period, expiry, max, resets = unpacked(packed, 5, 1)
    local key = KEYS[10] .. ':' .. period
    periods[key] = periods[key] or { counters = {}, used = {}, more = {} }
    limit = { id = id, of = periods[key], name = period, expiry = expiry, max = max, resets = resets }
    limits[packed] = limit
  end
  return limit
end

local function charge(item)
  local at, packed = CHARGE, item[CHARGE]
  while packed do
    local limit, counter = limit_of(packed), item[at + 1]
    local period = limit.of
    if not period.used[counter] then
      period.used[counter] = 0
      period.counters[#period.counters + 1] = counter
    end
    item[at], at = limit, at + 3
    packed = item[at]
  end
end

-- Reason and figures of the first limit that has not enough left.
local function limit_fault(item)
  local at, limit = CHARGE, item[CHARGE]
  while limit do
    local period, max = limit.of, limit.max
    if period.fault then error(period.fault) end
    local used = period.used[item[at + 1]]
    if item[at + 2] > max - used then
      return sub(limit.name, 1, 1) == 'y' and 'YEAR_LIMIT' or 'DAY_LIMIT', {
        { 'limit_id', limit.id }, { 'limit_minor', string.format(whole, max) },
        { 'used_minor', string.format(whole, used) },
        { 'left_minor', string.format(whole, math.max(0, max - used)) }, { 'resets', limit.resets },
      }
    end
    at = at + 3
    limit = item[at]
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
  local n, m, claim = 4 * keeps, agent.moves, item[CLAIM]
  sets[n + 1], sets[n + 2], sets[n + 3], sets[n + 4] = request, claim, payment, record
  kept[request], kept[payment], keeps = claim, record, keeps + 1
  agent.letters[m + 1], agent.words[2 * m + 1], agent.words[2 * m + 2] = letter, item[UETR], text_of(item[TIME])
  agent.moves = m + 1
end

-- A record of a payment that is refused: its first step goes, and another comes.
local function refused_record(item, reason, figures)
  local time_ms = item[TIME]
  local prepared = cmsgpack.pack({ time_ms, '', '', '', {}, 'P' })
  return sub(item[RECORD], 1, -1 - #prepared) .. cmsgpack.pack({ time_ms, reason, '', '', figures or {}, 'A' })
end

local function reserve(item, agent, row)
  local n, uetr = 2 * reserves, item[UETR]
  row.more = row.more + item[AMOUNT]
  holds[n + 1], holds[n + 2] = uetr, item[RESERVED]
  overdue[n + 1], overdue[n + 2] = item[OVERDUE_TIME], uetr
  reserves = reserves + 1
  if item[QUOTE] then quotes[item[QUOTE]] = uetr end
  local at, limit = CHARGE, item[CHARGE]
  while limit do
    local period, counter = limit.of, item[at + 1]
    period.used[counter], period.more[counter] = period.used[counter] + item[at + 2], true
    period.expiry, at = limit.expiry, at + 3
    limit = item[at]
  end
end

local function prepare_one(item, request, payment, began, record)
  if began then
    if began == item[CLAIM] then return { 'S', record } end
    local uetr = sub(began, 1, UETR_BYTES)
    if uetr ~= item[UETR] then return { 'O', uetr } end
    return { 'R', record }
  end
  if retired.any then
    local left = retired.find(sub(item[DIGESTS], 1, 12))
    if left then return { 'A', left } end
    record = record or retired.find(sub(item[DIGESTS], 13))
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
  if not reason then reason, figures = limit_fault(item) end
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

-- How many fields the array has that begins at a place, and how long its head is.
local function head(at)
  local first, high, low = string.byte(group, at + 1, at + 3)
  if first < 160 then return first - 144, 1 end
  return high * 256 + low, 3
end

local items, names, at, requests = {}, {}, 0, KEYS[5] .. ':'
for i = 1, count do
  local fields, length = head(at)
  local item = { unpacked(group, fields, at + length) }
  local uetr = sub(item[CLAIM], 1, UETR_BYTES)
  at, item[UETR] = item[1], uetr
  names[2 * i - 1], names[2 * i] = requests .. item[REQUEST], PAYMENT .. uetr
  if item[QUOTE] then item[QUOTE] = KEYS[9] .. ':' .. item[PARTICIPANT] .. ':' .. item[QUOTE] end
  charge(item)
  items[i] = item
end
for key, period in pairs(periods) do
  local used = redis.pcall('HMGET', key, unpack(period.counters))
  period.fault = used.err and used
  for n, counter in ipairs(period.counters) do period.used[counter] = tonumber(used[n] or '0') end
end
local found, answers, place = call('MGET', unpack(names)), {}, 0
local function prepare_on()
  while place < count do
    place = place + 1
    local request, payment = names[2 * place - 1], names[2 * place]
    local began, record = kept[request] or found[2 * place - 1], kept[payment] or found[2 * place]
    answers[place] = prepare_one(items[place], request, payment, began, record)
  end
end
while place < count do
  local done, answer = pcall(prepare_on)
  if not done then answers[place] = { 'E', type(answer) == 'table' and answer.err or tostring(answer) } end
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
