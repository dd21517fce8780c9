-- quote_hold.lua  Reserve a quote's credit amount at its FX provider, on the provider's shard.
-- KEYS    agent quotedue quoteheld
-- ARGV    hold_id asset amount_minor expiry_time_ms held
-- RETURN  1 reserved, now or before | 0 no headroom, or no such active provider
local agent = redis.call('HMGET', KEYS[1], 'state', 'cap:' .. ARGV[2], 'held:' .. ARGV[2], 'spent:' .. ARGV[2])
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then return 1 end
if agent[1] ~= 'A' then return 0 end
local used = tonumber(agent[3] or '0') + tonumber(agent[4] or '0')
if tonumber(ARGV[3]) > tonumber(agent[2] or '0') - used then return 0 end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[5])
redis.call('HINCRBY', KEYS[1], 'held:' .. ARGV[2], ARGV[3])
return 1
