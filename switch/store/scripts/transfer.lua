-- transfer.lua  Carry a confirmed obligation into the books and the headroom of its participant, once, in order.
-- KEYS    settled books agent
-- ARGV    number owner agent_owner asset amount_minor
-- RETURN  1 carried | 0 it was before
-- The books of the shard stay zero-sum: what the participant does not owe any more, the settlement agent does.
local call = redis.call
if tonumber(ARGV[1]) <= tonumber(call('HGET', KEYS[1], 'transfer') or '0') then return 0 end
local back = string.sub(ARGV[5], 1, 1) == '-' and string.sub(ARGV[5], 2) or '-' .. ARGV[5]
call('HINCRBY', KEYS[2], ARGV[2], back)
call('HINCRBY', KEYS[2], ARGV[3], ARGV[5])
call('HINCRBY', KEYS[3], 'spent:' .. ARGV[4], back)
call('HSET', KEYS[1], 'transfer', ARGV[1])
return 1
