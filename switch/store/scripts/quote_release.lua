-- quote_release.lua  End providers' holds: give headroom back, or make it plain use when the payment was made. Many at once.
-- KEYS    agent quotedue quoteheld
-- ARGV    items again_time_ms | hold_id provider asset amount_minor outcome
-- RETURN  how many ended now
-- The first of KEYS is a kind: an item's key is named after it (keys.py), so it is in its slot. outcome: 'C' paid | 'E', 'A'
-- not paid, and never will be | another: not known yet, looked at again at again_time_ms.
local call, DUE, HELD = redis.call, KEYS[2], KEYS[3]
local agents, ended, last = {}, 0, 5 * tonumber(ARGV[1])

-- A key of another type must fail before anything is written.
call('ZCARD', DUE)
call('HLEN', HELD)
for at = 3, last, 5 do
  local provider = ARGV[at + 1]
  if not agents[provider] then
    agents[provider] = KEYS[1] .. ':' .. provider
    call('HLEN', agents[provider])
  end
end

for at = 3, last, 5 do
  local id, provider, asset, amount, outcome = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  if outcome ~= 'C' and outcome ~= 'E' and outcome ~= 'A' then
    call('ZADD', DUE, 'XX', ARGV[2], id)
  else
    call('ZREM', DUE, id)
    if call('HDEL', HELD, id) == 1 then
      call('HINCRBY', agents[provider], 'held:' .. asset, '-' .. amount)
      if outcome == 'C' then call('HINCRBY', agents[provider], 'spent:' .. asset, amount) end
      ended = ended + 1
    end
  end
end
return ended
