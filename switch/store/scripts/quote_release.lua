-- quote_release.lua  End providers' holds: give headroom back, or make it plain use when the payment was made. Many at once.
-- KEYS    agent quotedue quoteheld
-- ARGV    items again_time_ms | hold_id provider asset amount_minor outcome
-- RETURN  how many ended now
-- The first of KEYS is a kind: an item's key is named after it (keys.py), so it is in its slot. outcome: 'C' paid | 'E', 'A'
-- not paid, and never will be | another: not known yet, looked at again at again_time_ms.
-- Everything is read before anything is written, and written at the end, for all items at once.
local EXACT_MAX = 9007199254740991 -- limits.SCRIPT_INTEGER_MAX: a sum beyond it loses units
local call, DUE, HELD = redis.call, KEYS[2], KEYS[3]
local agents, again, ids, places, sums, full = {}, {}, {}, {}, {}, {}

local function add(agent, field, amount)
  local name = agent .. ' ' .. field
  local sum = sums[name] or { agent, field, 0 }
  if math.abs(sum[3] + amount) > EXACT_MAX then
    full[#full + 1], sum = sum, { agent, field, 0 }
  end
  sum[3], sums[name] = sum[3] + amount, sum
end

-- A key of another type must fail before anything is written.
call('ZCARD', DUE)
for at = 3, 5 * tonumber(ARGV[1]), 5 do
  local id, provider, outcome = ARGV[at], ARGV[at + 1], ARGV[at + 4]
  if not agents[provider] then
    agents[provider] = KEYS[1] .. ':' .. provider
    call('HLEN', agents[provider])
  end
  if outcome == 'C' or outcome == 'E' or outcome == 'A' then
    if not places[id] then ids[#ids + 1], places[id] = id, at end
  else
    again[#again + 1], again[#again + 2] = ARGV[2], id
  end
end
local held, ended = #ids > 0 and call('HMGET', HELD, unpack(ids)) or {}, 0
for n, id in ipairs(ids) do
  local at = places[id]
  if held[n] then
    local agent, asset, amount = agents[ARGV[at + 1]], ARGV[at + 2], tonumber(ARGV[at + 3])
    add(agent, 'held:' .. asset, -amount)
    if ARGV[at + 4] == 'C' then add(agent, 'spent:' .. asset, amount) end
    ended = ended + 1
  end
end

if #again > 0 then call('ZADD', DUE, 'XX', unpack(again)) end
if #ids > 0 then
  call('ZREM', DUE, unpack(ids))
  call('HDEL', HELD, unpack(ids))
end
for _, sum in ipairs(full) do
  call('HINCRBY', sum[1], sum[2], sum[3])
end
for _, sum in pairs(sums) do
  call('HINCRBY', sum[1], sum[2], sum[3])
end
return ended
