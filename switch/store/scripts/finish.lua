-- finish.lua  Move payments to COMMITTED, ABORTED or IN_DOUBT: state, position, limits, books and outbox together.
-- KEYS    holds overdue outbox books payment agent changes limits
-- ARGV    items group
-- RETURN  per item: 1 moved from PREPARED | {D record} moved from IN_DOUBT | {= record} was there or is final
--         | {E text} this item is poisoned, nothing of it was done
-- The group is its items, packed, one behind the other, each an array of the fields named below, in their order, and of
-- (owner amount_minor)* from `entry` on, when it is committed. What KEYS has from `payment` on are kinds: keys of items
-- are named after them (keys.py), so they are in their slot. `periods` are those of the charges, in the order in which
-- they were reserved; nil when there are none, or when they stay as they are: only what is aborted gives them back.
-- What is released is what prepare wrote into `holds`; the caller's first entry, the debtor's, must agree with it.
-- Everything is read before anything is written, and written at the end, for all items at once.
local UETR, STATE, TIME, STEP, PARTICIPANT, PERIODS, ENTRY = 2, 3, 4, 5, 6, 7, 8
local HOLDS, OVERDUE, OUTBOX, BOOKS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local MOVES = { P = 'CAD', D = 'CA', C = '', A = '' }
local EXACT_MAX = 9007199254740991 -- limits.SCRIPT_INTEGER_MAX: a sum beyond it loses units
local call, sub, none, unpacked = redis.call, string.sub, {}, cmsgpack.unpack_limit
local count, group = tonumber(ARGV[1]), ARGV[2]
local agents, limits, books, full_books, times = {}, {}, {}, {}, {}
local kept, sets, outbox, ended, moves, ends = {}, {}, {}, {}, 0, 0

-- A shard key of another type must fail before anything is written.
call('HLEN', HOLDS)
call('ZCARD', OVERDUE)
call('XLEN', OUTBOX)
call('HLEN', BOOKS)

local function refuse(text)
  error({ err = 'FAULT ' .. text })
end

local function agent_of(name)
  local agent = agents[name]
  if not agent then
    local key, changes = KEYS[6] .. ':' .. name, KEYS[7] .. ':' .. name
    call('XLEN', changes)
    local sequence = tonumber(call('HGET', key, 'seq') or '0')
    agent = { key = key, changes = changes, sequence = sequence, finals = 0, letters = {}, words = {}, moves = 0 }
    agent.rows = {}
    agents[name] = agent
  end
  return agent
end

-- What an agent's payments of one asset move.
local function row_of(agent, name, asset)
  local row = agent.rows[asset]
  if not row then
    row = { owner = name .. '|' .. asset, held = 0, spent = 0 }
    agent.rows[asset] = row
  end
  return row
end

-- Amount and charges of a hold, and its row of the agent. Charges are looked at only to give them back.
local function reserved_of(item, packed, agent)
  if not packed then refuse('a payment that runs has no hold') end
  local aborted = item[STATE] == 'A'
  local _, asset, amount, charges = unpacked(packed, aborted and 3 or 2, 1)
  if aborted and #charges ~= #(item[PERIODS] or none) then refuse('the charges are not those that were reserved') end
  local row = row_of(agent, item[PARTICIPANT], asset)
  if item[ENTRY] and (item[ENTRY] ~= row.owner or item[ENTRY + 1] ~= amount) then
    refuse('the entries are not those of the hold')
  end
  return amount, charges, row
end

-- Counters of limits that still count: one whose period is over is forgotten, and giving back would make room.
local function counted(item, charges)
  local there = {}
  for i, charge in ipairs(charges) do
    local key = KEYS[8] .. ':' .. item[PERIODS][i]
    if call('HEXISTS', key, charge[1]) == 1 then there[#there + 1] = { key, charge[1], charge[2] } end
  end
  return there
end

local function text_of(time_ms)
  times[time_ms] = times[time_ms] or string.format('%.0f', time_ms)
  return times[time_ms]
end

local function book(item)
  local at, owner = ENTRY, item[ENTRY]
  while owner do
    local sum = (books[owner] or 0) + item[at + 1]
    if sum > EXACT_MAX or sum < -EXACT_MAX then
      full_books[#full_books + 1] = { owner, books[owner] }
      sum = item[at + 1]
    end
    books[owner], at = sum, at + 2
    owner = item[at]
  end
end

local function settle(item, agent, amount, row, there)
  row.held = row.held - amount
  if item[STATE] == 'C' then
    row.spent = row.spent + amount
    book(item)
  else
    for _, charge in ipairs(there) do
      local counters = limits[charge[1]] or {}
      limits[charge[1]], counters[charge[2]] = counters, (counters[charge[2]] or 0) - charge[3]
    end
  end
  agent.finals, ends = agent.finals + 1, ends + 1
  outbox[ends], ended[ends] = agent.sequence + agent.finals, item[UETR]
end

local function finish_one(item, payment, record, packed)
  local state, before = item[STATE], record and sub(record, -1)
  if not before then refuse('no such payment') end
  if before == state or MOVES[before] == '' then return { '=', record } end
  if not string.find(MOVES[before], state, 1, true) then refuse('no such move') end
  local agent = agent_of(item[PARTICIPANT])
  local amount, charges, row = reserved_of(item, packed, agent)
  local there, n, m = state == 'A' and counted(item, charges) or none, 2 * moves, agent.moves
  record = record .. item[STEP]
  sets[n + 1], sets[n + 2], kept[payment] = payment, record, record
  agent.letters[m + 1], agent.words[2 * m + 1], agent.words[2 * m + 2] = state, item[UETR], text_of(item[TIME])
  agent.moves, moves = m + 1, moves + 1
  if state ~= 'D' then settle(item, agent, amount, row, there) end
  if before == 'P' then return 1 end
  return { before, record }
end

-- How many fields the array has that begins at a place, and how long its head is.
local function head(at)
  local first, high, low = string.byte(group, at + 1, at + 3)
  if first < 160 then return first - 144, 1 end
  return high * 256 + low, 3
end

local items, names, uetrs, at, payments = {}, {}, {}, 0, KEYS[5] .. ':'
for i = 1, count do
  local fields, length = head(at)
  local item = { unpacked(group, fields, at + length) }
  local uetr = item[UETR]
  at, items[i], uetrs[i], names[i] = item[1], item, uetr, payments .. uetr
end
local records, held, answers, place = call('MGET', unpack(names)), call('HMGET', HOLDS, unpack(uetrs)), {}, 0
local function finish_on()
  while place < count do
    place = place + 1
    local payment = names[place]
    answers[place] = finish_one(items[place], payment, kept[payment] or records[place], held[place])
  end
end
while place < count do
  local done, answer = pcall(finish_on)
  if not done then answers[place] = { 'E', type(answer) == 'table' and answer.err or tostring(answer) } end
end

if moves > 0 then call('MSET', unpack(sets)) end
for _, agent in pairs(agents) do
  if agent.moves > 0 then
    call('XADD', agent.changes, '*', table.concat(agent.letters), table.concat(agent.words, ' '))
  end
end
for n, sequence in ipairs(outbox) do
  call('XADD', OUTBOX, '*', 'q', sequence, 'u', ended[n])
end
if ends > 0 then
  call('HDEL', HOLDS, unpack(ended))
  call('ZREM', OVERDUE, unpack(ended))
end
for _, agent in pairs(agents) do
  if agent.finals > 0 then call('HINCRBY', agent.key, 'seq', agent.finals) end
  for asset, row in pairs(agent.rows) do
    if row.held ~= 0 then call('HINCRBY', agent.key, 'held:' .. asset, row.held) end
    if row.spent ~= 0 then call('HINCRBY', agent.key, 'spent:' .. asset, row.spent) end
  end
end
for key, counters in pairs(limits) do
  for counter, amount in pairs(counters) do call('HINCRBY', key, counter, amount) end
end
for _, full in ipairs(full_books) do
  call('HINCRBY', BOOKS, full[1], full[2])
end
for owner, amount in pairs(books) do
  call('HINCRBY', BOOKS, owner, amount)
end
return answers
