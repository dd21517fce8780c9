-- outbox_delete.lua  Remove what the broker has from a shard's outbox, and note how far each debtor agent's is there.
-- KEYS    outbox lease | agent
-- ARGV    token entry_id* | sequence
-- RETURN  1 removed, now or before | 0 the token is not the shard's any more: nothing was done
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return 0 end
local ends = #ARGV - (#KEYS - 2) -- where the last entry_id is
redis.call('XDEL', KEYS[1], unpack(ARGV, 2, ends))
for n = 3, #KEYS do
  local agent, sequence = KEYS[n], ARGV[ends + n - 2]
  if tonumber(sequence) > tonumber(redis.call('HGET', agent, 'acked') or '0') then
    redis.call('HSET', agent, 'acked', sequence)
  end
end
return 1
