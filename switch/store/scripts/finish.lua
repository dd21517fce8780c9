-- finish.lua  Move payments to COMMITTED, ABORTED or IN_DOUBT: state, position, limits, books and outbox together.
-- KEYS    holds overdue outbox books | payment agent changes limits*
-- ARGV    items | uetr state time_ms step charges entries (owner amount_minor)*
-- RETURN  per item: {P} moved from PREPARED | {D record} moved from IN_DOUBT | {= record} was there or is final
--         | {E text} this item is poisoned, nothing of it was done
-- What is released is what prepare wrote into `holds`; the caller's first entry, the debtor's, must agree with it.
-- What no later item of the group reads back is written once, for all, at the end.
local HOLDS, OVERDUE, OUTBOX, BOOKS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local MOVES = { P = 'CAD', D = 'CA', C = '', A = '' }
local EXACT_MAX = 9007199254740991 -- limits.SCRIPT_INTEGER_MAX: a sum beyond it loses units
local call = redis.call
local agents, books, ended = {}, {}, {}

-- A shard key of another type must fail before anything is written.
call('HLEN', HOLDS)
call('ZCARD', OVERDUE)
call('XLEN', OUTBOX)
call('HLEN', BOOKS)

local function refuse(text)
  error({ err = 'FAULT ' .. text })
end

local function agent_of(key)
  local agent = agents[key]
  if not agent then
    agent = { finals = 0, fields = {}, sequence = tonumber(call('HGET', key, 'seq') or '0') }
    agents[key] = agent
  end
  return agent
end

local function reserved_of(k, a, charges)
  local packed = call('HGET', HOLDS, ARGV[a])
  if not packed then refuse('a payment that runs has no hold') end
  local reserved = cmsgpack.unpack(packed)
  if #reserved[3] ~= charges then refuse('the charges are not those that were reserved') end
  if tonumber(ARGV[a + 5]) > 0 then
    local owner = string.match(KEYS[k + 1], '[^:]+$') .. '|' .. reserved[1]
    if ARGV[a + 6] ~= owner or tonumber(ARGV[a + 7]) ~= reserved[2] then
      refuse('the entries are not those of the hold')
    end
  end
  return reserved
end

-- Counters of limits that still count: one whose period is over is forgotten, and giving back would make room.
local function counted(k, reserved)
  local there = {}
  for i, charge in ipairs(reserved[3]) do
    there[i] = call('HEXISTS', KEYS[k + 2 + i], charge[1]) == 1
  end
  return there
end

local function add(sums, field, amount)
  sums[field] = (sums[field] or 0) + amount
end

local function book(a)
  for i = 1, tonumber(ARGV[a + 5]) do
    local owner, amount = ARGV[a + 4 + 2 * i], tonumber(ARGV[a + 5 + 2 * i])
    if math.abs((books[owner] or 0) + amount) > EXACT_MAX then
      call('HINCRBY', BOOKS, owner, books[owner])
      books[owner] = 0
    end
    add(books, owner, amount)
  end
end

local function settle(k, a, agent, reserved, there)
  local asset, amount = reserved[1], reserved[2]
  add(agent.fields, 'held:' .. asset, -amount)
  if ARGV[a + 1] == 'C' then
    add(agent.fields, 'spent:' .. asset, amount)
    book(a)
  else
    for i, charge in ipairs(reserved[3]) do
      if there[i] then call('HINCRBY', KEYS[k + 2 + i], charge[1], -charge[2]) end
    end
  end
  agent.finals = agent.finals + 1
  call('XADD', OUTBOX, '*', 'q', agent.sequence + agent.finals, 'u', ARGV[a])
  ended[#ended + 1] = ARGV[a]
end

local function finish_one(k, a, charges)
  local payment, state = KEYS[k], ARGV[a + 1]
  local before = call('GETRANGE', payment, -1, -1)
  if before == '' then refuse('no such payment') end
  if before == state or MOVES[before] == '' then return { '=', call('GET', payment) } end
  if not string.find(MOVES[before], state, 1, true) then refuse('no such move') end
  local reserved, agent = reserved_of(k, a, charges), agent_of(KEYS[k + 1])
  local there = counted(k, reserved)
  call('XADD', KEYS[k + 2], '*', state, ARGV[a] .. ' ' .. ARGV[a + 2])
  call('APPEND', payment, ARGV[a + 3])
  if state ~= 'D' then settle(k, a, agent, reserved, there) end
  if before == 'P' then return { 'P' } end
  return { before, call('GET', payment) }
end

local answers, k, a = {}, 5, 2
for item = 1, tonumber(ARGV[1]) do
  local charges, entries = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
  local done, answer = pcall(finish_one, k, a, charges)
  if not done then
    answer = { 'E', type(answer) == 'table' and answer.err or tostring(answer) }
  end
  answers[item] = answer
  k, a = k + 3 + charges, a + 6 + 2 * entries
end
if #ended > 0 then
  call('HDEL', HOLDS, unpack(ended))
  call('ZREM', OVERDUE, unpack(ended))
end
for key, agent in pairs(agents) do
  if agent.finals > 0 then call('HINCRBY', key, 'seq', agent.finals) end
  for field, amount in pairs(agent.fields) do call('HINCRBY', key, field, amount) end
end
for owner, amount in pairs(books) do
  call('HINCRBY', BOOKS, owner, amount)
end
return answers
