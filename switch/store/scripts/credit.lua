-- credit.lua  Give headroom back to participants of one shard for a run of the log, once.
-- KEYS    settled | agent
-- ARGV    partition from_offset to_offset items | asset amount_minor
-- RETURN  the shard's offset before: from_offset when this call applied it
local call, field = redis.call, 'o:' .. ARGV[1]
local at = call('HGET', KEYS[1], field) or '0'
if at ~= ARGV[2] then return at end
for item = 1, tonumber(ARGV[4]) do
  call('HINCRBY', KEYS[1 + item], 'spent:' .. ARGV[3 + 2 * item], '-' .. ARGV[4 + 2 * item])
end
call('HSET', KEYS[1], field, ARGV[3])
return at
