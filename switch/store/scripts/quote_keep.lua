-- quote_keep.lua  Keep a quote whose provider's headroom is held, on the owner's shard.
-- KEYS    quote
-- ARGV    body terms expiry_time_ms
-- RETURN  1 kept, now or before | 0 expired already, by the server's clock: its hold may be gone
local time = redis.call('TIME')
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
if tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'terms', ARGV[2], 'expiry', ARGV[3])
return 1
