-- outbox_delete.lua  Remove what the broker has from a shard's outbox, and note how far each debtor agent's is there.
-- KEYS    outbox lease | agent
-- ARGV    token items | entry_id sequence
-- RETURN  1 removed, now or before | 0 the token is not the shard's any more: nothing was done
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return 0 end
local places, acked = {}, {}
for item = 1, tonumber(ARGV[2]) do
  local agent, sequence = KEYS[2 + item], tonumber(ARGV[2 + 2 * item])
  places[item] = ARGV[1 + 2 * item]
  acked[agent] = math.max(acked[agent] or 0, sequence)
end
redis.call('XDEL', KEYS[1], unpack(places))
for agent, sequence in pairs(acked) do
  if sequence > tonumber(redis.call('HGET', agent, 'acked') or '0') then redis.call('HSET', agent, 'acked', sequence) end
end
return 1
